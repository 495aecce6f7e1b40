import { type HardwareVirtualization, Processor, type ProcessorProfile, sevEstimates } from "@hyperwalk/cpu";
import { type CycleLedger, TICKS_PER_CYCLE, ticks } from "@hyperwalk/mmu";
import { bootProtocol, guestAddressSpace } from "./boot/index.js";
import { checkConfidential, encryptsRegisters, launchedDomain } from "./confidential.js";
import { Domain } from "./domain.js";
import { DomainList } from "./domain-list.js";
import {
  DEFAULT_MAX_CYCLES,
  GuestSystem,
  type GuestSystemEvents,
  type RunBudget,
  type SystemListeners,
} from "./guest-system.js";
import type { FrameTable } from "./host/frame-table.js";
import { HostMemory, XEN_TEXT_BYTES } from "./host/host-memory.js";
import { furtherHomes, hostObjectHomes } from "./host/host-objects.js";
import { Pcpu } from "./host/pcpu.js";
import type { RunOutcome } from "./host/run-outcome.js";
import { SecurePages } from "./host/svm/secure-pages.js";
import { ASID as DOMAIN_ASID } from "./host/svm/svm-control.js";
import { HvmVcpu } from "./host/xen/hvm-vcpu.js";
import { NullScheduler } from "./host/xen/null-scheduler.js";
import { checkRecord } from "./migration/check-record.js";
import { restoreDomain, saveDomain } from "./migration/domain-record.js";
import { rewriteHypercallPages } from "./migration/hypercall-page-rewrite.js";
import { MigrationError, type MigrationRecord } from "./migration/migration-record.js";
import { doorbellOperations } from "./operations/doorbell.js";
import { CONTINUED_OPERATIONS, OPERATIONS } from "./operations/index.js";
import type { Operation, OperationDescriptor } from "./operations/operation.js";
import { withOwnOperations } from "./operations/own-operation.js";
import { P2m } from "./p2m.js";
import { checkStagePrices } from "./path-cost/apply-prices.js";
import { StageOverrides, type StagePriceRecord } from "./path-cost/stage-overrides.js";
import type { StageEstimate, StagePathCost } from "./path-cost/stage-path-cost.js";
import { XenText } from "./path-cost/xen-text.js";
import { type PeerConfig, type ResolvedPeerConfig, resolvePeers } from "./peer-config.js";
import { PeerDomain } from "./peer-domain.js";
import { SnapshotError } from "./snapshot/snapshot-error.js";
import {
  checkSnapshot,
  identify,
  type SystemIdentity,
  type XenSystemSnapshot,
} from "./snapshot/system-snapshot.js";
import type { TimelineListener } from "./timeline/timeline-stretch.js";
import type { Vcpu } from "./vcpu.js";
import type { Vlapic } from "./vlapic.js";
import {
  checkDoorbell,
  type DomainConfig,
  type ResolvedDomainConfig,
  type ResolvedXenConfig,
  resolveDomainConfig,
  resolveXenConfig,
  type XenConfig,
} from "./xen-config.js";

const DOMAIN_ID = 1;
/** What a simulated machine with Xen and one guest is made from. */
export interface XenSystemOptions {
  readonly profile: ProcessorProfile;
  readonly xen?: XenConfig | undefined;
  readonly domain: DomainConfig;
  /** Further domains without code of their own, see {@link XenSystem.peers}; default none. */
  readonly peers?: readonly PeerConfig[] | undefined;
  /** What this hypervisor can do besides what Xen can, see `ownOperation`; default nothing. */
  readonly operations?: readonly Operation[] | undefined;
  /**
   * Other prices of Xen's code, by the keys of {@link GuestSystem.estimates}: `stage.<name>` for a stage's instructions wherever
   * it runs, `stages.instructionsPerColdBranch`, `stages.bytesPerInstruction`. Default none. See `applyPrices`.
   */
  readonly prices?: StagePriceRecord | undefined;
  /** An existing processor of that profile for vCPU 0, with nothing in its memory yet; default a new one. */
  readonly processor?: Processor | undefined;
  /** Keep {@link XenSystem.exitAccounts}; default false. */
  readonly accounting?: boolean | undefined;
  /** Watch RDTSCs for {@link XenSystem.window}; default true. Costs time when a guest reads the TSC often. */
  readonly measureWindow?: boolean | undefined;
  /** Takes where each vCPU's clock goes, stretch by stretch; see {@link GuestSystem.endTimeline}. Default nobody does. */
  readonly timeline?: TimelineListener | undefined;
}

/** What {@link XenSystem.on} tells. */
export type XenSystemEvents = GuestSystemEvents;

