import { composeStage } from "../compose.js";
import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { MAP_DOMAIN_PAGE } from "./p2m.js";
import { COUNTED, COUNTED_BY_DIFFERENCE } from "./provenance.js";

/*
 * One copy of data in one page. Linear, 4 KiB leaves on both sides, hardware domain's five MMIO handlers:
 *   115 + 6 x 507 + (100 + 298 + 4 x 150) + 4 x 31 + 287 + 226 + 31 = 4823   counted 4825
 * Physical: 115 + 507 + 287 + 226 + 31 = 1166                                   counted 1165
 * Further pages of the same copy: 4708 (counted about 4700) and 1051 (about 1020).
 */

/** `copy_{to,from}_guest` down to `__hvm_copy`, once a copy. */
const COPY_CALL: Stage = {
  name: "copy_to_user_hvm, __hvm_copy",
  phase: Phase.Copy,
  instructions: 115,
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: what a first page takes over a further one (125 linear, 145 physical), and the thunks`,
  lfences: 2,
  touches: [
    { object: "stack", offsets: [384, 448, 512, 576], write: true },
    { object: "domain", offsets: [0x400, 0x440] }, // struct p2m_domain: lock, hooks, max_mapped_pfn
    { object: "data", offsets: [0x40] }, // mfn_valid's bounds
  ],
};

/** What a copy from the guest takes more than one to it. */
const COPY_FROM_EXTRA: Stage = {
  name: "copy_from_user_hvm",
  phase: Phase.Copy,
  instructions: 48,
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: evtchn_send (copies in) against get_runstate_info and get_time (copy out), linear and physical alike`,
};

/** `copy_to_guest`. */
export const COPY_TO_GUEST: Stage = composeStage("copy_to_guest", Phase.Copy, [COPY_CALL]);
/** `copy_from_guest`. */
export const COPY_FROM_GUEST: Stage = composeStage("copy_from_guest", Phase.Copy, [
  COPY_CALL,
  COPY_FROM_EXTRA,
]);

