import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * What one physical CPU has another one do. Estimates: no count was taken on a machine with several.
 */

/** One vCPU's processor tells another's to look (`cpu_raise_softirq`, EVENT_CHECK_VECTOR). */
export const VCPU_KICK: Stage = {
  name: "vcpu_kick, smp_send_event_check_mask",
  phase: Phase.Operation,
  instructions: 240,
  basis: "estimate",
  source:
    "read in source: vcpu_unblock, softirq bit, send_IPI_mask and the cluster's x2APIC ICR by WRMSR behind MFENCE and LFENCE; what the WRMSR takes beyond an instruction's price is not counted",
  range: [120, 700],
  lfences: 1,
  atomics: 3,
  touches: [{ object: "percpu", offsets: [0x140], write: true }],
};

/** A TLB flush or a change of the p2m reaches the other processors that run the domain (`guest_flush_tlb_mask`). */
export const FLUSH_IPI: Stage = {
  ...VCPU_KICK,
  name: "guest_flush_tlb_mask, __ept_sync_domain: one more processor",
  source:
    "taken to be like vcpu_kick; the wait until the others have left their guests, which EPT needs, is not modelled",
};

/** What the interrupt does where it arrives, besides the exit that it causes. */
export const EVENT_CHECK_INTERRUPT: Stage = {
  name: "event_check_interrupt, do_softirq",
  phase: Phase.ExitOperation,
  instructions: 260,
  basis: "estimate",
  source: "read in source: interrupt entry and exit, EOI by WRMSR, softirq loop with nothing to do",
  range: [150, 800],
  lfences: 2,
  atomics: 2,
  touches: [{ object: "percpu", offsets: [0x140, 0x180], write: true }],
};
