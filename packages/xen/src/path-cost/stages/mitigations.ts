import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { COUNTED } from "./provenance.js";

/** `spec-ctrl=ibpb-entry=hvm`: WRMSR PRED_CMD, first thing after the registers are saved (SVM). */
export const IBPB_ENTRY: Stage = {
  name: "DO_OVERWRITE: ibpb-entry",
  phase: Phase.Ibpb,
  instructions: 6,
  basis: "estimate",
  source: "read in source: per-CPU flag test, three moves, WRMSR; not present on the emulator that counted",
  range: [5, 8],
  coldBranches: 1,
  ibpb: 1,
};

/** `rsb-hvm`: 16 iterations of two calls. */
export const RSB_OVERWRITE: Stage = {
  name: "DO_OVERWRITE_RSB",
  phase: Phase.RsbOverwrite,
  instructions: 71,
  basis: "measured",
  source: `${COUNTED}, and in source; without it 65 fewer were counted, the rest being NOPs left behind`,
  coldBranches: 2,
};

/** What stays in the instruction stream where the RSB overwrite is patched out. */
export const RSB_NOPS: Stage = {
  name: "NOPs in place of DO_OVERWRITE_RSB",
  phase: Phase.RsbOverwrite,
  instructions: 6,
  basis: "measured",
  source: `${COUNTED}: 65 fewer of 71`,
  coldBranches: 0,
};

/** One WRMSR SPEC_CTRL with Xen's value: on VMX on the way out only, on SVM each way if the values differ. */
export const SPEC_CTRL_WRITE: Stage = {
  name: "wrmsr SPEC_CTRL",
  phase: Phase.SpecCtrl,
  instructions: 6,
  basis: "estimate",
  source:
    "read in source: load, compare or shuffle, three moves, WRMSR; not present on the emulator that counted",
  range: [4, 9],
  coldBranches: 1,
  wrmsrSpecCtrl: 1,
};

/** `bhb-seq=short`: `clear_bhb_loops` of 5 x 5 branches (VMX alone). */
export const BHB_CLEAR: Stage = {
  name: "clear_bhb_loops",
  phase: Phase.BhbClear,
  instructions: 105,
  basis: "estimate",
  source: "counted in source: the short sequence of 5 x 5 branches, before Alder Lake and Sapphire Rapids",
  range: [95, 320],
  coldBranches: 3,
};

/** `bhb-seq=long`: the same of 12 x 7. */
export const BHB_CLEAR_LONG: Stage = {
  name: "clear_bhb_loops (long)",
  phase: Phase.BhbClear,
  instructions: 320,
  basis: "estimate",
  source:
    "counted in source: 12 rounds of 25, 13 returns, call and flag test; Alder Lake and Sapphire Rapids",
  range: [310, 325],
  coldBranches: 3,
};

/** VERW just before VM entry. */
export const VERW: Stage = {
  name: "verw",
  phase: Phase.Verw,
  instructions: 2,
  basis: "estimate",
  source: "read in source: flag test and VERW",
  range: [2, 4],
  coldBranches: 1,
  verw: 1,
};
