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
} as const;
