import { Flag } from "../../../../packages/cpu/src/cpu-state.js";

const { Cf, Pf, Af, Zf, Sf, Of } = Flag;

/** Arithmetic flags that the manuals leave undefined after an instruction, whatever its operands. */
const ALWAYS: Readonly<Record<string, number>> = {
  and: Af,
  or: Af,
  xor: Af,
  test: Af,
  mul: Sf | Zf | Af | Pf,
  imul: Sf | Zf | Af | Pf,
  div: Cf | Pf | Af | Zf | Sf | Of,
  idiv: Cf | Pf | Af | Zf | Sf | Of,
  bsf: Cf | Of | Sf | Af | Pf,
  bsr: Cf | Of | Sf | Af | Pf,
  tzcnt: Of | Sf | Af | Pf,
  lzcnt: Of | Sf | Af | Pf,
  bt: Of | Sf | Af | Pf,
  bts: Of | Sf | Af | Pf,
  btr: Of | Sf | Af | Pf,
  btc: Of | Sf | Af | Pf,
  andn: Af | Pf,
  blsi: Af | Pf,
  blsmsk: Af | Pf,
  blsr: Af | Pf,
  bzhi: Af | Pf,
  bextr: Af | Sf | Pf,
  daa: Of,
  das: Of,
  aaa: Of | Sf | Zf | Pf,
  aas: Of | Sf | Zf | Pf,
  aam: Of | Af | Cf,
  aad: Of | Af | Cf,
};

const ROTATES = new Set(["rol", "ror", "rcl", "rcr"]);
const SHIFTS = new Set(["shl", "shr", "sar", "shld", "shrd"]);

/**
 * @param key opcode form's key
 * @param count masked shift count, or -1 when it is not known
 * @param bits operand size in bits
 */
export function undefinedFlags(key: string, count: number, bits: number): number {
  if (ROTATES.has(key)) return count === 0 || count === 1 ? 0 : Of;
  if (SHIFTS.has(key)) {
    if (count === 0) return 0;
    let mask = count === 1 ? Af : Af | Of;
    // SAR fills with the sign however far it goes; the others push zeroes beyond the last bit.
    if (key !== "sar" && bits < 32 && (count < 0 || count >= bits)) mask |= Cf;
    return mask;
  }
  return ALWAYS[key] ?? 0;
}
