/** Bits 11:0 of an x86 paging-structure entry (SDM vol. 3, tables 4-15 to 4-20; APM vol. 2, 5.3). */
export const Pte = {
  Present: 0x1,
  Write: 0x2,
  User: 0x4,
  WriteThrough: 0x8,
  CacheDisable: 0x10,
  Accessed: 0x20,
  Dirty: 0x40,
  /** In a PDE or PDPTE: it maps a page. */
  PageSize: 0x80,
  Global: 0x100,
  /** Attribute-word bit of bit 63, see {@link attributesOf}. */
  NoExecute: -0x80000000,
} as const;

/** Bits 11:0 of an EPT entry (SDM vol. 3, tables 29-1 to 29-7). */
export const Ept = {
  Read: 0x1,
  Write: 0x2,
  Execute: 0x4,
  All: 0x7,
  /** Memory type write-back in bits 5:3 of a leaf. */
  WriteBack: 0x30,
  IgnorePat: 0x40,
  PageSize: 0x80,
  Accessed: 0x100,
  Dirty: 0x200,
  /** With mode-based execute control: fetches from user-mode linear addresses. */
  UserExecute: 0x400,
} as const;

/**
 * An entry's attributes as one 32-bit word: bits 11:0 of the entry in place, bits 63:52 in bits 31:20. The frame is the
 * rest. (NX is bit 31, protection keys bits 30:27, software bits 26:20.)
 */
export function attributesOf(lo: number, hi: number): number {
  return (hi & 0xfff00000) | (lo & 0xfff);
}

/** Frame number (40 bits) in bits 51:12 of an entry. */
export function frameOf(lo: number, hi: number): number {
  return (lo >>> 12) + (hi & 0xfffff) * 0x100000;
}

/** Low word of an entry that holds `frame` and `attributes`. */
export function entryLo(frame: number, attributes: number): number {
  return ((frame % 0x100000) << 12) | (attributes & 0xfff);
}

/** High word of an entry that holds `frame` and `attributes`. */
export function entryHi(frame: number, attributes: number): number {
  return (Math.floor(frame / 0x100000) & 0xfffff) | (attributes & 0xfff00000);
}

/** Index into the 512-entry table at `level` (1 = page table … 5 = PML5) for a 64-bit address. */
export function tableIndex(lo: number, hi: number, level: number): number {
  switch (level) {
    case 1:
      return (lo >>> 12) & 511;
    case 2:
      return (lo >>> 21) & 511;
    case 3:
      return ((lo >>> 30) | (hi << 2)) & 511;
    case 4:
      return (hi >>> 7) & 511;
    default:
      return (hi >>> 16) & 511;
  }
}

/** Mask over bits 51:32 of an entry (in its high word) of the physical address bits that do not exist. */
export function reservedAddressBits(physicalAddressBits: number): number {
  return physicalAddressBits >= 52 ? 0 : 0xfffff & ~((1 << Math.max(0, physicalAddressBits - 32)) - 1);
}
