/** Segment registers in encoding order. */
export const SEGMENT_NAMES: readonly string[] = ["es", "cs", "ss", "ds", "fs", "gs"];

const LEGACY = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const LOW_BYTES = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];
const HIGH_BYTES = ["ah", "ch", "dh", "bh"];

/**
 * Name of a general register.
 * @param number 0-15 @param size log2 bytes @param rex REX prefix or 0, which decides between AH and SPL
 */
export function registerName(number: number, size: number, rex: number): string {
  if (size === 0) {
    if (number >= 8) return `r${number}b`;
    return rex === 0 && number >= 4 ? HIGH_BYTES[number - 4] : LOW_BYTES[number];
  }
  if (number >= 8) return `r${number}${["", "w", "d", ""][size]}`;
  return ["", "", "e", "r"][size] + LEGACY[number];
}
