import { isElf, type LoadedImage, readElf } from "./elf-image.js";
import type { BootOptions, BootTarget, GuestStart } from "./guest-start.js";
import { buildHvmDomain } from "./hvm-domain.js";
import { loadHvmImage } from "./hvm-image.js";
import { buildMultibootDomain } from "./multiboot-domain.js";
import { findMultibootHeader, loadMultibootImage } from "./multiboot-image.js";
import { buildPvhDomain } from "./pvh-domain.js";
import { hasPvhEntry, loadPvhImage } from "./pvh-image.js";

export const BOOT_PROTOCOLS = ["pvh", "multiboot", "hvm"] as const;
export type BootProtocolName = (typeof BOOT_PROTOCOLS)[number];

/** How an image of one kind gets into a domain and what its first instruction finds. */
export interface BootProtocol {
  readonly id: BootProtocolName;
  /** Does the image carry this protocol's mark? Throws ImageError only for an ELF file that is none. */
  claims(image: Uint8Array): boolean;
  /** @throws ImageError for an image that does not follow the protocol */
  load(image: Uint8Array): LoadedImage;
  /** @throws ImageError `does-not-fit` */
  build(domain: BootTarget, image: LoadedImage, options: BootOptions): GuestStart;
}

const pvh: BootProtocol = {
  id: "pvh",
  claims: (image) => isElf(image) && hasPvhEntry(readElf(image)),
  load: loadPvhImage,
  build: buildPvhDomain,
};

const multiboot: BootProtocol = {
  id: "multiboot",
  claims: (image) => findMultibootHeader(image) >= 0,
  load: loadMultibootImage,
  build: buildMultibootDomain,
};

/** An ELF file needs no mark for this one. */
const hvm: BootProtocol = { id: "hvm", claims: isElf, load: loadHvmImage, build: buildHvmDomain };

const PROTOCOLS: readonly BootProtocol[] = [pvh, multiboot, hvm];

/** The protocol of that name; by default the first that claims the image, and PVH, which then says why it does not. */
export function bootProtocol(image: Uint8Array, name?: BootProtocolName): BootProtocol {
  const wanted = (each: BootProtocol) => (name === undefined ? each.claims(image) : each.id === name);
  return PROTOCOLS.find(wanted) ?? pvh;
}
