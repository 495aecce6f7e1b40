import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";

/** Bytes of the I/O permission map: one bit a port, and the ports beyond FFFFh that wide accesses reach. */
export const IOPM_BYTES = 12288;
/** Bytes of the MSR permission map: two bits an MSR (read, write) for four ranges of 2000h MSRs. */
export const MSRPM_BYTES = 8192;

/** Whether any port of the access has its bit set in the map at machine address `base` (APM vol. 2, 15.10.1). */
export function ioIntercepted(memory: PhysicalMemory, base: number, port: number, bytes: number): boolean {
  const bits = byteAt(memory, base + (port >>> 3)) | (byteAt(memory, base + (port >>> 3) + 1) << 8);
  return ((bits >>> (port & 7)) & ((1 << bytes) - 1)) !== 0;
}

/**
 * Whether the map at machine address `base` asks to see an access to that MSR (APM vol. 2, 15.11). MSRs outside the
 * three defined ranges are always seen.
 */
export function msrIntercepted(memory: PhysicalMemory, base: number, msr: number, write: boolean): boolean {
  const bit = msrBit(msr);
  if (bit < 0) return true;
  return ((byteAt(memory, base + (bit >>> 3)) >>> ((bit & 7) + (write ? 1 : 0))) & 1) !== 0;
}

/** Bit number of an MSR's read bit in the map, its write bit follows; -1 for MSRs that the map does not cover. */
export function msrBit(msr: number): number {
  const number = msr >>> 0;
  if (number <= 0x1fff) return number * 2;
  if (number >= 0xc0000000 && number <= 0xc0001fff) return 0x800 * 8 + (number - 0xc0000000) * 2;
  if (number >= 0xc0010000 && number <= 0xc0011fff) return 0x1000 * 8 + (number - 0xc0010000) * 2;
  return -1;
}

function byteAt(memory: PhysicalMemory, address: number): number {
  const at = memory.frameOffset(Math.floor(address / FRAME_BYTES));
  return at < 0 ? 0xff : memory.arena.u8[at + (address % FRAME_BYTES)];
}
