import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { COUNTED, COUNTED_BY_DIFFERENCE, VMX_SHARE } from "./provenance.js";

/** Guest mode, CPL, emulator cache off and on, the table's mask test: 64-bit caller, unknown number. */
export const HVM_HYPERCALL: Stage = {
  name: "hvm_hypercall",
  phase: Phase.HypercallDispatch,
  instructions: { amd: 87, intel: 103 },
  basis: "derived",
  source: `${COUNTED}; VMX reads CS and SS rights by VMREAD; ${VMX_SHARE}`,
  vmreads: { amd: 0, intel: 2 },
  touches: [
    { object: "vcpu", offsets: [0, 0x300], write: true },
    { object: "domain", offsets: [0x40] },
    { object: "data", offsets: [0] },
  ],
};

/** CPUID exit: `guest_cpuid` and its levelled policy; basic leaves. */
export const GUEST_CPUID: Stage = {
  name: "guest_cpuid",
  phase: Phase.ExitOperation,
  instructions: { amd: 82, intel: 70 },
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: 647 for CPUID(0) on SVM and 820 on VMX, less the path without hvm_hypercall`,
  touches: [
    { object: "domain", offsets: [0x200, 0x240] },
    { object: "data", offsets: [0x100] },
  ],
};

/** What a leaf of Xen's own range takes more (`cpuid_hypervisor_leaves`). */
export const CPUID_HYPERVISOR_LEAF: Stage = {
  name: "cpuid_hypervisor_leaves",
  phase: Phase.ExitOperation,
  instructions: 17,
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: 664 less 647`,
  coldBranches: 2,
};

/** MSR read exit. */
export const GUEST_RDMSR: Stage = {
  name: "hvm_msr_read_intercept",
  phase: Phase.ExitOperation,
  instructions: 65,
  basis: "derived",
  source: `${COUNTED_BY_DIFFERENCE}: 630 for RDMSR(EFER) on SVM, less the path without hvm_hypercall`,
  touches: [{ object: "vcpu", offsets: [0x340] }],
};

export const GUEST_WRMSR: Stage = {
  name: "hvm_msr_write_intercept",
  phase: Phase.ExitOperation,
  instructions: 95,
  basis: "estimate",
  source: "the counted read path plus checks of the value",
  range: [65, 180],
  touches: [{ object: "vcpu", offsets: [0x340], write: true }],
};

/** Filling a page with stubs; the page's own lines come on top. */
export const WRITE_HYPERCALL_PAGE: Stage = {
  name: "guest_wrmsr_xen, init_hypercall_page",
  phase: Phase.ExitOperation,
  instructions: 1400,
  codeInstructions: 180,
  basis: "estimate",
  source: "read in source: page look-up, memset of a page, 128 stubs of five stores each",
  range: [900, 2200],
};

/** Port I/O exit that Xen answers itself. */
export const PORT_IO: Stage = {
  name: "handle_pio",
  phase: Phase.ExitOperation,
  instructions: 190,
  basis: "estimate",
  source:
    "read in source: hvmemul_do_pio_buffer, search of the port handlers; on VMX the exit qualification is read for port and size",
  range: [120, 400],
  lfences: 2,
  vmreads: { amd: 0, intel: 1 },
  touches: [{ object: "domain", offsets: [0x280, 0x2c0] }],
};

export const HLT_EXIT: Stage = {
  name: "hvm_hlt",
  phase: Phase.ExitOperation,
  instructions: 120,
  basis: "estimate",
  source: "read in source: up to the test for local events; a switch to the idle vCPU is not modelled",
  range: [60, 300],
  atomics: 2,
};

/** A hardware task switch, on VMX alone: there the processor leaves it to the hypervisor. */
export const TASK_SWITCH: Stage = {
  name: "hvm_task_switch",
  phase: Phase.ExitOperation,
  instructions: 6000,
  basis: "estimate",
  source:
    "read in source: two descriptors mapped, both TSSs copied by guest walks, six segments loaded with a walk each",
  range: [3000, 12000],
  coldBranches: 400,
  atomics: 40,
};

/** Other intercepts that Xen emulates with a handful of checks (WBINVD, INVD, CR and DR accesses, XSETBV). */
export const SIMPLE_EXIT: Stage = {
  name: "other intercepted instruction",
  phase: Phase.ExitOperation,
  instructions: 110,
  basis: "estimate",
  source: "read in source: argument decoding and state update",
  range: [60, 300],
};

/** Nested page fault or EPT violation up to the decision. */
export const SECOND_STAGE_FAULT: Stage = {
  name: "hvm_hap_nested_page_fault",
  phase: Phase.ExitOperation,
  instructions: 700,
  basis: "estimate",
  source: "read in source: one look-up under the p2m lock, type switch, crash of the domain",
  range: [400, 1500],
  lfences: 6,
  atomics: 6,
};

/** What a debug build does after a hypercall. */
export const DEBUG_CLOBBER: Stage = {
  name: "clobber_regs",
  phase: Phase.HypercallDispatch,
  instructions: 30,
  basis: "estimate",
  source:
    "read in source: the number's argument count, a switch that falls through its cases, one store each",
  range: [12, 60],
};

/** How a debug build finds the length of an instruction on SVM; the copy of its bytes comes on top. */
export const DEBUG_INSTRUCTION_LENGTH: Stage = {
  name: "svm_get_insn_len, x86_decode_insn",
  phase: Phase.ExitOperation,
  instructions: 700,
  basis: "estimate",
  source: "read in source: set-up of an emulation context, segment look-ups, prefixes, opcode and ModRM",
  range: [400, 1500],
  coldBranches: 40,
};

/** A hypercall that goes on later. */
export const CONTINUATION: Stage = {
  name: "hypercall_create_continuation",
  phase: Phase.HypercallDispatch,
  instructions: 70,
  basis: "estimate",
  source: "read in source: a format string of a few letters, each through two switches",
  range: [40, 140],
};
