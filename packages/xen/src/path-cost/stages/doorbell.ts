import { composeStage } from "../compose.js";
import { Phase } from "../phases.js";
import type { Stage } from "../stage.js";

/*
 * A device that a guest notifies, and the ways to its handler. Nothing here was counted. What the emulator does about a
 * page of registers besides these stages (walks of the guest's tables, copies) runs the counted ones.
 */

/** The handler itself, wherever it runs. */
export const DOORBELL_HANDLER: Stage = {
  name: "doorbell handler",
  phase: Phase.DeviceHandler,
  instructions: 40,
  basis: "estimate",
  source: "the least that a device does: an indirect call, a test of its state, one count",
  range: [10, 200],
  touches: [{ object: "data", offsets: [0x200], write: true }],
};

/** Looking at a shared ring; the ring's own lines come on top. */
export const RING_DRAIN: Stage = {
  name: "ring: what is new",
  phase: Phase.DeviceHandler,
  instructions: 30,
  basis: "estimate",
  source: "two indices compared, a read barrier, a write of one index and the barrier before it",
  range: [15, 80],
};

/** One descriptor; its line comes on top. */
export const RING_MESSAGE: Stage = {
  name: "ring: one descriptor",
  phase: Phase.DeviceHandler,
  instructions: 25,
  basis: "estimate",
  source: "index to slot, three loads, a bounds check and a sum",
  range: [15, 120],
};

/** The body of a hypercall that names the device's signal by number. */
export const DOORBELL_NOTIFY: Stage = {
  name: "doorbell.notify",
  phase: Phase.Operation,
  instructions: 45,
  basis: "estimate",
  source: "a table of bound signals indexed by number with its bounds check, one indirect call",
  range: [20, 120],
};

/** The same where the hypercall names a guest-physical address: the device has to be found as for an access to it. */
export const DOORBELL_MMIO_WRITE: Stage = {
  name: "doorbell.mmio_write",
  phase: Phase.Operation,
  instructions: 140,
  basis: "estimate",
  source:
    "the body of doorbell.notify, and a search of the MMIO handlers like hvm_mmio_internal's with one or two",
  range: [70, 400],
};

/** Fault on a page of registers that is matched by its address alone, before anything else is looked at. */
export const FAST_MMIO: Stage = {
  name: "fast MMIO: address matched without decoding",
  phase: Phase.ExitOperation,
  instructions: { amd: 90, intel: 96 },
  basis: "estimate",
  source:
    "what handle_ept_misconfig and kvm_io_bus_write of Linux do: address by VMREAD, binary search of a bus with one range, instruction length by VMREAD",
  range: [60, 250],
  vmreads: { amd: 0, intel: 2 },
};

/** KVM's fault on a page that is known to be a device's: it does not ask the slots again. */
export const KVM_MMIO_FAULT: Stage = {
  name: "kvm_mmu_page_fault, handle_mmio_page_fault",
  phase: Phase.ExitOperation,
  instructions: { amd: 260, intel: 240 },
  basis: "estimate",
  source:
    "read in source (Linux 6.12): reserved-bit fault on an entry that caches guest frame and access, its generation compared; the first such fault, which makes the entry, is taken for another one",
  range: [140, 500],
  vmreads: { amd: 0, intel: 1 },
};

/** The emulator around the instruction, without fetching it and without what its operand takes. */
export const EMULATE_MMIO: Stage = {
  name: "hvm_emulate_one, x86_emulate of one MOV, hvmemul_do_mmio",
  phase: Phase.ExitOperation,
  instructions: 2600,
  basis: "estimate",
  source:
    "taken to be what handle_mmio has for the local APIC's page on SVM, where the instruction is in the VMCB; walks and copies are stages of their own",
  range: [1500, 6000],
  lfences: 8,
  atomics: 4,
  touches: [
    { object: "vcpu", offsets: [0x380, 0x3c0, 0x400], write: true },
    { object: "domain", offsets: [0x280, 0x2c0] },
    { object: "data", offsets: [0x140, 0x180, 0x1c0] },
  ],
};

const SEND_IOREQ: Stage = {
  name: "ioreq_server_select, hvm_send_ioreq",
  phase: Phase.ExitOperation,
  instructions: 420,
  basis: "estimate",
  source:
    "read in source: the servers' range sets under a spin lock, ioreq filled in, state change behind a barrier, notify_via_xen_event_channel",
  range: [220, 900],
  lfences: 2,
  lockLfences: 2,
  atomics: 4,
  touches: [
    { object: "domain", offsets: [0x340, 0x380] },
    { object: "vcpu", offsets: [0x400], write: true },
  ],
};

