export { ImageError, type ImageErrorCode } from "./image-error.js";
export {
  LOW_RAM_LIMIT,
  MEMMAP_RAM,
  MEMMAP_RESERVED,
  type MemoryMapEntry,
  pvhMemoryMap,
  SPECIAL_FRAMES,
  SPECIAL_GFN,
  XENSTORE_GFN,
} from "./memory-map.js";
export { buildPvhDomain, type PvhBuildOptions, type PvhStart, type PvhTarget } from "./pvh-domain.js";
export { loadPvhImage, type PvhImage, type PvhSegment } from "./pvh-image.js";
