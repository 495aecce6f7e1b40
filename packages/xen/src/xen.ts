import {
  type CpuidLeaf,
  type HardwareVirtualization,
  Processor,
  type ProcessorProfile,
  profileEstimates,
} from "@hyperwalk/cpu";
import { type CycleLedger, TICKS_PER_CYCLE, ticks } from "@hyperwalk/mmu";
import { EventEmitter } from "eventemitter3";
import { FastAbi } from "./abi/fastabi.js";
import type { HypercallAbi } from "./abi/hypercall-abi.js";
import { LinearAbi } from "./abi/linear.js";
import { PhysaddrAbi } from "./abi/physaddr.js";
import { bootProtocol, MEMMAP_RAM, pvhMemoryMap } from "./boot/index.js";
import type { ConsoleSource } from "./console.js";
import { CpuidPolicy } from "./cpuid-policy.js";
import { Domain } from "./domain.js";
import { type ExitAccount, ExitAccounting } from "./exit-accounting.js";
import { type FastForward, type FastForwardTarget, resolveTarget } from "./fast-forward.js";
import { GuestWalker } from "./guest-access/guest-walk.js";
import { LinearAccess } from "./guest-access/linear.js";
import { PhysicalAccess } from "./guest-access/physical.js";
import { exitName } from "./host/exit-name.js";
import type { FrameTable } from "./host/frame-table.js";
import { HostMemory, XEN_TEXT_BYTES } from "./host/host-memory.js";
import { hostObjectHomes } from "./host/host-objects.js";
import type { RunOutcome } from "./host/run-outcome.js";
import { SvmControl } from "./host/svm/svm-control.js";
import type { VcpuControl } from "./host/vcpu-control.js";
import { VmxControl } from "./host/vmx/vmx-control.js";
import { EmulatedExits } from "./host/xen/emulated-exits.js";
import { type HypercallEvent, HypercallHandler } from "./host/xen/hypercall-handler.js";
import { MmioExits } from "./host/xen/mmio-exits.js";
import { StringIo } from "./host/xen/string-io.js";
import { VirtualInterrupts } from "./host/xen/virtual-interrupts.js";
import { type VmExitEvent, XenHost } from "./host/xen/xen-host.js";
import { hypercallPage } from "./hypercall-page.js";
import { HypervisorCounters } from "./hypervisor-counters.js";
import { type MeasuredWindow, type SystemCounters, WindowRecorder } from "./measured-window.js";
import { MsrPolicy } from "./msr-policy.js";
import { OPERATIONS } from "./operations/index.js";
import { P2m } from "./p2m.js";
import { type StageEstimate, StagePathCost } from "./path-cost/stage-path-cost.js";
import { LATER_STAGES } from "./path-cost/stages/later.js";
import { XenText } from "./path-cost/xen-text.js";
import { SnapshotError } from "./snapshot/snapshot-error.js";
import {
  checkSnapshot,
  identify,
  type SystemIdentity,
  type XenSystemSnapshot,
} from "./snapshot/system-snapshot.js";
import { Vcpu } from "./vcpu.js";
import { Vlapic } from "./vlapic.js";
import {
  type DomainConfig,
  type ResolvedDomainConfig,
  type ResolvedXenConfig,
  resolveDomainConfig,
  resolveXenConfig,
  type XenConfig,
} from "./xen-config.js";

const DOMAIN_ID = 1;
/** Cycles that a run may take when the caller names no budget. */
export const DEFAULT_MAX_CYCLES = 20e9;

/** What a simulated machine with Xen and one guest is made from. */
export interface XenSystemOptions {
  readonly profile: ProcessorProfile;
  readonly xen?: XenConfig | undefined;
  readonly domain: DomainConfig;
  /** An existing processor of that profile, with nothing in its memory yet; default a new one. */
  readonly processor?: Processor | undefined;
  /** Keep {@link XenSystem.exitAccounts}; default false. */
  readonly accounting?: boolean | undefined;
  /** Watch RDTSCs for {@link XenSystem.window}; default true. Costs time when a guest reads the TSC often. */
  readonly measureWindow?: boolean | undefined;
}

