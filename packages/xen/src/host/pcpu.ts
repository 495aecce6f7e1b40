import type { Processor } from "@hyperwalk/cpu";
import type { CycleLedger, TranslationContext } from "@hyperwalk/mmu";
import type { ConfidentialKind } from "../confidential.js";
import { HypervisorCounters } from "../hypervisor-counters.js";
import type { SystemCounters } from "../measured-window.js";
import type { Stage } from "../path-cost/stage.js";
import { StagePathCost } from "../path-cost/stage-path-cost.js";
import type { XenText } from "../path-cost/xen-text.js";
import type { PcpuSnapshot } from "../snapshot/system-snapshot.js";
import { RecordedPathCost } from "../timeline/recorded-path-cost.js";
import { TimelineRecorder } from "../timeline/timeline-recorder.js";
import type { TimelineListener } from "../timeline/timeline-stretch.js";
import type { ResolvedXenConfig } from "../xen-config.js";
import type { HostMemory } from "./host-memory.js";
import type { Homes } from "./host-objects.js";
import type { ShadowControl } from "./shadow-control.js";
import { SvmControl } from "./svm/svm-control.js";
import type { SecondStageRoot } from "./vcpu-control.js";
import { VmxControl } from "./vmx/vmx-control.js";

export interface PcpuOptions {
  /** With the machine's memory. */
  readonly processor: Processor;
  readonly hostMemory: HostMemory;
  /** Zeroed frame for the VMCB or VMCS. */
  readonly controlFrame: number;
  readonly homes: Homes;
  readonly text: XenText;
  readonly xen: ResolvedXenConfig;
  /** The first physical CPU, when this is a later one. */
  readonly first?: Pcpu | undefined;
  /** Takes the timeline of the vCPU that is pinned here, whose number {@link vcpu} is; default nobody does. */
  readonly timeline?: TimelineListener | undefined;
  readonly vcpu?: number | undefined;
}

/**
 * One physical CPU under Xen: the processor with its caches, TLBs and ledger, Xen's address space as it sees it, and what
 * Xen's code costs on it. Phases of all ledgers and stages of all costs have the same numbers, so that objects that all
 * physical CPUs use can keep them.
 */
export class Pcpu {
  readonly processor: Processor;
  readonly ledger: CycleLedger;
  /** Xen's address space on this processor. */
  readonly context: TranslationContext;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters = new HypervisorCounters();
  /** Where somebody takes the timeline. */
  readonly recorder: TimelineRecorder | undefined;
  private readonly controlFrame: number;

  constructor(options: PcpuOptions) {
    const { processor, hostMemory, first } = options;
    const { mmu, ledger, profile } = processor;
    this.processor = processor;
    this.ledger = ledger;
    this.controlFrame = options.controlFrame;
    this.context = first === undefined ? hostMemory.context : hostMemory.contextFor(mmu);
    mmu.activate(this.context);
    for (const name of first?.ledger.state().phases ?? []) ledger.registerPhase(name);
    const prices = {
      mmu,
      timing: profile.timing,
      vendor: profile.vendor,
      predictor: processor.predictor,
      homes: options.homes,
      text: options.text,
      further: first !== undefined,
      lockHarden: options.xen.lockHarden,
    };
    const { timeline, vcpu = 0 } = options;
    this.recorder = timeline === undefined ? undefined : new TimelineRecorder(ledger, vcpu, timeline);
    this.cost =
      this.recorder === undefined ? new StagePathCost(prices) : new RecordedPathCost(prices, this.recorder);
  }

  /** Totals of the processor, its guest and its hypervisor. */
  systemCounters(): SystemCounters {
    const { counters: c, cost, processor } = this;
    return {
      hypercalls: c.hypercalls,
      vmExits: c.vmExits,
      hypervisorInstructions: cost.instructions,
      guestInstructions: processor.engine.instructions,
      p2mLookups: c.p2mLookups,
      pageReferences: c.pageReferences,
      p2mTableReads: c.p2mTableReads,
      guestPteReads: c.guestPteReads,
      copiesFromGuest: c.copiesFromGuest,
      copiesToGuest: c.copiesToGuest,
      bytesCopied: c.bytesCopied,
      accessedDirtyUpdates: c.accessedDirtyUpdates,
    };
  }

  /** Puts back what is the processor's and the path cost's. @param later stages that are compiled when they first run */
  restore(snapshot: Pick<PcpuSnapshot, "processor" | "cost" | "counters">, later: readonly Stage[]): void {
    const { processor, ledger, cost, counters } = this;
    // Phases have their numbers by the order in which they were first met, whoever met them.
    for (const name of snapshot.processor.ledger.phases) ledger.registerPhase(name);
    cost.restore(snapshot.cost, later);
    processor.restore(snapshot.processor);
    counters.restore(snapshot.counters);
  }

  /** The control structure of the vCPU that is pinned here. Allocates from Xen's heap. */
  createControl(
    host: HostMemory,
    p2m: SecondStageRoot,
    xen: ResolvedXenConfig,
    confidential?: ConfidentialKind,
  ): ShadowControl {
    const { memory, heap, rootFrame } = host;
    const { context, controlFrame, processor } = this;
    const view = { memory, heap, rootFrame, context };
    return processor.profile.vendor === "amd"
      ? new SvmControl(processor, view, p2m, controlFrame, xen, confidential)
      : new VmxControl(processor, view, p2m, controlFrame, xen);
  }
}
