import { Errno } from "../errno.js";
import { DOMID_SELF } from "../event-channel.js";
import { isAnyRamType, isReadOnlyType, P2mType } from "../p2m-type.js";
import type { Stage } from "../path-cost/stage.js";
import {
  HVM_FLUSH_TLBS,
  HVM_GET_MEM_TYPE,
  HVM_GET_MEM_TYPE_IN,
  HVM_GET_MEM_TYPE_OUT,
  HVM_GET_PARAM,
  HVM_GET_PARAM_IN,
  HVM_GET_PARAM_OUT,
  HVM_GET_TIME,
  HVM_GET_TIME_OUT,
  HVM_NR_PARAMS,
  HVM_PARAM_ACPI_IOPORTS_LOCATION,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_X87_FIP_WIDTH,
  HVM_SET_EVTCHN_UPCALL_VECTOR,
  HVM_SET_EVTCHN_UPCALL_VECTOR_IN,
  HVM_SET_PARAM,
  HVM_SET_PARAM_IN,
  HVMMEM_MMIO_DM,
  HVMMEM_RAM_RO,
  HVMMEM_RAM_RW,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { wide, wideInput } from "./word-pair.js";

/** Parameters that a guest may set on itself (`hvm_allow_set_param`). */
const SETTABLE: readonly number[] = [
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_ACPI_IOPORTS_LOCATION,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_X87_FIP_WIDTH,
];
/** And those that it may only read (`hvm_allow_get_param`). */
const READABLE: readonly number[] = [
  ...SETTABLE,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_ALTP2M,
];
/** Numbers that lost their meaning: -EINVAL, where other forbidden ones are -EPERM. */
const DEPRECATED: readonly number[] = [3, 4, 7, 8, 13, 20, 21, 22, 23, 24, 25, 30];

const HVMOP_GET_TIME: Stage = {
  name: "do_hvm_op (get_time)",
  phase: "operation",
  instructions: 33,
  basis: "derived",
  source: "counted on real Xen: 689 for the register-only call less 641 to 656 for an unknown one",
  range: [33, 48],
  coldBranches: 3,
  lfences: 1,
  touches: [{ object: "percpu", offsets: [0] }],
};

const HVMOP_PARAM: Stage = {
  name: "do_hvm_op (param)",
  phase: "operation",
  instructions: 120,
  basis: "estimate",
  source: "read in source: domain look-up, XSM hook, two switches over the index",
  range: [80, 220],
  lfences: 1,
  atomics: 2,
  touches: [{ object: "domain", offsets: [0, 64] }],
};

export const HVMOP_FLUSH_TLBS: Stage = {
  name: "do_hvm_op (flush_tlbs)",
  phase: "operation",
  instructions: 160,
  basis: "estimate",
  source: "read in source: hap_flush_vcpus on one vCPU: a new ASID and the flush mask, no IPI",
  range: [90, 400],
  coldBranches: 12,
  atomics: 4,
};

/** HVMOP_get_time: guest time in nanoseconds. */
export const getTime: Operation = {
  descriptor: HVM_GET_TIME,
  stage: HVMOP_GET_TIME,
  handle: (call) => {
    const { vcpu, outputs } = call;
    vcpu.systemTimeNs();
    outputs[HVM_GET_TIME_OUT.now] = vcpu.timeLo;
    outputs[HVM_GET_TIME_OUT.now + 1] = vcpu.timeHi;
    return 0;
  },
};

/** HVMOP_get_param. */
export const getParam: Operation = {
  descriptor: HVM_GET_PARAM,
  stage: HVMOP_PARAM,
  handle: (call) => {
    const index = call.inputs[HVM_GET_PARAM_IN.index];
    const error = checkParam(call, index, READABLE);
    if (error !== 0) return error;
    const { params, eventChannels } = call.domain;
    const isCallback = index === HVM_PARAM_CALLBACK_IRQ;
    const value = params[index];
    call.outputs[HVM_GET_PARAM_OUT.value] = isCallback ? eventChannels.callbackLo : value | 0;
    call.outputs[HVM_GET_PARAM_OUT.value + 1] = isCallback
      ? eventChannels.callbackHi
      : Math.floor(value / 2 ** 32) | 0;
    return 0;
  },
};

/** HVMOP_set_param. Values above 2^53, which no parameter but CALLBACK_IRQ has, are rounded. */
export const setParam: Operation = {
  descriptor: HVM_SET_PARAM,
  stage: HVMOP_PARAM,
  handle: (call) => {
    const index = call.inputs[HVM_SET_PARAM_IN.index];
    const error = checkParam(call, index, SETTABLE);
    if (error !== 0) return error;
    const lo = call.inputs[HVM_SET_PARAM_IN.value];
    const hi = call.inputs[HVM_SET_PARAM_IN.value + 1];
    if (index === HVM_PARAM_X87_FIP_WIDTH && (hi !== 0 || (lo !== 0 && lo !== 4 && lo !== 8)))
      return -Errno.EINVAL;
    call.domain.params[index] = wide(lo, hi);
    // Its type is in the top byte, which a double would round away together with the vector.
    if (index === HVM_PARAM_CALLBACK_IRQ) {
      call.domain.eventChannels.setCallback(lo, hi);
      call.domain.latchLayout(call.compat);
    }
    return 0;
  },
};

/** HVMOP_flush_tlbs on all vCPUs; the argument must be null. */
export const flushTlbs: Operation = {
  descriptor: HVM_FLUSH_TLBS,
  stage: HVMOP_FLUSH_TLBS,
  handle: (call) => {
    if (call.inputs[0] !== 0 || call.inputs[1] !== 0) return -Errno.EINVAL;
    for (const vcpu of call.domain.vcpus) vcpu.flushTlb();
    return 0;
  },
};

const HVMOP_GET_MEM_TYPE: Stage = {
  ...HVMOP_PARAM,
  name: "do_hvm_op (get_mem_type)",
  instructions: 150,
  range: [90, 300],
};

/** HVMOP_get_mem_type: what a guest frame is, in the few words that guests have for it. */
export const getMemType: Operation = {
  descriptor: HVM_GET_MEM_TYPE,
  stage: HVMOP_GET_MEM_TYPE,
  rare: true,
  handle: (call) => {
    const { inputs, domain, outputs } = call;
    const dom = inputs[HVM_GET_MEM_TYPE_IN.domid] & 0xffff;
    if (dom !== DOMID_SELF && dom !== domain.id) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
    const { pfn } = HVM_GET_MEM_TYPE_IN;
    const gfn = wideInput(inputs, pfn);
    const type = domain.p2m.queryType(gfn);
    const isRam = isAnyRamType(type) && type !== P2mType.MapForeign;
    outputs[HVM_GET_MEM_TYPE_OUT.memType] = isReadOnlyType(type)
      ? HVMMEM_RAM_RO
      : isRam || type === P2mType.PopulateOnDemand
        ? HVMMEM_RAM_RW
        : HVMMEM_MMIO_DM;
    return 0;
  },
};

const HVMOP_UPCALL_VECTOR: Stage = {
  ...HVMOP_PARAM,
  name: "do_hvm_op (set_evtchn_upcall_vector)",
  instructions: 80,
  range: [50, 160],
};

/** HVMOP_set_evtchn_upcall_vector: vectors below 16 are the processor's. */
export const setEvtchnUpcallVector: Operation = {
  descriptor: HVM_SET_EVTCHN_UPCALL_VECTOR,
  stage: HVMOP_UPCALL_VECTOR,
  handle: (call) => {
    const { vcpu, vector } = HVM_SET_EVTCHN_UPCALL_VECTOR_IN;
    const value = call.inputs[vector] & 0xff;
    const id = call.inputs[vcpu];
    if (value < 0x10) return -Errno.EINVAL;
    if (call.domain.vcpus[id] === undefined) return -Errno.ENOENT;
    call.domain.eventChannels.upcallVectors[id] = value;
    return 0;
  },
};

function checkParam(call: OperationCall, index: number, allowed: readonly number[]): number {
  if (index < 0 || index >= HVM_NR_PARAMS) return -Errno.EINVAL;
  const dom = call.inputs[HVM_GET_PARAM_IN.domid] & 0xffff;
  if (dom !== DOMID_SELF && dom !== call.domain.id) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
  if (allowed.includes(index)) return 0;
  return DEPRECATED.includes(index) ? -Errno.EINVAL : -Errno.EPERM;
}
