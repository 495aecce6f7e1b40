import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { LINUX } from "./linux.js";

/*
 * KVM's loop around a vCPU, from the first instruction after a VM exit to VMRUN or VMRESUME, with nothing to inject and no
 * request pending. Nobody counted any of it: estimates from reading Linux 6.12 (`vmenter.S`, `vmx.c`, `svm.c`, `x86.c`).
 */

/** Registers saved and cleared; on SVM also VMSAVE of the guest's and VMLOAD of the host's further state. */
export const KVM_EXIT_ASSEMBLY: Stage = {
  name: "__vmx_vcpu_run / __svm_vcpu_run, after the exit",
  phase: Phase.EntryAssembly,
  instructions: { amd: 66, intel: 58 },
  basis: "estimate",
  source: `${LINUX}: fifteen stores, as many XORs, pops; SVM with VMSAVE and VMLOAD, each priced as an other serialising instruction`,
  range: [45, 110],
  coldBranches: 3,
  serialising: { amd: 2, intel: 0 },
  touches: [
    { object: "stack", offsets: [0, 64, 128, 192], write: true },
    { object: "vcpu", offsets: [0, 64], write: true },
    { object: "percpu", offsets: [0] },
  ],
};

/** The same for SVM's STGI, apart because VMX has none. */
export const KVM_STGI: Stage = {
  name: "stgi (svm_vcpu_run)",
  phase: Phase.ExitHandler,
  instructions: 1,
  basis: "estimate",
  source: `${LINUX}: svm_vcpu_run`,
  range: [1, 1],
  coldBranches: 0,
  clgiStgi: 1,
};

/** From the assembly to the switch over the exit reason. */
export const KVM_EXIT_HANDLER: Stage = {
  name: "{vmx,svm}_vcpu_run, vcpu_enter_guest, {vmx,svm}_handle_exit",
  phase: Phase.ExitHandler,
  instructions: { amd: 330, intel: 350 },
  basis: "estimate",
  source: `${LINUX}: event recovery, interrupts on and off around handle_exit_irqoff, host's time stamp and XSAVE state, statistics, exit-reason switch; VMX reads reason, vectoring and interruption information and RIP by VMREAD`,
  range: [220, 600],
  vmreads: { amd: 0, intel: 4 },
  cliSti: 2,
  lfences: 1, // rdtsc_ordered
  touches: [
    { object: "vmcb", offsets: [0x400, 0x4c0] },
    { object: "vcpu", offsets: [0x100, 0x140, 0x180, 0x200, 0x240], write: true },
    { object: "stack", offsets: [256, 320, 384], write: true },
    { object: "percpu", offsets: [64, 128], write: true },
    { object: "domain", offsets: [0, 64] },
    { object: "data", offsets: [0, 64] },
  ],
};

/** RIP past the instruction. */
export const KVM_SKIP: Stage = {
  name: "kvm_skip_emulated_instruction",
  phase: Phase.ExitHandler,
  instructions: { amd: 80, intel: 95 },
  basis: "estimate",
  source: `${LINUX}: flags, length, RIP through the register cache, interrupt shadow; VMX by three VMREADs`,
  range: [50, 160],
  vmreads: { amd: 0, intel: 3 },
};

/** Back through `vcpu_run` to the entry's assembly. */
export const KVM_RETURN_PATH: Stage = {
  name: "vcpu_run, vcpu_enter_guest",
  phase: Phase.ReturnPath,
  instructions: { amd: 430, intel: 480 },
  basis: "estimate",
  source: `${LINUX}: work pending, requests, kvm_check_and_inject_events, local APIC, prepare_switch_to_guest, debug registers, a store with a barrier that says IN_GUEST_MODE, SRCU, perf MSRs; VMX writes RSP and RIP by VMWRITE`,
  range: [280, 800],
  vmwrites: { amd: 0, intel: 2 },
  atomics: 1,
  cliSti: 1,
  touches: [
    { object: "vcpu", offsets: [0x280, 0x2c0, 0x300, 0x340, 0x380], write: true },
    { object: "vlapic", offsets: [0, 0x100, 0x200] },
    { object: "domain", offsets: [128, 192] },
    { object: "percpu", offsets: [192, 256] },
    { object: "vmcb", offsets: [0x80] },
  ],
};

/** Registers loaded; on SVM after CLGI, with VMLOAD of the guest's further state. */
export const KVM_ENTRY_ASSEMBLY: Stage = {
  name: "__vmx_vcpu_run / __svm_vcpu_run, up to the entry",
  phase: Phase.ExitAssembly,
  instructions: { amd: 52, intel: 46 },
  basis: "estimate",
  source: `${LINUX}: pushes, the host's RSP, fifteen loads; SVM with CLGI, VMLOAD and STI, VMLOAD priced as an other serialising instruction`,
  range: [35, 90],
  coldBranches: 3,
  serialising: { amd: 1, intel: 0 },
};

