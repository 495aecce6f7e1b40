import { Errno } from "../errno.js";
import {
  EVENT_CHANNEL_ALLOC_UNBOUND,
  EVENT_CHANNEL_BIND_INTERDOMAIN,
  EVENT_CHANNEL_BIND_IPI,
  EVENT_CHANNEL_BIND_PIRQ,
  EVENT_CHANNEL_BIND_VCPU,
  EVENT_CHANNEL_BIND_VIRQ,
  EVENT_CHANNEL_CLOSE,
  EVENT_CHANNEL_RESET,
  EVENT_CHANNEL_SEND,
  EVENT_CHANNEL_STATUS,
  EVENT_CHANNEL_UNMASK,
  GRANT_TABLE_GET_VERSION,
  GRANT_TABLE_QUERY_SIZE,
  GRANT_TABLE_SET_VERSION,
  HVM_GET_PARAM,
  HVM_GET_PARAM_IN,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_SET_EVTCHN_UPCALL_VECTOR,
  HVM_SET_PARAM,
  HVM_SET_PARAM_IN,
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_BATCH,
  MEMORY_ADD_TO_PHYSMAP_IN,
  PHYSDEV_MAP_PIRQ,
  PHYSDEV_UNMAP_PIRQ,
  SCHED_POLL,
  SCHED_SHUTDOWN,
  SCHED_YIELD,
  SET_TIMER_OP_SET,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  VCPU_REGISTER_VCPU_INFO,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  VCPU_SET_PERIODIC_TIMER,
  VCPU_SET_SINGLESHOT_TIMER,
  VCPU_STOP_PERIODIC_TIMER,
  VCPU_STOP_SINGLESHOT_TIMER,
  VERSION_GET_FEATURES,
  XENMAPSPACE_DEV_MMIO,
  XENMAPSPACE_GMFN,
  XENMAPSPACE_GMFN_FOREIGN,
  XENMAPSPACE_GMFN_RANGE,
} from "../operations/descriptors.gen.js";
import type { Operation, OperationDescriptor } from "../operations/operation.js";

/** What a monitor serves: all operations that Xen has here but those about FIFO events, or those that QEMU does. */
export const MONITORS = ["all", "qemu"] as const;
export type MonitorName = (typeof MONITORS)[number];

/** What QEMU 8.2 and later serves (`target/i386/kvm/xen-emu.c`); the guest gets -ENOSYS for all else that leaves the kernel. */
const SERVED: ReadonlySet<OperationDescriptor> = new Set([
  VERSION_GET_FEATURES,
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_BATCH,
  HVM_SET_EVTCHN_UPCALL_VECTOR,
  HVM_SET_PARAM,
  HVM_GET_PARAM,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  VCPU_REGISTER_VCPU_INFO,
  VCPU_SET_SINGLESHOT_TIMER,
  VCPU_STOP_SINGLESHOT_TIMER,
  VCPU_SET_PERIODIC_TIMER,
  VCPU_STOP_PERIODIC_TIMER,
  EVENT_CHANNEL_STATUS,
  EVENT_CHANNEL_CLOSE,
  EVENT_CHANNEL_UNMASK,
  EVENT_CHANNEL_BIND_VIRQ,
  EVENT_CHANNEL_BIND_PIRQ,
  EVENT_CHANNEL_BIND_IPI,
  EVENT_CHANNEL_SEND,
  EVENT_CHANNEL_ALLOC_UNBOUND,
  EVENT_CHANNEL_BIND_INTERDOMAIN,
  EVENT_CHANNEL_BIND_VCPU,
  EVENT_CHANNEL_RESET,
  SCHED_SHUTDOWN,
  SCHED_POLL,
  SCHED_YIELD,
  GRANT_TABLE_SET_VERSION,
  GRANT_TABLE_GET_VERSION,
  GRANT_TABLE_QUERY_SIZE,
  PHYSDEV_MAP_PIRQ,
  PHYSDEV_UNMAP_PIRQ,
  SET_TIMER_OP_SET,
]);

/** HVM parameters that it knows; the console's since 8.2. */
const READABLE: readonly number[] = [
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_CONSOLE_EVTCHN,
];

/** What it answers for address spaces of XENMEM_add_to_physmap that it does not map. */
const REFUSED_SPACES: ReadonlyMap<number, number> = new Map([
  [XENMAPSPACE_GMFN, -Errno.EOPNOTSUPP],
  [XENMAPSPACE_GMFN_RANGE, -Errno.EOPNOTSUPP],
  [XENMAPSPACE_GMFN_FOREIGN, -Errno.EPERM],
  [XENMAPSPACE_DEV_MMIO, -Errno.EPERM],
]);

/** The operations that QEMU has among a monitor's, as far as their arguments decide with its answers. */
export function qemuOperations(operations: readonly Operation[]): readonly Operation[] {
  return operations
    .filter(({ descriptor }) => SERVED.has(descriptor))
    .map((operation) => {
      const { descriptor, handle } = operation;
      switch (descriptor) {
        case HVM_SET_PARAM:
          return {
            ...operation,
            handle: (call) =>
              call.inputs[HVM_SET_PARAM_IN.index] === HVM_PARAM_CALLBACK_IRQ ? handle(call) : -Errno.ENOSYS,
          };
        case HVM_GET_PARAM:
          return {
            ...operation,
            handle: (call) =>
              READABLE.includes(call.inputs[HVM_GET_PARAM_IN.index]) ? handle(call) : -Errno.ENOSYS,
          };
        case MEMORY_ADD_TO_PHYSMAP:
          return {
            ...operation,
            handle: (call) => REFUSED_SPACES.get(call.inputs[MEMORY_ADD_TO_PHYSMAP_IN.space]) ?? handle(call),
          };
        default:
          return operation;
      }
    });
}
