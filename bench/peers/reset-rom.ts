/** Where the ROM lies: its last sixteen bytes are what x86 processors start with. */
export const ROM_ADDRESS = 0xffff0000;

const SIZE = 0x10000;
const REAL_MODE = 0xff00;
const TABLE = 0xff40;
const SEGMENTS = 0xff48;
const PROTECTED_MODE = 0xff80;
const RESET = 0xfff0;

/**
 * Firmware that does nothing but enter a PVH guest already in memory: 32-bit protected mode, flat segments, paging off,
 * EBX = physical address of hvm_start_info.
 */
export function resetRom(entry: number, startInfo: number): Buffer {
  const rom = Buffer.alloc(SIZE);
  rom.set([0xfa], REAL_MODE); // cli
  rom.set([0x66, 0x2e, 0x0f, 0x01, 0x16, TABLE & 0xff, TABLE >> 8], REAL_MODE + 1); // lgdt cs:TABLE
  rom.set([0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], REAL_MODE + 8); // CR0.PE
  rom.set([0x66, 0xea], REAL_MODE + 16); // ljmp 8:PROTECTED_MODE
  rom.writeUInt32LE(ROM_ADDRESS + PROTECTED_MODE, REAL_MODE + 18);
  rom.writeUInt16LE(8, REAL_MODE + 22);

  rom.writeUInt16LE(3 * 8 - 1, TABLE);
  rom.writeUInt32LE(ROM_ADDRESS + SEGMENTS, TABLE + 2);
  rom.writeBigUInt64LE(0x00cf9b000000ffffn, SEGMENTS + 8); // flat 32-bit code
  rom.writeBigUInt64LE(0x00cf93000000ffffn, SEGMENTS + 16); // flat data

  rom.set([0xb8, 16, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbb], PROTECTED_MODE); // ds, es, ss; mov ebx
  rom.writeUInt32LE(startInfo, PROTECTED_MODE + 12);
  rom.set([0xb8], PROTECTED_MODE + 16); // mov eax, entry
  rom.writeUInt32LE(entry, PROTECTED_MODE + 17);
  rom.set([0xff, 0xe0], PROTECTED_MODE + 21); // jmp eax

  rom.set([0xe9], RESET); // jmp REAL_MODE
  rom.writeInt16LE(REAL_MODE - (RESET + 3), RESET + 1);
  return rom;
}
