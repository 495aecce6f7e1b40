export {
  BOOT_PROTOCOLS,
  type BootProtocol,
  type BootProtocolName,
  bootProtocol,
} from "./boot-protocol.js";
export type { ImageSegment, LoadedImage } from "./elf-image.js";
export {
  domainMemoryMap,
  fixedRegions,
  MEMMAP_FOREIGN,
  MEMMAP_GRANT_STATUS,
  MEMMAP_GRANT_TABLE,
  MEMMAP_SHARED_INFO,
  type MemoryMapConfig,
} from "./fixed-layout.js";
export type { BootModule, BootOptions, BootTarget, GuestStart } from "./guest-start.js";
export { buildHvmDomain } from "./hvm-domain.js";
export { loadHvmImage } from "./hvm-image.js";
export { ImageError, type ImageErrorCode } from "./image-error.js";
export {
  type GuestAddressSpace,
  guestAddressSpace,
  LOW_RAM_LIMIT,
  MEMMAP_RAM,
  MEMMAP_RESERVED,
  type MemoryMapEntry,
  pvhMemoryMap,
  SPECIAL_FRAMES,
  SPECIAL_GFN,
  XENSTORE_GFN,
} from "./memory-map.js";
export { buildMultibootDomain } from "./multiboot-domain.js";
export { loadMultibootImage } from "./multiboot-image.js";
export { buildPvhDomain } from "./pvh-domain.js";
export { loadPvhImage, type PvhImage } from "./pvh-image.js";
