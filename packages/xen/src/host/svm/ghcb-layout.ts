/**
 * Byte offsets in the GHCB, a page that guest and hypervisor share ("SEV-ES Guest-Hypervisor Communication Block
 * Standardization", revision 2, table 3). Those of registers are those of the VMSA.
 */
export const Ghcb = {
  Cpl: 0x0cb,
  Rax: 0x1f8,
  Rcx: 0x308,
  Rdx: 0x310,
  Rbx: 0x318,
  Rsi: 0x330,
  Rdi: 0x338,
  R8: 0x340,
  R9: 0x348,
  R10: 0x350,
  R11: 0x358,
  R12: 0x360,
  SwExitCode: 0x390,
  SwExitInfo1: 0x398,
  SwExitInfo2: 0x3a0,
  SwScratch: 0x3a8,
  /** A bit for each of the 8-byte fields before it. */
  ValidBitmap: 0x3f0,
  /** Where structures of an event may lie, up to {@link ProtocolVersion}'s reserved neighbours. */
  SharedBuffer: 0x800,
  SharedBufferEnd: 0xff0,
  ProtocolVersion: 0xffa,
  Usage: 0xffc,
} as const;

/** GHCBInfo, bits 11:0 of the GHCB MSR (ibid., section 2.3.1): requests and their answers, when it is not an address. */
export const GhcbInfo = {
  Address: 0x000,
  SevInfo: 0x001,
  SevInfoRequest: 0x002,
  CpuidRequest: 0x004,
  CpuidResponse: 0x005,
  PreferredAddressRequest: 0x010,
  PreferredAddressResponse: 0x011,
  /** SEV-SNP: where the GHCB will be; the answer has the same frame, or all ones. */
  RegisterRequest: 0x012,
  RegisterResponse: 0x013,
  /** SEV-SNP: one page's state; the answer has an error code in bits 63:32. */
  PageStateRequest: 0x014,
  PageStateResponse: 0x015,
  FeaturesRequest: 0x080,
  FeaturesResponse: 0x081,
  TerminationRequest: 0x100,
} as const;

/** Versions of the protocol that Xen offers. */
export const GHCB_VERSIONS = { least: 1, most: 2 } as const;

/** Low word of SW_EXITINFO1 in an answer, and what SW_EXITINFO2 says with it (ibid., section 4.1). */
export const GhcbAnswer = { Done: 0, Exception: 1, Refused: 2 } as const;
export const GhcbRefusal = { InvalidScratch: 3, MissingInput: 4, InvalidInput: 5, InvalidEvent: 6 } as const;

/** The 32-bit word of the bitmap, and the bit in it, of the field at an offset. */
export function validBit(offset: number): { readonly word: number; readonly bit: number } {
  const field = offset >>> 3;
  return { word: field >>> 5, bit: 1 << (field & 31) };
}

/** SW_EXITCODE of a page state change (ibid., 4.1.6), which takes a {@link PageStateList} in the shared buffer. */
export const PAGE_STATE_EVENT: number = 0x80000010 | 0;
/** Header of its list, 2 bytes each, and the entries of 8 bytes behind it. */
export const PageStateList = { Current: 0, End: 2, Entries: 8 } as const;
/** An entry: pages done in bits 11:0, frame in 51:12, {@link PageOperation} in 55:52, 2 MiB in 56. */
export const PageStateEntry = { OperationShift: 20, OperationMask: 15, Large: 0x1000000 } as const;
export const PageOperation = { Private: 1, Shared: 2, Split: 3 } as const;
/** SW_EXITINFO2 of a list that is refused: 1 in the high word, and what was wrong. */
export const PageStateError = { Header: 1, Entry: 2 } as const;
/** Bit 0 of the hypervisor's features: SEV-SNP. */
export const HYPERVISOR_SNP = 1;