/** Budgets of one {@link XenSystem.run}; the first that is used up ends it. */
export interface RunBudget {
  /** Guest instructions; default unlimited. */
  readonly maxInstructions?: number | undefined;
  /** Cycles from now on; default {@link DEFAULT_MAX_CYCLES}. */
  readonly maxCycles?: number | undefined;
}

/** What {@link XenSystem.on} tells. Objects are valid only during the call. */
export interface XenSystemEvents {
  "vm-exit": [VmExitEvent];
  hypercall: [HypercallEvent];
  /** Text that the guest printed, in order; the bytes are valid only during the call. */
  console: [ConsoleSource, Uint8Array];
  shutdown: [RunOutcome];
}

/**
 * One logical processor, Xen on it, and one guest with one vCPU. Nothing is shared between two systems; the same
 * options give the same bytes.
 */
export class XenSystem {
  readonly processor: Processor;
  readonly ledger: CycleLedger;
  readonly domain: Domain;
  readonly vcpu: Vcpu;
  readonly config: { readonly xen: ResolvedXenConfig; readonly domain: ResolvedDomainConfig };
  /** VMRUN or VMRESUME of this processor. */
  readonly hardware: HardwareVirtualization;
  readonly cost: StagePathCost;
  /** `page_info` of every machine frame. */
  readonly frameTable: FrameTable;
  /** The vCPU's virtual local APIC. */
  readonly vlapic: Vlapic;
  private readonly msrs: MsrPolicy;
  private readonly profile: ProcessorProfile;
  private readonly hostMemory: HostMemory;
  private hasRun = false;
  private readonly control: VcpuControl;
  private readonly hypervisorCounters = new HypervisorCounters();
  private readonly host: XenHost;
  private readonly hypercalls: HypercallHandler;
  private readonly accounting: ExitAccounting | undefined;
  private readonly recorder: WindowRecorder | undefined;
  private forwarded = { instructions: 0, cycles: 0 };
  private readonly events = new EventEmitter<XenSystemEvents>();

