/** Type of a memory-map entry, as in E820 and `hvm_memmap_table_entry`. */
export const MEMMAP_RAM = 1;
export const MEMMAP_RESERVED = 2;

/** Where RAM below 4 GiB ends at the latest; what does not fit goes above 4 GiB. */
export const LOW_RAM_LIMIT = 0xfc000000;
const HIGH_RAM_START = 2 ** 32;
/** Eight frames that the toolstack gives out: rings of the console, xenstore, device models. */
export const SPECIAL_GFN = 0xfeff8;
export const SPECIAL_FRAMES = 8;
/** Frame of the xenstore ring, HVM_PARAM_STORE_PFN. */
export const XENSTORE_GFN = 0xfeffc;
/** Guest memory is whole pages, at least one and less than 2^46 bytes. */
const MAX_MEMORY = 2 ** 46;

export interface MemoryMapEntry {
  /** Guest-physical address and size in bytes. */
  readonly address: number;
  readonly size: number;
  readonly type: number;
}

/**
 * Guest-physical layout of a PVH domain (xl's): RAM from 0 without a hole below 1 MiB, the special frames, RAM above
 * 4 GiB. Entries are in order of address.
 * @param memoryBytes a multiple of 4096
 * @throws RangeError for a size that is not
 */
export function pvhMemoryMap(memoryBytes: number): readonly MemoryMapEntry[] {
  if (
    !Number.isInteger(memoryBytes) ||
    memoryBytes < 4096 ||
    memoryBytes > MAX_MEMORY ||
    memoryBytes % 4096 !== 0
  )
    throw new RangeError(`guest memory of ${memoryBytes} bytes: allowed are multiples of 4096 up to 2^46`);
  const low = Math.min(memoryBytes, LOW_RAM_LIMIT);
  const map: MemoryMapEntry[] = [
    { address: 0, size: low, type: MEMMAP_RAM },
    { address: SPECIAL_GFN * 4096, size: SPECIAL_FRAMES * 4096, type: MEMMAP_RESERVED },
  ];
  if (memoryBytes > low) map.push({ address: HIGH_RAM_START, size: memoryBytes - low, type: MEMMAP_RAM });
  return map;
}

/** A domain's guest-physical address space, in frames. */
export interface GuestAddressSpace {
  /** Holes included. */
  readonly frames: number;
  readonly ram: readonly { readonly first: number; readonly count: number }[];
}

/** Where {@link pvhMemoryMap} has RAM, and its end. */
export function guestAddressSpace(memoryBytes: number): GuestAddressSpace {
  const map = pvhMemoryMap(memoryBytes);
  const ram = map
    .filter((entry) => entry.type === MEMMAP_RAM)
    .map((entry) => ({ first: entry.address / 4096, count: entry.size / 4096 }));
  return { frames: Math.max(...map.map((entry) => (entry.address + entry.size) / 4096)), ram };
}
