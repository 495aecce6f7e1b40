/** Types of p2m entries, with Xen's numbers (`p2m_type_t`). */
export const P2mType = {
  /** Ordinary RAM. */
  RamRw: 0,
  /** Nothing is mapped. */
  Invalid: 1,
  /** RAM that log-dirty mode watches: the guest's first write to it is seen. */
  RamLogdirty: 2,
  /** Writes are dropped. */
  RamRo: 3,
  MmioDm: 4,
  /** A device's own registers. */
  MmioDirect: 5,
  /** Memory that the domain gets when it first touches it. */
  PopulateOnDemand: 6,
  /** A frame of another domain's that the guest mapped by a grant, for writing or for reading only. */
  GrantMapRw: 7,
  GrantMapRo: 8,
  RamPagingOut: 9,
  /** Its contents are with the pager. */
  RamPaged: 10,
  RamPagingIn: 11,
  /** Several guest frames have one machine frame until one is written to. */
  RamShared: 12,
  /** The machine frame failed: nothing may touch it. */
  RamBroken: 13,
  /** A frame of another domain's that a privileged guest mapped without its leave. */
  MapForeign: 14,
} as const;

/** What the hardware lets a guest do with a page. */
export const P2mRights = { Read: 1, Write: 2, Execute: 4 } as const;

const { Read, Write, Execute } = P2mRights;

/** By type (`ept_p2m_type_to_flags`, `p2m_type_to_flags`); nothing means that the entry is not present. */
const RIGHTS: readonly number[] = [
  Read | Write | Execute, // RamRw
  0, // Invalid
  Read | Execute, // RamLogdirty
  Read | Execute, // RamRo
  0, // MmioDm
  Read | Write | Execute, // MmioDirect
  0, // PopulateOnDemand
  Read | Write, // GrantMapRw
  Read, // GrantMapRo
  0, // RamPagingOut
  0, // RamPaged
  0, // RamPagingIn
  Read | Execute, // RamShared
  0, // RamBroken
  Read | Write, // MapForeign
];

const mask = (...types: readonly number[]): number => types.reduce((bits, type) => bits | (1 << type), 0);

const { RamRw, RamLogdirty, RamRo, RamPagingOut, RamPaged, RamPagingIn, RamShared } = P2mType;
const RAM = mask(RamRw, RamLogdirty, RamRo, RamPagingOut, RamPaged, RamPagingIn, RamShared);
const GRANT = mask(P2mType.GrantMapRw, P2mType.GrantMapRo);
const READ_ONLY = mask(RamLogdirty, RamRo, P2mType.GrantMapRo, RamShared);
const DISCARD_WRITE = mask(RamRo, P2mType.GrantMapRo);

/** Bits of {@link P2mRights}. */
export function rightsOf(type: number): number {
  return RIGHTS[type] ?? 0;
}

/** `p2m_is_ram`: RAM of the domain's own, present or not. */
export function isRamType(type: number): boolean {
  return ((RAM >>> type) & 1) !== 0;
}

/** `p2m_is_any_ram`: what a page reference can be had of. */
export function isAnyRamType(type: number): boolean {
  return (((RAM | GRANT | mask(P2mType.MapForeign)) >>> type) & 1) !== 0;
}

/** P2M_GRANT_TYPES. Xen takes no reference on such a frame for the domain that mapped it: it is not the owner. */
export function isGrantMapping(type: number): boolean {
  return ((GRANT >>> type) & 1) !== 0;
}

/** `p2m_is_readonly` */
export function isReadOnlyType(type: number): boolean {
  return ((READ_ONLY >>> type) & 1) !== 0;
}

/** `p2m_is_discard_write` */
export function discardsWrites(type: number): boolean {
  return ((DISCARD_WRITE >>> type) & 1) !== 0;
}

/** `p2m_is_special`: what may not be replaced by other entries. */
export function isSpecialMapping(type: number): boolean {
  return isGrantMapping(type) || type === P2mType.MapForeign || type === P2mType.MmioDirect;
}
