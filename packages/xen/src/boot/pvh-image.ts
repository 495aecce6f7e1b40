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
const PT_NOTE = 4;
// public/elfnote.h
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** A PVH guest starts in 32-bit mode without paging: everything it starts with is below 4 GiB. */
const ADDRESS_LIMIT = 2 ** 32;
/** More program headers than any real image; bounds the work that a hostile one can ask for. */
const MAX_PROGRAM_HEADERS = 1024;

/** A part of the image that belongs at a guest-physical address. */
export interface PvhSegment {
  /** Guest-physical address. */
  readonly address: number;
  /** Bytes from the file, a view of the image. */
  readonly bytes: Uint8Array;
  /** Size in memory; what the file does not fill is zero. */
  readonly memoryBytes: number;
}

/** A checked PVH image: segments in order of address, disjoint, all below 4 GiB. */
export interface PvhImage {
  readonly elfClass: 32 | 64;
  readonly machine: "i386" | "x86-64";
  /** Guest-physical entry point, from the PHYS32_ENTRY note; 32-bit protected mode. */
  readonly entry: number;
  readonly segments: readonly PvhSegment[];
  /** First address that a segment covers, and the one after the last. */
  readonly start: number;
  readonly end: number;
}

interface ProgramHeader {
  readonly index: number;
  readonly at: number;
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

/**
 * Checks an ELF image for a PVH domain: 32- or 64-bit, little-endian, x86, with a Xen PHYS32_ENTRY note. Nothing is
 * copied: segments are views of `image`. Physical addresses (`p_paddr`) decide where they go.
 * @throws ImageError for every image that is not one, and nothing else
 */
export function loadPvhImage(image: Uint8Array): PvhImage {
  const reader = new ImageReader(image);
  if (image.length < 4 || reader.u32(0, "e_ident magic") !== ELF_MAGIC)
    throw new ImageError("not-elf", "e_ident magic", describeStart(image), "7f 45 4c 46", 0);
  const elfClass = oneOf(reader.u8(4, "e_ident class"), [ELFCLASS32, ELFCLASS64], "e_ident class", 4);
  oneOf(reader.u8(5, "e_ident data"), [ELFDATA2LSB], "e_ident data", 5);
  oneOf(reader.u16(16, "e_type"), [ET_EXEC, ET_DYN], "e_type", 16);
  const machine = oneOf(reader.u16(18, "e_machine"), [EM_386, EM_X86_64], "e_machine", 18);
  const wide = elfClass === ELFCLASS64;
  const headers = programHeaders(reader, wide);
  const segments = loadSegments(reader, headers);
  const entry = findEntry(reader, headers);
  if (!segments.some((s) => entry.value >= s.address && entry.value < s.address + s.memoryBytes))
    throw new ImageError(
      "bad-entry",
      "PHYS32_ENTRY",
      hex(entry.value),
      "an address within a segment",
      entry.at,
    );
  const last = segments[segments.length - 1];
  return {
    elfClass: wide ? 64 : 32,
    machine: machine === EM_386 ? "i386" : "x86-64",
    entry: entry.value,
    segments,
    start: segments[0].address,
    end: last.address + last.memoryBytes,
  };
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
      address: field("p_paddr", 24, 12),
      fileBytes: field("p_filesz", 32, 16),
      memoryBytes: field("p_memsz", 40, 20),
    });
  }
  return headers;
}

function loadSegments(reader: ImageReader, headers: readonly ProgramHeader[]): PvhSegment[] {
  const segments: PvhSegment[] = [];
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
  segments.sort((a, b) => a.address - b.address);
  for (let i = 1; i < segments.length; i++) {
    const end = segments[i - 1].address + segments[i - 1].memoryBytes;
    if (segments[i].address < end)
      throw new ImageError(
        "overlap",
        "p_paddr",
        hex(segments[i].address),
        `at least ${hex(end)}, the previous end`,
      );
  }
  return segments;
}

function findEntry(reader: ImageReader, headers: readonly ProgramHeader[]): { value: number; at: number } {
  for (const h of headers) {
    if (h.type !== PT_NOTE) continue;
    reader.slice(h.offset, h.fileBytes, `p_offset + p_filesz of segment ${h.index}`);
    const entry = findEntryNote(reader, h.offset, h.offset + h.fileBytes);
    if (entry !== undefined) return entry;
  }
  throw new ImageError("no-pvh-entry", "PT_NOTE", "without one", "a Xen note of type 18 (PHYS32_ENTRY)");
}

/** Notes are {namesz, descsz, type}, name and descriptor, each padded to 4 bytes. */
function findEntryNote(
  reader: ImageReader,
  start: number,
  end: number,
): { value: number; at: number } | undefined {
  for (let at = start; at + 12 <= end; ) {
    const nameBytes = reader.u32(at, "n_namesz");
    const valueBytes = reader.u32(at + 4, "n_descsz");
    const type = reader.u32(at + 8, "n_type");
    const valueAt = at + 12 + roundUp(nameBytes);
    if (valueAt + valueBytes > end)
      throw new ImageError(
        "bad-note",
        "n_namesz, n_descsz",
        `${nameBytes}, ${valueBytes}`,
        "within PT_NOTE",
        at,
      );
    if (type === XEN_ELFNOTE_PHYS32_ENTRY && isXen(reader, at + 12, nameBytes)) {
      if (valueBytes !== 4 && valueBytes !== 8)
        throw new ImageError("bad-note", "PHYS32_ENTRY size", String(valueBytes), "4 or 8", at + 4);
      const value = reader.word(valueAt, valueBytes === 8, "PHYS32_ENTRY");
      if (value >= ADDRESS_LIMIT)
        throw new ImageError("bad-entry", "PHYS32_ENTRY", hex(value), "an address below 4 GiB", valueAt);
      return { value, at: valueAt };
    }
    at = valueAt + roundUp(valueBytes);
  }
  return undefined;
}

function isXen(reader: ImageReader, at: number, bytes: number): boolean {
  return bytes === 4 && reader.u32(at, "note name") === 0x006e6558; // "Xen\0"
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
