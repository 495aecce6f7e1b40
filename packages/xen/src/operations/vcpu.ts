import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  SHUTDOWN_POWEROFF,
  VCPU_DOWN,
  VCPU_DOWN_IN,
  VCPU_GET_PHYSID,
  VCPU_GET_PHYSID_IN,
  VCPU_GET_PHYSID_OUT,
  VCPU_GET_RUNSTATE_INFO,
  VCPU_GET_RUNSTATE_INFO_IN,
  VCPU_INITIALISE,
  VCPU_INITIALISE_IN,
  VCPU_IS_UP,
  VCPU_IS_UP_IN,
  VCPU_SEND_NMI,
  VCPU_SEND_NMI_IN,
  VCPU_UP,
  VCPU_UP_IN,
} from "./descriptors.gen.js";
import { loadContext, VCPU_HVM_CONTEXT_BYTES } from "./hvm-context.js";
import type { Operation, OperationCall } from "./operation.js";
import { wideInput } from "./word-pair.js";

const DO_VCPU_OP_IS_UP: Stage = {
  name: "do_vcpu_op (is_up)",
  phase: "operation",
  instructions: 54,
  basis: "derived",
  source: "counted on real Xen: 709 (710) for the call less 655 for an unknown one; 54 on VMX too",
  range: [54, 69],
  coldBranches: 4,
  touches: [{ object: "vcpu", offsets: [0] }],
};

const DO_VCPU_OP_RUNSTATE: Stage = {
  name: "do_vcpu_op (get_runstate_info)",
  phase: "operation",
  instructions: 102,
  basis: "derived",
  source:
    "counted on real Xen: 758 for the register-only call less 641 to 656 for an unknown one; LFENCE of NOW()'s RDTSC",
  range: [102, 117],
  coldBranches: 7,
  lfences: 1,
  touches: [
    { object: "vcpu", offsets: [0] },
    { object: "runstate", offsets: [0] },
    { object: "percpu", offsets: [0] }, // scale factors of the system time
  ],
};

const DO_VCPU_OP_PHYSID: Stage = {
  name: "do_vcpu_op (get_physid)",
  phase: "operation",
  instructions: 60,
  basis: "estimate",
  source: "is_up and the test that refuses",
  range: [54, 80],
  coldBranches: 4,
};

