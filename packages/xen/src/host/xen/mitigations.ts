import type { Stage } from "../../path-cost/stage.js";
import {
  BHB_CLEAR,
  BHB_CLEAR_LONG,
  IBPB_ENTRY,
  RSB_NOPS,
  RSB_OVERWRITE,
  SPEC_CTRL_WRITE,
  VERW,
} from "../../path-cost/stages/mitigations.js";
import type { ResolvedXenConfig } from "../../xen-config.js";

/*
 * Speculation controls around a guest's run, in the order of `svm/entry.S` and `vmx/entry.S`. What they do to
 * prediction state is the host loop's to do.
 */

/** After the registers are saved, when there is no IBPB or after it. */
export function exitMitigations(switches: ResolvedXenConfig): readonly Stage[] {
  return [
    switches.rsbOverwrite ? RSB_OVERWRITE : RSB_NOPS,
    ...(switches.specCtrlWrite ? [SPEC_CTRL_WRITE] : []),
    ...(switches.bhbClear ? [switches.bhbSeq === "long" ? BHB_CLEAR_LONG : BHB_CLEAR] : []),
  ];
}

/** The IBPB itself, before the others. */
export function exitBarrier(switches: ResolvedXenConfig): readonly Stage[] {
  return switches.ibpbEntry ? [IBPB_ENTRY] : [];
}

/** Just before the guest runs. VMX's own MSR lists load the guest's SPEC_CTRL, and FLUSH_CMD. */
export function entryMitigations(switches: ResolvedXenConfig, vendor: "amd" | "intel"): readonly Stage[] {
  return [
    ...(switches.specCtrlWrite && vendor === "amd" ? [SPEC_CTRL_WRITE] : []),
    ...(switches.verw ? [VERW] : []),
  ];
}
