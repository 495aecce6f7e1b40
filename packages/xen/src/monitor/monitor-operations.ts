import { Errno } from "../errno.js";
import type { KvmVcpuXen } from "../host/kvm/kvm-vcpu-xen.js";
import type { SlotAccess } from "../host/kvm/slot-access.js";
import { KVM_XEN_INVALID_GPA, type KvmXenVcpuAttr, KvmXenVcpuAttrType } from "../host/kvm/uapi.js";
import {
  EVENT_CHANNEL_BIND_INTERDOMAIN,
  EVENT_CHANNEL_BIND_IPI,
  EVENT_CHANNEL_BIND_VCPU,
  EVENT_CHANNEL_BIND_VCPU_IN,
  EVENT_CHANNEL_BIND_VIRQ,
  EVENT_CHANNEL_CLOSE,
  EVENT_CHANNEL_CLOSE_IN,
  EVENT_CHANNEL_EXPAND_ARRAY,
  EVENT_CHANNEL_INIT_CONTROL,
  EVENT_CHANNEL_RESET,
  EVENT_CHANNEL_SET_PRIORITY,
  VCPU_GET_RUNSTATE_INFO,
  VCPU_GET_RUNSTATE_INFO_IN,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN,
  VCPU_REGISTER_RUNSTATE_PHYS_AREA,
  VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN,
  VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
  VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN,
} from "../operations/descriptors.gen.js";
import type { Operation, OperationCall, OperationDescriptor } from "../operations/operation.js";
import type { KvmAttributes } from "./kvm-attributes.js";
import { MONITOR_STAGES } from "./monitor-stages.js";

/** FIFO event channels need a hypervisor that knows them: KVM delivers 2-level ones alone. */
const NOT_SERVED: readonly OperationDescriptor[] = [
  EVENT_CHANNEL_INIT_CONTROL,
  EVENT_CHANNEL_EXPAND_ARRAY,
  EVENT_CHANNEL_SET_PRIORITY,
];

/** What the monitor's own handlers use of KVM. */
export interface MonitorKernel {
  readonly attributes: KvmAttributes;
  /** By vCPU. */
  readonly vcpus: readonly KvmVcpuXen[];
  readonly access: SlotAccess;
  /** What the system call around an attribute costs. */
  readonly call: () => void;
}

type Handle = Operation["handle"];

/**
 * Xen's operations as the monitor serves them: the same behaviour, at what a user-space handler costs, and with KVM told of
 * what it does by itself. They are compiled when they first run.
 */
export function monitorOperations(
  operations: readonly Operation[],
  kernel: MonitorKernel,
): readonly Operation[] {
  const own = ownHandles(kernel);
  return operations
    .filter(({ descriptor }) => !NOT_SERVED.includes(descriptor))
    .map((operation) => {
      const { descriptor, handle } = operation;
      return {
        ...operation,
        rare: true,
        stage: MONITOR_STAGES.get(descriptor) ?? operation.stage,
        handle: own.get(descriptor)?.(handle) ?? handle,
      };
    });
}

/** Handlers that differ from Xen's, made from those. */
function ownHandles(kernel: MonitorKernel): ReadonlyMap<OperationDescriptor, (xen: Handle) => Handle> {
  const { attributes, vcpus, access, call: pay } = kernel;
  /** The port is the operation's result, or one of its inputs. */
  const port =
    (input: number) =>
    (xen: Handle): Handle =>
    (call) => {
      const given = call.inputs[Math.max(input, 0)];
      const result = xen(call);
      if (result === 0) attributes.portChanged(input < 0 ? call.outputs[0] : given);
      return result;
    };
  const set = (call: OperationCall, id: number, attr: KvmXenVcpuAttr): number => {
    const vcpu = vcpus[call.inputs[id]];
    if (vcpu === undefined) return -Errno.ENOENT;
    pay();
    return vcpu.xenSetAttr(attr);
  };
  /** An area that the kernel keeps, at a linear address of the guest's or a physical one. */
  const area = (type: AreaType, id: number, address: number, isLinear: boolean) => (): Handle => (call) => {
    const [lo, hi] = [call.inputs[address], call.inputs[address + 1]];
    const none = isLinear ? (lo | hi) === 0 : (lo & hi) === -1;
    const physical = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    const gpa = none ? KVM_XEN_INVALID_GPA : isLinear ? access.translate(lo, hi) : physical;
    return gpa < 0 ? -Errno.EFAULT : set(call, id, { type, gpa });
  };
  const { RUNSTATE_ADDR, VCPU_TIME_INFO } = KvmXenVcpuAttrType;
  return new Map<OperationDescriptor, (xen: Handle) => Handle>([
    [EVENT_CHANNEL_BIND_IPI, port(-1)],
    [EVENT_CHANNEL_BIND_INTERDOMAIN, port(-1)],
    [EVENT_CHANNEL_BIND_VIRQ, port(-1)],
    [EVENT_CHANNEL_CLOSE, port(EVENT_CHANNEL_CLOSE_IN.port)],
    [EVENT_CHANNEL_BIND_VCPU, port(EVENT_CHANNEL_BIND_VCPU_IN.port)],
    [
      EVENT_CHANNEL_RESET,
      (xen) => (call) => {
        const result = xen(call);
        if (result === 0) attributes.portsReset();
        return result;
      },
    ],
    [
      VCPU_GET_RUNSTATE_INFO,
      () => (call) => {
        const vcpu = vcpus[call.inputs[VCPU_GET_RUNSTATE_INFO_IN.vcpuid]];
        if (vcpu === undefined) return -Errno.ENOENT;
        pay();
        return readRunstate(vcpu, call);
      },
    ],
    [
      VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
      area(
        RUNSTATE_ADDR,
        VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN.vcpuid,
        VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN.addrH,
        true,
      ),
    ],
    [
      VCPU_REGISTER_RUNSTATE_PHYS_AREA,
      area(
        RUNSTATE_ADDR,
        VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN.vcpuid,
        VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN.addrP,
        false,
      ),
    ],
    [
      VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
      area(
        VCPU_TIME_INFO,
        VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN.vcpuid,
        VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN.addrH,
        true,
      ),
    ],
    [
      VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
      area(
        VCPU_TIME_INFO,
        VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN.vcpuid,
        VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN.addrP,
        false,
      ),
    ],
  ]);
}

type AreaType = typeof KvmXenVcpuAttrType.RUNSTATE_ADDR | typeof KvmXenVcpuAttrType.VCPU_TIME_INFO;

/** RUNSTATE_DATA is as of the latest change of state: what has passed since then comes on top, as in Xen's answer. */
function readRunstate(vcpu: KvmVcpuXen, { vcpu: caller, outputs }: OperationCall): number {
  const attr = vcpu.xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_DATA);
  if (typeof attr === "number") return attr;
  const { state, stateEntryTime, timeRunning, timeRunnable, timeBlocked, timeOffline } = attr.runstate;
  const times = [timeRunning, timeRunnable, timeBlocked, timeOffline];
  times[state] += BigInt(caller.nowNs) - stateEntryTime;
  outputs[0] = state;
  [stateEntryTime, ...times].forEach((ns, i) => {
    outputs[2 + 2 * i] = Number(BigInt.asIntN(32, ns));
    outputs[3 + 2 * i] = Number(BigInt.asIntN(32, ns >> 32n));
  });
  return 0;
}
