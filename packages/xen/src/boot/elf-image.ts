import { hex, ImageError } from "./image-error.js";
import { ImageReader } from "./image-reader.js";

// ELF identification and header values (System V ABI).
const ELF_MAGIC = 0x464c457f;
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
export const PT_NOTE = 4;

/** A guest starts in 32-bit mode without paging: everything it starts with is below 4 GiB. */
export const ADDRESS_LIMIT: number = 2 ** 32;
/** More program headers than any real image; bounds the work that a hostile one can ask for. */
const MAX_PROGRAM_HEADERS = 1024;

/** A part of an image that belongs at a guest-physical address. */
export interface ImageSegment {
  /** Guest-physical address. */
  readonly address: number;
  /** Bytes from the file, a view of the image. */
  readonly bytes: Uint8Array;
  /** Size in memory; what the file does not fill is zero. */
  readonly memoryBytes: number;
}

/** Where an image goes: segments in order of address, disjoint, all below 4 GiB. */
export interface LoadedImage {
  /** Guest-physical entry point; 32-bit protected mode. */
  readonly entry: number;
  readonly segments: readonly ImageSegment[];
  /** First address that a segment covers, and the one after the last. */
  readonly start: number;
  readonly end: number;
}

export interface ProgramHeader {
  readonly index: number;
  readonly at: number;
  readonly type: number;
  readonly offset: number;
  readonly virtualAddress: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

/** A checked x86 ELF file. */
export interface ElfImage {
  readonly reader: ImageReader;
  readonly elfClass: 32 | 64;
  readonly machine: "i386" | "x86-64";
  readonly headers: readonly ProgramHeader[];
  /** From PT_LOAD headers; physical addresses (`p_paddr`) decide where they go. */
  readonly segments: readonly ImageSegment[];
  readonly start: number;
  readonly end: number;
}

/** Does the file begin as an ELF file does? */
export function isElf(image: Uint8Array): boolean {
  return image.length >= 4 && new ImageReader(image).u32(0, "e_ident magic") === ELF_MAGIC;
}

/**
 * Checks an ELF file: 32- or 64-bit, little-endian, x86. Nothing is copied: segments are views of `image`.
 * @throws ImageError for every image that is not one, and nothing else
 */
export function readElf(image: Uint8Array): ElfImage {
  const reader = new ImageReader(image);
  if (!isElf(image)) throw new ImageError("not-elf", "e_ident magic", describeStart(image), "7f 45 4c 46", 0);
  const elfClass = oneOf(reader.u8(4, "e_ident class"), [ELFCLASS32, ELFCLASS64], "e_ident class", 4);
  oneOf(reader.u8(5, "e_ident data"), [ELFDATA2LSB], "e_ident data", 5);
  oneOf(reader.u16(16, "e_type"), [ET_EXEC, ET_DYN], "e_type", 16);
  const machine = oneOf(reader.u16(18, "e_machine"), [EM_386, EM_X86_64], "e_machine", 18);
  const wide = elfClass === ELFCLASS64;
  const headers = programHeaders(reader, wide);
  const segments = loadSegments(reader, headers);
  const last = segments[segments.length - 1];
  return {
    reader,
    elfClass: wide ? 64 : 32,
    machine: machine === EM_386 ? "i386" : "x86-64",
    headers,
    segments,
    start: segments[0].address,
    end: last.address + last.memoryBytes,
  };
}

/** `e_entry` as a guest-physical address: linkers put a virtual one there. @throws ImageError outside every segment */
export function elfEntry(elf: ElfImage): number {
  const { reader, headers, segments } = elf;
  const value = reader.word(24, elf.elfClass === 64, "e_entry");
  for (const h of headers)
    if (h.type === PT_LOAD && value >= h.virtualAddress && value < h.virtualAddress + h.memoryBytes)
      return h.address + (value - h.virtualAddress);
  checkEntry("e_entry", value, segments, 24);
  return value;
}

/** @throws ImageError `bad-entry` unless the address is within a segment */
export function checkEntry(
  field: string,
  entry: number,
  segments: readonly ImageSegment[],
  at: number,
): void {
  if (!segments.some((s) => entry >= s.address && entry < s.address + s.memoryBytes))
    throw new ImageError("bad-entry", field, hex(entry), "an address within a segment", at);
}

/** Sorts segments by address. @throws ImageError when two of them share an address */
function inOrder(segments: readonly ImageSegment[]): ImageSegment[] {
  const sorted = [...segments].sort((a, b) => a.address - b.address);
  for (let i = 1; i < sorted.length; i++) {
    const end = sorted[i - 1].address + sorted[i - 1].memoryBytes;
    if (sorted[i].address < end)
      throw new ImageError(
        "overlap",
        "p_paddr",
        hex(sorted[i].address),
        `at least ${hex(end)}, the previous end`,
      );
  }
  return sorted;
}

function describeStart(image: Uint8Array): string {
  const start = Array.from(image.subarray(0, 4), (b) => b.toString(16).padStart(2, "0"));
  return start.length === 0 ? "an empty file" : start.join(" ");
}

function oneOf(value: number, allowed: readonly number[], field: string, at: number): number {
  if (!allowed.includes(value))
    throw new ImageError("unsupported", field, String(value), allowed.join(" or "), at);
  return value;
}

function programHeaders(reader: ImageReader, wide: boolean): ProgramHeader[] {
  const table = reader.word(wide ? 32 : 28, wide, "e_phoff");
  const sizeAt = wide ? 54 : 42;
  const bytes = reader.u16(sizeAt, "e_phentsize");
  const expected = wide ? 56 : 32;
  const count = reader.u16(sizeAt + 2, "e_phnum");
  if (count === 0 || count > MAX_PROGRAM_HEADERS)
    throw new ImageError(
      "bad-program-header",
      "e_phnum",
      String(count),
      `1 to ${MAX_PROGRAM_HEADERS}`,
      sizeAt + 2,
    );
  if (bytes !== expected)
    throw new ImageError("bad-program-header", "e_phentsize", String(bytes), String(expected), sizeAt);
  const headers: ProgramHeader[] = [];
  for (let index = 0; index < count; index++) {
    const at = table + index * bytes;
    const field = (name: string, wideAt: number, narrowAt: number) =>
      reader.word(at + (wide ? wideAt : narrowAt), wide, `${name} of segment ${index}`);
    headers.push({
      index,
      at,
      type: reader.u32(at, `p_type of segment ${index}`),
      offset: field("p_offset", 8, 4),
      virtualAddress: field("p_vaddr", 16, 8),
      address: field("p_paddr", 24, 12),
      fileBytes: field("p_filesz", 32, 16),
      memoryBytes: field("p_memsz", 40, 20),
    });
  }
  return headers;
}

function loadSegments(reader: ImageReader, headers: readonly ProgramHeader[]): ImageSegment[] {
  const segments: ImageSegment[] = [];
  for (const h of headers) {
    if (h.type !== PT_LOAD || h.memoryBytes === 0) continue;
    if (h.fileBytes > h.memoryBytes)
      throw new ImageError(
        "bad-segment",
        `p_filesz of segment ${h.index}`,
        hex(h.fileBytes),
        `at most p_memsz, ${hex(h.memoryBytes)}`,
        h.at,
      );
    if (h.address + h.memoryBytes > ADDRESS_LIMIT)
      throw new ImageError(
        "bad-segment",
        `p_paddr + p_memsz of segment ${h.index}`,
        hex(h.address + h.memoryBytes),
        "at most 4 GiB",
        h.at,
      );
    const bytes = reader.slice(h.offset, h.fileBytes, `p_offset + p_filesz of segment ${h.index}`);
    segments.push({ address: h.address, bytes, memoryBytes: h.memoryBytes });
  }
  if (segments.length === 0)
    throw new ImageError("bad-segment", "PT_LOAD", "absent", "at least one PT_LOAD segment");
  return inOrder(segments);
}