const IOREQ_COMPLETION: Stage = {
  name: "vcpu_ioreq_handle_completion",
  phase: Phase.ReturnPath,
  instructions: 250,
  basis: "estimate",
  source: "read in source: wait for the state of the ioreq, hvm_do_resume, completion by kind",
  range: [120, 600],
  lfences: 1,
  touches: [{ object: "vcpu", offsets: [0x400], write: true }],
};

/** From one domain's vCPU to another's on the same physical CPU, one way. */
const DOMAIN_SWITCH: Stage = {
  name: "schedule, context_switch: to another domain's vCPU",
  phase: Phase.DomainSwitch,
  instructions: 4100,
  basis: "estimate",
  source:
    "half of the switch to idle and back (6500, an estimate itself), and some 850 for what a switch to idle leaves in place: control structure, FPU, MSRs, segment state",
  range: [2500, 9000],
  lfences: 12,
  lockLfences: 10,
  atomics: 20,
  touches: [
    { object: "vcpu", offsets: [0, 64, 128], write: true },
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "runstate", offsets: [0], write: true },
  ],
};

/** IBPB when a processor goes from one domain to another (`spec-ctrl=ibpb`, on by default). */
export const CONTEXT_SWITCH_IBPB: Stage = {
  name: "context_switch: IBPB",
  phase: Phase.Ibpb,
  instructions: 6,
  basis: "estimate",
  source: "read in source: comparison with the vCPU that ran here last, WRMSR",
  range: [5, 20],
  ibpb: 1,
};

/** The request, and the way out of the guest's domain, up to the IBPB of the switch. */
export const TO_DEVICE_MODEL: Stage = composeStage("ioreq to the device model", "", [
  SEND_IOREQ,
  DOMAIN_SWITCH,
]);

const DEVICE_MODEL_KERNEL: Stage = {
  name: "device model's kernel: event upcall, wake-up, scheduler",
  phase: Phase.DeviceModelKernel,
  instructions: 6500,
  basis: "estimate",
  source:
    "parts of a Linux kernel as a domain: upcall and evtchn_2l_handle_events, the evtchn driver's ring and wake-up, schedule to the process that polls, return to user mode",
  range: [3000, 14000],
  lfences: 8,
  atomics: 30,
  touches: [{ object: "shared_info", offsets: [0, 64], write: true }],
};

const DEVICE_MODEL: Stage = {
  name: "device model: from poll to the device, and the notification back",
  phase: Phase.UserSpaceMonitor,
  instructions: 4200,
  basis: "estimate",
  source:
    "main loop of a device model: return from poll, read of the event device, ioreq copied and dispatched through the memory or port tree; then the ioctl's system call",
  range: [1500, 10000],
  atomics: 6,
};

/** In the device model's domain, before the handler. */
export const IN_DEVICE_MODEL: Stage = composeStage("device model", "", [DEVICE_MODEL_KERNEL, DEVICE_MODEL]);

const NOTIFY_GUEST: Stage = {
  name: "device model's domain: IOCTL_EVTCHN_NOTIFY, evtchn_send, block",
  phase: Phase.DeviceModelKernel,
  instructions: 3200,
  basis: "estimate",
  source:
    "ioctl into the evtchn driver, two hypercalls of the domain's (evtchn_send and SCHEDOP_block) at some 750 instructions of Xen each, idle loop of its kernel",
  range: [1500, 8000],
  atomics: 16,
};

/** From the handler back to the guest's domain, up to the IBPB of the switch. */
export const FROM_DEVICE_MODEL: Stage = composeStage("device model to the guest", "", [
  NOTIFY_GUEST,
  DOMAIN_SWITCH,
]);

/** After the switch back. */
export const IOREQ_DONE: Stage = IOREQ_COMPLETION;

/** An exception intercept that looks whether it was a hypercall instruction, up to the fetch. */
export const UNDEFINED_INSTRUCTION: Stage = {
  name: "#UD intercept: what was it?",
  phase: Phase.ExitOperation,
  instructions: 160,
  basis: "estimate",
  source:
    "read in source: hvm_ud_intercept of Xen and handle_ud of Linux: vector, privilege and mode, set-up of an emulation context",
  range: [80, 400],
  vmreads: { amd: 0, intel: 1 },
};

/** Stages that run in systems with a doorbell or with fixed-up hypercall instructions alone. */
export const DOORBELL_STAGES: readonly Stage[] = [
  DOORBELL_HANDLER,
  RING_DRAIN,
  RING_MESSAGE,
  FAST_MMIO,
  KVM_MMIO_FAULT,
  EMULATE_MMIO,
  TO_DEVICE_MODEL,
  IN_DEVICE_MODEL,
  FROM_DEVICE_MODEL,
  CONTEXT_SWITCH_IBPB,
  IOREQ_DONE,
  UNDEFINED_INSTRUCTION,
];
