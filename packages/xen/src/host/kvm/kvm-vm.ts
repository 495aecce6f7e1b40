import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "../../errno.js";
import { GuestMemory } from "../../guest-memory.js";
import type { KvmPhaseName } from "../../path-cost/kvm-phases.js";
import type { PhasedPathCost } from "../../path-cost/path-cost.js";
import type { Stage } from "../../path-cost/stage.js";
import {
  EVENTFD_SIGNAL,
  KVM_EVTCHN_PORT_LOOKUP,
  KVM_EVTCHN_SEND_IOCTL,
  KVM_FLUSH_SHADOW_MEMSLOT,
  KVM_GPC_INVALIDATE,
  KVM_GPC_INVALIDATE_ONE,
  KVM_SET_MEMORY_REGION,
  KVM_SWAP_MEMSLOTS,
  KVM_SYNCHRONIZE_SRCU,
} from "../../path-cost/stages/kvm-events.js";
import { EventFds, type EventFdsSnapshot } from "./eventfd.js";
import { EvtchnPorts, type EvtchnPortsSnapshot } from "./evtchn-ports.js";
import type { GfnToPfnCache, GfnToPfnCacheSnapshot } from "./gfn-to-pfn-cache.js";
import { Irqfds, type IrqfdsSnapshot } from "./irqfd.js";
import { finish, KernelMutex, type KernelSteps } from "./kernel-steps.js";
import { KvmVcpuXen, type KvmVcpuXenSnapshot } from "./kvm-vcpu-xen.js";
import { KvmXenCounters, type KvmXenCountersSnapshot } from "./kvm-xen-counters.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { type MemslotStep, Memslots, type MemslotsSnapshot } from "./memslots.js";
import {
  KVM_CAP_XEN_HVM,
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  KVM_MAX_VCPUS,
  KVM_XEN_MSR_MAX_INDEX,
  KVM_XEN_MSR_MIN_INDEX,
  type KvmIrqRoutingXenEvtchn,
  type KvmUserspaceMemoryRegion,
  type KvmXenHvmAttr,
  type KvmXenHvmConfig,
  KvmXenHvmConfigFlag,
} from "./uapi.js";
import { UserAddressSpace, type UserAddressSpaceSnapshot } from "./user-address-space.js";
import { getHvmAttr, type HvmAttrOf, setHvmAttr } from "./xen-attributes.js";
import { XenEvents } from "./xen-events.js";
import { XenSharedInfo } from "./xen-shared-info.js";

const NO_CONFIG: KvmXenHvmConfig = {
  flags: 0,
  msr: 0,
  blobAddr32: 0,
  blobAddr64: 0,
  blobSize32: 0,
  blobSize64: 0,
};
/** What user space may turn on; the other flags of the capability are there anyway. */
const PERMITTED_FLAGS: number =
  KvmXenHvmConfigFlag.INTERCEPT_HCALL |
  KvmXenHvmConfigFlag.EVTCHN_SEND |
  KvmXenHvmConfigFlag.PVCLOCK_TSC_UNSTABLE;

export interface KvmVmOptions {
  /** Machine memory. */
  readonly memory: PhysicalMemory;
  /** What the kernel's work costs; see {@link KvmVm.cost}. */
  readonly cost: PhasedPathCost;
  /** The kvmclock: nanoseconds since the VM was made, whole. */
  readonly nowNs: () => number;
  /** Cycles of the guest's time stamp in a nanosecond. */
  readonly tscGhz: number;
  /** The monitor's process; default a new one without mappings. */
  readonly userSpace?: UserAddressSpace;
  /** The largest guest frame that a slot may have; default that of 52 address bits. */
  readonly maxGfn?: number;
  /** Does the host account for scheduling delays (`sched_info_on`)? Without, there are no run states; default true. */
  readonly hasSchedInfo?: boolean;
}

/** A VM as plain data, without its memory and its vCPUs' registers. */
export interface KvmVmSnapshot {
  readonly userSpace: UserAddressSpaceSnapshot;
  readonly memslots: MemslotsSnapshot;
  readonly config: KvmXenHvmConfig;
  readonly longMode: boolean;
  readonly upcallVector: number;
  readonly xenVersion: number;
  readonly runstateUpdateFlag: boolean;
  readonly sharedInfo: GfnToPfnCacheSnapshot;
  readonly eventfds: EventFdsSnapshot;
  readonly evtchnPorts: EvtchnPortsSnapshot;
  readonly irqfds: IrqfdsSnapshot;
  readonly counters: KvmXenCountersSnapshot;
  readonly vcpus: readonly KvmVcpuXenSnapshot[];
}

