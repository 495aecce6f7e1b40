import type { LoadedImage } from "./elf-image.js";
import type { MemoryMapConfig } from "./fixed-layout.js";
import { hex, ImageError } from "./image-error.js";

/** What building needs of a domain; the memory reads as zero where nothing was written. */
export interface BootTarget {
  readonly config: MemoryMapConfig & { readonly hardwareDomain?: boolean | undefined };
  readonly guestMemory: { writeBytes(address: number, bytes: Uint8Array): void };
}

/** A file that the boot loader passes on. */
export interface BootModule {
  readonly bytes: Uint8Array;
  /** Text that goes with it; default empty. */
  readonly cmdline?: string | undefined;
}

/** What the guest is told, by boot protocols that tell anything. */
export interface BootOptions {
  /** The guest's command line; default empty. At most 64 KiB of UTF-8 without NUL. */
  readonly cmdline?: string | undefined;
  readonly modules?: readonly BootModule[] | undefined;
}

/** Where and with what the first vCPU starts: 32-bit flat protected mode, paging off, other registers 0. */
export interface GuestStart {
  /** Guest-physical entry point: eip. */
  readonly entry: number;
  readonly eax: number;
  /** Guest-physical address of what the boot loader says, or 0. */
  readonly ebx: number;
}

/** Longer command lines are refused. */
const MAX_CMDLINE = 64 * 1024;
const PAGE = 4096;

/** @throws ImageError when the text is too long or contains NUL */
export function encodeCmdline(cmdline: string): Uint8Array {
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

export function pageUp(address: number): number {
  return Math.ceil(address / PAGE) * PAGE;
}

/** @throws ImageError `does-not-fit` when the image ends past `ram` bytes */
export function checkFits(what: string, end: number, ram: number): void {
  if (end > ram)
    throw new ImageError("does-not-fit", what, hex(end), `at most ${hex(ram)}, the domain's RAM`);
}

/** Writes the image's segments. Zero-filled parts are not written, so that a large one costs nothing. */
export function writeSegments(domain: BootTarget, image: LoadedImage): void {
  for (const segment of image.segments) domain.guestMemory.writeBytes(segment.address, segment.bytes);
}

/** Writes modules where {@link placeModules} put them. */
export function writeModules(
  domain: BootTarget,
  modules: readonly BootModule[],
  places: readonly number[],
): void {
  for (let i = 0; i < modules.length; i++) domain.guestMemory.writeBytes(places[i], modules[i].bytes);
}

/** Pages for modules from `at` on, in order; the last number is where the last module's pages end. */
export function placeModules(modules: readonly BootModule[], at: number): readonly number[] {
  const places = [pageUp(at)];
  for (const module of modules) places.push(pageUp(places[places.length - 1] + module.bytes.length));
  return places;
}
