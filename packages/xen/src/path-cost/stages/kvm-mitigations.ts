import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { LINUX } from "./linux.js";

/*
 * Speculation controls of Linux around a guest's run and around user space. Each is on where Linux has it on by itself, see
 * `KvmConfig`; counts are read in `nospec-branch.h`, `vmenter.S`, `entry-common.h`.
 */

/** FILL_RETURN_BUFFER of 32 calls after the exit (X86_FEATURE_RSB_VMEXIT). */
export const KVM_RSB_FILL: Stage = {
  name: "FILL_RETURN_BUFFER",
  phase: Phase.RsbOverwrite,
  instructions: 70,
  basis: "estimate",
  source: `${LINUX}: 16 rounds of two calls, a decrement and a branch, then LFENCE`,
  range: [66, 134],
  coldBranches: 2,
  lfences: 1,
};

/** One call and LFENCE (X86_FEATURE_RSB_VMEXIT_LITE, for what enhanced IBRS leaves open). */
export const KVM_RSB_LITE: Stage = {
  name: "ISSUE_UNBALANCED_RET_GUARD",
  phase: Phase.RsbOverwrite,
  instructions: 4,
  basis: "estimate",
  source: `${LINUX}: call, INT3 that is skipped, stack pointer, LFENCE`,
  range: [3, 6],
  coldBranches: 0,
  lfences: 1,
};

/** The host's SPEC_CTRL after the exit, where the guest's differs. */
export const KVM_SPEC_CTRL_HOST: Stage = {
  name: "vmx_spec_ctrl_restore_host",
  phase: Phase.SpecCtrl,
  instructions: 22,
  basis: "estimate",
  source: `${LINUX}: flags, comparison, WRMSR, barrier_nospec`,
  range: [12, 40],
  coldBranches: 1,
  wrmsrSpecCtrl: 1,
  lfences: 1,
};

/** The guest's before the entry. */
export const KVM_SPEC_CTRL_GUEST: Stage = {
  name: "__vmx_vcpu_run: guest's SPEC_CTRL",
  phase: Phase.SpecCtrl,
  instructions: 9,
  basis: "estimate",
  source: `${LINUX}: per-CPU value, comparison, WRMSR`,
  range: [6, 15],
  wrmsrSpecCtrl: 1,
};

/** CLEAR_CPU_BUFFERS just before the entry. */
export const KVM_VERW: Stage = {
  name: "CLEAR_CPU_BUFFERS",
  phase: Phase.Verw,
  instructions: 1,
  basis: "estimate",
  source: `${LINUX}: VERW of a memory operand`,
  range: [1, 3],
  coldBranches: 0,
  verw: 1,
};

/** IBPB on the first way out to user space after the guest ran (`vmscape=ibpb`). */
export const KVM_VMSCAPE_IBPB: Stage = {
  name: "exit_to_user_mode_prepare: IBPB",
  phase: Phase.ExitToUserIbpb,
  instructions: 12,
  basis: "estimate",
  source: `${LINUX}, and the later change against VMSCAPE: per-CPU flag, WRMSR PRED_CMD`,
  range: [8, 25],
  ibpb: 1,
};

const PTI: Omit<Stage, "name" | "phase"> = {
  instructions: 8,
  basis: "estimate",
  source: `${LINUX}: per-CPU PCID, MOV to CR3 without a flush`,
  range: [5, 14],
  movCr3s: 1,
};

/** Kernel page-table isolation: CR3 at the edge of user space. */
export const KVM_PTI_TO_USER: Stage = { ...PTI, name: "SWITCH_TO_USER_CR3", phase: Phase.ExitToUser };
export const KVM_PTI_TO_KERNEL: Stage = { ...PTI, name: "SWITCH_TO_KERNEL_CR3", phase: Phase.KvmRun };
/** The same of a system call of the monitor's, there and back. */
export const KVM_PTI_CALL: Stage = {
  ...PTI,
  name: "SWITCH_TO_{KERNEL,USER}_CR3 of a system call",
  phase: Phase.MonitorCall,
  instructions: 16,
  range: [10, 28],
  movCr3s: 2,
};
