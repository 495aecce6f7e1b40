/**
 * Bits of a VMSAv8-64 stage 1 descriptor (Arm ARM DDI 0487, D8.3), as attribute words of `attributesOf`: bits 11:0 in
 * place, bits 63:52 in bits 31:20.
 */
export const ArmStage1 = {
  Valid: 0x1,
  /** Levels 0 to 2: the descriptor leads to a table. Level 3: set in every page. */
  Table: 0x2,
  /** AttrIndx of the first memory type of MAIR, by convention normal write-back memory. */
  Normal: 0,
  /** AP[1]: EL0 may access. */
  User: 0x40,
  /** AP[2]: nobody may write. */
  ReadOnly: 0x80,
  InnerShareable: 0x300,
  AccessFlag: 0x400,
  NotGlobal: 0x800,
  /** PXN (XN in the EL2 regime is {@link ArmStage1.UserExecuteNever}). */
  PrivilegedExecuteNever: 0x200000,
  /** UXN, or XN where there is one privilege level. */
  UserExecuteNever: 0x400000,
  /** In a table descriptor: PXNTable, UXNTable, APTable[0] (no EL0), APTable[1] (read-only). */
  TablePrivilegedExecuteNever: 0x8000000,
  TableUserExecuteNever: 0x10000000,
  TableNoUser: 0x20000000,
  TableReadOnly: 0x40000000,
} as const;

/** Bits of a stage 2 descriptor, likewise. */
export const ArmStage2 = {
  Valid: 0x1,
  Table: 0x2,
  /** MemAttr: normal memory, inner and outer write-back. */
  Normal: 0x3c,
  Read: 0x40,
  Write: 0x80,
  InnerShareable: 0x300,
  AccessFlag: 0x400,
  /** XN[1]: nobody may execute. */
  ExecuteNever: 0x400000,
} as const;

/** Bits of the descriptor type, and what they say at each level (D8.3.1). */
export const DESCRIPTOR_TYPE = 3;
export const BLOCK = 1;
export const TABLE_OR_PAGE = 3;

/** Shift of a level's index in an address: 39, 30, 21 and 12 for the 4 KiB granule. */
export function levelShift(level: number): number {
  return 39 - 9 * level;
}

/** Frames that an entry at a level covers. */
export function levelSpan(level: number): number {
  return 512 ** (3 - level);
}

/** First level of a stage 1 walk: as many levels as the address has strides of 9 bits above the page (D8.2.5). */
export function stage1StartLevel(inputBits: number): number {
  return 4 - Math.ceil((inputBits - 12) / 9);
}

/** Most tables that may stand side by side at the start of a stage 2 walk (D8.2.8). */
export const MAX_CONCATENATED = 16;

/**
 * First level of a stage 2 walk: level 1 as long as concatenated tables reach, as Xen chooses (VTCR_EL2.SL0 in
 * `setup_virt_paging`).
 */
export function stage2StartLevel(ipaBits: number): number {
  return concatenatedTables(ipaBits, 1) <= MAX_CONCATENATED ? 1 : 0;
}

/** Tables side by side at the start of a stage 2 walk that begins at `startLevel`. */
export function concatenatedTables(ipaBits: number, startLevel: number): number {
  return Math.max(1, 2 ** (ipaBits - levelShift(startLevel) - 9));
}
