import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * Nothing here was counted: instructions, branches, fences, atomics and lines are estimates from reading the source of
 * Xen c447b7308b13.
 */

/** A guest's access to its local APIC page, from the decision to the changed register. */
export const APIC_PAGE_ACCESS: Stage = {
  name: "handle_mmio, vlapic_mmio_{read,write}",
  phase: Phase.ExitOperation,
  instructions: { amd: 2600, intel: 3300 },
  basis: "estimate",
  source:
    "read in source: hvm_emulate_init, x86_emulate of one MOV, hvmemul_do_mmio, one handler; VMX fetches the instruction by a guest walk, SVM has it in the VMCB",
  range: [1500, 6000],
  coldBranches: 220,
  lfences: 8,
  atomics: 4,
  touches: [
    { object: "vcpu", offsets: [0x380, 0x3c0, 0x400], write: true },
    { object: "domain", offsets: [0x280, 0x2c0] },
    { object: "vlapic", offsets: [0], write: true },
    { object: "data", offsets: [0x140, 0x180, 0x1c0] },
  ],
};

/** An x2APIC register or IA32_APIC_BASE, on top of the MSR exit. */
export const APIC_MSR_ACCESS: Stage = {
  name: "guest_{rd,wr}msr_x2apic",
  phase: Phase.ExitOperation,
  instructions: 90,
  basis: "estimate",
  source: "read in source: range check, vlapic_reg_{read,write}",
  range: [50, 250],
  touches: [{ object: "vlapic", offsets: [0], write: true }],
};

/** The physical timer interrupted the guest: its handler, and the softirq that runs the expired timer. */
export const TIMER_INTERRUPT: Stage = {
  name: "apic_timer_interrupt, timer_softirq_action, pt_timer_fn",
  phase: Phase.ExitOperation,
  instructions: 1100,
  basis: "estimate",
  source: "read in source: EOI, timer heap, expiry, programming of the next deadline by WRMSR",
  range: [600, 2500],
  coldBranches: 90,
  lfences: 6,
  lockLfences: 4,
  atomics: 8,
  touches: [
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "vcpu", offsets: [0x440], write: true },
  ],
};

/** A vector goes from the virtual local APIC to the guest. */
export const APIC_INJECTION: Stage = {
  name: "vlapic_ack_pending_irq, hvm_inject_extint",
  phase: Phase.ReturnPath,
  instructions: 140,
  basis: "estimate",
  source: "read in source: find_highest_irr and _isr, two bit operations, event injection field",
  range: [80, 350],
  atomics: 2,
  vmwrites: { amd: 0, intel: 2 },
  touches: [{ object: "vlapic", offsets: [0x100, 0x200], write: true }],
};

/** The guest cannot take a vector yet: it is to leave when it can. */
export const INTERRUPT_WINDOW: Stage = {
  name: "{svm,vmx}_enable_intr_window",
  phase: Phase.ReturnPath,
  instructions: 60,
  basis: "estimate",
  source: "read in source: V_IRQ and its intercept, or one execution control",
  range: [30, 120],
  vmwrites: { amd: 0, intel: 1 },
};

/** From a vCPU that blocks to the idle vCPU, and back once it is woken. */
export const IDLE_SWITCH: Stage = {
  name: "schedule, context_switch: to idle and back",
  phase: Phase.ExitOperation,
  instructions: 6500,
  basis: "estimate",
  source:
    "twice the 2351 instructions of SCHEDOP_yield through the scheduler (derived from a count), and some 1800 for state save and load of two context switches",
  range: [4000, 14000],
  coldBranches: 540,
  lfences: 24,
  lockLfences: 20,
  atomics: 40,
  touches: [
    { object: "vcpu", offsets: [0, 64, 128], write: true },
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "runstate", offsets: [0], write: true },
  ],
};
