import { PagingMode } from "../translation-context.js";

/** Whether a 64-bit linear address is canonical: bits 63:47 alike, with five levels bits 63:56. */
export function isCanonical(hi: number, paging: number): boolean {
  const upper = paging === PagingMode.FiveLevel ? hi >> 24 : hi >> 15;
  return upper === 0 || upper === -1;
}
