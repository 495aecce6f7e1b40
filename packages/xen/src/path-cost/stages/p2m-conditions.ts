import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * What Xen does about guest frames that are not ordinary RAM. Estimates all: no count was taken of any of them. Copies of
 * pages, new tables and bitmaps are read and written for real, beside these stages.
 */

/** The slow path of `p2m_get_page_from_gfn`: `get_gfn_type_access` under the write lock, and `put_gfn`. */
export const P2M_GET_GFN: Stage = {
  name: "get_gfn_type_access, put_gfn",
  phase: Phase.P2mLookup,
  instructions: 380,
  basis: "estimate",
  source: "read in source: write lock and its barrier, second walk, type checks, unlock; like a look-up",
  range: [250, 700],
  lfences: 6,
  lockLfences: 2,
  atomics: 4,
};

/** One superpage becomes a table of 512 smaller ones, which is written for real. */
export const P2M_SHATTER: Stage = {
  name: "ept_split_super_page / p2m_next_level: 512 entries",
  phase: Phase.P2mLookup,
  instructions: { amd: 14000, intel: 16500 },
  codeInstructions: 200,
  basis: "estimate",
  source:
    "read in source: a table page from the p2m's pool, then 512 turns of a loop of about 27 (NPT) or 32 instructions (EPT, flags by type among them)",
  range: [7000, 30000],
  coldBranches: 30,
  lfences: 2,
  atomics: 4,
};

/** A guest's write to a page that log-dirty mode watches, or a fetch from a superpage: `hvm_hap_nested_page_fault`. */
export const NESTED_PAGE_FAULT: Stage = {
  name: "hvm_hap_nested_page_fault",
  phase: Phase.ExitOperation,
  instructions: 900,
  basis: "estimate",
  source:
    "read in source: MMIO scan, get_gfn under the write lock, switch over type and access; the change is its own",
  range: [500, 1800],
  coldBranches: 60,
  lfences: 10,
  lockLfences: 3,
  atomics: 5,
};

/** `paging_mark_pfn_dirty` while log-dirty mode is on; its bitmap is read and written for real. */
export const MARK_PFN_DIRTY: Stage = {
  name: "paging_mark_pfn_dirty",
  phase: Phase.Copy,
  instructions: 150,
  basis: "estimate",
  source: "read in source: paging lock, four levels of map and unmap, test and set of a bit",
  range: [90, 300],
  lfences: 2,
  lockLfences: 1,
  atomics: 3,
};

/** `mem_sharing_unshare_page`, the copy of the page excepted. */
export const UNSHARE_PAGE: Stage = {
  name: "mem_sharing_unshare_page",
  phase: Phase.P2mLookup,
  instructions: 2200,
  basis: "estimate",
  source:
    "read in source: page lock, reverse map, a page of the domain heap, change of the p2m; the flush is its own",
  range: [1000, 5000],
  coldBranches: 120,
  lfences: 12,
  lockLfences: 6,
  atomics: 16,
  strings: 1,
};

/** `p2m_pod_demand_populate`, the clearing of the page excepted. */
export const POD_POPULATE: Stage = {
  name: "p2m_pod_demand_populate",
  phase: Phase.P2mLookup,
  instructions: 1600,
  basis: "estimate",
  source: "read in source: PoD lock, a page of the cache, change of the p2m, M2P entry",
  range: [800, 4000],
  coldBranches: 90,
  lfences: 8,
  lockLfences: 4,
  atomics: 10,
  strings: 1,
};

/** `p2m_mem_paging_populate`: the pager is told by a ring and an event channel. */
export const PAGE_IN_REQUEST: Stage = {
  name: "p2m_mem_paging_populate",
  phase: Phase.P2mLookup,
  instructions: 1900,
  basis: "estimate",
  source:
    "read in source: ring slot, p2m lock, change of the type, request on the ring, notification of dom0",
  range: [900, 4500],
  coldBranches: 110,
  lfences: 12,
  lockLfences: 6,
  atomics: 14,
};

/** `vmx_vcpu_flush_pml_buffer`, for one entry of the log: change of its type and its bit. */
export const FLUSH_PML_ENTRY: Stage = {
  name: "vmx_vcpu_flush_pml_buffer: one entry",
  phase: Phase.ExitOperation,
  instructions: 420,
  basis: "estimate",
  source: "read in source: p2m_change_type_one with its lock and entry, without a flush; the bit is its own",
  range: [250, 900],
  coldBranches: 20,
  lfences: 5,
  lockLfences: 2,
  atomics: 4,
};
