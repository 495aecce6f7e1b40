import type { Vmcs } from "./vmcs.js";

/** 48-bit canonical form of an address with that high word. */
export function canonical(hi: number): boolean {
  return hi >> 15 === 0 || hi >> 15 === -1;
}

/** Memory types 0, 1, 4, 5, 6 and 7 in each of the eight bytes of a PAT field. */
export function patConsistent(vmcs: Vmcs, field: number): boolean {
  return typesConsistent(vmcs.read(field)) && typesConsistent(vmcs.readHi(field));
}

function typesConsistent(word: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (word >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}