  constructor(options: XenSystemOptions) {
    const { profile } = options;
    const xen = resolveXenConfig(options.xen ?? {}, profile);
    const config = resolveDomainConfig(options.domain);
    const protocol = bootProtocol(config.image, config.boot);
    const image = protocol.load(config.image);
    this.config = { xen, domain: config };
    this.profile = profile;
    const processor = options.processor ?? new Processor({ profile });
    this.processor = processor;
    const { mmu, memory, ledger } = processor;
    this.ledger = ledger;
    const { vendor } = profile;

    const map = pvhMemoryMap(config.memoryBytes);
    const ram = map
      .filter((entry) => entry.type === MEMMAP_RAM)
      .map((entry) => ({ first: entry.address / 4096, count: entry.size / 4096 }));
    const guestFrames = Math.max(...map.map((entry) => (entry.address + entry.size) / 4096));
    const hostMemory = new HostMemory(mmu, guestFrames, ram);
    this.hostMemory = hostMemory;
    this.frameTable = hostMemory.frameTable;
    mmu.activate(hostMemory.context);
    const controlFrame = hostMemory.heap.allocate(1);
    const sharedInfoFrame = hostMemory.heap.allocate(1);
    const cost = new StagePathCost({
      mmu,
      timing: processor.profile.timing,
      vendor,
      predictor: processor.predictor,
      homes: hostObjectHomes(hostMemory, controlFrame, sharedInfoFrame),
      text: new XenText(XEN_TEXT_BYTES),
      lockHarden: xen.lockHarden,
    });
    this.cost = cost;
    const counters = this.hypervisorCounters;
    const p2m = new P2m({
      memory,
      format: vendor === "amd" ? "npt" : "ept",
      page: config.p2mPage,
      ram,
      guestFirst: hostMemory.guestFirst,
      pool: hostMemory.p2mPool,
      frameTable: hostMemory.frameTable,
      cost,
      counters,
    });
    const Control = vendor === "amd" ? SvmControl : VmxControl;
    const control: VcpuControl = new Control(processor, hostMemory, p2m, controlFrame, xen);
    this.control = control;
    p2m.onChange = () => control.flushSecondStage();
    this.hardware = control.hardware;
    const { registers } = control;
    const copyOptions = {
      p2m,
      cost,
      counters,
      memory,
      ledger,
      timing: processor.profile.timing,
      mmioHandlers: config.mmioHandlers,
    };
    const walker = new GuestWalker(
      p2m,
      cost,
      counters,
      memory,
      registers,
      processor.profile.memory.physicalAddressBits,
    );
    const access =
      config.abi === "physaddr" ? new PhysicalAccess(copyOptions) : new LinearAccess(copyOptions, walker);
    const allocateFrame = () => hostMemory.heap.allocate();
    this.domain = new Domain({
      id: config.hardwareDomain ? 0 : DOMAIN_ID,
      config,
      boot: protocol.id,
      memory,
      p2m,
      sharedInfoFrame,
      allocateFrame,
      cost,
      access,
    });
    this.vcpu = new Vcpu(0, this.domain, ledger, processor.profile.ghz, () => control.flushTlb());
    this.domain.vcpus.push(this.vcpu);
    const { cmdline, modules } = config;
    control.start(protocol.build(this.domain, image, { cmdline, modules }));

    let msrs: MsrPolicy | undefined;
    const vlapic = new Vlapic({
      vcpuId: 0,
      ledger,
      ghz: processor.profile.ghz,
      physicalAddressBits: processor.profile.memory.physicalAddressBits,
      tscDeadline: hasTscDeadline(processor.profile.cpuid),
      timestampOffset: () => msrs?.timestampOffset ?? 0,
      onTaskPriority: (priority) => control.setTaskPriority(priority),
    });
    this.vlapic = vlapic;
    const cpuid = new CpuidPolicy({ profile: processor.profile, abi: config.abi, domainId: this.domain.id });
    msrs = new MsrPolicy(registers, control, () => ledger.cycles, vlapic.apic, vendor, cpuid.xsaves);
    this.msrs = msrs;

    this.hypercalls = new HypercallHandler(this.makeAbis(config, control, access), registers, cost, counters);
    const emulated = new EmulatedExits({
      domain: this.domain,
      control,
      cost,
      mmu,
      cpuid,
      msrs,
      vlapic,
      strings: new StringIo(
        registers,
        access instanceof LinearAccess ? access : new LinearAccess(copyOptions, walker),
      ),
      hypercallPage: hypercallPage(control.hardware.hypercallInstruction),
    });
    this.host = new XenHost({
      processor,
      domain: this.domain,
      vcpu: this.vcpu,
      control,
      cost,
      counters,
      switches: xen,
      hypercalls: this.hypercalls,
      emulated,
      mmio: new MmioExits({ processor, registers, cost, vlapic, context: control.context }),
      interrupts: new VirtualInterrupts(vlapic, control, cost),
    });
    if (options.accounting === true) {
      this.accounting = new ExitAccounting();
      this.connectAccounting(this.accounting);
    }
    if (options.measureWindow === false) return;
    const recorder = new WindowRecorder(ledger, () => this.counters());
    processor.probes.onTimestamp = (timestamp) => recorder.onTimestamp(timestamp);
    this.recorder = recorder;
  }

  /** Runs the guest until it ends or a budget is used up. May be called again after `budget`. */
  run(budget: RunBudget = {}): RunOutcome {
    const { maxInstructions = Number.MAX_SAFE_INTEGER, maxCycles = DEFAULT_MAX_CYCLES } = budget;
    this.hasRun = true;
    const outcome = this.host.run(maxInstructions, this.ledger.clock[0] + ticks(maxCycles));
    if (outcome.reason !== "budget" && this.events.listenerCount("shutdown") > 0)
      this.events.emit("shutdown", outcome);
    return outcome;
  }

