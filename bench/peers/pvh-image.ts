import { readFileSync } from "node:fs";

const LOAD = 1;
const NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY of public/elfnote.h. */
const PHYS32_ENTRY = 18;
/** XEN_HVM_START_MAGIC_VALUE of public/arch-x86/hvm/start_info.h. */
const START_MAGIC = 0x336ec578;

/** Bytes for a physical address. */
export interface Load {
  readonly address: number;
  readonly bytes: Buffer;
}

/** A PVH ELF image taken apart, for emulators that do not load one themselves. */
export interface PvhImage {
  readonly entry: number;
  readonly loads: readonly Load[];
}

/** @throws RangeError when the 64-bit ELF file has no PVH entry */
export function readPvhImage(file: string): PvhImage {
  const bytes = readFileSync(file);
  const loads: Load[] = [];
  let entry: number | undefined;
  const headers = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  for (let i = 0; i < bytes.readUInt16LE(56); i++) {
    const at = headers + i * size;
    const offset = Number(bytes.readBigUInt64LE(at + 8));
    const inFile = bytes.subarray(offset, offset + Number(bytes.readBigUInt64LE(at + 32)));
    const type = bytes.readUInt32LE(at);
    if (type === LOAD) loads.push({ address: Number(bytes.readBigUInt64LE(at + 24)), bytes: inFile });
    // Our images have one note: name of four bytes, value behind it.
    if (type === NOTE && inFile.readUInt32LE(8) === PHYS32_ENTRY) entry = inFile.readUInt32LE(16);
  }
  if (entry === undefined) throw new RangeError(`${file} has no PVH entry`);
  return { entry, loads };
}

/** `struct hvm_start_info`, version 0, for physical address `at`, with its command line behind it. */
export function startInfo(at: number, cmdline: string): Load {
  const info = Buffer.alloc(0x100);
  info.writeUInt32LE(START_MAGIC, 0);
  info.writeUInt32LE(at + info.length, 24);
  return { address: at, bytes: Buffer.concat([info, Buffer.from(`${cmdline}\0`)]) };
}
