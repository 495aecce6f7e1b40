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
