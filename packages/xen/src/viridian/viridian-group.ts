/**
 * Groups of enlightenments, by their names in xl.cfg's `viridian`. What the names have in Xen besides (`reference_tsc`,
 * `apic_assist`, `crash_ctl`, `synic`, `stimer`, …) is not modelled.
 */
export const VIRIDIAN_GROUPS = [
  "base",
  "freq",
  "time_ref_count",
  "hcall_remote_tlb_flush",
  "hcall_ipi",
  "ex_processor_masks",
  "no_vp_limit",
] as const;
export type ViridianGroup = (typeof VIRIDIAN_GROUPS)[number];

/** What xl's `viridian = 1` turns on, of those that are modelled. */
export const VIRIDIAN_DEFAULTS: readonly ViridianGroup[] = ["base", "freq", "time_ref_count"];
