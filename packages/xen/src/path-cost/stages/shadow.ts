import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * Shadow paging. Nothing here was counted: estimates from reading the source of Xen c447b7308b13. Walks of guest tables,
 * look-ups in the p2m, entries written and pages cleared are priced apart.
 */

/** A look into the virtual TLB, under its lock. */
export const VTLB_LOOKUP: Stage = {
  name: "sh_gva_to_gfn, vtlb_lookup",
  phase: Phase.GuestWalk,
  instructions: 60,
  basis: "estimate",
  source: "read in source: indirect call, spin lock, one entry compared, unlock",
  range: [35, 110],
  atomics: 1,
  lfences: 1,
  lockLfences: 1,
  touches: [{ object: "vcpu", offsets: [0x600], write: true }],
};

/** A translation enters it. */
export const VTLB_INSERT: Stage = {
  name: "vtlb_insert",
  phase: Phase.GuestWalk,
  instructions: 35,
  basis: "estimate",
  source: "read in source: spin lock, three stores, unlock",
  range: [20, 60],
  atomics: 1,
  lfences: 1,
  lockLfences: 1,
  touches: [{ object: "vcpu", offsets: [0x600, 0x640], write: true }],
};

/** A page fault of a shadow-paged guest, without what it leads to. */
export const SHADOW_PAGE_FAULT: Stage = {
  name: "sh_page_fault",
  phase: Phase.ExitOperation,
  instructions: 650,
  basis: "estimate",
  source: "read in source: fast-path test of the shadow leaf, paging lock, prefetch test, trace points, exit",
  range: [350, 1300],
  coldBranches: 60,
  atomics: 6,
  lfences: 8,
  lockLfences: 4,
  touches: [
    { object: "domain", offsets: [0x500, 0x540], write: true },
    { object: "vcpu", offsets: [0x600] },
  ],
};

/** One shadow entry made from a guest's, or cleared. */
export const SHADOW_SET_ENTRY: Stage = {
  name: "_sh_propagate, shadow_set_l?e",
  phase: Phase.ExitOperation,
  instructions: 160,
  basis: "estimate",
  source: "read in source: flags by level, reference on the page, write of the entry, flush decision",
  range: [90, 300],
  coldBranches: 10,
  atomics: 2,
};

/** A new shadow of one table; clearing its page comes on top. */
export const SHADOW_NEW_TABLE: Stage = {
  name: "shadow_alloc, sh_make_shadow, set_shadow_status, shadow_promote",
  phase: Phase.ExitOperation,
  instructions: 700,
  basis: "estimate",
  source: "read in source: free list, hash insertion, page type, search for writable mappings by heuristics",
  range: [400, 2500],
  coldBranches: 50,
  atomics: 6,
};

/** A shadow is given up. */
export const SHADOW_UNSHADOW: Stage = {
  name: "sh_remove_shadows, sh_destroy_shadow",
  phase: Phase.ExitOperation,
  instructions: 1400,
  basis: "estimate",
  source: "read in source: hash walk for the entries above, 512 entries looked at, hash deletion, free",
  range: [700, 5000],
  coldBranches: 40,
  atomics: 8,
};

/** A guest's write to one of its tables is carried out for it; the fetch of the instruction is part of it. */
export const SHADOW_EMULATE_WRITE: Stage = {
  name: "x86_emulate, sh_x86_emulate_write, sh_validate_guest_pt_write",
  phase: Phase.ExitOperation,
  instructions: 2200,
  basis: "estimate",
  source:
    "read in source: fetch by a guest walk, decode, mapping of the destination, validation of the entry",
  range: [1200, 4500],
  coldBranches: 150,
  atomics: 8,
  lfences: 20,
};

/** A load of CR3, or a change of the paging mode. */
export const SHADOW_UPDATE_CR3: Stage = {
  name: "paging_update_cr3, sh_update_cr3",
  phase: Phase.ExitOperation,
  instructions: 520,
  basis: "estimate",
  source: "read in source: paging lock, hash look-up of the top shadow, references, control structure, vTLB",
  range: [300, 1200],
  coldBranches: 40,
  atomics: 5,
};

/** INVLPG. */
export const SHADOW_INVLPG: Stage = {
  name: "paging_invlpg, sh_invlpg",
  phase: Phase.ExitOperation,
  instructions: 180,
  basis: "estimate",
  source: "read in source: canonical test, walk of the shadow's linear map, vTLB, INVLPGA",
  range: [100, 400],
  coldBranches: 14,
  atomics: 1,
};

export const SHADOW_STAGES: readonly Stage[] = [
  VTLB_LOOKUP,
  VTLB_INSERT,
  SHADOW_PAGE_FAULT,
  SHADOW_SET_ENTRY,
  SHADOW_NEW_TABLE,
  SHADOW_UNSHADOW,
  SHADOW_EMULATE_WRITE,
  SHADOW_UPDATE_CR3,
  SHADOW_INVLPG,
];
