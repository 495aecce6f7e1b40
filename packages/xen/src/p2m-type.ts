/** Types of p2m entries that can occur here, with Xen's numbers (`p2m_type_t`). */
export const P2mType = {
  /** Ordinary RAM. */
  RamRw: 0,
  /** Nothing is mapped. */
  Invalid: 1,
  RamLogdirty: 2,
  /** Writes are dropped. */
  RamRo: 3,
  MmioDm: 4,
  MmioDirect: 5,
  /** A frame of another domain's that the guest mapped by a grant, for writing or for reading only. */
  GrantMapRw: 7,
  GrantMapRo: 8,
  /** A frame of another domain's that a privileged guest mapped without its leave. */
  MapForeign: 14,
} as const;

/** P2M_GRANT_TYPES. Xen takes no reference on such a frame for the domain that mapped it: it is not the owner. */
export function isGrantMapping(type: number): boolean {
  return type === P2mType.GrantMapRw || type === P2mType.GrantMapRo;
}

/** `p2m_is_special`: what may not be replaced by other entries. */
export function isSpecialMapping(type: number): boolean {
  return isGrantMapping(type) || type === P2mType.MapForeign || type === P2mType.MmioDirect;
}
