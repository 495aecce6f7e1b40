import { composeStage } from "../compose.js";
import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { COUNTED, COUNTED_BY_DIFFERENCE, VMX_SHARE } from "./provenance.js";

/*
 * The path every exit takes, from the first instruction after #VMEXIT to VMRUN (or VM exit to VMRESUME), for a 64-bit
 * guest under hardware-assisted paging with nothing to inject. SVM: 153 instructions of assembly of which 71 are the
 * RSB overwrite, then the C stages below; with `hvm_hypercall` (see dispatch.ts) 647, counted 641-656 with the
 * guest's own 9. VMX: 848, counted 853 with the guest's own 5.
 *
 * A line that one exit touches several times is listed where the path touches it first, and again only where it is first
 * written; VMCB lines that #VMEXIT or VMRUN themselves touch are not listed at all.
 */

/** PUSH_AND_CLEAR_GPRS, find `current`, CR2 (VMX); STGI (SVM) or LFENCE (VMX). */
export const ENTRY_ASSEMBLY: Stage = {
  name: "vmexit assembly",
  phase: Phase.EntryAssembly,
  instructions: { amd: 41, intel: 47 },
  basis: "derived",
  source: `${COUNTED}: 82 for entry and exit assembly without the RSB overwrite, halves assumed; ${VMX_SHARE}`,
  coldBranches: 1,
  lfences: { amd: 0, intel: 1 },
  touches: [
    { object: "stack", offsets: [0, 64, 128, 192], write: true },
    { object: "percpu", offsets: [0] },
  ],
};

/** The same for SVM's STGI, apart because VMX has none. */
export const SVM_STGI: Stage = {
  name: "stgi",
  phase: Phase.EntryAssembly,
  instructions: 0,
  basis: "derived",
  source: "part of the entry assembly's count; here only its price",
  coldBranches: 0,
  clgiStgi: 1,
};

const VMEXIT_HANDLER: Stage = {
  name: "svm_vmexit_handler / vmx_vmexit_handler",
  phase: Phase.ExitHandler,
  instructions: { amd: 106, intel: 150 },
  basis: "derived",
  source: `${COUNTED}; VMX reads RIP, RSP, RFLAGS, CS rights, CR4, CR3 and the exit reason by VMREAD; ${VMX_SHARE}`,
  vmreads: { amd: 0, intel: 7 },
  touches: [
    { object: "vmcb", offsets: [0x400, 0x4c0] },
    { object: "vcpu", offsets: [0x100, 0x140, 0x200] },
    { object: "domain", offsets: [0, 0x80] }, // hvm_maybe_deassert_evtchn_irq
    { object: "vlapic", offsets: [0x80] },
    { object: "stack", offsets: [256, 320], write: true },
  ],
};

const RETURN_THUNKS: Stage = {
  name: "return thunks",
  phase: Phase.ExitHandler,
  instructions: 21,
  basis: "measured",
  source: COUNTED,
  coldBranches: 2,
};

/** The handler up to its switch over the exit reason. */
export const EXIT_HANDLER: Stage = composeStage("vmexit handler", Phase.ExitHandler, [
  VMEXIT_HANDLER,
  RETURN_THUNKS,
]);

/** Length of the instruction that exited, RIP and RFLAGS, interrupt shadow. */
export const UPDATE_GUEST_EIP: Stage = {
  name: "__update_guest_eip / update_guest_eip",
  phase: Phase.ExitHandler,
  instructions: { amd: 46, intel: 60 },
  basis: "derived",
  source: `${COUNTED}; VMX reads length and interruptibility by VMREAD; ${VMX_SHARE}`,
  vmreads: { amd: 0, intel: 2 },
};

const INTERRUPT_ASSIST: Stage = {
  name: "svm_intr_assist / vmx_intr_assist",
  phase: Phase.ReturnPath,
  instructions: { amd: 129, intel: 191 },
  basis: "derived",
  source: `${COUNTED}: pt_update_irq, hvm_vcpu_has_pending_irq, PIC and LAPIC; one lock; ${VMX_SHARE}`,
  lfences: 1,
  lockLfences: 1,
  atomics: 1,
  touches: [
    { object: "vcpu", offsets: [0x240, 0x280, 0x2c0], write: true },
    { object: "vlapic", offsets: [0x100, 0x200] },
    { object: "shared_info", offsets: [0] },
    { object: "domain", offsets: [0xc0] },
  ],
};

const NESTED_CHECKS: Stage = {
  name: "nsvm_vcpu_switch / nvmx_switch_guest",
  phase: Phase.ReturnPath,
  instructions: { amd: 26, intel: 44 },
  basis: "estimate",
  source: `${COUNTED_BY_DIFFERENCE}: nested-virtualization checks, what is left of the counted 641 to 656; ${VMX_SHARE}`,
  range: [11, 62],
};

const VMENTER_HELPER: Stage = {
  name: "svm_vmenter_helper / vmx_vmenter_helper",
  phase: Phase.ReturnPath,
  instructions: { amd: 79, intel: 114 },
  basis: "derived",
  source: `${COUNTED}: ASID, VMCB synchronisation; VMX writes RIP, RSP, RFLAGS by VMWRITE; ${VMX_SHARE}`,
  vmwrites: { amd: 0, intel: 3 },
  touches: [{ object: "percpu", offsets: [0x40] }],
};

/** Everything between the exit's own work and the final assembly. */
export const RETURN_PATH: Stage = composeStage("return to guest", Phase.ReturnPath, [
  INTERRUPT_ASSIST,
  NESTED_CHECKS,
  VMENTER_HELPER,
]);

/** CLI, softirq test, pops; SVM: CLGI and STI. */
export const EXIT_ASSEMBLY: Stage = {
  name: "vmentry assembly",
  phase: Phase.ExitAssembly,
  instructions: { amd: 41, intel: 47 },
  basis: "derived",
  source: `${COUNTED}: 82 for entry and exit assembly without the RSB overwrite, halves assumed; ${VMX_SHARE}`,
  coldBranches: 3,
  cliSti: 1,
  touches: [
    { object: "percpu", offsets: [0x80] }, // irq_stat
  ],
};

/** CLGI and STI of SVM's way in. */
export const SVM_CLGI_STI: Stage = {
  name: "clgi, sti",
  phase: Phase.ExitAssembly,
  instructions: 0,
  basis: "derived",
  source: "part of the exit assembly's count; here only their price",
  coldBranches: 0,
  cliSti: 1,
  clgiStgi: 1,
};