/**
 * A virtual machine as Linux's KVM has it (`struct kvm`), with the ioctls of its file descriptor as methods: 0 or more for
 * success, a negative errno otherwise. It neither runs vCPUs nor knows what they run on.
 */
export class KvmVm {
  readonly memory: PhysicalMemory;
  readonly userSpace: UserAddressSpace;
  readonly memslots: Memslots;
  /** Guest memory by guest-physical address through the slots: no cost, no caches. */
  readonly guestMemory: GuestMemory;
  /** Of the processor on which the kernel works now: whoever enters it on another one sets this. */
  cost: PhasedPathCost;
  readonly nowNs: () => number;
  readonly tscGhz: number;
  readonly hasSchedInfo: boolean;
  readonly counters: KvmXenCounters = new KvmXenCounters();
  readonly activeCaches: GfnToPfnCache[] = [];
  readonly xenLock: KernelMutex = new KernelMutex();
  readonly sharedInfo: XenSharedInfo;
  readonly events: XenEvents;
  readonly eventfds: EventFds = new EventFds();
  readonly evtchnPorts: EvtchnPorts;
  readonly irqfds: Irqfds;
  /** In the order of their creation (`vcpu_idx`). */
  readonly vcpus: KvmVcpuXen[] = [];
  /** Layout of the guest's structures: 64 bits, or 32. */
  longMode = false;
  /** HVMIRQ_callback_vector, 0 for none. */
  upcallVector = 0;
  /** What XENVER_version answers in the kernel, 0: user space does. */
  xenVersion = 0;
  runstateUpdateFlag = false;
  private xenConfig: KvmXenHvmConfig = NO_CONFIG;

  constructor(options: KvmVmOptions) {
    this.memory = options.memory;
    this.cost = options.cost;
    this.nowNs = options.nowNs;
    this.tscGhz = options.tscGhz;
    this.hasSchedInfo = options.hasSchedInfo ?? true;
    this.userSpace = options.userSpace ?? new UserAddressSpace();
    this.memslots = new Memslots(this.userSpace, options.maxGfn);
    this.guestMemory = new GuestMemory(this.memory, this.memslots);
    this.sharedInfo = new XenSharedInfo(this);
    this.events = new XenEvents(this);
    this.evtchnPorts = new EvtchnPorts(this.eventfds);
    this.irqfds = new Irqfds(this);
    this.memslots.subscribe({
      flushShadowMemslot: () => this.run(KVM_FLUSH_SHADOW_MEMSLOT),
      beforeChange: () => this.run(KVM_SET_MEMORY_REGION),
      afterStep: (step) => this.payStep(step),
    });
    this.userSpace.subscribe({
      invalidateRangeStart: (start, end) => this.invalidateCaches(start, end),
      invalidateRangeEnd: () => {},
    });
  }

  /** KVM_CHECK_EXTENSION. @returns {@link KvmXenHvmConfigFlag} for Xen's capability, 0 for others */
  checkExtension(capability: number): number {
    if (capability !== KVM_CAP_XEN_HVM) return 0;
    const flag = KvmXenHvmConfigFlag;
    const runstate = flag.RUNSTATE | flag.RUNSTATE_UPDATE_FLAG;
    const always = flag.HYPERCALL_MSR | flag.SHARED_INFO | flag.EVTCHN_2LEVEL | flag.SHARED_INFO_HVA;
    return always | PERMITTED_FLAGS | (this.hasSchedInfo ? runstate : 0);
  }

  /** KVM_SET_USER_MEMORY_REGION. Step by step: `memslots.steps`. */
  setUserMemoryRegion(region: KvmUserspaceMemoryRegion): number {
    return this.memslots.setUserMemoryRegion(region);
  }

  /** KVM_CREATE_VCPU: the Xen part of it. @returns -EINVAL for an id out of range, -EEXIST for one that is taken */
  createVcpu(vcpu: KvmXenVcpu): KvmVcpuXen | number {
    if (!Number.isInteger(vcpu.id) || vcpu.id < 0 || vcpu.id >= KVM_MAX_VCPUS) return -Errno.EINVAL;
    if (this.vcpus.some((each) => each.vcpu.id === vcpu.id)) return -Errno.EEXIST;
    const created = new KvmVcpuXen(this, vcpu, this.vcpus.length);
    this.vcpus.push(created);
    return created;
  }