export const KVM_CLGI: Stage = {
  name: "clgi, sti (svm_vcpu_run)",
  phase: Phase.ExitAssembly,
  instructions: 2,
  basis: "estimate",
  source: `${LINUX}: svm_vcpu_run, __svm_vcpu_run`,
  range: [2, 2],
  coldBranches: 0,
  clgiStgi: 1,
  cliSti: 1,
};

/** XCR0 of the host and of the guest, where they differ and the guest has CR4.OSXSAVE; once each way. */
export const KVM_XSETBV: Stage = {
  name: "kvm_load_{guest,host}_xsave_state",
  phase: Phase.ReturnPath,
  instructions: 12,
  basis: "estimate",
  source: `${LINUX}: comparison and XSETBV, priced as an other serialising instruction`,
  range: [8, 25],
  serialising: 1,
};

/** A second-stage fault that a slot answers: up to the new entry, whose tables are touched for real. */
export const KVM_PAGE_FAULT: Stage = {
  name: "kvm_mmu_page_fault, kvm_tdp_page_fault, kvm_tdp_mmu_map",
  phase: Phase.PageFault,
  instructions: 2600,
  basis: "estimate",
  source: `${LINUX}: slot look-up, topping up of caches, get_user_pages_fast, mapping level from the host's page tables under interrupts off, read lock of mmu_lock, RCU, compare-and-exchange of the entry`,
  range: [1500, 6000],
  atomics: 10,
  lfences: 2,
  cliSti: 2,
  vmreads: { amd: 0, intel: 2 },
  touches: [
    { object: "domain", offsets: [0, 64, 128, 256], write: true },
    { object: "vcpu", offsets: [0x400, 0x440, 0x480] },
  ],
};

/** One where no slot is, or a write to one that is read-only: the instruction is decoded and carried out. */
export const KVM_EMULATE: Stage = {
  name: "x86_emulate_instruction (memory operand)",
  phase: Phase.ExitOperation,
  instructions: 3400,
  basis: "estimate",
  source: `${LINUX}: init_emulate_ctxt, x86_decode_insn, x86_emulate_insn, look-up on the MMIO bus; the operand's guest-physical address is the exit's; the walk and copy that fetch the instruction on VMX are stages of their own`,
  range: [2000, 7000],
  atomics: 2,
  lfences: 4,
};

export const KVM_CPUID: Stage = {
  name: "kvm_emulate_cpuid",
  phase: Phase.ExitOperation,
  instructions: 380,
  basis: "estimate",
  source: `${LINUX}: linear search of the entries that user space set, some sixty of five instructions, and run-time bits`,
  range: [120, 700],
  coldBranches: 10,
  touches: [{ object: "data", offsets: [0x100, 0x140, 0x180, 0x1c0] }],
};

/** In KVM a leaf of Xen's is one of user space's like all others, but for the frequency of the time stamp. */
export const KVM_XEN_LEAF: Stage = {
  name: "kvm_cpuid (Xen's time leaf)",
  phase: Phase.ExitOperation,
  instructions: 8,
  basis: "estimate",
  source: `${LINUX}: comparison with the base of Xen's leaves`,
  range: [4, 20],
};

export const KVM_RDMSR: Stage = {
  name: "kvm_emulate_rdmsr",
  phase: Phase.ExitOperation,
  instructions: 170,
  basis: "estimate",
  source: `${LINUX}: MSR filter, two switches`,
  range: [90, 320],
};

export const KVM_WRMSR: Stage = {
  name: "kvm_emulate_wrmsr",
  phase: Phase.ExitOperation,
  instructions: 200,
  basis: "estimate",
  source: `${LINUX}: MSR filter, checks of the value, two switches`,
  range: [110, 400],
};

export const KVM_APIC_MSR: Stage = {
  name: "kvm_x2apic_msr_{read,write}",
  phase: Phase.ExitOperation,
  instructions: 120,
  basis: "estimate",
  source: `${LINUX}: range check, kvm_lapic_reg_{read,write}`,
  range: [60, 300],
  touches: [{ object: "vlapic", offsets: [0], write: true }],
};

