import { type HardwareVirtualization, Processor, type ProcessorProfile } from "@hyperwalk/cpu";
import { type CycleLedger, TICKS_PER_CYCLE, ticks } from "@hyperwalk/mmu";
import { bootProtocol, guestAddressSpace } from "./boot/index.js";
import { HYPERCALL_PAGE_MSR, HYPERCALL_PAGE_MSR_BEHIND_VIRIDIAN } from "./cpuid-policy.js";
import { Domain } from "./domain.js";
import { DEFAULT_MAX_CYCLES, GuestSystem, type RunBudget, type SystemListeners } from "./guest-system.js";
import { HostMemory, XEN_TEXT_BYTES } from "./host/host-memory.js";
import { furtherKvmHomes, kvmObjectHomes } from "./host/host-objects.js";
import { type KvmConfig, type ResolvedKvmConfig, resolveKvmConfig } from "./host/kvm/kvm-config.js";
import { KvmThreads } from "./host/kvm/kvm-threads.js";
import { KvmVcpu } from "./host/kvm/kvm-vcpu.js";
import { KvmVm } from "./host/kvm/kvm-vm.js";
import type { SlotAccess } from "./host/kvm/slot-access.js";
import { maxGfn, TdpMmu } from "./host/kvm/tdp-mmu.js";
import type { KvmXenExitHcall } from "./host/kvm/uapi.js";
import { Pcpu } from "./host/pcpu.js";
import type { RunOutcome } from "./host/run-outcome.js";
import { KvmAttributes } from "./monitor/kvm-attributes.js";
import { KvmTwoLevelEvents } from "./monitor/kvm-events.js";
import { MemoryRegions } from "./monitor/memory-regions.js";
import { monitorOperations } from "./monitor/monitor-operations.js";
import { MonitorPhysmap } from "./monitor/monitor-physmap.js";
import { qemuOperations } from "./monitor/qemu-operations.js";
import { doorbellOperations } from "./operations/doorbell.js";
import { CONTINUED_OPERATIONS, OPERATIONS } from "./operations/index.js";
import { checkStagePrices } from "./path-cost/apply-prices.js";
import { composeStage } from "./path-cost/compose.js";
import { FreePathCost } from "./path-cost/free-path-cost.js";
import { Phase } from "./path-cost/phases.js";
import { StageOverrides, type StagePriceRecord } from "./path-cost/stage-overrides.js";
import type { StagePathCost } from "./path-cost/stage-path-cost.js";
import { KVM_PTI_CALL } from "./path-cost/stages/kvm-mitigations.js";
import { MONITOR_IOCTL } from "./path-cost/stages/kvm-user-space.js";
import { XenText } from "./path-cost/xen-text.js";
import { SnapshotError } from "./snapshot/snapshot-error.js";
import {
  checkSnapshot,
  identify,
  type KvmSystemSnapshot,
  type SystemIdentity,
} from "./snapshot/system-snapshot.js";
import type { TimelineListener } from "./timeline/timeline-stretch.js";
import type { Vcpu } from "./vcpu.js";
import type { Vlapic } from "./vlapic.js";
import {
  type DomainConfig,
  type ResolvedDomainConfig,
  resolveDomainConfig,
  resolveXenConfig,
  XenConfigError,
} from "./xen-config.js";

const DOMAIN_ID = 1;

/** What a simulated machine with KVM, its monitor and one guest is made from. */
export interface KvmSystemOptions {
  readonly profile: ProcessorProfile;
  readonly kvm?: KvmConfig | undefined;
  /** As for Xen, within what {@link KvmSystem} can do. */
  readonly domain: DomainConfig;
  /** Other prices of the code of KVM and its monitor, as for Xen. */
  readonly prices?: StagePriceRecord | undefined;
  /** An existing processor of that profile, with nothing in its memory yet; default a new one. */
  readonly processor?: Processor | undefined;
  /**
   * A monitor's own code: asked first about each hypercall that leaves the kernel (KVM_EXIT_XEN), whose structure is valid
   * during the call alone. True: it has served it, and left the result there.
   */
  readonly hypercall?: ((exit: KvmXenExitHcall) => boolean) | undefined;
  /** Keep `exitAccounts`; default false. */
  readonly accounting?: boolean | undefined;
  /** Watch RDTSCs for `window`; default true. */
  readonly measureWindow?: boolean | undefined;
  /** Takes where each vCPU's clock goes, stretch by stretch; see {@link GuestSystem.endTimeline}. Default nobody does. */
  readonly timeline?: TimelineListener | undefined;
}

