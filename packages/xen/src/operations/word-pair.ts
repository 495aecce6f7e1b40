/** A value of 64 bits as a number: those from 2^53 round to others that name nothing either. */
export function wide(lo: number, hi: number): number {
  return (hi >>> 0) * 2 ** 32 + (lo >>> 0);
}

/** The same of a call's input. @param field its place in the descriptor's words */
export function wideInput(inputs: Int32Array, field: number): number {
  return wide(inputs[field], inputs[field + 1]);
}

/** High word of the guest address `bytes` (below 2^53) beyond (lo, hi); the low one is `(lo + bytes) | 0`. */
export function highBeyond(lo: number, hi: number, bytes: number): number {
  return (hi + Math.floor(((lo >>> 0) + bytes) / 2 ** 32)) | 0;
}