/** VCPUOP_is_up. */
export const isUp: Operation = {
  descriptor: VCPU_IS_UP,
  stage: DO_VCPU_OP_IS_UP,
  handle: (call) => {
    const vcpu = call.domain.vcpus[call.inputs[VCPU_IS_UP_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    return vcpu.down ? 0 : 1;
  },
};

/** An operation on a vCPU under the domain's lock. */
function underDomainLock(name: string, instructions: number, range: readonly [number, number]): Stage {
  return {
    name,
    phase: "operation",
    instructions,
    basis: "estimate",
    source: "read in source: is_up, domain_lock and what it guards",
    range,
    lfences: 2,
    lockLfences: 2,
    atomics: 3,
    touches: [
      { object: "vcpu", offsets: [0], write: true },
      { object: "domain", offsets: [0], write: true },
    ],
    lock: "domain",
  };
}

/** VCPUOP_initialise: first registers of a vCPU that has none yet. */
export const initialise: Operation = {
  descriptor: VCPU_INITIALISE,
  rare: true,
  stage: underDomainLock("arch_initialise_vcpu, arch_set_info_hvm_guest", 1400, [800, 3000]),
  handle: (call) => {
    const vcpu = call.domain.vcpus[call.inputs[VCPU_INITIALISE_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    if (call.byRegister && !readContext(call)) return -Errno.EINVAL;
    return loadContext(vcpu, call.access.buffer);
  },
};

/** FastABI names the frame with the context at its beginning. @returns whether there is one */
function readContext(call: OperationCall): boolean {
  const { inputs, domain, access, cost } = call;
  const { contextGfn } = VCPU_INITIALISE_IN;
  const mfn = domain.p2m.lookup(wideInput(inputs, contextGfn));
  if (mfn < 0) return false;
  for (let at = 0; at < VCPU_HVM_CONTEXT_BYTES; at += 64) cost.access(mfn, at, 64, false);
  domain.readFrame(mfn, VCPU_HVM_CONTEXT_BYTES).forEach((byte, at) => {
    access.buffer.setUint8(at, byte);
  });
  domain.p2m.putPage(mfn);
  return true;
}

/** VCPUOP_up. */
export const up: Operation = {
  descriptor: VCPU_UP,
  rare: true,
  stage: underDomainLock("do_vcpu_op (up), vcpu_wake", 220, [120, 500]),
  handle: (call) => {
    const vcpu = call.domain.vcpus[call.inputs[VCPU_UP_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    if (!vcpu.initialised) return -Errno.EINVAL;
    if (!vcpu.down) return 0;
    vcpu.down = false;
    vcpu.runner.kick(call.cost);
    return 0;
  },
};

/** VCPUOP_down: of the last one, ends the domain. */
export const down: Operation = {
  descriptor: VCPU_DOWN,
  rare: true,
  stage: underDomainLock("do_vcpu_op (down), vcpu_sleep_nosync", 200, [100, 500]),
  handle: (call) => {
    const { domain, cost } = call;
    const vcpu = domain.vcpus[call.inputs[VCPU_DOWN_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    if (domain.vcpus.every((each) => each === vcpu || each.down)) {
      domain.shutDown(SHUTDOWN_POWEROFF);
      return 0;
    }
    if (vcpu.down) return 0;
    vcpu.down = true;
    vcpu.runner.kick(cost);
    return 0;
  },
};

/** VCPUOP_send_nmi; the pointer must be null. */
export const sendNmi: Operation = {
  descriptor: VCPU_SEND_NMI,
  rare: true,
  stage: { ...DO_VCPU_OP_IS_UP, name: "do_vcpu_op (send_nmi)", basis: "estimate", source: "like is_up" },
  handle: (call) => {
    const { inputs } = call;
    const vcpu = call.domain.vcpus[inputs[VCPU_SEND_NMI_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    if ((inputs[VCPU_SEND_NMI_IN.arg] | inputs[VCPU_SEND_NMI_IN.arg + 1]) !== 0) return -Errno.EINVAL;
    vcpu.runner.sendNmi(call.cost);
    return 0;
  },
};

/** VCPUOP_get_runstate_info: the operation of the published comparison. */
export const getRunstateInfo: Operation = {
  descriptor: VCPU_GET_RUNSTATE_INFO,
  stage: DO_VCPU_OP_RUNSTATE,
  handle: (call) => {
    const vcpu = call.domain.vcpus[call.inputs[VCPU_GET_RUNSTATE_INFO_IN.vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    const now = call.vcpu;
    now.systemTimeNs();
    vcpu.runstate.read(now.timeLo, now.timeHi, call.outputs);
    return 0;
  },
};

/**
 * VCPUOP_get_physid: only for a hardware domain's vCPUs that are pinned, as all of them are here. Processors have their
 * numbers as local-APIC and ACPI identities.
 */
export const getPhysid: Operation = {
  descriptor: VCPU_GET_PHYSID,
  stage: DO_VCPU_OP_PHYSID,
  handle: ({ inputs, outputs, domain }) => {
    const id = inputs[VCPU_GET_PHYSID_IN.vcpuid];
    if (domain.vcpus[id] === undefined) return -Errno.ENOENT;
    if (!domain.config.hardwareDomain) return -Errno.EINVAL;
    outputs[VCPU_GET_PHYSID_OUT.physId] = id;
    outputs[VCPU_GET_PHYSID_OUT.physId + 1] = id;
    return 0;
  },
};