/**
 * Linux's KVM with Xen emulation and a user-space monitor, on one logical processor for each vCPU of one guest. It finds Xen's
 * CPUID leaves, hypercall page and traditional interface; the monitor serves what the kernel does not. What has no number in
 * its name is vCPU 0's.
 */
export class KvmSystem extends GuestSystem {
  readonly processor: Processor;
  readonly ledger: CycleLedger;
  /** The guest as the monitor has it. */
  readonly domain: Domain;
  readonly vcpu: Vcpu;
  readonly config: { readonly kvm: ResolvedKvmConfig; readonly domain: ResolvedDomainConfig };
  /** VMRUN or VMRESUME of this processor. */
  readonly hardware: HardwareVirtualization;
  readonly cost: StagePathCost;
  /** The vCPU's virtual local APIC. */
  readonly vlapic: Vlapic;
  readonly vcpus: readonly KvmVcpu[];
  /** The kernel's side of the guest. */
  readonly vm: KvmVm;
  /** Its second stage. */
  readonly tdp: TdpMmu;
  protected readonly profile: ProcessorProfile;
  private readonly threads: KvmThreads | undefined;
  private readonly hostMemory: HostMemory;
  private readonly attributes: KvmAttributes;
  private readonly regions: MemoryRegions;
  private readonly accounting: boolean;
  private readonly overrides: StageOverrides;
  private hasRun = false;

