import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * Hyper-V's hypercalls in Xen. Nothing here was counted: estimates from reading the source of Xen c447b7308b13. Copies of
 * parameters are priced apart, as physical copies.
 */

/** From the test for bit 31 to the switch over the call code, and the way back. */
export const VIRIDIAN_HYPERCALL: Stage = {
  name: "viridian_hypercall",
  phase: Phase.HypercallDispatch,
  instructions: 70,
  basis: "estimate",
  source: "read in source: guest mode once more, operands by mode, a jump table, the result's fields",
  range: [40, 140],
  lfences: 1,
  touches: [{ object: "data", offsets: [0x180] }],
};

/** One target of an IPI: `vlapic_set_irq`, without the kick that follows where the target runs elsewhere. */
export const VIRIDIAN_SEND_IPI: Stage = {
  name: "send_ipi, vlapic_set_irq",
  phase: Phase.Operation,
  instructions: 95,
  basis: "estimate",
  source: "read in source: next bit of the mask, two locked bit operations on IRR and TMR, hvm_vcpu_kick",
  range: [50, 200],
  atomics: 3,
  touches: [{ object: "vlapic", offsets: [0x200], write: true }],
};

/** A processor set: counting its banks and spreading them over the mask. */
export const VIRIDIAN_VP_SET: Stage = {
  name: "hv_vpset_to_vpmask",
  phase: Phase.Operation,
  instructions: 110,
  basis: "estimate",
  source: "read in source: hweight64, clearing of a 128-bit map, a loop up to the last valid bank",
  range: [60, 400],
  coldBranches: 8,
  touches: [{ object: "percpu", offsets: [0x180, 0x1c0], write: true }],
};
