import { Errno } from "../errno.js";
import type { GuestArea } from "../guest-areas.js";
import type { Stage } from "../path-cost/stage.js";
import { RUNSTATE_BYTES, RUNSTATE_BYTES_32BIT, RUNSTATE_WORDS } from "../runstate.js";
import { TIME_RECORD_BYTES } from "../time-record.js";
import {
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN,
  VCPU_REGISTER_RUNSTATE_PHYS_AREA,
  VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN,
  VCPU_REGISTER_VCPU_INFO,
  VCPU_REGISTER_VCPU_INFO_IN,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN,
  VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
  VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { wideInput } from "./word-pair.js";

/** Bytes of a `vcpu_info`. */
const VCPU_INFO_BYTES = 64;
const PAGE = 4096;

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

const MAP_OTHER_AREA: Stage = { ...MAP_GUEST_AREA, name: "map_guest_area (runstate, time)" };

const REGISTER_HANDLE: Stage = {
  name: "do_vcpu_op (register_{runstate,vcpu_time}_memory_area)",
  phase: "operation",
  instructions: 110,
  basis: "estimate",
  source: "read in source: the address is noted; the first copy is priced as any other",
  range: [60, 250],
  lfences: 1,
  touches: [
    { object: "vcpu", offsets: [0, 0x4c0], write: true },
    { object: "runstate", offsets: [0] },
  ],
};

/** VCPUOP_register_vcpu_info: once for each vCPU, within one page of RAM. Checks in the order of `common_vcpu_op`. */
export const registerVcpuInfo: Operation = {
  descriptor: VCPU_REGISTER_VCPU_INFO,
  stage: MAP_GUEST_AREA,
  handle: (call) => {
    const { inputs, domain } = call;
    const { vcpuid, mfn, offset } = VCPU_REGISTER_VCPU_INFO_IN;
    const id = inputs[vcpuid];
    const vcpu = domain.vcpus[id];
    if (vcpu === undefined) return -Errno.ENOENT;
    const at = inputs[offset] >>> 0;
    if (at >= PAGE) return -Errno.EINVAL;
    const { events } = domain.eventChannels;
    if (!events.hasInitialVcpuInfo(id)) return -Errno.EBUSY;
    if (!fits(call, at, VCPU_INFO_BYTES)) return -Errno.ENXIO;
    // The reference that the look-up takes stays for as long as the area is registered.
    const frame = domain.p2m.lookupForWriting(wideInput(inputs, mfn));
    if (frame < 0) return -Errno.EINVAL;
    events.moveVcpuInfo(id, frame, at);
    vcpu.areas.updateTime(call.vcpu, true);
    return 0;
  },
};

/** VCPUOP_register_runstate_memory_area: a copy that does not succeed is no error. */
export const registerRunstateMemoryArea: Operation = {
  descriptor: VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  stage: REGISTER_HANDLE,
  rare: true,
  handle: (call) => {
    const { vcpuid, addrH } = VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN;
    const vcpu = call.domain.vcpus[call.inputs[vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    const { areas, runstate } = vcpu;
    areas.runstate.handleLo = call.inputs[addrH];
    areas.runstate.handleHi = call.inputs[addrH + 1];
    const words = new Int32Array(RUNSTATE_WORDS);
    if (vcpu === call.vcpu) runstate.record(words);
    else {
      call.vcpu.systemTimeNs();
      runstate.read(call.vcpu.timeLo, call.vcpu.timeHi, words);
    }
    areas.copyRunstate(words, call.compat, call.vcpu);
    return 0;
  },
};

/** VCPUOP_register_runstate_phys_area: another vCPU's is filled at its next change. */
export const registerRunstatePhysArea: Operation = {
  descriptor: VCPU_REGISTER_RUNSTATE_PHYS_AREA,
  stage: MAP_OTHER_AREA,
  rare: true,
  handle: (call) => {
    const { vcpuid, addrP } = VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN;
    const vcpu = call.domain.vcpus[call.inputs[vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    const { areas, runstate } = vcpu;
    const bytes = call.compat ? RUNSTATE_BYTES_32BIT : RUNSTATE_BYTES;
    const error = map(call, areas.runstate, addrP, bytes);
    if (error !== 0 || areas.runstate.frame < 0) return error;
    areas.runstate.is32Bit = call.compat;
    if (vcpu !== call.vcpu) return 0;
    const words = new Int32Array(RUNSTATE_WORDS);
    runstate.record(words);
    areas.fillRunstate(words, call.vcpu);
    return 0;
  },
};

/** VCPUOP_register_vcpu_time_memory_area. */
export const registerVcpuTimeMemoryArea: Operation = {
  descriptor: VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  stage: REGISTER_HANDLE,
  rare: true,
  handle: (call) => {
    const { vcpuid, addrH } = VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN;
    const vcpu = call.domain.vcpus[call.inputs[vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    const { areas } = vcpu;
    areas.time.handleLo = call.inputs[addrH];
    areas.time.handleHi = call.inputs[addrH + 1];
    areas.updateTime(call.vcpu, true);
    return 0;
  },
};

/** VCPUOP_register_vcpu_time_phys_area. */
export const registerVcpuTimePhysArea: Operation = {
  descriptor: VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
  stage: MAP_OTHER_AREA,
  rare: true,
  handle: (call) => {
    const { vcpuid, addrP } = VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN;
    const vcpu = call.domain.vcpus[call.inputs[vcpuid]];
    if (vcpu === undefined) return -Errno.ENOENT;
    const error = map(call, vcpu.areas.time, addrP, TIME_RECORD_BYTES);
    if (error === 0 && vcpu.areas.time.frame >= 0) vcpu.areas.fillTime(call.vcpu);
    return error;
  },
};

/** `map_guest_area`: takes the place of the area there was; all ones only ends that. @returns 0, -ENXIO or -EINVAL */
function map(call: OperationCall, area: GuestArea, address: number, bytes: number): number {
  const { inputs, domain } = call;
  const lo = inputs[address];
  const hi = inputs[address + 1];
  const { p2m } = domain;
  let frame = -1;
  if ((lo & hi) !== -1) {
    if (!fits(call, lo & (PAGE - 1), bytes)) return -Errno.ENXIO;
    frame = p2m.lookupForWriting((hi >>> 0) * (2 ** 32 / PAGE) + (lo >>> 12));
    if (frame < 0) return -Errno.EINVAL;
  }
  if (area.frame >= 0) p2m.putPage(area.frame);
  area.frame = frame;
  area.offset = lo & (PAGE - 1);
  return 0;
}

/** Within one page, and aligned as an `unsigned long` of the guest's. */
function fits({ domain }: OperationCall, offset: number, bytes: number): boolean {
  const align = domain.eventChannels.events.is32Bit ? 4 : 8;
  return offset + bytes <= PAGE && offset % align === 0;
}
