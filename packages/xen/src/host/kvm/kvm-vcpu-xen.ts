import { KvmPhase } from "../../path-cost/kvm-phases.js";
import type { Stage } from "../../path-cost/stage.js";
import {
  KVM_HAS_INTERRUPT,
  KVM_INJECT_PENDING,
  KVM_INJECT_VECTOR,
  KVM_KICK_IPI,
  KVM_SETUP_GUEST_PVCLOCK,
  KVM_VCPU_KICK,
  KVM_WAKE_UP,
} from "../../path-cost/stages/kvm-events.js";
import { TIME_RECORD_BYTES, TimeRecord } from "../../time-record.js";
import { GfnToPfnCache, type GfnToPfnCacheSnapshot } from "./gfn-to-pfn-cache.js";
import { finish, type KernelSteps } from "./kernel-steps.js";
import type { KvmVm } from "./kvm-vm.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { fromWords, type Words64, wordsOf } from "./u64.js";
import type { KvmXenVcpuAttr } from "./uapi.js";
import { getVcpuAttr, setVcpuAttr, type VcpuAttrOf } from "./xen-attributes.js";
import { XenRunstate, type XenRunstateSnapshot } from "./xen-runstate.js";
import { XenTimer, type XenTimerSnapshot } from "./xen-timer.js";

/** Bytes of a `vcpu_info`, of 64-bit and of 32-bit guests. */
export const VCPU_INFO_BYTES = 64;
const UPCALL_PENDING = 0;
const PENDING_SEL = 8;
const PENDING_SEL_32BIT = 4;
const TIME = 32;
const TIME_FLAGS = 29;
const PVCLOCK_TSC_STABLE_BIT = 1;
/** `poll_evtchn` of a vCPU that polls several ports. */
const ANY_PORT = -1;
const NO_PORT = 0;

/** `struct kvm_vcpu_xen` as plain data. */
export interface KvmVcpuXenSnapshot {
  readonly xenVcpuId: number;
  readonly upcallVector: number;
  readonly pendingSel: Words64;
  readonly pollEvtchn: number;
  readonly polls: boolean;
  readonly vcpuInfo: GfnToPfnCacheSnapshot;
  readonly vcpuTimeInfo: GfnToPfnCacheSnapshot;
  readonly runstate: XenRunstateSnapshot;
  readonly timer: XenTimerSnapshot;
}

/** One vCPU as KVM's Xen code has it (`struct kvm_vcpu_xen`), with the ioctls of its file descriptor. */
export class KvmVcpuXen {
  readonly vcpu: KvmXenVcpu;
  /** `vcpu_idx`: its place among the VM's. */
  readonly index: number;
  /** Its number in the guest's interface, which VCPUOP_* name it by. */
  xenVcpuId: number;
  /** Vector of its own for upcalls, 0: the VM's. */
  upcallVector = 0;
  readonly vcpuInfo: GfnToPfnCache;
  readonly vcpuTimeInfo: GfnToPfnCache;
  readonly runstate: XenRunstate;
  readonly timer: XenTimer;
  /** Selector bits that wait for the vCPU to put them into its `vcpu_info` (`evtchn_pending_sel`). */
  pendingSel = 0n;
  private readonly vm: KvmVm;
  private readonly record: TimeRecord;
  private pollEvtchn = NO_PORT;
  private polls = false; // its bit of poll_mask

  constructor(vm: KvmVm, vcpu: KvmXenVcpu, index: number) {
    this.vm = vm;
    this.vcpu = vcpu;
    this.index = index;
    this.xenVcpuId = index;
    this.vcpuInfo = new GfnToPfnCache(vm);
    this.vcpuTimeInfo = new GfnToPfnCache(vm);
    this.runstate = new XenRunstate(vm, vcpu);
    this.timer = new XenTimer(vm, vcpu.id, index, () => this.kick());
    this.record = new TimeRecord(vm.tscGhz);
  }

  /** KVM_XEN_VCPU_SET_ATTR. @returns 0 or a negative errno */
  xenSetAttr(attr: KvmXenVcpuAttr): number {
    return finish(this.xenSetAttrSteps(attr));
  }

