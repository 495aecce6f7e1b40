import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

const READ_FROM =
  "no Xen with SEV-ES was counted: read off the GHCB standard, which has each field that an event needs checked in the bitmap and copied";

/** A VMGEXIT up to the switch over what is asked: GHCB mapped (its look-up comes on top), fields checked and copied. */
export const GHCB_REQUEST: Stage = {
  name: "VMGEXIT: GHCB checked and copied in",
  phase: Phase.ExitOperation,
  instructions: 180,
  basis: "estimate",
  source: READ_FROM,
  range: [90, 500],
  lfences: 1,
};

/** Results into the GHCB, with their bits. */
export const GHCB_ANSWER: Stage = {
  name: "VMGEXIT: results into the GHCB",
  phase: Phase.ExitOperation,
  instructions: 70,
  basis: "estimate",
  source: READ_FROM,
  range: [30, 200],
};

/** A request that fits into the GHCB MSR. */
export const GHCB_MSR_REQUEST: Stage = {
  name: "VMGEXIT: MSR protocol",
  phase: Phase.ExitOperation,
  instructions: 60,
  basis: "estimate",
  source: "read off the GHCB standard: one switch, one answer",
  range: [30, 200],
};

/** `snp_complete_psc` and its like: one page, RMPUPDATE, look-up and p2m changes excepted. */
export const PAGE_STATE_CHANGE: Stage = {
  name: "page state change: one page",
  phase: Phase.ExitOperation,
  instructions: 140,
  basis: "estimate",
  source:
    "no Xen with SEV-SNP was counted: read off the GHCB specification, entry taken apart and checked, type and references of the page, state put together for RMPUPDATE",
  range: [70, 500],
  lfences: 1,
};