/** Filling the hypercall page: a write to guest memory for each stub; the page's own lines come on top. */
export const KVM_WRITE_HYPERCALL_PAGE: Stage = {
  name: "kvm_xen_write_hypercall_page",
  phase: Phase.ExitOperation,
  instructions: 14000,
  codeInstructions: 260,
  basis: "estimate",
  source: `${LINUX}: 128 x kvm_vcpu_write_guest of 32 bytes, some 110 instructions each`,
  range: [8000, 25000],
  coldBranches: 20,
};

/** Port I/O up to the finding that no device of the kernel's answers. */
export const KVM_PORT_IO: Stage = {
  name: "kvm_fast_pio, emulator_pio_in_out",
  phase: Phase.ExitOperation,
  instructions: 260,
  basis: "estimate",
  source: `${LINUX}: exit information (on VMX the exit qualification), binary search of the PIO bus, kvm_run filled in`,
  range: [140, 500],
  vmreads: { amd: 0, intel: 1 },
};

export const KVM_OTHER_EXIT: Stage = {
  name: "other intercepted instruction (KVM)",
  phase: Phase.ExitOperation,
  instructions: 140,
  basis: "estimate",
  source: `${LINUX}: argument decoding and state update`,
  range: [70, 350],
};

export const KVM_HALT: Stage = {
  name: "kvm_emulate_halt",
  phase: Phase.ExitOperation,
  instructions: 180,
  basis: "estimate",
  source: `${LINUX}: mp_state, kvm_vcpu_block's first look at events`,
  range: [90, 400],
  atomics: 2,
};

/** From a vCPU's thread that blocks to the idle task, and back once it is woken. */
export const KVM_BLOCK: Stage = {
  name: "kvm_vcpu_halt, schedule: to idle and back",
  phase: Phase.ExitOperation,
  instructions: 7500,
  basis: "estimate",
  source: `${LINUX}: halt polling left out; two context switches with kvm_sched_{out,in}, rcuwait, try_to_wake_up`,
  range: [4000, 16000],
  atomics: 40,
  wrmsrs: { amd: 2, intel: 4 },
  touches: [
    { object: "vcpu", offsets: [0, 64, 128], write: true },
    { object: "percpu", offsets: [0, 64, 128, 192], write: true },
    { object: "runstate", offsets: [0], write: true },
  ],
};

/** An interrupt command of the guest's for another vCPU's local APIC, without what wakes or interrupts that one. */
export const KVM_SEND_IPI: Stage = {
  name: "kvm_apic_send_ipi, kvm_irq_delivery_to_apic_fast",
  phase: Phase.ExitOperation,
  instructions: 300,
  basis: "estimate",
  source: `${LINUX}: destination through the APIC map, __apic_accept_irq with its request and kick; neither AVIC nor posted interrupts`,
  range: [160, 800],
  coldBranches: 25,
  atomics: 5,
  touches: [{ object: "vlapic", offsets: [0x200], write: true }],
};

/** A vector goes from the virtual local APIC, or from Xen's upcall, to the guest. */
export const KVM_INJECT: Stage = {
  name: "kvm_cpu_get_interrupt, {vmx,svm}_inject_irq",
  phase: Phase.ReturnPath,
  instructions: 240,
  basis: "estimate",
  source: `${LINUX}: kvm_cpu_has_injectable_intr, apic_find_highest_irr and _isr, event injection field`,
  range: [120, 500],
  atomics: 2,
  vmwrites: { amd: 0, intel: 2 },
  touches: [{ object: "vlapic", offsets: [0x100, 0x200], write: true }],
};

export const KVM_INTERRUPT_WINDOW: Stage = {
  name: "{vmx,svm}_enable_irq_window",
  phase: Phase.ReturnPath,
  instructions: 70,
  basis: "estimate",
  source: `${LINUX}: V_IRQ and its intercept, or one execution control`,
  range: [30, 140],
  vmwrites: { amd: 0, intel: 1 },
};

/** The physical timer interrupted the guest: its handler, and the hrtimer of the vCPU. */
export const KVM_TIMER_INTERRUPT: Stage = {
  name: "sysvec_apic_timer_interrupt, hrtimer_interrupt, apic_timer_fn",
  phase: Phase.ExitOperation,
  instructions: 1900,
  basis: "estimate",
  source: `${LINUX}: interrupt entry, hrtimer queue, expiry, programming of the next deadline by WRMSR, softirq check`,
  range: [900, 4000],
  atomics: 10,
  wrmsrs: 2,
  touches: [
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "vcpu", offsets: [0x440], write: true },
  ],
};

/** The same of one of Xen's timers for the vCPU. */
export const KVM_VCPU_TIMER_INTERRUPT: Stage = {
  ...KVM_TIMER_INTERRUPT,
  name: "sysvec_apic_timer_interrupt, hrtimer_interrupt, xen_timer_callback",
};