const GVA_TO_GFN: Stage = {
  name: "paging_gva_to_gfn, hap_p2m_ga_to_gfn",
  phase: Phase.GuestWalk,
  instructions: 100,
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: rest of a further linear page (4700) after look-ups, maps, walk, scan and loop`,
  lfences: 2,
  touches: [{ object: "vcpu", offsets: [0x380] }],
};

const GUEST_WALK: Stage = {
  name: "guest_walk_tables (fixed part)",
  phase: Phase.GuestWalk,
  instructions: 298,
  basis: "estimate",
  source: `${COUNTED}: 898 for four levels without their look-ups; 150 of them a level is an estimate`,
  range: [98, 498],
  lfences: 2,
  touches: [{ object: "stack", offsets: [640, 704], write: true }],
};

/** The levels in the order of the walk, each with code of its own: entry read, present and reserved bits, flags. */
const GUEST_WALK_LEVELS: readonly Stage[] = ["first", "second", "third", "fourth"].map((which) => ({
  name: `guest_walk_tables, ${which} level`,
  phase: Phase.GuestWalk,
  instructions: 150,
  basis: "estimate",
  source: `${COUNTED}: 898 for four levels; the share of a level is an estimate`,
  range: [100, 200],
  lfences: 2,
}));

/** Walk under long-mode, PAE or 2-level paging, by the number of guest entries it read. */
export const GUEST_WALKS: readonly Stage[] = [0, 1, 2, 3, 4].map((levels) =>
  composeStage(`guest walk of ${levels} levels`, Phase.GuestWalk, [
    GVA_TO_GFN,
    GUEST_WALK,
    ...GUEST_WALK_LEVELS.slice(0, levels).flatMap((level) => [level, MAP_DOMAIN_PAGE]),
  ]),
);

/**
 * Instructions of a walk that ends at its n-th entry, and LFENCEs among them: the path through the compiled function. A walk
 * that succeeds has 898 by count, and by the same reading of the compiled code about as many.
 */
const ENDED: readonly (readonly [number, number])[] = [
  [155, 3],
  [373, 6],
  [595, 9],
  [810, 13],
];
const ENDED_SOURCE =
  "path through the compiled code (Xen c447b7308b13, gcc 12.2, -O2), guest_walk_tables_4_levels with map_domain_gfn and the emulator's caches, without look-ups and maps; a guest with NX on; not counted in a run";

/** Walk that ends at an entry that is not present or has reserved bits, by the number of guest entries it read, from 1. */
export const GUEST_WALKS_ENDED: readonly Stage[] = ENDED.map(([instructions, lfences], i) =>
  composeStage(`guest walk that ends at entry ${i + 1}`, Phase.GuestWalk, [
    GVA_TO_GFN,
    {
      name: `guest_walk_tables, nothing at the ${["first", "second", "third", "fourth"][i]} entry`,
      phase: Phase.GuestWalk,
      instructions,
      basis: "derived",
      source: ENDED_SOURCE,
      range: [Math.round(instructions * 0.85), Math.round(instructions * 1.15)],
      lfences,
      touches: [{ object: "stack", offsets: [640, 704], write: true }],
    },
    ...Array.from({ length: i + 1 }, () => MAP_DOMAIN_PAGE),
  ]),
);

/** What is left of a page's turn in the loop when there is no page: both kinds of address. */
export const COPY_FAILED: Stage = {
  name: "__hvm_copy, hvm_translate_get_page: nothing there",
  phase: Phase.Copy,
  instructions: 75,
  basis: "derived",
  source:
    "path through the compiled code (Xen c447b7308b13, gcc 12.2, -O2): call, translation of the error, way out; not counted in a run",
  range: [50, 110],
};

const GUEST_WALK_FIFTH_LEVEL: Stage = { ...GUEST_WALK_LEVELS[0], name: "guest_walk_tables, fifth level" };

/** The same with five-level paging: a fifth level that costs what the others do. Xen has no such walk. */
export const GUEST_WALK_FIVE_LEVELS: Stage = composeStage("guest walk of 5 levels", Phase.GuestWalk, [
  GVA_TO_GFN,
  GUEST_WALK,
  ...[...GUEST_WALK_LEVELS, GUEST_WALK_FIFTH_LEVEL].flatMap((level) => [level, MAP_DOMAIN_PAGE]),
]);

/** `hap_gva_to_gfn_real_mode`: with paging off the address is the result. */
export const GUEST_WALK_UNPAGED: Stage = {
  name: "hap_gva_to_gfn_real_mode",
  phase: Phase.GuestWalk,
  instructions: 45,
  basis: "estimate",
  source: "read in source: two indirect calls, no look-up",
  range: [25, 80],
};

/** Setting accessed or dirty in one guest entry. */
export const SET_AD_BITS: Stage = {
  name: "set_ad_bits",
  phase: Phase.GuestWalk,
  instructions: 45,
  basis: "estimate",
  source: "read in source: LOCK CMPXCHG and paging_mark_dirty, which returns at once",
  range: [25, 90],
  atomics: 1,
};

/** `hvm_mmio_internal` without its handlers. */
const MMIO_SCAN_FIXED: Stage = {
  name: "hvm_mmio_internal (fixed part)",
  phase: Phase.MmioScan,
  instructions: 87,
  basis: "estimate",
  source: `${COUNTED}: 287 for the hardware domain, less five handlers of 40`,
  range: [37, 187],
  touches: [{ object: "domain", offsets: [0x300] }],
};

/** One `accept` call. */
const MMIO_HANDLER: Stage = {
  name: "hvm_io_handler accept",
  phase: Phase.MmioScan,
  instructions: 40,
  basis: "estimate",
  source:
    "the two counts differ by 91 to 114 instructions a copy, for a domain with fewer handlers; two to three of them at 40 each, and about 100 instructions for a PVH domain with one",
  range: [20, 50],
};

/** `hvm_mmio_internal` of a domain with so many handlers. */
export function mmioScan(handlers: number): Stage {
  return composeStage(`hvm_mmio_internal, ${handlers} handlers`, Phase.MmioScan, [
    MMIO_SCAN_FIXED,
    ...Array.from({ length: handlers }, () => MMIO_HANDLER),
  ]);
}

/** `__hvm_copy`'s loop for one page: type checks, vm_event, memcpy, paging_mark_pfn_dirty. */
const COPY_LOOP: Stage = {
  name: "__hvm_copy loop",
  phase: Phase.Copy,
  instructions: 226,
  basis: "measured",
  source: `${COUNTED}; two atomics by difference (20 a linear page with 18 in its look-ups, 5 a physical one with 3), and one XCHG`,
  atomics: 3,
  strings: 1,
};

/** One page's turn in the loop, with its data mapped. */
export const COPY_PAGE: Stage = composeStage("copy of a page", Phase.Copy, [COPY_LOOP, MAP_DOMAIN_PAGE]);
