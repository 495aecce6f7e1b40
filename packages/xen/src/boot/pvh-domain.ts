import { hex, ImageError } from "./image-error.js";
import { type MemoryMapEntry, pvhMemoryMap } from "./memory-map.js";
import type { PvhImage } from "./pvh-image.js";

// struct hvm_start_info (public/arch-x86/hvm/start_info.h)
const START_INFO_MAGIC = 0x336ec578;
const START_INFO_VERSION = 1;
const START_INFO_BYTES = 56;
const MEMMAP_ENTRY_BYTES = 24;
const SIF_PRIVILEGED = 1;
const SIF_INITDOMAIN = 2;
/** Longer command lines are refused. */
const MAX_CMDLINE = 64 * 1024;

/** What building needs of a domain; the memory reads as zero where nothing was written. */
export interface PvhTarget {
  readonly config: { readonly memoryBytes: number; readonly hardwareDomain?: boolean | undefined };
  readonly guestMemory: { writeBytes(address: number, bytes: Uint8Array): void };
}

export interface PvhBuildOptions {
  /** The guest's command line; default empty. At most 64 KiB of UTF-8 without NUL. */
  readonly cmdline?: string | undefined;
}

/** Guest-physical addresses that the first vCPU starts with. */
export interface PvhStart {
  /** 32-bit entry point: eip. */
  readonly entry: number;
  /** `hvm_start_info`: ebx. */
  readonly startInfo: number;
}

/**
 * Puts a PVH image into a fresh domain: its segments, then on the next page hvm_start_info, the command line and the
 * memory map. Zero-filled parts of segments are not written, so that a large one costs nothing.
 * @throws ImageError `does-not-fit` when RAM below 4 GiB does not hold all of it
 */
export function buildPvhDomain(domain: PvhTarget, image: PvhImage, options: PvhBuildOptions = {}): PvhStart {
  const map = pvhMemoryMap(domain.config.memoryBytes);
  const ram = map[0].size;
  if (image.end > ram)
    throw new ImageError(
      "does-not-fit",
      "end of the image",
      hex(image.end),
      `at most ${hex(ram)}, the domain's RAM`,
    );
  const at = Math.ceil(image.end / 4096) * 4096;
  const info = startInfo(
    at,
    map,
    encodeCmdline(options.cmdline ?? ""),
    domain.config.hardwareDomain ?? false,
  );
  if (at + info.length > ram)
    throw new ImageError("does-not-fit", "end of start_info", hex(at + info.length), `at most ${hex(ram)}`);
  for (const segment of image.segments) domain.guestMemory.writeBytes(segment.address, segment.bytes);
  domain.guestMemory.writeBytes(at, info);
  return { entry: image.entry, startInfo: at };
}

function encodeCmdline(cmdline: string): Uint8Array {
  const bytes = new TextEncoder().encode(cmdline);
  if (bytes.length >= MAX_CMDLINE)
    throw new ImageError(
      "does-not-fit",
      "cmdline",
      `${bytes.length} bytes`,
      `less than ${MAX_CMDLINE} bytes`,
    );
  if (bytes.includes(0)) throw new ImageError("does-not-fit", "cmdline", "text with NUL", "text without NUL");
  return bytes;
}

/** The block that starts at `at`: start_info, command line with its NUL, memory map. */
function startInfo(
  at: number,
  map: readonly MemoryMapEntry[],
  cmdline: Uint8Array,
  hardwareDomain: boolean,
): Uint8Array {
  const mapAt = Math.ceil((START_INFO_BYTES + cmdline.length + 1) / 8) * 8;
  const bytes = new Uint8Array(mapAt + map.length * MEMMAP_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  const set64 = (offset: number, value: number) => {
    view.setUint32(offset, value >>> 0, true);
    view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
  };
  view.setUint32(0, START_INFO_MAGIC, true);
  view.setUint32(4, START_INFO_VERSION, true);
  view.setUint32(8, hardwareDomain ? SIF_PRIVILEGED | SIF_INITDOMAIN : 0, true);
  set64(24, at + START_INFO_BYTES);
  set64(40, at + mapAt);
  view.setUint32(48, map.length, true);
  bytes.set(cmdline, START_INFO_BYTES);
  map.forEach((entry, i) => {
    set64(mapAt + i * MEMMAP_ENTRY_BYTES, entry.address);
    set64(mapAt + i * MEMMAP_ENTRY_BYTES + 8, entry.size);
    view.setUint32(mapAt + i * MEMMAP_ENTRY_BYTES + 16, entry.type, true);
  });
  return bytes;
}