  constructor(options: KvmSystemOptions) {
    super();
    const { profile, prices = {} } = options;
    checkStagePrices(prices);
    const kvm = resolveKvmConfig(options.kvm ?? {}, profile);
    const config = resolveDomainConfig(options.domain);
    checkDomain(config);
    const protocol = bootProtocol(config.image, config.boot);
    const image = protocol.load(config.image);
    this.config = { kvm, domain: config };
    this.profile = profile;
    const processor = options.processor ?? new Processor({ profile });
    const { memory } = processor;
    const { frames: guestFrames, ram } = guestAddressSpace(config.memoryBytes);
    const hostMemory = new HostMemory(processor.mmu, guestFrames, ram);
    const { heap, guestFirst } = hostMemory;
    const controlFrame = heap.allocate(1);
    const sharedInfoFrame = heap.allocate(1);
    // Of Xen's own switches none is Linux's: no LFENCE after lock operations, and MSRs are written by instructions.
    const xen = {
      ...resolveXenConfig({ lockHarden: false, l1dFlush: false }, profile),
      specCtrlWrite: false,
    };
    this.overrides = new StageOverrides(prices);
    const homes = kvmObjectHomes(hostMemory, controlFrame, sharedInfoFrame);
    const text = new XenText(XEN_TEXT_BYTES, this.overrides);
    const { timeline } = options;
    const pcpu = new Pcpu({ processor, hostMemory, controlFrame, homes, text, xen, timeline });
    const { cost } = pcpu;
    const vm = new KvmVm({
      memory,
      cost,
      nowNs: () => this.threads?.nowNs ?? this.vcpu.nowNs,
      tscGhz: profile.frequency.value,
      maxGfn: maxGfn(profile.memory.physicalAddressBits.value),
    });
    const format = profile.vendor === "amd" ? "npt" : "ept";
    const tdp = new TdpMmu({
      memory,
      format,
      heap,
      memslots: vm.memslots,
      userSpace: vm.userSpace,
      hostPage: config.p2mPage,
      execHugePages: kvm.execHugePages,
      slotZapAll: kvm.slotZapAll,
    });
    const physmap = new MonitorPhysmap({
      memory,
      format,
      page: "4k",
      ram,
      guestFirst,
      pool: hostMemory.p2mPool,
      frameTable: hostMemory.frameTable,
      cost,
      counters: pcpu.counters,
    });
    const control = pcpu.createControl(hostMemory, tdp, xen);
    tdp.onFlush = () => {
      for (const vcpu of this.vcpus ?? []) vcpu.requestFlush();
    };
    const call = composeStage("system call of the monitor", Phase.MonitorCall, [
      MONITOR_IOCTL,
      ...(kvm.pti ? [KVM_PTI_CALL] : []),
    ]);
    cost.compile(call);
    const pay = () => vm.cost.run(vm.cost.compile(call));
    const domain = new Domain({
      id: DOMAIN_ID,
      config,
      boot: protocol.id,
      memory,
      p2m: physmap,
      sharedInfoFrame,
      allocateFrame: () => heap.allocate(),
      twoLevel: (parts) => new KvmTwoLevelEvents(parts, vm, pay),
    });
    this.domain = domain;
    const regions = new MemoryRegions(vm, pay);
    for (const range of ram) regions.add(range, guestFirst + range.first);
    physmap.attach(regions);
    const attributes = new KvmAttributes({
      vm,
      domain,
      physmap,
      key: kvm.sharedInfo,
      hypercallMsr: domain.viridian === undefined ? HYPERCALL_PAGE_MSR : HYPERCALL_PAGE_MSR_BEHIND_VIRIDIAN,
      call: pay,
    });
    const { doorbell } = domain;
    const served = config.doorbell?.handler === "user-space" && config.doorbell.hypercalls;
    const ringing = doorbell !== undefined && served ? doorbellOperations(doorbell) : [];
    const xens = [...OPERATIONS, ...CONTINUED_OPERATIONS];
    const known = [...(kvm.monitor === "qemu" ? qemuOperations(xens) : xens), ...ringing];
    const threads = config.vcpus > 1 ? new KvmThreads(vm, physmap) : undefined;
    this.threads = threads;
    const shared = {
      vm,
      tdp,
      domain,
      kvm,
      threads,
      operations: (access: SlotAccess) =>
        monitorOperations(known, {
          attributes,
          vcpus: vm.vcpus,
          access,
          call: pay,
        }),
      served: () => attributes.update(),
      hypercall: options.hypercall,
    };
    const vcpu = new KvmVcpu({ id: 0, pcpu, control, ...shared });
    const further = Array.from({ length: config.vcpus - 1 }, (_, n) => {
      const frame = heap.allocate(1);
      const another = new Pcpu({
        processor: new Processor({ profile, memory, apicId: n + 1 }),
        hostMemory,
        controlFrame: frame,
        homes: furtherKvmHomes(hostMemory, frame, homes),
        text,
        xen,
        first: pcpu,
        timeline,
        vcpu: n + 1,
      });
      const its = another.createControl(hostMemory, tdp, xen);
      return new KvmVcpu({ id: n + 1, pcpu: another, control: its, ...shared });
    });
    this.vcpus = [vcpu, ...further];
    this.vcpu = vcpu.vcpu;
    for (const each of this.vcpus) {
      domain.vcpus.push(each.vcpu);
      threads?.add(each);
    }
    attributes.start();
    const { cmdline, modules } = config;
    control.start(protocol.build(domain, image, { cmdline, modules }));
    vcpu.vcpu.areas.startTime();
    this.processor = processor;
    this.ledger = processor.ledger;
    this.cost = cost;
    this.hardware = control.hardware;
    this.vlapic = vcpu.vlapic;
    this.vm = vm;
    this.tdp = tdp;
    this.listenToMonitor(domain);
    this.hostMemory = hostMemory;
    this.attributes = attributes;
    this.regions = regions;
    this.accounting = options.accounting === true;
    this.observe(this.accounting, options.measureWindow !== false);
  }

  run(budget: RunBudget = {}): RunOutcome {
    const { maxInstructions = Number.MAX_SAFE_INTEGER, maxCycles = DEFAULT_MAX_CYCLES } = budget;
    const { threads } = this;
    this.hasRun = true;
    const outcome =
      threads === undefined
        ? this.vcpus[0].host.run(maxInstructions, this.ledger.clock[0] + ticks(maxCycles))
        : threads.run(maxInstructions, threads.now + ticks(maxCycles));
    this.tellOutcome(outcome);
    return outcome;
  }

  get cycles(): number {
    return (this.threads?.now ?? this.ledger.clock[0]) / TICKS_PER_CYCLE;
  }

  /** Exits that went on to the monitor so far. */
  get userExits(): number {
    return this.vcpus.reduce((sum, { host }) => sum + host.userExits, 0);
  }

  /**
   * The whole system between two runs, as plain data that shares nothing with it: for {@link restore}, and for
   * `encodeSnapshot`, with which it survives the process.
   * @throws RangeError in the middle of a change of slots or mappings that somebody makes step by step
   */
  snapshot(): KvmSystemSnapshot {
    const { hostMemory } = this;
    return {
      identity: this.identity(),
      memory: hostMemory.memory.snapshot(),
      heap: hostMemory.heap.snapshot(),
      p2mPool: hostMemory.p2mPool.snapshot(),
      xenstore: this.domain.domains.xenstore.snapshot(),
      domain: this.domain.snapshot(),
      vm: this.vm.snapshot(),
      tdp: this.tdp.snapshot(),
      attributes: this.attributes.snapshot(),
      regions: this.regions.snapshot(),
      vcpus: this.vcpus.map((vcpu) => vcpu.snapshot()),
      threads: this.threads?.snapshot(),
      window: this.recorder?.snapshot(),
      forwarded: { ...this.forwarded },
    };
  }

