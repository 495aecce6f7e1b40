import { Errno } from "../../errno.js";
import { RUNSTATE_OFFLINE } from "../../operations/descriptors.gen.js";
import { KVM_XEN_ATTR } from "../../path-cost/stages/kvm-events.js";
import type { GfnToPfnCache } from "./gfn-to-pfn-cache.js";
import type { KernelSteps } from "./kernel-steps.js";
import { type KvmVcpuXen, VCPU_INFO_BYTES } from "./kvm-vcpu-xen.js";
import type { KvmVm } from "./kvm-vm.js";
import { KVM_HVA_ERR_BAD } from "./memslots.js";
import { u64 } from "./u64.js";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  KVM_MAX_VCPUS,
  KVM_XEN_INVALID_GFN,
  KVM_XEN_INVALID_GPA,
  KVM_XEN_RUNSTATE_SAME,
  KvmXenAttrType,
  type KvmXenHvmAttr,
  type KvmXenRunstate,
  type KvmXenVcpuAttr,
  KvmXenVcpuAttrType,
} from "./uapi.js";

/** A VM attribute of this type. */
export type HvmAttrOf<T extends KvmXenHvmAttr["type"]> = Extract<KvmXenHvmAttr, { readonly type: T }>;
/** A vCPU attribute of this type. */
export type VcpuAttrOf<T extends KvmXenVcpuAttr["type"]> = Extract<KvmXenVcpuAttr, { readonly type: T }>;

const TIME_INFO_BYTES = 32;
/** First vector that is not an exception's. */
const FIRST_VECTOR = 0x10;

/** `kvm_xen_hvm_set_attr` @returns 0 or a negative errno */
export function* setHvmAttr(vm: KvmVm, attr: KvmXenHvmAttr): KernelSteps<number> {
  vm.cost.run(vm.cost.compile(KVM_XEN_ATTR));
  if (attr.type === KvmXenAttrType.EVTCHN) return vm.evtchnPorts.set(attr, vm.sharedInfo.maxPorts);
  yield* vm.xenLock.lock();
  const result = yield* setLockedHvmAttr(vm, attr);
  vm.xenLock.unlock();
  return result;
}

function* setLockedHvmAttr(
  vm: KvmVm,
  attr: Exclude<KvmXenHvmAttr, { type: typeof KvmXenAttrType.EVTCHN }>,
): KernelSteps<number> {
  switch (attr.type) {
    case KvmXenAttrType.LONG_MODE:
      return yield* vm.setLongMode(attr.longMode);
    case KvmXenAttrType.SHARED_INFO:
      return yield* vm.sharedInfo.setGfn(attr.gfn);
    case KvmXenAttrType.SHARED_INFO_HVA:
      return yield* vm.sharedInfo.setHva(attr.hva);
    case KvmXenAttrType.UPCALL_VECTOR:
      if (!isVector(attr.vector)) return -Errno.EINVAL;
      vm.upcallVector = attr.vector;
      return 0;
    case KvmXenAttrType.XEN_VERSION:
      vm.xenVersion = attr.xenVersion >>> 0;
      return 0;
    case KvmXenAttrType.RUNSTATE_UPDATE_FLAG:
      if (!vm.hasSchedInfo) return -Errno.EOPNOTSUPP;
      vm.runstateUpdateFlag = attr.runstateUpdateFlag;
      return 0;
    default:
      return -Errno.ENOENT;
  }
}

/** `kvm_xen_hvm_get_attr` @returns the attribute, or a negative errno */
export function getHvmAttr<T extends KvmXenHvmAttr["type"]>(vm: KvmVm, type: T): HvmAttrOf<T> | number {
  vm.cost.run(vm.cost.compile(KVM_XEN_ATTR));
  // The union's members are told apart by the very type that was asked for.
  return readHvmAttr(vm, type) as HvmAttrOf<T> | number;
}

function readHvmAttr(vm: KvmVm, type: KvmXenHvmAttr["type"]): KvmXenHvmAttr | number {
  const { cache } = vm.sharedInfo;
  switch (type) {
    case KvmXenAttrType.LONG_MODE:
      return { type, longMode: vm.longMode };
    case KvmXenAttrType.SHARED_INFO:
      return { type, gfn: cache.isGpaActive ? Math.floor(cache.gpa / 4096) : KVM_XEN_INVALID_GFN };
    case KvmXenAttrType.SHARED_INFO_HVA:
      return { type, hva: cache.isHvaActive ? cache.uhva : 0 };
    case KvmXenAttrType.UPCALL_VECTOR:
      return { type, vector: vm.upcallVector };
    case KvmXenAttrType.XEN_VERSION:
      return { type, xenVersion: vm.xenVersion };
    case KvmXenAttrType.RUNSTATE_UPDATE_FLAG:
      return vm.hasSchedInfo ? { type, runstateUpdateFlag: vm.runstateUpdateFlag } : -Errno.EOPNOTSUPP;
    default:
      return -Errno.ENOENT; // EVTCHN can only be set
  }
}