  /** KVM_XEN_HVM_CONFIG. */
  xenHvmConfig(config: KvmXenHvmConfig): number {
    if (!isConfig(config)) return -Errno.EINVAL;
    const changed = this.xenConfig.flags ^ config.flags;
    this.xenConfig = { ...config };
    if ((changed & KvmXenHvmConfigFlag.PVCLOCK_TSC_UNSTABLE) !== 0) this.requestClockUpdate();
    return 0;
  }

  /** As it was last configured. */
  get config(): KvmXenHvmConfig {
    return this.xenConfig;
  }

  /** Does the kernel send events of the guest's, and poll for it (KVM_XEN_HVM_CONFIG_EVTCHN_SEND)? */
  get sendsEvents(): boolean {
    return (this.xenConfig.flags & KvmXenHvmConfigFlag.EVTCHN_SEND) !== 0;
  }

  /** Does it take hypercalls (KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL)? */
  get interceptsHypercalls(): boolean {
    return (this.xenConfig.flags & KvmXenHvmConfigFlag.INTERCEPT_HCALL) !== 0;
  }

  /** Are guests told not to trust the time stamp across vCPUs? */
  get isTscUnstable(): boolean {
    return (this.xenConfig.flags & KvmXenHvmConfigFlag.PVCLOCK_TSC_UNSTABLE) !== 0;
  }

  /** Ports that the guest's layout has (`max_evtchn_port`). */
  get maxPorts(): number {
    return this.sharedInfo.maxPorts;
  }

  /** KVM_XEN_HVM_SET_ATTR. */
  xenHvmSetAttr(attr: KvmXenHvmAttr): number {
    return finish(this.xenHvmSetAttrSteps(attr));
  }

  /** The same step by step. */
  xenHvmSetAttrSteps(attr: KvmXenHvmAttr): KernelSteps<number> {
    return setHvmAttr(this, attr);
  }

  /** KVM_XEN_HVM_GET_ATTR. @returns the attribute, or a negative errno */
  xenHvmGetAttr<T extends KvmXenHvmAttr["type"]>(type: T): HvmAttrOf<T> | number {
    return getHvmAttr(this, type);
  }

  /** KVM_XEN_HVM_EVTCHN_SEND: 0 also for a port that is masked or pending already. */
  xenHvmEvtchnSend(event: KvmIrqRoutingXenEvtchn): number {
    return finish(this.xenHvmEvtchnSendSteps(event));
  }

  /** The same step by step. */
  *xenHvmEvtchnSendSteps({ port, vcpu, priority }: KvmIrqRoutingXenEvtchn): KernelSteps<number> {
    this.run(KVM_EVTCHN_SEND_IOCTL);
    const isPort = Number.isInteger(port) && port > 0 && port < this.maxPorts;
    if (!isPort || priority !== KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL) return -Errno.EINVAL;
    const result = yield* this.events.setSteps({ port, vcpuId: vcpu, vcpuIndex: -1 });
    return result > 0 || result === -Errno.ENOTCONN ? 0 : result;
  }

  /**
   * The guest's EVTCHNOP_send, once its argument has been read (`kvm_xen_hcall_evtchn_send`).
   * @returns whether the kernel did it; else it is user space's
   */
  guestEvtchnSend(port: number): boolean {
    this.run(KVM_EVTCHN_PORT_LOOKUP);
    const target = this.evtchnPorts.targetOf(port);
    if (target === undefined) return false;
    if (target.port !== undefined) {
      const result = this.events.set(target.port);
      return result >= 0 || result === -Errno.ENOTCONN;
    }
    this.run(EVENTFD_SIGNAL);
    target.eventfd?.signal();
    return true;
  }

  /**
   * The layout of the guest's structures: the attribute LONG_MODE, and what a write of the hypercall page's MSR latches.
   * @returns 0, or a negative errno when the wall clock cannot be put where the new layout has it
   */
  *setLongMode(longMode: boolean): KernelSteps<number> {
    this.longMode = longMode;
    return this.sharedInfo.cache.active ? yield* this.sharedInfo.writeWallclock() : 0;
  }

