import { ADDRESS_LIMIT, checkEntry, elfEntry, isElf, type LoadedImage, readElf } from "./elf-image.js";
import { hex, ImageError } from "./image-error.js";
import { ImageReader } from "./image-reader.js";

/*
 * Multiboot specification, version 0.6.96.
 */
const HEADER_MAGIC = 0x1badb002;
/** The header lies whole within the first so many bytes, on a multiple of 4. */
const SEARCH_BYTES = 8192;
const HEADER_BYTES = 12;
const ADDRESS_FIELDS_END = 32;
/** Page-aligned modules, memory information, video mode: what a boot loader may be required to do. */
const KNOWN_REQUIREMENTS = 7;
const REQUIREMENTS = 0xffff;
const HAS_ADDRESSES = 1 << 16;

/** Byte offset of the multiboot header, or -1. */
export function findMultibootHeader(image: Uint8Array): number {
  const reader = new ImageReader(image);
  const end = Math.min(SEARCH_BYTES, image.length) - HEADER_BYTES;
  for (let at = 0; at <= end; at += 4) {
    if (reader.u32(at, "multiboot magic") !== HEADER_MAGIC) continue;
    const flags = reader.u32(at + 4, "multiboot flags");
    const checksum = reader.u32(at + 8, "multiboot checksum");
    if (((HEADER_MAGIC + flags + checksum) | 0) === 0) return at;
  }
  return -1;
}

/**
 * Checks a multiboot (version 1) image: an ELF file, or any file whose header gives the addresses.
 * @throws ImageError for every image that is not one, and nothing else
 */
export function loadMultibootImage(image: Uint8Array): LoadedImage {
  const at = findMultibootHeader(image);
  if (at < 0)
    throw new ImageError(
      "no-multiboot-header",
      "multiboot magic",
      "absent or without a right checksum",
      `0x1badb002 on a multiple of 4 in the first ${SEARCH_BYTES} bytes`,
    );
  const reader = new ImageReader(image);
  const flags = reader.u32(at + 4, "multiboot flags");
  if ((flags & REQUIREMENTS & ~KNOWN_REQUIREMENTS) !== 0)
    throw new ImageError("unsupported", "multiboot flags", hex(flags), "no required bits but 0 to 2", at + 4);
  if ((flags & HAS_ADDRESSES) !== 0) return loadAtAddresses(reader, at);
  if (!isElf(image))
    throw new ImageError("unsupported", "multiboot flags", hex(flags), "bit 16, or an ELF file", at + 4);
  const elf = readElf(image);
  const { segments, start, end } = elf;
  return { entry: elfEntry(elf), segments, start, end };
}

/** An image of one piece: header_addr says where the header goes, and everything else follows from it. */
function loadAtAddresses(reader: ImageReader, at: number): LoadedImage {
  reader.slice(at, ADDRESS_FIELDS_END, "multiboot address fields");
  const header = reader.u32(at + 12, "header_addr");
  const start = reader.u32(at + 16, "load_addr");
  const loadEnd = reader.u32(at + 20, "load_end_addr");
  const bssEnd = reader.u32(at + 24, "bss_end_addr");
  const entry = reader.u32(at + 28, "entry_addr");
  const offset = at - (header - start);
  if (header < start || offset < 0)
    throw new ImageError(
      "bad-segment",
      "load_addr",
      hex(start),
      `from header_addr less ${at}, that is ${hex(header - at)}, to ${hex(header)}`,
      at + 16,
    );
  const fileBytes = loadEnd === 0 ? reader.bytes.length - offset : loadEnd - start;
  if (fileBytes < 0)
    throw new ImageError(
      "bad-segment",
      "load_end_addr",
      hex(loadEnd),
      `0, or at least ${hex(start)}`,
      at + 20,
    );
  const bytes = reader.slice(offset, fileBytes, "load_end_addr");
  const end = Math.max(bssEnd, start + fileBytes);
  if (end > ADDRESS_LIMIT) throw new ImageError("bad-segment", "end of the image", hex(end), "at most 4 GiB");
  const segments = [{ address: start, bytes, memoryBytes: end - start }];
  checkEntry("entry_addr", entry, segments, at + 28);
  return { entry, segments, start, end };
}