/** `kvm_xen_vcpu_set_attr` @returns 0 or a negative errno */
export function* setVcpuAttr(vm: KvmVm, vcpu: KvmVcpuXen, attr: KvmXenVcpuAttr): KernelSteps<number> {
  vm.cost.run(vm.cost.compile(KVM_XEN_ATTR));
  yield* vm.xenLock.lock();
  const result = yield* setLockedVcpuAttr(vm, vcpu, attr);
  vm.xenLock.unlock();
  return result;
}

function* setLockedVcpuAttr(vm: KvmVm, vcpu: KvmVcpuXen, attr: KvmXenVcpuAttr): KernelSteps<number> {
  switch (attr.type) {
    case KvmXenVcpuAttrType.VCPU_INFO:
      return yield* keep(vcpu, vcpu.vcpuInfo, attr.gpa, VCPU_INFO_BYTES);
    case KvmXenVcpuAttrType.VCPU_INFO_HVA:
      return yield* keepHva(vcpu, attr.hva);
    case KvmXenVcpuAttrType.VCPU_TIME_INFO:
      return yield* keep(vcpu, vcpu.vcpuTimeInfo, attr.gpa, TIME_INFO_BYTES);
    case KvmXenVcpuAttrType.VCPU_ID:
      if (!(attr.vcpuId >= 0 && attr.vcpuId < KVM_MAX_VCPUS)) return -Errno.EINVAL;
      vcpu.xenVcpuId = attr.vcpuId;
      return 0;
    case KvmXenVcpuAttrType.TIMER:
      if (attr.port !== 0 && attr.priority !== KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL) return -Errno.EINVAL;
      return vcpu.timer.set(attr.port, attr.expiresNs);
    case KvmXenVcpuAttrType.UPCALL_VECTOR:
      if (!isVector(attr.vector)) return -Errno.EINVAL;
      vcpu.upcallVector = attr.vector;
      return 0;
    default:
      return vm.hasSchedInfo ? setRunstate(vm, vcpu, attr) : -Errno.EOPNOTSUPP;
  }
}

type RunstateAttrType =
  | typeof KvmXenVcpuAttrType.RUNSTATE_ADDR
  | typeof KvmXenVcpuAttrType.RUNSTATE_CURRENT
  | typeof KvmXenVcpuAttrType.RUNSTATE_DATA
  | typeof KvmXenVcpuAttrType.RUNSTATE_ADJUST;

function setRunstate(vm: KvmVm, { runstate }: KvmVcpuXen, attr: VcpuAttrOf<RunstateAttrType>): number {
  const now = BigInt(vm.nowNs());
  switch (attr.type) {
    case KvmXenVcpuAttrType.RUNSTATE_ADDR:
      if (attr.gpa !== KVM_XEN_INVALID_GPA && !(Number.isSafeInteger(attr.gpa) && attr.gpa >= 0))
        return -Errno.EINVAL;
      return runstate.setGpa(attr.gpa);
    case KvmXenVcpuAttrType.RUNSTATE_CURRENT:
      if (!isRunstate(attr.state)) return -Errno.EINVAL;
      runstate.update(attr.state);
      return 0;
    case KvmXenVcpuAttrType.RUNSTATE_DATA:
      if (!isRunstate(attr.runstate.state) || !addsUp(attr.runstate)) return -Errno.EINVAL;
      if (now < u64(attr.runstate.stateEntryTime)) return -Errno.EINVAL;
      runstate.setData(attr.runstate);
      return 0;
    case KvmXenVcpuAttrType.RUNSTATE_ADJUST: {
      const { state, stateEntryTime } = attr.runstate;
      if (state !== KVM_XEN_RUNSTATE_SAME && !isRunstate(state)) return -Errno.EINVAL;
      if (!addsUp(attr.runstate) || now < u64(runstate.entryTime + stateEntryTime)) return -Errno.EINVAL;
      runstate.adjust(attr.runstate);
      if (state === KVM_XEN_RUNSTATE_SAME) runstate.updateGuest(false);
      else runstate.update(state);
      return 0;
    }
    default:
      return -Errno.ENOENT;
  }
}

