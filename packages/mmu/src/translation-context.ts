import type { AccessRights } from "./access-modes.js";

/** Guest paging formats, numbered by their table levels (Legacy: 2-level 32-bit, Pae: 3). */
export const PagingMode = { None: 0, Legacy: 2, Pae: 3, FourLevel: 4, FiveLevel: 5 } as const;

/** Guest-physical to machine translation: nested page tables (AMD) or extended page tables (Intel). */
export interface SecondStage {
  format: "npt" | "ept";
  /** Machine frame of the root table. */
  rootFrame: number;
  levels: 4 | 5;
  /** EPT: a small integer for the EP4TA; NPT: 0, because AMD tags by ASID only. */
  tag: number;
  /** EPTP bit 6; nested page tables always keep accessed and dirty flags. */
  accessDirty: boolean;
  /**
   * EPT, mode-based execute control (SDM vol. 3, 29.3.2): bit 2 of an entry permits fetches from supervisor-mode linear
   * addresses, bit 10 from user-mode ones. Default: bit 2 is for both.
   */
  modeBasedExecute?: boolean;
  /** EPT with {@link accessDirty}: where pages that become dirty are noted. Default: nowhere. */
  modificationLog?: ModificationLog | null;
  /** NPT: key of a guest whose memory is encrypted (SEV), its ASID. Default 0: not encrypted. */
  encryptionKey?: number;
  /**
   * The guest is SNP-active: its private accesses need pages that the machine's reverse map says are its own. Only where
   * the `Mmu` has a reverse map. Default false.
   */
  secure?: boolean;
}

/** Page-modification log (SDM vol. 3, 29.3.6): the walker fills it from entry 511 down. */
export interface ModificationLog {
  /** Machine frame of the log, 512 guest-physical addresses of 8 bytes. */
  frame: number;
  /** Entry that is written next, 16 bits; above 511 the log is full. */
  index: number;
}

/**
 * One address space as the hardware sees it: the control-register state that steers translation, plus the tags of
 * cached translations. Fields are plain; after changing those of the active context call `Mmu.reload`.
 */
export class TranslationContext {
  /** A {@link PagingMode} number. */
  paging: number = PagingMode.None;
  /** Frame of the root table: a guest frame when {@link secondStage} is set. PAE uses {@link pdpte} instead. */
  rootFrame = 0;
  /** 0-4095; 0 while CR4.PCIDE is clear. */
  pcid = 0;
  /** ASID (AMD) or VPID (Intel), 0-65535; 0 is the host. */
  asid = 0;
  /** CR0.WP. */
  wp = true;
  /** CR4.PSE (legacy format only). */
  pse = true;
  /** CR4.SMEP. */
  smep = false;
  /** CR4.SMAP. */
  smap = false;
  /** EFER.NXE. */
  nxe = true;
  /** CR4.PGE. */
  globalPages = true;
  /** CR4.PKE: protection keys of user pages, see {@link pkru}. */
  pke = false;
  /** PKRU: for key `k`, bit `2k` denies access and bit `2k + 1` denies writes. */
  pkru = 0;
  /** CR4.PKS: protection keys of supervisor pages, see {@link pkrs}. */
  pks = false;
  /** IA32_PKRS, laid out like {@link pkru}. */
  pkrs = 0;
  /** CPL 3. */
  user = false;
  /** EFLAGS.AC: suspends SMAP for explicit supervisor accesses. */
  ac = false;
  /** Physical address width that the guest's CPUID reports (MAXPHYADDR), 32-52. */
  physicalAddressBits = 52;
  /** The four PDPTE registers of the PAE format, as 64-bit entries (bits 63:52 are reserved, so doubles are exact). */
  readonly pdpte: Float64Array = new Float64Array(4);
  secondStage: SecondStage | null = null;

  /** Filter epochs: supervisor, user, supervisor with AC under SMAP. Owned by `Mmu`. */
  readonly epochs: Int32Array = new Int32Array(3);
  /** Rights tests of the same three. Owned by `Mmu`. */
  rights: readonly AccessRights[] = [];
  /** What the epochs were made for: permission inputs, address space, second-stage tag, PKRU, PKRS. Owned by `Mmu`. */
  epochInputs = 0;
  epochSpace = 0;
  epochTag = 0;
  epochPkru = 0;
  epochPkrs = 0;
}
