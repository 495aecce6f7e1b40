/** What stopped an access. */
export const FaultKind = {
  None: 0,
  /** #PF in the address space that was accessed. */
  PageFault: 1,
  /** The linear address is not canonical: #GP(0), or #SS(0) for stack accesses. */
  NonCanonical: 2,
  /** AMD #VMEXIT(NPF). */
  NestedPageFault: 3,
  /** Intel VM exit 48. */
  EptViolation: 4,
  /** Intel VM exit 49. */
  EptMisconfig: 5,
  /** The translation is complete, but no RAM answers at that machine frame. */
  NoRam: 6,
  /** Intel VM exit 62: a page becomes dirty and the page-modification log is full. */
  ModificationLogFull: 7,
  /** AMD SEV-SNP: a private page that its guest has not validated, #VC in the guest. */
  NotValidated: 8,
} as const;

/** Bits of the #PF error code (SDM vol. 3, 4.7) and, up to `Fetch`, of NPF's EXITINFO1 (APM vol. 2, 15.25.6). */
export const PageFaultCode = {
  Present: 0x1,
  Write: 0x2,
  User: 0x4,
  Reserved: 0x8,
  Fetch: 0x10,
  ProtectionKey: 0x20,
  /** NPF alone: the reverse map forbids it. */
  Rmp: -0x80000000,
} as const;

/** Bits of the exit qualification of an EPT violation (SDM vol. 3, table 28-7). */
export const EptQualification = {
  Read: 0x1,
  Write: 0x2,
  Fetch: 0x4,
  Readable: 0x8,
  Writable: 0x10,
  Executable: 0x20,
  /** With mode-based execute control: user-mode linear addresses may be fetched from. */
  UserExecutable: 0x40,
  LinearAddressValid: 0x80,
  /** The access to the page itself; clear for an access to a guest paging-structure entry. */
  Final: 0x100,
} as const;

/** High word of NPF's EXITINFO1: the access that faulted was the guest's own (bit 32) … */
export const NPF_FINAL = 1;
/** … or one to a guest page table during the guest's table walk (bit 33). */
export const NPF_TABLE_WALK = 2;
/** … the access was private (bit 34), and PVALIDATE or RMPADJUST named another page size than the reverse map (bit 35). */
export const NPF_ENCRYPTED = 4;
export const NPF_SIZE_MISMATCH = 8;

/**
 * Why the latest access returned -1. One mutable object a {@link Mmu}: read it at once, the next fault overwrites it.
 */
export class TranslationFault {
  /** A {@link FaultKind} number. */
  kind = 0;
  /** #PF error code; or low word of NPF EXITINFO1; or EPT-violation exit qualification. */
  errorCode = 0;
  /** High word of NPF EXITINFO1: 1 = final access, 2 = during the guest's table walk. */
  infoHi = 0;
  /** Linear address of the access (what #PF puts into CR2). */
  linearLo = 0;
  linearHi = 0;
  /** Guest frame (second-stage faults) or machine frame (NoRam). */
  gfn = 0;
  /** Byte offset in that frame, 0-4095. */
  gfnOffset = 0;
}