  /**
   * Puts the state of a system that was made with the same options in the place of this one's, which has not run yet:
   * {@link run} goes on where that one's would have. Listeners and a monitor's own code stay.
   * @param snapshot of another system, or what `decodeSnapshot` made of it
   * @throws SnapshotError for anything else, and in a system that has run
   */
  restore(snapshot: unknown): void {
    const { hostMemory } = this;
    const { memory } = hostMemory;
    if (this.hasRun)
      throw new SnapshotError("MISMATCH", "this system has run: a snapshot is restored in a fresh one");
    checkSnapshot(snapshot, this.snapshot(), memory);
    try {
      memory.restore(snapshot.memory);
      memory.grow();
      hostMemory.heap.restore(snapshot.heap);
      hostMemory.p2mPool.restore(snapshot.p2mPool);
      this.domain.domains.xenstore.restore(snapshot.xenstore);
      this.vm.restore(snapshot.vm);
      this.domain.restore(snapshot.domain);
      this.tdp.restore(snapshot.tdp);
      this.attributes.restore(snapshot.attributes);
      this.regions.restore(snapshot.regions);
      this.vcpus.forEach((vcpu, n) => {
        vcpu.restore(snapshot.vcpus[n]);
      });
      this.threads?.restore(snapshot.threads);
      if (snapshot.window !== undefined) this.recorder?.restore(snapshot.window);
      this.forwarded = { ...snapshot.forwarded };
      for (const { pcpu } of this.vcpus) pcpu.recorder?.restart();
    } catch (error) {
      throw new SnapshotError("CORRUPT", `not a snapshot of a system: ${(error as Error).message}`);
    }
  }

  /** Events that the monitor sets pending by itself, because the kernel could not: it has the vCPUs' threads look. */
  private listenToMonitor({ eventChannels: { events, upcallVectors } }: Domain): void {
    const free = new FreePathCost(this.vm.memory);
    events.onUpcall = (id, cost) => {
      if (upcallVectors[id] === 0) this.vcpus[id].kick(cost ?? free);
      else this.vcpus[id].sendInterrupt(upcallVectors[id], cost ?? free); // KVM_SIGNAL_MSI
    };
    events.onPending = (port, cost) => {
      for (const each of this.vcpus)
        if (each.vcpu.endPoll(port) || each.xen.isPolling) each.kick(cost ?? free);
    };
  }

  private identity(): SystemIdentity {
    const { processor, config, accounting, recorder, overrides } = this;
    return identify({
      profile: processor.profile,
      prices: overrides.prices,
      host: "kvm",
      switches: config.kvm,
      domain: config.domain,
      peers: [],
      operations: [],
      accounting,
      measureWindow: recorder !== undefined,
    });
  }

  protected override tell({ onExit, onHypercall }: SystemListeners): void {
    for (const { host } of this.vcpus) {
      host.onExit = onExit;
      host.onHypercall = onHypercall;
    }
  }
}

/**
 * Builds a simulated machine with KVM and one guest.
 * @throws XenConfigError for a configuration that makes no sense, or that this host does not have
 * @throws ImageError for an image that cannot boot
 * @throws ProfileError for prices that do not exist or make no sense
 */
export function createKvmSystem(options: KvmSystemOptions): KvmSystem {
  return new KvmSystem(options);
}

/** What this host does not have. */
function checkDomain(config: ResolvedDomainConfig): void {
  const { abi, paging, confidential, logDirty, hardwareDomain } = config;
  const refuse = (key: string, value: unknown, allowed: string): never => {
    throw new XenConfigError(`domain.${key}`, value, `${allowed} under KVM`);
  };
  if (abi.name !== "linear") refuse("abi", abi.name, "linear");
  if (paging !== "hap") refuse("paging", paging, "hap");
  if (confidential !== undefined) refuse("confidential", confidential, "none");
  if (logDirty) refuse("logDirty", logDirty, "false");
  if (hardwareDomain) refuse("hardwareDomain", hardwareDomain, "false");
}
