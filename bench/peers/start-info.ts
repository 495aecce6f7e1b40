/** XEN_HVM_START_MAGIC_VALUE of public/arch-x86/hvm/start_info.h. */
const MAGIC = 0x336ec578;
/** Room for the structure, before its command line. */
const BYTES = 0x100;

/** `struct hvm_start_info`, version 0, for physical address `address`, with its command line behind it. */
export function startInfo(
  address: number,
  cmdline: string,
): { readonly address: number; readonly bytes: Buffer } {
  const info = Buffer.alloc(BYTES);
  info.writeUInt32LE(MAGIC, 0);
  info.writeUInt32LE(address + BYTES, 24);
  return { address, bytes: Buffer.concat([info, Buffer.from(`${cmdline}\0`)]) };
}
