import { guestAddressSpace, type MemoryMapEntry, pvhMemoryMap } from "./memory-map.js";

// XEN_HVM_MEMMAP_TYPE_*, in the range that ACPI leaves to OEMs.
export const MEMMAP_SHARED_INFO = 0xf0000001;
export const MEMMAP_GRANT_TABLE = 0xf0000002;
export const MEMMAP_GRANT_STATUS = 0xf0000003;
/** Nothing is there: a place for grant and foreign mappings. */
export const MEMMAP_FOREIGN = 0xf0000004;

const PAGE = 4096;
const GIB = 2 ** 30;
const FOREIGN_BYTES = 512 * 2 ** 20;
/** Status words of 2 bytes for entries of 16. */
const FRAMES_PER_STATUS_FRAME = 8;

/**
 * The regions of the FastABI series' fixed memory layout (patch 4 of 9), one after the other from the first 1 GiB boundary
 * at which there is no RAM, which is never below 4 GiB: shared_info, grant table, grant status, room for foreign mappings.
 * @param grantFrames most frames that the grant table can have
 */
export function fixedRegions(memoryBytes: number, grantFrames: number): readonly MemoryMapEntry[] {
  const { frames } = guestAddressSpace(memoryBytes);
  let address = Math.ceil(Math.max(frames * PAGE, 4 * GIB) / GIB) * GIB;
  const region = (type: number, size: number): MemoryMapEntry => {
    const entry = { address, size, type };
    address += size;
    return entry;
  };
  return [
    region(MEMMAP_SHARED_INFO, PAGE),
    region(MEMMAP_GRANT_TABLE, grantFrames * PAGE),
    region(MEMMAP_GRANT_STATUS, Math.ceil(grantFrames / FRAMES_PER_STATUS_FRAME) * PAGE),
    region(MEMMAP_FOREIGN, FOREIGN_BYTES),
  ];
}

/** What a domain's memory map depends on. */
export interface MemoryMapConfig {
  readonly memoryBytes: number;
  /** Most frames of the grant table, when the domain has the fixed layout. */
  readonly fixedLayoutGrantFrames?: number | undefined;
}

/** The memory map that a domain is told, in start_info and by XENMEM_memory_map. */
export function domainMemoryMap(config: MemoryMapConfig): readonly MemoryMapEntry[] {
  const { memoryBytes, fixedLayoutGrantFrames } = config;
  const map = pvhMemoryMap(memoryBytes);
  return fixedLayoutGrantFrames === undefined
    ? map
    : [...map, ...fixedRegions(memoryBytes, fixedLayoutGrantFrames)];
}