  /** The same step by step. */
  xenSetAttrSteps(attr: KvmXenVcpuAttr): KernelSteps<number> {
    return setVcpuAttr(this.vm, this, attr);
  }

  /** KVM_XEN_VCPU_GET_ATTR. @returns the attribute, or a negative errno */
  xenGetAttr<T extends KvmXenVcpuAttr["type"]>(type: T): VcpuAttrOf<T> | number {
    return getVcpuAttr(this.vm, this, type);
  }

  /** `kvm_xen_has_interrupt`: does the guest's own flag ask for an upcall through the VM's vector? */
  hasInterrupt(): boolean {
    const { vcpuInfo, vm } = this;
    if (!vcpuInfo.active || vm.upcallVector === 0) return false;
    this.run(KVM_HAS_INTERRUPT);
    while (!vcpuInfo.check(VCPU_INFO_BYTES)) if (vcpuInfo.refresh(VCPU_INFO_BYTES) !== 0) return false;
    vm.enter(KvmPhase.EventDelivery);
    const pending = vcpuInfo.readU8(UPCALL_PENDING);
    vm.leave();
    return pending !== 0;
  }

  /** Is there something that the vCPU has to do itself before it goes on (`kvm_xen_has_pending_events`, timer)? */
  get hasPendingEvents(): boolean {
    return this.pendingSel !== 0n || this.timer.pending;
  }

  /** `kvm_xen_inject_pending_events`: by the vCPU, which can sleep. What cannot be put anywhere waits on. */
  injectPendingEvents(): void {
    const { vcpuInfo, pendingSel, vm } = this;
    if (pendingSel === 0n) return;
    this.run(KVM_INJECT_PENDING);
    while (!vcpuInfo.check(VCPU_INFO_BYTES)) if (vcpuInfo.refresh(VCPU_INFO_BYTES) !== 0) return;
    vm.enter(KvmPhase.EventDelivery);
    const at = this.selectorAt;
    vcpuInfo.writeU32(at, vcpuInfo.readU32(at) | Number(pendingSel & 0xffffffffn));
    if (vm.longMode) vcpuInfo.writeU32(at + 4, vcpuInfo.readU32(at + 4) | Number(pendingSel >> 32n));
    this.pendingSel = vm.longMode ? 0n : (pendingSel >> 32n) << 32n;
    vcpuInfo.writeU8(UPCALL_PENDING, 1);
    vm.leave();
    vcpuInfo.markDirty();
    vm.counters.injections++;
    if (this.upcallVector !== 0) this.injectVector();
  }

  /** What the vCPU does before it enters its guest: events that waited for it, and its timer's. */
  beforeEntry(): void {
    this.timer.injectPending();
    this.injectPendingEvents();
  }

  /** KVM_REQ_CLOCK_UPDATE: the time records in `vcpu_info` and in the area of its own, where there are any. */
  updateTime(): void {
    this.putTime(this.vcpuInfo, TIME);
    this.putTime(this.vcpuTimeInfo, 0);
  }

  /** SCHEDOP_poll: from now on events of these ports wake it. @returns whether one is pending, so that it does not block */
  startPoll(ports: readonly number[], timeoutNs: number): boolean {
    return finish(this.pollSteps(ports, timeoutNs));
  }

  /** The same step by step: events wake it before it looks for those that are there already. */
  *pollSteps(ports: readonly number[], timeoutNs: number): KernelSteps<boolean> {
    this.pollEvtchn = ports.length === 1 ? ports[0] : ANY_PORT;
    this.polls = true;
    yield "poll_mask";
    const { sharedInfo } = this.vm;
    this.vm.enter(KvmPhase.EventDelivery);
    const isPending = !sharedInfo.check() || ports.some((port) => sharedInfo.isPending(port));
    this.vm.leave();
    if (!isPending) this.timer.startPoll(timeoutNs);
    yield "pending bits";
    return isPending;
  }

  /** It does not block any more, for whatever reason. */
  endPoll(): void {
    this.timer.stopPoll();
    this.pollEvtchn = NO_PORT;
    this.polls = false;
  }

  /** Is it woken by events of ports that it polls? */
  get isPolling(): boolean {
    return this.polls;
  }

