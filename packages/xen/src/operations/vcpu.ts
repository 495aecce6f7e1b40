import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  RUNSTATE_OFFLINE,
  VCPU_GET_PHYSID,
  VCPU_GET_RUNSTATE_INFO,
  VCPU_GET_RUNSTATE_INFO_IN,
  VCPU_IS_UP,
  VCPU_IS_UP_IN,
  VCPU_REGISTER_VCPU_INFO,
  VCPU_REGISTER_VCPU_INFO_IN,
} from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

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
    return vcpu.runstate.state === RUNSTATE_OFFLINE ? 0 : 1;
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

/** VCPUOP_get_physid: only for a hardware domain's vCPU that is pinned, which none here is. */
export const getPhysid: Operation = {
  descriptor: VCPU_GET_PHYSID,
  stage: DO_VCPU_OP_PHYSID,
  handle: (call) => (call.domain.vcpus[call.inputs[0]] === undefined ? -Errno.ENOENT : -Errno.EINVAL),
};

/** Bytes of a `vcpu_info`, and what its address must be a multiple of. */
const VCPU_INFO_BYTES = 64;
const VCPU_INFO_ALIGN = 8;

const MAP_GUEST_AREA: Stage = {
  name: "map_guest_area (vcpu_info)",
  phase: "operation",
  instructions: 450,
  basis: "estimate",
  source:
    "read in source: type reference, global mapping, copy of the old contents, event marking; the p2m look-up is its own stage",
  range: [250, 1500],
  coldBranches: 37,
  lfences: 4,
  lockLfences: 4,
  atomics: 6,
};

/** VCPUOP_register_vcpu_info: once for each vCPU, within one page of RAM. */
export const registerVcpuInfo: Operation = {
  descriptor: VCPU_REGISTER_VCPU_INFO,
  stage: MAP_GUEST_AREA,
  handle: (call) => {
    const { inputs, domain } = call;
    const { vcpuid, mfn, offset } = VCPU_REGISTER_VCPU_INFO_IN;
    const id = inputs[vcpuid];
    if (domain.vcpus[id] === undefined) return -Errno.ENOENT;
    const at = inputs[offset] >>> 0;
    if (at > 4096 - VCPU_INFO_BYTES || at % VCPU_INFO_ALIGN !== 0) return -Errno.ENXIO;
    const { events } = domain.eventChannels;
    if (!events.hasInitialVcpuInfo(id)) return -Errno.EBUSY;
    // The reference that the look-up takes stays for as long as the area is registered.
    const frame = domain.p2m.lookup((inputs[mfn + 1] >>> 0) * 2 ** 32 + (inputs[mfn] >>> 0));
    if (frame < 0) return -Errno.EINVAL;
    events.moveVcpuInfo(id, frame, at);
    return 0;
  },
};
