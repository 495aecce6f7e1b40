import { Flag } from "../../cpu-state.js";
import { setArithmeticFlags } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { pairSource, vectorSource, wordsOf } from "../vector-operands.js";

const AND = 0;
const AND_NOT = 1;
const OR = 2;
const XOR = 3;

/** PAND, PANDN, POR, PXOR and their floating-point namesakes. */
function logic(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  switch (core.variantOf(pc)) {
    case AND:
      for (let i = 0; i < count; i++) words[to + i] &= words[from + i];
      break;
    case AND_NOT:
      for (let i = 0; i < count; i++) words[to + i] = ~words[to + i] & words[from + i];
      break;
    case OR:
      for (let i = 0; i < count; i++) words[to + i] |= words[from + i];
      break;
    default:
      for (let i = 0; i < count; i++) words[to + i] ^= words[from + i];
  }
  return Status.Next;
}

/** PTEST: ZF when no bit is common, CF when the destination has all of the source's. */
function ptest(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  let common = 0;
  let missing = 0;
  for (let i = 0; i < 4; i++) {
    common |= words[to + i] & words[from + i];
    missing |= ~words[to + i] & words[from + i];
  }
  setArithmeticFlags(words, (common === 0 ? Flag.Zf : 0) | (missing === 0 ? Flag.Cf : 0));
  return Status.Next;
}

export const VECTOR_LOGIC: Family = {
  pand: [logic, AND],
  andps: [logic, AND],
  andpd: [logic, AND],
  pandn: [logic, AND_NOT],
  andnps: [logic, AND_NOT],
  andnpd: [logic, AND_NOT],
  por: [logic, OR],
  orps: [logic, OR],
  orpd: [logic, OR],
  pxor: [logic, XOR],
  xorps: [logic, XOR],
  xorpd: [logic, XOR],
  ptest,
};