  /** `kvm_xen_check_poller`: a masked port became pending. */
  checkPoller(port: number): void {
    if (!this.polls || (this.pollEvtchn !== port && this.pollEvtchn !== ANY_PORT)) return;
    this.polls = false;
    this.kick();
  }

  /** Its `vcpu_info`, as an event may use it. */
  vcpuInfoIsThere(): boolean {
    return this.vcpuInfo.check(VCPU_INFO_BYTES);
  }

  /** Sets a selector bit in its `vcpu_info` and the upcall flag. @returns whether it is new */
  select(word: number): boolean {
    const isNew = !this.vcpuInfo.testAndSetBit(this.selectorAt, word);
    if (isNew) this.vcpuInfo.writeU8(UPCALL_PENDING, 1);
    return isNew;
  }

  /** Keeps it for the vCPU. @returns whether it is new */
  deferSelector(word: number): boolean {
    const bit = 1n << BigInt(word);
    const isNew = (this.pendingSel & bit) === 0n;
    this.pendingSel |= bit;
    return isNew;
  }

  /** `kvm_xen_inject_vcpu_vector` */
  injectVector(): void {
    this.run(KVM_INJECT_VECTOR);
    if (this.vcpu.inGuestMode) this.run(KVM_KICK_IPI);
    if (this.vcpu.isBlocked) this.run(KVM_WAKE_UP);
    this.vm.counters.vectors++;
    this.vcpu.setInterrupt(this.upcallVector);
  }

  /** KVM_REQ_UNBLOCK and `kvm_vcpu_kick`. */
  kick(): void {
    this.run(KVM_VCPU_KICK);
    if (this.vcpu.inGuestMode) this.run(KVM_KICK_IPI);
    if (this.vcpu.isBlocked) this.run(KVM_WAKE_UP);
    this.vm.counters.kicks++;
    this.vcpu.kick();
  }

  snapshot(): KvmVcpuXenSnapshot {
    const { xenVcpuId, upcallVector, pendingSel, pollEvtchn, polls } = this;
    return {
      xenVcpuId,
      upcallVector,
      pendingSel: wordsOf(pendingSel),
      pollEvtchn,
      polls,
      vcpuInfo: this.vcpuInfo.snapshot(),
      vcpuTimeInfo: this.vcpuTimeInfo.snapshot(),
      runstate: this.runstate.snapshot(),
      timer: this.timer.snapshot(),
    };
  }

  /** @throws RangeError for what cannot be */
  restore(snapshot: KvmVcpuXenSnapshot): void {
    const { xenVcpuId, upcallVector, pollEvtchn, polls } = snapshot;
    const isVector = Number.isInteger(upcallVector) && upcallVector >= 16 && upcallVector <= 255;
    if (!isVector && upcallVector !== 0) throw new RangeError(`vCPU ${this.index}: vector ${upcallVector}`);
    this.vcpuInfo.restore(snapshot.vcpuInfo);
    this.vcpuTimeInfo.restore(snapshot.vcpuTimeInfo);
    this.runstate.restore(snapshot.runstate);
    this.timer.restore(snapshot.timer);
    Object.assign(this, { xenVcpuId, upcallVector, pollEvtchn, polls });
    this.pendingSel = fromWords(snapshot.pendingSel);
  }

  private get selectorAt(): number {
    return this.vm.longMode ? PENDING_SEL : PENDING_SEL_32BIT;
  }

  /** `kvm_setup_guest_pvclock` */
  private putTime(cache: GfnToPfnCache, offset: number): void {
    if (!cache.active) return;
    const { vm, record } = this;
    const bytes = offset + TIME_RECORD_BYTES;
    this.run(KVM_SETUP_GUEST_PVCLOCK);
    while (!cache.check(bytes)) if (cache.refresh(bytes) !== 0) return;
    vm.enter(KvmPhase.XenTime);
    record.collect(vm.nowNs(), this.vcpu.timestampOffset);
    record.follow(cache.readU32(offset));
    record.bytes[TIME_FLAGS] = vm.isTscUnstable ? 0 : PVCLOCK_TSC_STABLE_BIT;
    cache.writeBytes(offset, record.bytes);
    vm.leave();
    cache.markDirty();
  }

  private run(stage: Stage): void {
    const { cost } = this.vm;
    cost.run(cost.compile(stage));
  }
}
