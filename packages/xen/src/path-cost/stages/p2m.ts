import { composeStage } from "../compose.js";
import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { COUNTED, COUNTED_BY_DIFFERENCE } from "./provenance.js";

/*
 * One p2m look-up with get_page, later put_page: 507 instructions at a 4 KiB leaf under NPT, 449 at a 2 MiB one, so 58
 * a level (27 in the walk, 31 in map_domain_page). EPT's ept_get_entry is longer by 160: by difference of whole copies
 * (physical 175, linear 153 a look-up).
 */

const EPT_SOURCE =
  "EPT by difference of the counted copies on VMX and SVM (175 on one physical copy, 920 on the six look-ups of a linear one); how it divides between the fixed part and the levels is an estimate";

const GET_PAGE_FROM_GFN: Stage = {
  name: "p2m_get_page_from_gfn",
  phase: Phase.P2mLookup,
  instructions: 90,
  basis: "measured",
  source: COUNTED,
  lfences: 2,
  lockLfences: 1,
  atomics: 1, // full barrier of the per-CPU read lock
  touches: [{ object: "percpu", offsets: [0x100], write: true }], // the lock's reader slot
};

const GFN_TYPE_ACCESS: Stage = {
  name: "p2m_get_gfn_type_access",
  phase: Phase.P2mLookup,
  instructions: 36,
  basis: "measured",
  source: COUNTED,
  lfences: 1,
};

const GET_ENTRY: Stage = {
  name: "p2m_pt_get_entry / ept_get_entry (fixed part)",
  phase: Phase.P2mLookup,
  instructions: { amd: 57, intel: 117 },
  basis: "derived",
  source: `${COUNTED}: 165 at four levels of 27; ${EPT_SOURCE}`,
  lfences: 1,
};

const LOOKUP_THUNKS: Stage = {
  name: "return thunks of a look-up",
  phase: Phase.P2mLookup,
  instructions: 6,
  basis: "measured",
  source: COUNTED_BY_DIFFERENCE,
  coldBranches: 1,
};

/**
 * Read lock, type query, and the entry point of the table walk. struct p2m_domain and stack lines are touched by
 * `COPY_CALL`, once for all look-ups of a copy.
 */
const P2M_LOOKUP: Stage = composeStage("p2m look-up", Phase.P2mLookup, [
  GET_PAGE_FROM_GFN,
  GFN_TYPE_ACCESS,
  GET_ENTRY,
  LOOKUP_THUNKS,
]);

/**
 * The levels of the p2m from the root, besides mapping their tables. p2m_pt_get_entry has code of its own for each,
 * ept_get_entry a loop.
 */
const P2M_LEVELS: readonly Stage[] = [4, 3, 2, 1].map((level) => ({
  name: `p2m level ${level}`,
  phase: Phase.P2mLookup,
  instructions: { amd: 27, intel: 52 },
  basis: "derived",
  source: `${COUNTED}: 58 fewer with a 2 MiB leaf, less 31 for the map; ${EPT_SOURCE}`,
  coldBranches: { amd: 2, intel: level === 4 ? 4 : 0 },
}));

/** `map_domain_page` and `unmap_domain_page` on an HVM vCPU: arithmetic on the direct map. */
export const MAP_DOMAIN_PAGE: Stage = {
  name: "map_domain_page",
  phase: Phase.Map,
  instructions: 31,
  basis: "measured",
  source: `${COUNTED}: 26 and 5`,
};

const MFN_VALID: Stage = {
  name: "mfn_valid",
  phase: Phase.P2mLookup,
  instructions: 20,
  basis: "measured",
  source: COUNTED,
};

const GET_PAGE_FROM_MFN: Stage = {
  name: "get_page_from_mfn_and_type",
  phase: Phase.P2mLookup,
  instructions: 27,
  basis: "measured",
  source: COUNTED,
  lfences: 1,
};

const GET_PAGE: Stage = {
  name: "get_page",
  phase: Phase.P2mLookup,
  instructions: 28,
  basis: "measured",
  source: COUNTED,
  atomics: 1,
};

/** Takes a reference on the page that was found; its `page_info` is touched for real. */
const P2M_GET_PAGE: Stage = composeStage("get_page on a look-up's result", Phase.P2mLookup, [
  MFN_VALID,
  GET_PAGE_FROM_MFN,
  GET_PAGE,
]);

const PUT_PAGE: Stage = {
  name: "put_page",
  phase: Phase.P2mLookup,
  instructions: 11,
  basis: "measured",
  source: COUNTED,
  atomics: 1,
};

/** A look-up that found nothing, by the number of table entries it read. */
export const P2M_MISSED: readonly Stage[] = [0, 1, 2, 3, 4].map((levels) =>
  composeStage(`p2m look-up of ${levels} levels, nothing there`, Phase.P2mLookup, [
    P2M_LOOKUP,
    ...tables(levels),
  ]),
);

/** One that found a page, with the `put_page` that follows sooner or later. */
export const P2M_FOUND: readonly Stage[] = [0, 1, 2, 3, 4].map((levels) =>
  composeStage(`p2m look-up of ${levels} levels`, Phase.P2mLookup, [
    P2M_LOOKUP,
    ...tables(levels),
    P2M_GET_PAGE,
    PUT_PAGE,
  ]),
);

function tables(levels: number): Stage[] {
  return P2M_LEVELS.slice(0, levels).flatMap((level) => [level, MAP_DOMAIN_PAGE]);
}

/** Removing or adding one entry (add_to_physmap), under the whole-p2m lock; table writes are made for real. */
export const P2M_SET_ENTRY: Stage = {
  name: "guest_physmap_add_page",
  phase: Phase.P2mLookup,
  instructions: 1800,
  basis: "estimate",
  source:
    "read in source: lock, removal of the old mapping, p2m_set_entry, flush; no dynamic count was taken",
  range: [900, 4000],
  lfences: 10,
  atomics: 12,
};
