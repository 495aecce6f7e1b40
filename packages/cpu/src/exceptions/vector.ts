/** Exception vectors (SDM vol. 3, table 6-1). */
export const Vector = {
  De: 0,
  Db: 1,
  Nmi: 2,
  Bp: 3,
  Of: 4,
  Br: 5,
  Ud: 6,
  Nm: 7,
  Df: 8,
  Ts: 10,
  Np: 11,
  Ss: 12,
  Gp: 13,
  Pf: 14,
  Mf: 16,
  Ac: 17,
  Mc: 18,
  Xm: 19,
  /** AMD: an SEV-ES guest did what leaves it. */
  Vc: 29,
} as const;

/** Exceptions that push an error code. */
export function pushesErrorCode(vector: number): boolean {
  return vector === 8 || (vector >= 10 && vector <= 14) || vector === 17;
}
