import { composeStage } from "../compose.js";
import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";
import { LINUX } from "./linux.js";

/*
 * KVM_RUN's return to the monitor and the way back, the monitor's system calls, and the monitor itself, for which QEMU's
 * `accel/kvm/kvm-all.c` and `target/i386/kvm/xen-emu.c` were read. Nothing of it was counted.
 */

/** From `vcpu_run`'s end to user space: guest FPU out, vcpu_put, MSRs of user space, SYSRET. */
export const KVM_EXIT_TO_USER: Stage = {
  name: "kvm_arch_vcpu_ioctl_run's end, vcpu_put, return from the ioctl",
  phase: Phase.ExitToUser,
  instructions: { amd: 1050, intel: 1200 },
  basis: "estimate",
  source: `${LINUX}: kvm_put_guest_fpu (XSAVES, XRSTORS), post_kvm_run_save, preempt notifier, {vmx,svm}_vcpu_put with the host's segments and KERNEL_GS_BASE, mutex, user-return notifiers (TSC_AUX), exit work, SWAPGS, SYSRET; those six priced as MSR writes and other serialising instructions`,
  range: [700, 2200],
  atomics: 5,
  serialising: { amd: 4, intel: 5 },
  wrmsrs: { amd: 1, intel: 2 },
  rdmsrs: { amd: 0, intel: 1 },
  cliSti: 3,
  touches: [
    { object: "vcpu", offsets: [0x500, 0x540, 0x580, 0x5c0, 0x600, 0x640], write: true },
    { object: "run", offsets: [0, 64, 128], write: true },
    { object: "stack", offsets: [448, 512, 576, 640], write: true },
    { object: "percpu", offsets: [320, 384] },
  ],
};

/** From SYSCALL to `vcpu_run`, and what the exit left to be done there (`complete_userspace_io`). */
export const KVM_RUN: Stage = {
  name: "KVM_RUN: system call, vcpu_load, kvm_load_guest_fpu, complete_userspace_io",
  phase: Phase.KvmRun,
  instructions: { amd: 1250, intel: 1450 },
  basis: "estimate",
  source: `${LINUX}: SYSCALL, SWAPGS, descriptor look-up, security hook, vCPU mutex, vcpu_load, XSAVES and XRSTORS, registers synchronised, {vmx,svm}_prepare_switch_to_guest with KERNEL_GS_BASE and TSC_AUX, completion by indirect call; those six priced as MSR writes and other serialising instructions`,
  range: [800, 2600],
  atomics: 7,
  lfences: 2,
  serialising: { amd: 4, intel: 5 },
  wrmsrs: { amd: 1, intel: 2 },
  rdmsrs: { amd: 0, intel: 1 },
  vmwrites: { amd: 0, intel: 3 },
  cliSti: 3,
  touches: [
    { object: "vcpu", offsets: [0x500, 0x540, 0x580, 0x5c0, 0x600, 0x640], write: true },
    { object: "run", offsets: [0, 64, 128] },
    { object: "stack", offsets: [448, 512, 576, 640], write: true },
    { object: "percpu", offsets: [320, 384] },
  ],
};

/** The loop around KVM_RUN in the monitor, its lock, and the switch over the exit reason. */
export const MONITOR_EXIT: Stage = {
  name: "kvm_cpu_exec, kvm_arch_handle_exit",
  phase: Phase.UserSpaceMonitor,
  instructions: 320,
  basis: "estimate",
  source:
    "estimate from reading QEMU, not counted in a run: barriers, MemTxAttrs, big lock taken and given back, two switches",
  range: [150, 900],
  atomics: 4,
  touches: [
    { object: "run", offsets: [0, 64] },
    { object: "user", offsets: [0, 64, 128, 192], write: true },
  ],
};

/** A port access that reached the monitor, and the device behind it. */
export const MONITOR_PORT_IO: Stage = {
  name: "kvm_handle_io, address_space_rw",
  phase: Phase.UserSpaceMonitor,
  instructions: 420,
  basis: "estimate",
  source:
    "estimate from reading QEMU, not counted in a run: flat view under RCU, dispatch, access size, device",
  range: [200, 1200],
  atomics: 2,
  touches: [{ object: "user", offsets: [256, 320, 384] }],
};

