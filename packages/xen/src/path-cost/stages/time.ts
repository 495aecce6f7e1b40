import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * Time and timers of vCPUs. Nothing here was counted: estimates from reading the source of Xen c447b7308b13.
 */

/** The physical timer's interrupt, and the softirq that runs a vCPU's timer; its event is a stage of its own. */
export const VCPU_TIMER: Stage = {
  name: "apic_timer_interrupt, timer_softirq_action, vcpu_{singleshot,periodic}_timer_fn",
  phase: Phase.ExitOperation,
  instructions: 900,
  basis: "estimate",
  source: "read in source: EOI, timer heap, expiry, evtchn lock, programming of the next deadline by WRMSR",
  range: [500, 2200],
  lfences: 6,
  lockLfences: 4,
  atomics: 8,
  touches: [
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "vcpu", offsets: [0x480], write: true },
  ],
};

/** The record of the time in `vcpu_info` and in a registered area. */
export const UPDATE_TIME: Stage = {
  name: "__update_vcpu_system_time",
  phase: Phase.ExitOperation,
  instructions: 120,
  basis: "estimate",
  source:
    "read in source: collect_time_info, comparison, three writes with barriers that cost nothing on x86",
  range: [70, 250],
  coldBranches: 8,
  touches: [{ object: "percpu", offsets: [0, 64] }],
};

/** A registered run-state area at a context switch. */
export const UPDATE_RUNSTATE: Stage = {
  name: "update_runstate_area",
  phase: Phase.ExitOperation,
  instructions: 70,
  basis: "estimate",
  source: "read in source: copy of the run state, and with the update flag two stores or copies around it",
  range: [40, 160],
  touches: [{ object: "runstate", offsets: [0] }],
};