/**
 * Xen on one logical processor for each vCPU of one guest. Nothing is shared between two systems; the same options give
 * the same bytes. What has no number in its name is vCPU 0's.
 */
export class XenSystem extends GuestSystem {
  readonly processor: Processor;
  readonly ledger: CycleLedger;
  readonly domain: Domain;
  readonly vcpu: Vcpu;
  readonly config: {
    readonly xen: ResolvedXenConfig;
    readonly domain: ResolvedDomainConfig;
    readonly peers: readonly ResolvedPeerConfig[];
  };
  /** VMRUN or VMRESUME of this processor. */
  readonly hardware: HardwareVirtualization;
  readonly cost: StagePathCost;
  /** `page_info` of every machine frame. */
  readonly frameTable: FrameTable;
  /** The vCPU's virtual local APIC. */
  readonly vlapic: Vlapic;
  /** All vCPUs by number, with their processors. */
  readonly vcpus: readonly HvmVcpu[];
  /** Further domains, in the order of the options. */
  readonly peers: readonly PeerDomain[];
  protected readonly profile: ProcessorProfile;
  private readonly operations: readonly OperationDescriptor[];
  private readonly hostMemory: HostMemory;
  private hasRun = false;
  /** xenstored has been told that the guest is shut down. */
  private isReleased = false;
  private readonly scheduler: NullScheduler | undefined;
  private readonly accounting: boolean;
  private readonly overrides: StageOverrides;

