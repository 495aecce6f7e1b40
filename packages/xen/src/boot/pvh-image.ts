import { ADDRESS_LIMIT, checkEntry, type ElfImage, type LoadedImage, PT_NOTE, readElf } from "./elf-image.js";
import { hex, ImageError } from "./image-error.js";
import type { ImageReader } from "./image-reader.js";

// public/elfnote.h
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** A checked PVH image; its entry point comes from the PHYS32_ENTRY note. */
export interface PvhImage extends LoadedImage {
  readonly elfClass: 32 | 64;
  readonly machine: "i386" | "x86-64";
}

/**
 * Checks an ELF image for a PVH domain: 32- or 64-bit, little-endian, x86, with a Xen PHYS32_ENTRY note. Nothing is
 * copied: segments are views of `image`. Physical addresses (`p_paddr`) decide where they go.
 * @throws ImageError for every image that is not one, and nothing else
 */
export function loadPvhImage(image: Uint8Array): PvhImage {
  const elf = readElf(image);
  const entry = findEntry(elf);
  if (entry === undefined)
    throw new ImageError("no-pvh-entry", "PT_NOTE", "without one", "a Xen note of type 18 (PHYS32_ENTRY)");
  const { elfClass, machine, segments, start, end } = elf;
  checkEntry("PHYS32_ENTRY", entry.value, segments, entry.at);
  return { elfClass, machine, entry: entry.value, segments, start, end };
}

/** Does this ELF image name a PVH entry point? */
export function hasPvhEntry(elf: ElfImage): boolean {
  return findEntry(elf) !== undefined;
}

function findEntry({ reader, headers }: ElfImage): { value: number; at: number } | undefined {
  for (const h of headers) {
    if (h.type !== PT_NOTE) continue;
    reader.slice(h.offset, h.fileBytes, `p_offset + p_filesz of segment ${h.index}`);
    const entry = findEntryNote(reader, h.offset, h.offset + h.fileBytes);
    if (entry !== undefined) return entry;
  }
  return undefined;
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