  /**
   * Runs the guest with timing off until a target is reached: the same architectural state, without caches, TLBs, branch
   * prediction and hypervisor lines, which stay as they are. Simulated time passes by fixed costs alone, in a ledger phase
   * of its own (`fast-forward`); neither {@link window} nor the exit accounts take any of it in. Guests that read the time
   * or are interrupted by timers see that other time.
   * @throws RangeError for a target that makes no sense
   */
  fastForward(target: FastForwardTarget, budget: RunBudget = {}): FastForward {
    const { marker, address, instructions } = resolveTarget(target);
    const { maxInstructions = Number.MAX_SAFE_INTEGER } = budget;
    const { processor } = this;
    const { stopPoint, engine, probes } = processor;
    const instructionsBefore = engine.instructions;
    const cyclesBefore = this.cycles;
    this.recorder?.interrupt();
    const { onTimestamp } = probes;
    probes.onTimestamp = undefined;
    this.connectAccounting(undefined);
    processor.setTimed(false);
    processor.stopAt(marker, address);
    try {
      const outcome = this.run({ ...budget, maxInstructions: Math.min(instructions, maxInstructions) });
      const ran = engine.instructions - instructionsBefore;
      const cycles = this.cycles - cyclesBefore;
      this.forwarded = {
        instructions: this.forwarded.instructions + ran,
        cycles: this.forwarded.cycles + cycles,
      };
      const ended =
        outcome.reason !== "budget"
          ? "outcome"
          : (stopPoint.reached ?? (ran >= instructions ? "instructions" : "outcome"));
      return { ended, ...(ended === "outcome" ? { outcome } : {}), instructions: ran, cycles };
    } finally {
      processor.stopNowhere();
      processor.setTimed(true);
      this.connectAccounting(this.accounting);
      probes.onTimestamp = onTimestamp;
    }
  }

  /** What all fast-forwards together ran: guest instructions, and simulated cycles that are no timed ones. */
  get fastForwarded(): { readonly instructions: number; readonly cycles: number } {
    return this.forwarded;
  }

