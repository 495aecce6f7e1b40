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
  /** A bit for each of the 8-byte fields before it. */
  ValidBitmap: 0x3f0,
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
  FeaturesRequest: 0x080,
  FeaturesResponse: 0x081,
  TerminationRequest: 0x100,
} as const;

/** Versions of the protocol that Xen offers. */
export const GHCB_VERSIONS = { least: 1, most: 2 } as const;

/** Low word of SW_EXITINFO1 in an answer, and what SW_EXITINFO2 says with it (ibid., section 4.1). */
export const GhcbAnswer = { Done: 0, Exception: 1, Refused: 2 } as const;
export const GhcbRefusal = { MissingInput: 4, InvalidInput: 5, InvalidEvent: 6 } as const;

/** The 32-bit word of the bitmap, and the bit in it, of the field at an offset. */
export function validBit(offset: number): { readonly word: number; readonly bit: number } {
  const field = offset >>> 3;
  return { word: field >>> 5, bit: 1 << (field & 31) };
}
