import { Option } from "commander";
import { fastForwardTarget } from "./option-values.js";

export function specCtrlOption(): Option {
  return new Option(
    "--spec-ctrl <text>",
    "mitigations in the words of Xen's command line: no, no-xen, rsb=no-hvm, ibpb-entry=hvm, …",
  );
}

export function eptOption(): Option {
  return new Option("--ept <text>", "the same for Intel's second stage: exec-sp, no-exec-sp, pml=0, ad=0");
}

export function fastForwardOption(): Option {
  return new Option(
    "--fast-forward <until>",
    "run with timing off first: so many guest instructions, up to an address (0x…), or to the guest's `marker` (XCHG BX, BX)",
  ).argParser(fastForwardTarget("--fast-forward"));
}
