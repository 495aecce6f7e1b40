import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { LINUX } from "./linux.js";

/*
 * `kvm_xen_hypercall` and what it does by itself. Nothing of it was counted: estimates from reading Linux 6.12 (`xen.c`).
 */

/** Mode, parameters, privilege, Hyper-V's bit, the switch over the number. */
export const KVM_XEN_HYPERCALL: Stage = {
  name: "kvm_emulate_hypercall, kvm_xen_hypercall",
  phase: Phase.HypercallDispatch,
  instructions: 125,
  basis: "estimate",
  source: `${LINUX}: is_64_bit_hypercall, seven registers, trace point that is off, CPL, two switches`,
  range: [80, 240],
  touches: [
    { object: "vcpu", offsets: [0x700], write: true },
    { object: "domain", offsets: [0x180] },
  ],
};

/** A hypercall of KVM's own interface, where Xen's are not intercepted. */
export const KVM_OWN_HYPERCALL: Stage = {
  name: "kvm_emulate_hypercall: KVM's own",
  phase: Phase.HypercallDispatch,
  instructions: 90,
  basis: "estimate",
  source: `${LINUX}: two conditions that do not hold, five registers, trace point that is off, CPL, a switch`,
  range: [60, 180],
  touches: [{ object: "vcpu", offsets: [0x700], write: true }],
};

/** What goes to user space: the exit's structure, the linear RIP to come back to. */
export const KVM_XEN_HCALL_EXIT: Stage = {
  name: "kvm_xen_hypercall: handle_in_userspace",
  phase: Phase.HypercallDispatch,
  instructions: 45,
  basis: "estimate",
  source: `${LINUX}: ten stores to kvm_run, linear RIP`,
  range: [30, 90],
  touches: [{ object: "run", offsets: [0, 64], write: true }],
};

/** The result of either, before the instruction is skipped. */
export const KVM_XEN_HYPERCALL_RESULT: Stage = {
  name: "kvm_xen_hypercall_set_result",
  phase: Phase.HypercallDispatch,
  instructions: 25,
  basis: "estimate",
  source: `${LINUX}: comparison of the linear RIP after user space, RAX`,
  range: [12, 50],
};

/** XENVER_version where user space has set it. */
export const KVM_XEN_VERSION: Stage = {
  name: "kvm_xen_hypercall: xen_version",
  phase: Phase.Operation,
  instructions: 8,
  basis: "estimate",
  source: `${LINUX}: two comparisons and a load`,
  range: [5, 16],
};

/** SCHEDOP_yield: other threads may run, none wants to. */
export const KVM_XEN_YIELD: Stage = {
  name: "kvm_xen_hcall_sched_op: yield, kvm_vcpu_on_spin",
  phase: Phase.Operation,
  instructions: 160,
  basis: "estimate",
  source: `${LINUX}: kvm_vcpu_on_spin with no other vCPU to yield to`,
  range: [60, 900],
};

/** Copy of one page's part of a struct that the kernel reads itself, once its frame is known. */
export const KVM_READ_GUEST: Stage = {
  name: "kvm_read_guest_virt: kvm_vcpu_read_guest_page",
  phase: Phase.Copy,
  instructions: 110,
  basis: "estimate",
  source: `${LINUX}: slot look-up, __copy_from_user with STAC and CLAC`,
  range: [60, 220],
  strings: 1,
};

/** SCHEDOP_poll without its copies and the look at the ports. */
export const KVM_XEN_SCHEDOP_POLL: Stage = {
  name: "kvm_xen_schedop_poll",
  phase: Phase.Operation,
  instructions: 160,
  basis: "estimate",
  source: `${LINUX}: checks, an array for more ports than one, poll_mask and mp_state`,
  range: [90, 400],
  atomics: 3,
};

/** Hyper-V's hypercalls, up to the status of those that need nothing further. */
export const KVM_HV_HYPERCALL: Stage = {
  name: "kvm_hv_hypercall",
  phase: Phase.HypercallDispatch,
  instructions: 140,
  basis: "estimate",
  source: `${LINUX}: mode, privilege, operands, two switches`,
  range: [80, 280],
};
