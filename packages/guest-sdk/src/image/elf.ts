/** One loadable piece of an image. */
export interface ElfSegment {
  /** Guest-physical byte address where it is loaded, page-aligned. */
  readonly physical: number;
  /** Linear address that it is linked at. */
  readonly linear: bigint;
  readonly bytes: Uint8Array;
  /** Bytes in memory; what `bytes` does not cover is zero. */
  readonly memoryBytes: number;
}

/** An ELF note of owner `Xen` with a 32-bit value. */
export interface XenNote {
  /** `XEN_ELFNOTE_*`, for example {@link PHYS32_ENTRY}. */
  readonly type: number;
  readonly value: number;
}

/** `XEN_ELFNOTE_PHYS32_ENTRY`: physical address of a 32-bit entry without paging; makes an image bootable as PVH. */
export const PHYS32_ENTRY = 18;

const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const NOTE_BYTES = 20;
const PAGE = 4096;
const PT_LOAD = 1;
const PT_NOTE = 4;
const READ_WRITE_EXECUTE = 7;
const READ = 4;

/**
 * A statically linked ELF64 file for x86-64 (ELF gABI; Xen's loader takes physical addresses, and wants the ELF entry
 * among them). There are no sections.
 */
export function writeElf(
  entry: number,
  segments: readonly ElfSegment[],
  notes: readonly XenNote[],
): Uint8Array {
  const noteAt = EHDR_BYTES + PHDR_BYTES * (segments.length + 1);
  const noteBytes = NOTE_BYTES * notes.length;
  const offsets: number[] = [];
  let end = noteAt + noteBytes;
  for (const segment of segments) {
    end = Math.ceil(end / PAGE) * PAGE;
    offsets.push(end);
    end += segment.bytes.length;
  }
  const out = new Uint8Array(end);
  const view = new DataView(out.buffer);

  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64-bit, little-endian, version 1
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, BigInt(EHDR_BYTES), true); // program headers
  view.setUint16(52, EHDR_BYTES, true);
  view.setUint16(54, PHDR_BYTES, true);
  view.setUint16(56, segments.length + 1, true);
  view.setUint16(58, 64, true); // size of a section header, of which there are none

  segments.forEach((segment, i) => {
    const header = {
      type: PT_LOAD,
      flags: READ_WRITE_EXECUTE,
      offset: offsets[i],
      align: PAGE,
      fileBytes: segment.bytes.length,
    };
    writeProgramHeader(view, EHDR_BYTES + PHDR_BYTES * i, { ...segment, ...header });
    out.set(segment.bytes, offsets[i]);
  });
  writeProgramHeader(view, noteAt - PHDR_BYTES, {
    type: PT_NOTE,
    flags: READ,
    offset: noteAt,
    linear: 0n,
    physical: 0,
    fileBytes: noteBytes,
    memoryBytes: noteBytes,
    align: 4,
  });
  notes.forEach((note, i) => {
    const at = noteAt + NOTE_BYTES * i;
    view.setUint32(at, 4, true); // "Xen" with its zero
    view.setUint32(at + 4, 4, true);
    view.setUint32(at + 8, note.type, true);
    out.set([0x58, 0x65, 0x6e, 0], at + 12);
    view.setUint32(at + 16, note.value, true);
  });
  return out;
}

interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly linear: bigint;
  readonly physical: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly align: number;
}

function writeProgramHeader(view: DataView, at: number, header: ProgramHeader): void {
  view.setUint32(at, header.type, true);
  view.setUint32(at + 4, header.flags, true);
  view.setBigUint64(at + 8, BigInt(header.offset), true);
  view.setBigUint64(at + 16, header.linear, true);
  view.setBigUint64(at + 24, BigInt(header.physical), true);
  view.setBigUint64(at + 32, BigInt(header.fileBytes), true);
  view.setBigUint64(at + 40, BigInt(header.memoryBytes), true);
  view.setBigUint64(at + 48, BigInt(header.align), true);
}
