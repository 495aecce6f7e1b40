/** One half of a stage 1 address space: a TTBR and what TCR says of it. */
export interface ArmTableBase {
  /** Frame of the root table: an intermediate physical frame where there is a stage 2. */
  readonly rootFrame: number;
  /** 64 - TxSZ, 25 to 48. */
  readonly inputBits: number;
  /** TCR.EPDx: walks from this base are disabled. */
  readonly disabled?: boolean;
}

/** The EL1&0 translation regime of one vCPU, granule 4 KiB, without hardware management of access and dirty flags. */
export interface ArmStage1Context {
  /** SCTLR_EL1.M; off, addresses are intermediate physical ones. */
  readonly enabled: boolean;
  /** TTBR0_EL1: addresses whose upper bits are all zeros. */
  readonly lower: ArmTableBase | null;
  /** TTBR1_EL1: addresses whose upper bits are all ones. */
  readonly upper: ArmTableBase | null;
  /** 0 to 255 (TCR_EL1.AS = 0). */
  readonly asid: number;
  /** TCR_EL1.IPS: bits of an output address, 32 to 48. */
  readonly outputBits: number;
}

/** Stage 2 of one domain: VTTBR_EL2 and VTCR_EL2. */
export interface ArmStage2Context {
  /** Machine frame of the first root table. */
  readonly rootFrame: number;
  /** 64 - T0SZ, 32 to 48. */
  readonly ipaBits: number;
  readonly startLevel: number;
  /** 0 to 65534. */
  readonly vmid: number;
}

/** How a translation is asked for; bits may be combined. */
export const ArmAccess = {
  Read: 0,
  Write: 0x2,
  Fetch: 0x10,
  /** At EL0; otherwise at EL1 (or EL2). */
  Unprivileged: 0x4,
} as const;

/** Whose address it is. */
export type ArmRegime = "el1" | "el2";