  constructor(options: XenSystemOptions) {
    super();
    const { profile } = options;
    const xen = resolveXenConfig(options.xen ?? {}, profile);
    const config = resolveDomainConfig(options.domain);
    checkConfidential(config, profile);
    checkDoorbell(config);
    const protocol = bootProtocol(config.image, config.boot);
    const image = protocol.load(config.image);
    const id = config.hardwareDomain ? 0 : DOMAIN_ID;
    const peers = resolvePeers(options.peers ?? [], id);
    this.config = { xen, domain: config, peers };
    this.profile = profile;
    this.accounting = options.accounting === true;
    const { prices = {} } = options;
    checkStagePrices(
      prices,
      (options.operations ?? []).map(({ stage }) => stage),
    );
    this.overrides = new StageOverrides(prices);
    const processor = options.processor ?? new Processor({ profile });
    const { memory } = processor;

    const { frames: guestFrames, ram } = guestAddressSpace(config.memoryBytes);
    const spaces = peers.map(({ memoryBytes }) => guestAddressSpace(memoryBytes));
    const isSecure = config.confidential === "sev-snp";
    const secure = isSecure ? { asid: DOMAIN_ASID, largePages: config.p2mPage !== "4k" } : undefined;
    const hostMemory = new HostMemory(processor.mmu, guestFrames, ram, spaces, secure);
    this.hostMemory = hostMemory;
    this.frameTable = hostMemory.frameTable;
    const controlFrame = hostMemory.heap.allocate(1);
    const sharedInfoFrame = hostMemory.heap.allocate(1);
    const homes = hostObjectHomes(hostMemory, controlFrame, sharedInfoFrame);
    const text = new XenText(XEN_TEXT_BYTES, this.overrides);
    const { timeline } = options;
    const pcpu = new Pcpu({ processor, hostMemory, controlFrame, homes, text, xen, timeline });
    const p2m = new P2m({
      memory,
      format: profile.vendor === "amd" ? "npt" : "ept",
      page: config.p2mPage,
      ram,
      guestFirst: hostMemory.guestFirst,
      pool: hostMemory.p2mPool,
      frameTable: hostMemory.frameTable,
      cost: pcpu.cost,
      counters: pcpu.counters,
      execSp: xen.execSp || config.hardwareDomain,
    });
    const { confidential } = config;
    if (confidential !== undefined) memory.encryptsMemory = true;
    const control = pcpu.createControl(hostMemory, p2m, xen, confidential);
    p2m.onChange = () => control.flushSecondStage();
    const { reverseMap } = hostMemory;
    if (reverseMap !== undefined) processor.mmu.useReverseMap(reverseMap);
    const pages =
      reverseMap === undefined ? undefined : new SecurePages(reverseMap, processor.mmu, p2m, DOMAIN_ASID);
    const domains = new DomainList();
    const domain = new Domain({
      id,
      config,
      boot: protocol.id,
      memory,
      p2m,
      sharedInfoFrame,
      allocateFrame: () => hostMemory.heap.allocate(),
      domains,
    });
    this.domain = domain;
    const scheduler = config.vcpus > 1 ? new NullScheduler(domain) : undefined;
    this.scheduler = scheduler;
    const { doorbell } = domain;
    const ringing =
      doorbell !== undefined && config.doorbell?.hypercalls === true ? doorbellOperations(doorbell) : [];
    const known = [...OPERATIONS, ...CONTINUED_OPERATIONS];
    const operations = withOwnOperations(known, [...ringing, ...(options.operations ?? [])]);
    this.operations = (options.operations ?? []).map(({ descriptor }) => descriptor);
    const { heap, frameTable } = hostMemory;
    const shared = { domain, config, xen, scheduler, operations, heap, frameTable, pages };
    const first = new HvmVcpu({ id: 0, pcpu, control, ...shared, first: undefined });
    const further = Array.from({ length: config.vcpus - 1 }, (_, n) => {
      const frame = hostMemory.heap.allocate(1);
      const another = new Pcpu({
        processor: new Processor({ profile, memory, apicId: n + 1 }),
        hostMemory,
        controlFrame: frame,
        homes: furtherHomes(hostMemory, frame, homes),
        text,
        xen,
        first: pcpu,
        timeline,
        vcpu: n + 1,
      });
      const id = n + 1;
      const its = another.createControl(hostMemory, p2m, xen, confidential);
      return new HvmVcpu({ id, pcpu: another, control: its, ...shared, first });
    });
    this.vcpus = [first, ...further];
    for (const vcpu of this.vcpus) {
      domain.vcpus.push(vcpu.vcpu);
      scheduler?.add(vcpu);
    }
    const { logDirty } = domain.conditions;
    logDirty.usesPml = xen.pml;
    logDirty.onSwitch = (on) => {
      for (const vcpu of this.vcpus) vcpu.control.setModificationLog(on);
    };
    logDirty.onFlush = () => {
      for (const vcpu of this.vcpus)
        vcpu.control.flushModificationLog((gfn) => domain.conditions.noteLogged(gfn));
    };
    if (config.logDirty) logDirty.enable();
    const { cmdline, modules } = config;
    const launched =
      confidential === undefined ? undefined : launchedDomain(domain, memory, p2m, DOMAIN_ASID, pages);
    control.start(protocol.build(launched ?? domain, image, { cmdline, modules }));
    launched?.launch(image);
    if (control.encrypted !== undefined) pages?.launchVmsa(control.encrypted.vmsaFrame);
    p2m.ownership = pages;
    first.vcpu.areas.startTime();
    if (scheduler === undefined)
      domain.eventChannels.events.onPending = (port) => {
        first.vcpu.endPoll(port);
      };
    this.peers = peers.map(
      (peer, i) =>
        new PeerDomain({ peer, like: config, pcpu, hostMemory, frames: hostMemory.peers[i], domains }),
    );
    if (peers.length > 0) for (const { host } of this.vcpus) host.hasPeers = true;
    if (scheduler !== undefined) scheduler.otherP2ms = this.peers.map((peer) => peer.domain.p2m);
    this.processor = processor;
    this.ledger = processor.ledger;
    this.cost = pcpu.cost;
    this.hardware = control.hardware;
    this.vcpu = first.vcpu;
    this.vlapic = first.vlapic;
    this.observe(this.accounting, options.measureWindow !== false);
  }

  run(budget: RunBudget = {}): RunOutcome {
    const { maxInstructions = Number.MAX_SAFE_INTEGER, maxCycles = DEFAULT_MAX_CYCLES } = budget;
    this.hasRun = true;
    const { scheduler } = this;
    if (this.peers.length > 0) {
      scheduler?.revive();
      for (const { host } of this.vcpus) host.revive();
    }
    const outcome =
      scheduler === undefined
        ? this.vcpus[0].host.run(maxInstructions, this.ledger.clock[0] + ticks(maxCycles))
        : scheduler.run(maxInstructions, scheduler.now + ticks(maxCycles));
    if (outcome.reason === "shutdown" && !this.isReleased) {
      this.isReleased = true;
      this.domain.domains.xenstore.fire("@releaseDomain", false);
    }
    this.tellOutcome(outcome);
    return outcome;
  }

  /**
   * The whole system between two runs, as plain data that shares nothing with it: for {@link restore}, and for
   * `encodeSnapshot`, with which it survives the process.
   */
  snapshot(): XenSystemSnapshot {
    const { hostMemory } = this;
    return {
      identity: this.identity(),
      memory: hostMemory.memory.snapshot(),
      heap: hostMemory.heap.snapshot(),
      p2mPool: hostMemory.p2mPool.snapshot(),
      xenstore: this.domain.domains.xenstore.snapshot(),
      domain: this.domain.snapshot(),
      peers: this.peers.map((peer) => peer.snapshot()),
      vcpus: this.vcpus.map((vcpu) => vcpu.snapshot()),
      scheduler: this.scheduler?.snapshot(),
      window: this.recorder?.snapshot(),
      forwarded: { ...this.forwarded },
    };
  }