/** The same of a memory access that no slot answered. */
export const MONITOR_MMIO: Stage = {
  ...MONITOR_PORT_IO,
  name: "address_space_rw (KVM_EXIT_MMIO)",
};

/** The number of the call and its handler, down to the operation. */
export const MONITOR_HYPERCALL: Stage = {
  name: "kvm_xen_handle_exit, do_kvm_xen_handle_exit",
  phase: Phase.UserSpaceMonitor,
  instructions: 90,
  basis: "estimate",
  source: "estimate from reading QEMU, not counted in a run: privilege, two switches, the result",
  range: [40, 250],
  touches: [{ object: "user", offsets: [448] }],
};

/** Copying one piece of a guest's buffer through the monitor's own mapping, once its address is known. */
export const MONITOR_COPY: Stage = {
  name: "kvm_gva_rw, address_space_rw (RAM)",
  phase: Phase.UserSpaceMonitor,
  instructions: 190,
  basis: "estimate",
  source:
    "estimate from reading QEMU, not counted in a run: flat view under RCU, RAM block, memcpy, dirty bitmap",
  range: [90, 450],
  atomics: 2,
  strings: 1,
  touches: [{ object: "user", offsets: [512, 576] }],
};

/** A system call of the monitor's on the VM or a vCPU, without what it is for. */
export const MONITOR_IOCTL: Stage = {
  name: "ioctl: system call, kvm_{vm,vcpu}_ioctl, return",
  phase: Phase.MonitorCall,
  instructions: 620,
  basis: "estimate",
  source: `${LINUX}: SYSCALL, SWAPGS, descriptor look-up, security hook, mutex, vcpu_load and vcpu_put, copies of the argument, exit work, SYSRET; those four priced as other serialising instructions`,
  range: [350, 1200],
  atomics: 6,
  lfences: 2,
  serialising: 4,
  cliSti: 2,
  touches: [
    { object: "stack", offsets: [448, 512], write: true },
    { object: "vcpu", offsets: [0x500], write: true },
  ],
};

/** The fixed part of a walk of the guest's tables by KVM. */
const WALK: Stage = {
  name: "paging_walk_addr_generic (fixed part)",
  phase: Phase.GuestWalk,
  instructions: 190,
  basis: "estimate",
  source: `${LINUX}: access mode, root, permission bitmap, reserved bits`,
  range: [110, 350],
  touches: [
    { object: "vcpu", offsets: [0x680, 0x6c0] },
    { object: "stack", offsets: [704, 768], write: true },
  ],
};

const WALK_LEVELS: readonly Stage[] = ["first", "second", "third", "fourth", "fifth"].map((which) => ({
  name: `paging_walk_addr_generic, ${which} level`,
  phase: Phase.GuestWalk,
  instructions: 85,
  basis: "estimate",
  source: `${LINUX}: slot look-up, user access with STAC and CLAC, present and reserved bits; one loop for all levels`,
  range: [50, 150],
  codeInstructions: which === "first" ? 85 : 1,
  coldBranches: which === "first" ? 7 : 0,
}));

function walk(levels: number): Stage {
  return composeStage(`KVM's guest walk of ${levels} levels`, Phase.GuestWalk, [
    WALK,
    ...WALK_LEVELS.slice(0, levels),
  ]);
}

/** KVM's walk of a guest's tables by the number of entries read. */
export const KVM_WALKS: readonly Stage[] = [0, 1, 2, 3, 4].map(walk);
export const KVM_WALK_FIVE_LEVELS: Stage = walk(5);

/** With paging off the address is the result. */
export const KVM_WALK_UNPAGED: Stage = {
  name: "nonpaging_gva_to_gpa",
  phase: Phase.GuestWalk,
  instructions: 30,
  basis: "estimate",
  source: `${LINUX}: one indirect call`,
  range: [15, 60],
};

export const KVM_SET_ACCESSED: Stage = {
  name: "paging_update_accessed_dirty_bits",
  phase: Phase.GuestWalk,
  instructions: 70,
  basis: "estimate",
  source: `${LINUX}: LOCK CMPXCHG on the user address, mark_page_dirty`,
  range: [40, 140],
  atomics: 1,
};
