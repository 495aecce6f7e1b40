import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/** A hypercall in a domain where bits of the number choose what pointers mean. */
export const FLAVOUR_DISPATCH: Stage = {
  name: "hvm_hypercall: flavour",
  phase: Phase.HypercallDispatch,
  instructions: 6,
  basis: "estimate",
  source:
    "read in the description of the RFC's patch: a test of eax, the number without the bit, curr->hcall_physaddr set and cleared",
  range: [4, 12],
  touches: [{ object: "vcpu", offsets: [0x300], write: true }],
};

/** What each copy to or from the guest takes more there. */
export const FLAVOUR_TEST: Stage = {
  name: "copy_{to,from}_user_hvm: flavour",
  phase: Phase.Copy,
  instructions: 4,
  basis: "estimate",
  source:
    "read in the description of the RFC's patch: curr->hcall_physaddr under evaluate_nospec, whose branches begin with an LFENCE; whether the counted physical path had that one too is not known",
  range: [2, 8],
  lfences: 1,
};

/** One step along the description of a buffer; the copy of its words comes on top. */
export const SCATTER_GATHER_STEP: Stage = {
  name: "scatter/gather: next piece",
  phase: Phase.Copy,
  instructions: 25,
  basis: "estimate",
  source: "no code exists: a handful of compares and adds around the copy of one or two words",
  range: [12, 60],
};

/** Looking an address up among registered buffers, besides the entries. */
export const REGISTERED_LOOKUP: Stage = {
  name: "registered buffers: look-up",
  phase: Phase.Copy,
  instructions: 14,
  basis: "estimate",
  source: "no code exists: a loop over a small array of the vCPU, with an evaluate_nospec on the hit",
  range: [8, 40],
  lfences: 1,
  touches: [{ object: "vcpu", offsets: [0x600] }],
};

/** Each entry that is compared. */
export const REGISTERED_ENTRY: Stage = {
  name: "registered buffers: one entry",
  phase: Phase.Copy,
  instructions: 5,
  basis: "estimate",
  source: "no code exists: load, subtract, compare, branch",
  range: [4, 8],
};