  /**
   * Puts the state of a system that was made with the same options in the place of this one's, which has not run yet:
   * {@link run} goes on where that one's would have. Listeners stay.
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
      this.domain.restore(snapshot.domain);
      this.isReleased = snapshot.domain.shutdownReason >= 0;
      this.peers.forEach((peer, n) => {
        peer.restore(snapshot.peers[n]);
      });
      this.vcpus.forEach((vcpu, n) => {
        vcpu.restore(snapshot.vcpus[n]);
      });
      this.scheduler?.restore(snapshot.scheduler);
      if (snapshot.window !== undefined) this.recorder?.restore(snapshot.window);
      this.forwarded = { ...snapshot.forwarded };
      for (const { pcpu } of this.vcpus) pcpu.recorder?.restart();
    } catch (error) {
      throw new SnapshotError("CORRUPT", `not a snapshot of a system: ${(error as Error).message}`);
    }
  }

  /**
   * The guest as architectural state, for {@link receive} of a system of any processor: what a live migration carries. The
   * vCPU is brought out of its guest; this system can run on.
   * @throws MigrationError for state that only means something on this machine
   */
  migrationRecord(): MigrationRecord {
    if (this.peers.length > 0) throw new MigrationError("STATE", "peers", "other domains hold parts of it");
    const [vcpu] = this.vcpus;
    const { hardware } = vcpu.control;
    return {
      version: 1,
      from: this.profile.id,
      hypercallInstruction: [...hardware.hypercallInstruction],
      ...vcpu.saveRecord(),
      ...saveDomain(this.domain),
    };
  }

  /**
   * Takes a guest over that ran elsewhere, in the place of this system's own, which has not run: its memory behind second-stage
   * tables of this processor's kind, its registers in this vendor's control structure, its domain's state. Caches and TLBs are
   * cold; system time and xenstore are this host's.
   * @param hypercallPages whether pages of hypercalls become this vendor's; default they stay as they are
   * @throws MigrationError for a guest that cannot be here; nothing has been changed then
   */
  receive(record: MigrationRecord, hypercallPages: "stale" | "rewritten" = "stale"): void {
    if (this.hasRun)
      throw new MigrationError("STATE", "system", "has run: a guest is received by a fresh one");
    const [vcpu] = this.vcpus;
    checkRecord(record, this.migrationRecord(), this.domain);
    vcpu.checkRecord(record);
    const { abi } = this.config.domain;
    const pages =
      hypercallPages === "stale"
        ? record.pages
        : rewriteHypercallPages(
            record.pages,
            record.hypercallInstruction,
            vcpu.control.hardware.hypercallInstruction,
            abi.hypercallPages ?? [0],
          );
    restoreDomain(this.domain, { ...record, pages });
    vcpu.restoreRecord(record);
  }

  protected override furtherEstimates(): readonly StageEstimate[] {
    const { confidential } = this.config.domain;
    return encryptsRegisters(confidential) ? sevEstimates(confidential === "sev-snp") : [];
  }

  /** Simulated time since the domain was built, in cycles: that of the processor that is furthest. */
  get cycles(): number {
    return (this.scheduler?.now ?? this.ledger.clock[0]) / TICKS_PER_CYCLE;
  }

  protected override tell({ onExit, onHypercall, observer }: SystemListeners): void {
    for (const vcpu of this.vcpus) {
      vcpu.host.onExit = onExit;
      vcpu.hypercalls.onHypercall = onHypercall;
      vcpu.observe(observer);
    }
  }

  private identity(): SystemIdentity {
    const { processor, config, accounting, recorder, overrides } = this;
    return identify({
      profile: processor.profile,
      prices: overrides.prices,
      host: "xen",
      switches: config.xen,
      domain: config.domain,
      peers: config.peers,
      operations: this.operations,
      accounting,
      measureWindow: recorder !== undefined,
    });
  }
}

/**
 * Builds a simulated machine with Xen and one guest.
 * @throws XenConfigError for a configuration that makes no sense @throws ImageError for an image that cannot boot
 * @throws ProfileError for prices that do not exist or make no sense
 */
export function createXenSystem(options: XenSystemOptions): XenSystem {
  return new XenSystem(options);
}