  /**
   * The whole system between two runs, as plain data that shares nothing with it: for {@link restore}, and for
   * `encodeSnapshot`, with which it survives the process.
   */
  snapshot(): XenSystemSnapshot {
    const { processor, hostMemory } = this;
    return {
      identity: this.identity(),
      memory: processor.memory.snapshot(),
      heap: hostMemory.heap.snapshot(),
      p2mPool: hostMemory.p2mPool.snapshot(),
      cost: this.cost.snapshot(),
      processor: processor.snapshot(),
      control: this.control.snapshot(),
      counters: this.hypervisorCounters.snapshot(),
      domain: this.domain.snapshot(),
      vcpu: this.vcpu.snapshot(),
      msrs: this.msrs.snapshot(),
      vlapic: this.vlapic.snapshot(),
      host: this.host.snapshot(),
      accounting: this.accounting?.snapshot(),
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
    const { processor, hostMemory } = this;
    const { memory } = processor;
    if (this.hasRun)
      throw new SnapshotError("MISMATCH", "this system has run: a snapshot is restored in a fresh one");
    checkSnapshot(snapshot, this.snapshot(), memory);
    try {
      memory.restore(snapshot.memory);
      memory.grow();
      hostMemory.heap.restore(snapshot.heap);
      hostMemory.p2mPool.restore(snapshot.p2mPool);
      // Phases have their numbers by the order in which they were first met, whoever met them.
      for (const name of snapshot.processor.ledger.phases) this.ledger.registerPhase(name);
      this.cost.restore(snapshot.cost, LATER_STAGES);
      processor.restore(snapshot.processor);
      this.control.restore(snapshot.control);
      processor.mmu.activate(hostMemory.context);
      this.hypervisorCounters.restore(snapshot.counters);
      this.msrs.restore(snapshot.msrs);
      this.vlapic.restore(snapshot.vlapic);
      this.domain.restore(snapshot.domain);
      this.vcpu.restore(snapshot.vcpu);
      this.host.restore(snapshot.host);
      if (snapshot.accounting !== undefined) this.accounting?.restore(snapshot.accounting);
      if (snapshot.window !== undefined) this.recorder?.restore(snapshot.window);
      this.forwarded = { ...snapshot.forwarded };
      processor.state.words.set(snapshot.processor.words);
    } catch (error) {
      throw new SnapshotError("CORRUPT", `not a snapshot of a system: ${(error as Error).message}`);
    }
  }

  /** What the guest printed: PV console ring or console_io, else Xen's debug port. */
  get console(): string {
    return this.domain.console.text;
  }

  /** Totals since the system was made. */
  counters(): SystemCounters {
    const { hypervisorCounters: c } = this;
    return {
      hypercalls: c.hypercalls,
      vmExits: c.vmExits,
      hypervisorInstructions: this.cost.instructions,
      guestInstructions: this.processor.engine.instructions,
      p2mLookups: c.p2mLookups,
      p2mTableReads: c.p2mTableReads,
      guestPteReads: c.guestPteReads,
      bytesCopied: c.bytesCopied,
      accessedDirtyUpdates: c.accessedDirtyUpdates,
    };
  }

  /** The interval between two consecutive RDTSCs of the guest that held most hypercalls. */
  get window(): MeasuredWindow | undefined {
    return this.recorder?.window;
  }

  /** Exits by reason with their cycles, most first; empty without `accounting`. */
  exitAccounts(): readonly ExitAccount[] {
    this.accounting?.settle(this.ledger.clock[0]);
    const { vendor } = this.profile;
    return this.accounting?.exitAccounts((code) => exitName(vendor, code)) ?? [];
  }

  /** The same by hypercall; their cycles are part of those of the exits that they are. */
  hypercallAccounts(): readonly ExitAccount[] {
    this.accounting?.settle(this.ledger.clock[0]);
    return this.accounting?.hypercallAccounts() ?? [];
  }

  /** Everything that results rest on and nobody measured: numbers of the profile, and stages that ran. */
  estimates(): readonly StageEstimate[] {
    return [...profileEstimates(this.profile), ...this.cost.estimates()];
  }

  /** Simulated time since the domain was built, in cycles. */
  get cycles(): number {
    return this.ledger.clock[0] / TICKS_PER_CYCLE;
  }

  /** Listens. Without listeners events cost nothing. */
  on<E extends keyof XenSystemEvents>(event: E, listener: (...args: XenSystemEvents[E]) => void): this {
    this.events.on(event, listener as never);
    this.connect();
    return this;
  }

  off<E extends keyof XenSystemEvents>(event: E, listener: (...args: XenSystemEvents[E]) => void): this {
    this.events.off(event, listener as never);
    this.connect();
    return this;
  }

  private connectAccounting(accounting: ExitAccounting | undefined): void {
    this.accounting?.settle(this.ledger.clock[0]);
    this.host.accounting = accounting;
    this.hypercalls.accounting = accounting;
  }

  private identity(): SystemIdentity {
    const { processor, config, accounting, recorder } = this;
    return identify({
      profile: processor.profile,
      ...config,
      accounting: accounting !== undefined,
      measureWindow: recorder !== undefined,
    });
  }

  private connect(): void {
    const { events } = this;
    this.host.onExit =
      events.listenerCount("vm-exit") > 0 ? (event) => events.emit("vm-exit", event) : undefined;
    this.hypercalls.onHypercall =
      events.listenerCount("hypercall") > 0 ? (event) => events.emit("hypercall", event) : undefined;
    this.domain.console.onText =
      events.listenerCount("console") > 0
        ? (source, bytes) => events.emit("console", source, bytes)
        : undefined;
  }

  private makeAbis(
    config: ResolvedDomainConfig,
    control: VcpuControl,
    access: LinearAccess | PhysicalAccess,
  ): readonly HypercallAbi[] {
    const { registers } = control;
    if (config.abi === "physaddr") return [new PhysaddrAbi(OPERATIONS, registers, access, this.cost)];
    const linear = new LinearAbi(OPERATIONS, registers, access, this.cost);
    return config.abi === "fastabi" ? [new FastAbi(OPERATIONS, registers, this.cost), linear] : [linear];
  }
}

const LEAF1_TSC_DEADLINE = 1 << 24;

function hasTscDeadline(leaves: readonly CpuidLeaf[]): boolean {
  return ((leaves.find((leaf) => leaf[0] === 1)?.[4] ?? 0) & LEAF1_TSC_DEADLINE) !== 0;
}

/**
 * Builds a simulated machine with Xen and one guest.
 * @throws XenConfigError for a configuration that makes no sense @throws ImageError for an image that cannot boot
 */
export function createXenSystem(options: XenSystemOptions): XenSystem {
  return new XenSystem(options);
}