/** `kvm_xen_vcpu_get_attr` @returns the attribute, or a negative errno */
export function getVcpuAttr<T extends KvmXenVcpuAttr["type"]>(
  vm: KvmVm,
  vcpu: KvmVcpuXen,
  type: T,
): VcpuAttrOf<T> | number {
  vm.cost.run(vm.cost.compile(KVM_XEN_ATTR));
  return readVcpuAttr(vm, vcpu, type) as VcpuAttrOf<T> | number;
}

function readVcpuAttr(vm: KvmVm, vcpu: KvmVcpuXen, type: KvmXenVcpuAttr["type"]): KvmXenVcpuAttr | number {
  const { vcpuInfo, vcpuTimeInfo, runstate, timer } = vcpu;
  switch (type) {
    case KvmXenVcpuAttrType.VCPU_INFO:
      return { type, gpa: vcpuInfo.isGpaActive ? vcpuInfo.gpa : KVM_XEN_INVALID_GPA };
    case KvmXenVcpuAttrType.VCPU_INFO_HVA:
      return { type, hva: vcpuInfo.isHvaActive ? vcpuInfo.uhva : 0 };
    case KvmXenVcpuAttrType.VCPU_TIME_INFO:
      return { type, gpa: vcpuTimeInfo.active ? vcpuTimeInfo.gpa : KVM_XEN_INVALID_GPA };
    case KvmXenVcpuAttrType.VCPU_ID:
      return { type, vcpuId: vcpu.xenVcpuId };
    case KvmXenVcpuAttrType.UPCALL_VECTOR:
      return { type, vector: vcpu.upcallVector };
    case KvmXenVcpuAttrType.TIMER: {
      const expiresNs = timer.read();
      return { type, port: timer.port, priority: KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL, expiresNs };
    }
    case KvmXenVcpuAttrType.RUNSTATE_ADJUST:
      return -Errno.EINVAL;
  }
  if (!vm.hasSchedInfo) return -Errno.EOPNOTSUPP;
  switch (type) {
    case KvmXenVcpuAttrType.RUNSTATE_ADDR:
      return runstate.gpa === undefined ? -Errno.ENOENT : { type, gpa: runstate.gpa };
    case KvmXenVcpuAttrType.RUNSTATE_CURRENT:
      return { type, state: runstate.current };
    case KvmXenVcpuAttrType.RUNSTATE_DATA:
      return { type, runstate: runstate.data };
    default:
      return -Errno.ENOENT;
  }
}

/** Has a record of the vCPU at a guest address, and soon the time in it. */
function* keep(vcpu: KvmVcpuXen, cache: GfnToPfnCache, gpa: number, bytes: number): KernelSteps<number> {
  if (gpa === KVM_XEN_INVALID_GPA) {
    yield* cache.deactivateSteps();
    return 0;
  }
  if (!Number.isSafeInteger(gpa) || gpa < 0) return -Errno.EINVAL;
  const result = yield* cache.activateSteps(gpa, KVM_HVA_ERR_BAD, bytes);
  if (result === 0) vcpu.vcpu.requestClockUpdate();
  return result;
}

/** The same for `vcpu_info` at a host address; 0 for none. */
function* keepHva(vcpu: KvmVcpuXen, hva: number): KernelSteps<number> {
  if (hva === 0) {
    yield* vcpu.vcpuInfo.deactivateSteps();
    return 0;
  }
  if (!Number.isSafeInteger(hva) || hva < 0) return -Errno.EINVAL;
  const result = yield* vcpu.vcpuInfo.activateSteps(-1, hva, VCPU_INFO_BYTES);
  if (result === 0) vcpu.vcpu.requestClockUpdate();
  return result;
}

function isVector(vector: number): boolean {
  return Number.isInteger(vector) && vector <= 0xff && (vector === 0 || vector >= FIRST_VECTOR);
}

function isRunstate(state: number): boolean {
  return Number.isInteger(state) && state >= 0 && state <= RUNSTATE_OFFLINE;
}

/** Times are those since the entry time of kvmclock 0: all of them together. */
function addsUp({
  stateEntryTime,
  timeRunning,
  timeRunnable,
  timeBlocked,
  timeOffline,
}: KvmXenRunstate): boolean {
  return u64(stateEntryTime) === u64(timeRunning + timeRunnable + timeBlocked + timeOffline);
}