  /** `kvm_xen_write_hypercall_page`: the mode of the vCPU that writes it, if it is another one. @returns as above */
  latchLongMode(longMode: boolean): number {
    return this.longMode === longMode ? 0 : finish(this.setLongMode(longMode));
  }

  /** KVM_REQ_CLOCK_UPDATE to all vCPUs. */
  requestClockUpdate(): void {
    for (const { vcpu } of this.vcpus) vcpu.requestClockUpdate();
  }

  enter(phase: KvmPhaseName): void {
    const { cost } = this;
    cost.enter(cost.phase(phase));
  }

  leave(): void {
    this.cost.leave();
  }

  /** @throws RangeError in the middle of a change of slots or mappings */
  snapshot(): KvmVmSnapshot {
    const { longMode, upcallVector, xenVersion, runstateUpdateFlag } = this;
    return {
      userSpace: this.userSpace.snapshot(),
      memslots: this.memslots.snapshot(),
      config: this.xenConfig,
      longMode,
      upcallVector,
      xenVersion,
      runstateUpdateFlag,
      sharedInfo: this.sharedInfo.cache.snapshot(),
      eventfds: this.eventfds.snapshot(),
      evtchnPorts: this.evtchnPorts.snapshot(),
      irqfds: this.irqfds.snapshot(),
      counters: this.counters.snapshot(),
      vcpus: this.vcpus.map((vcpu) => vcpu.snapshot()),
    };
  }

  /** After memory, on a VM with as many vCPUs. @throws RangeError for what cannot be; the VM is of no more use then */
  restore(snapshot: KvmVmSnapshot): void {
    const { longMode, upcallVector, xenVersion, runstateUpdateFlag, vcpus } = snapshot;
    if (vcpus.length !== this.vcpus.length) throw new RangeError(`${vcpus.length} vCPUs`);
    if (!isConfig(snapshot.config)) throw new RangeError("a configuration that cannot be");
    if (typeof longMode !== "boolean" || typeof runstateUpdateFlag !== "boolean")
      throw new RangeError(`long mode ${longMode}, run-state update flag ${runstateUpdateFlag}`);
    const isVector = Number.isInteger(upcallVector) && upcallVector >= 16 && upcallVector <= 255;
    if (!isVector && upcallVector !== 0) throw new RangeError(`vector ${upcallVector}`);
    if (!Number.isInteger(xenVersion) || xenVersion < 0 || xenVersion >= 2 ** 32)
      throw new RangeError(`Xen's version ${xenVersion}`);
    this.userSpace.restore(snapshot.userSpace);
    this.memslots.restore(snapshot.memslots);
    this.xenConfig = { ...snapshot.config };
    Object.assign(this, { longMode, upcallVector, xenVersion, runstateUpdateFlag });
    this.sharedInfo.cache.restore(snapshot.sharedInfo);
    this.eventfds.restore(snapshot.eventfds);
    this.evtchnPorts.restore(snapshot.evtchnPorts);
    this.irqfds.restore(snapshot.irqfds);
    vcpus.forEach((vcpu, i) => {
      this.vcpus[i].restore(vcpu);
    });
    this.counters.restore(snapshot.counters);
  }

  /** What the MMU notifier does to the caches. */
  private invalidateCaches(start: number, end: number): void {
    this.run(KVM_GPC_INVALIDATE);
    for (const cache of this.activeCaches) {
      this.run(KVM_GPC_INVALIDATE_ONE);
      cache.invalidate(start, end);
    }
  }

  private payStep(step: MemslotStep): void {
    if (step === "publish INVALID" || step === "publish new") this.run(KVM_SWAP_MEMSLOTS);
    if (step.startsWith("generation")) this.run(KVM_SYNCHRONIZE_SRCU);
  }

  private run(stage: Stage): void {
    this.cost.run(this.cost.compile(stage));
  }
}

/** Flags that may be turned on, an MSR in Xen's range, and no hypercall pages where the kernel makes its own. */
function isConfig({ flags, msr, ...blobs }: KvmXenHvmConfig): boolean {
  const isIntercepting = (flags & KvmXenHvmConfigFlag.INTERCEPT_HCALL) !== 0;
  return (
    (flags & ~PERMITTED_FLAGS) === 0 &&
    (msr === 0 || (msr >= KVM_XEN_MSR_MIN_INDEX && msr <= KVM_XEN_MSR_MAX_INDEX)) &&
    !(isIntercepting && Object.values(blobs).some((value) => value !== 0))
  );
}
