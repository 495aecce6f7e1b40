import { Processor, type ProcessorProfile, type ResolvedProfile } from "@hyperwalk/cpu";
import { type LedgerRow, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { EVTCHNSTAT_INTERDOMAIN } from "../../operations/descriptors.gen.js";
import { type StageEstimate, StagePathCost } from "../../path-cost/stage-path-cost.js";
import { XenText } from "../../path-cost/xen-text.js";
import { HostMemory, XEN_TEXT_BYTES } from "../host-memory.js";
import { hostObjectHomes } from "../host-objects.js";
import type { EventFd } from "./eventfd.js";
import type { SharedInfoKey } from "./kvm-config.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import { KvmVm } from "./kvm-vm.js";
import type { KvmXenCountersSnapshot } from "./kvm-xen-counters.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN,
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  KvmXenAttrType,
  KvmXenHvmConfigFlag,
  KvmXenVcpuAttrType,
} from "./uapi.js";

/**
 * What the monitor does to the memory slots: moves shared_info's to another guest frame and tells the kernel (the guest's
 * XENMEM_add_to_physmap); deletes it and makes it anew at the same frame, as when regions around it are cut anew; or adds
 * one that has nothing to do with it.
 */
export const MEMSLOT_UPDATES = ["move", "replace", "another"] as const;
export type MemslotUpdate = (typeof MEMSLOT_UPDATES)[number];

/** Where an event comes from: a device's irqfd, the monitor's ioctl, a guest's EVTCHNOP_send, the vCPU's timer. */
export const EVENT_SENDERS = ["irqfd", "ioctl", "hypercall", "timer"] as const;
export type EventSender = (typeof EVENT_SENDERS)[number];

/**
 * Who put the event into shared_info: the sender at once, the sender after a refresh, the kernel's worker, or the vCPU
 * before it runs again; or nobody did.
 */
export type DeliveryPath = "fast" | "slow" | "worker" | "vcpu" | "none";

/**
 * What became of it: there before the monitor goes on; there, but only after something else had happened; nobody did, and the
 * sender was told (an error of the ioctl, or a hypercall that becomes user space's); nobody did, and nobody knows.
 */
export type DeliveryOutcome = "delivered" | "delayed" | "refused" | "lost";

/** One event sent at one point of an update. */
export interface EventDuringUpdate {
  /** The step that the update had just made, or `before`. */
  readonly point: string;
  readonly sender: EventSender;
  readonly path: DeliveryPath;
  readonly outcome: DeliveryOutcome;
  /** Cycles of the sender, and of whoever delivered it for the sender. */
  readonly cycles: number;
}

/** A scenario: one event of each sender at each point of an update, each in an update of its own. */
export interface MemslotEventsOptions {
  readonly profile: ProcessorProfile | ResolvedProfile;
  /** How the kernel knows shared_info, and the vCPU's `vcpu_info` in it. */
  readonly key: SharedInfoKey;
  readonly update: MemslotUpdate;
}

/** What happened, with everything that it took. */
export interface MemslotEventsResult {
  readonly key: SharedInfoKey;
  readonly update: MemslotUpdate;
  readonly points: readonly string[];
  /** By point, then by sender. */
  readonly events: readonly EventDuringUpdate[];
  /** What was counted from the beginning of each update to its event's end. */
  readonly counters: KvmXenCountersSnapshot;
  /** Every cycle of it, by phase and cause; below the root phase `monitor`, `sender` and `vcpu` say whose it was. */
  readonly ledger: readonly LedgerRow[];
  /** The sum of those. */
  readonly cycles: number;
  readonly estimates: readonly StageEstimate[];
}

const PAGE = 4096;
const RAM_FRAMES = 16;
const PENDING = 2048;
const MASK = 2560;
/** upcall_pending up to the end of the selector. */
const VCPU_INFO_FLAGS = 16;
const HVA = 0x7f0000000000;
const SLOT = 10;
const OTHER_SLOT = 11;
const GFN = 0x1000;
const OTHER_GFN = 0x1001;
const UNRELATED_GFN = 0x2000;
const VCPU_INFO = 0x40;
const GSI = 32;
const TIMER_NS = 1000;
const PRIORITY: number = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
/** A port for each sender, each with a selector bit of its own. */
const PORTS: Readonly<Record<EventSender, number>> = { irqfd: 15, ioctl: 66, hypercall: 130, timer: 200 };
const SEND_PORT = 300;

/**
 * Sends events at every point of an update of the memory slots. The vCPU is paused until the update is over, as the monitor
 * of a guest's XENMEM_add_to_physmap has it; the kernel's workers are not, and run between two steps.
 */
export function eventsDuringMemslotUpdate(options: MemslotEventsOptions): MemslotEventsResult {
  const machine = new MemslotEvents(options);
  // Twice: the first time everything is cold.
  machine.run();
  return machine.run();
}

/** Ledger phases around everything that happens, so that rows tell whose it was. */
const SCENARIO_PHASES = { monitor: "monitor", sender: "sender", vcpu: "vcpu", setUp: "set-up" } as const;
type ScenarioPhase = (typeof SCENARIO_PHASES)[keyof typeof SCENARIO_PHASES];

/** The vCPU of a guest whose monitor handles its hypercall. */
const PAUSED: KvmXenVcpu = {
  id: 0,
  longMode: true,
  inGuestMode: false,
  isBlocked: false,
  runDelayNs: 0,
  timestampOffset: 0,
  kick: () => {},
  setInterrupt: () => {},
  requestClockUpdate: () => {},
};

class MemslotEvents {
  private readonly options: MemslotEventsOptions;
  private readonly processor: Processor;
  private readonly cost: StagePathCost;
  private readonly vm: KvmVm;
  private readonly vcpu: KvmVcpuXen;
  private readonly eventfd: EventFd;
  private readonly frame: number;
  private gfn: number = GFN;

  constructor(options: MemslotEventsOptions) {
    this.options = options;
    this.processor = new Processor({ profile: options.profile });
    const { mmu, memory, ledger, profile, predictor } = this.processor;
    const host = new HostMemory(mmu, RAM_FRAMES, [{ first: 0, count: RAM_FRAMES }]);
    mmu.activate(host.context);
    const { heap } = host;
    this.cost = new StagePathCost({
      mmu,
      timing: profile.timing,
      vendor: profile.vendor,
      predictor,
      homes: hostObjectHomes(host, heap.allocate(), heap.allocate()),
      text: new XenText(XEN_TEXT_BYTES),
      lockHarden: false,
    });
    const { ghz } = profile;
    const nowNs = () => Math.floor(ledger.clock[0] / TICKS_PER_CYCLE / ghz) + 1;
    this.vm = new KvmVm({ memory, cost: this.cost, nowNs, tscGhz: ghz });
    this.frame = host.guestFirst;
    const created = this.vm.createVcpu(PAUSED);
    if (typeof created === "number") throw new RangeError(`vCPU: errno ${-created}`);
    this.vcpu = created;
    this.eventfd = this.vm.eventfds.create();
    this.as(SCENARIO_PHASES.setUp, () => this.setUp());
  }

  /** Every point with every sender. */
  run(): MemslotEventsResult {
    const { options, cost } = this;
    const { ledger } = this.processor;
    const before = ledger.snapshot();
    const points = this.as(SCENARIO_PHASES.setUp, () => ["before", ...this.update()]);
    this.undo();
    const total = this.vm.counters.snapshot() as Record<string, number>;
    for (const name of Object.keys(total)) total[name] = 0;
    const events = points.flatMap((point, at) =>
      EVENT_SENDERS.map((sender) => this.sendAt(point, at, sender, total)),
    );
    const rows = ledger.rows(before).filter(({ path }) => !path.includes(SCENARIO_PHASES.setUp));
    return {
      key: options.key,
      update: options.update,
      points,
      events,
      counters: total as KvmXenCountersSnapshot,
      ledger: rows,
      cycles: rows.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_CYCLE,
      estimates: cost.estimates(),
    };
  }

  /** One update with one event after `at` of its steps. @param total to which what it counted is added */
  private sendAt(
    point: string,
    at: number,
    sender: EventSender,
    total: Record<string, number>,
  ): EventDuringUpdate {
    const { vm, vcpu } = this;
    const port = PORTS[sender];
    const before = vm.counters.snapshot();
    const steps = this.update();
    const step = () => this.as(SCENARIO_PHASES.monitor, () => steps.next().done !== true);
    for (let i = 0; i < at; i++) step();
    const { eventsSlow } = vm.counters;
    const sent = this.timed(SCENARIO_PHASES.sender, () => this.send(sender));
    const isAtOnce = this.isPending(port);
    let path: DeliveryPath = isAtOnce ? (vm.counters.eventsSlow > eventsSlow ? "slow" : "fast") : "none";
    const worked = this.timed(SCENARIO_PHASES.sender, () => vm.irqfds.runWork());
    if (path === "none" && this.isPending(port)) path = "worker";
    while (step());
    const entered = this.timed(SCENARIO_PHASES.vcpu, () => vcpu.beforeEntry());
    if (path === "none" && this.isPending(port)) path = "vcpu";
    const isTold = path !== "none" && this.isSelected(port);
    const outcome: DeliveryOutcome = !isTold
      ? sent.result
        ? "lost"
        : "refused"
      : isAtOnce
        ? "delivered"
        : "delayed";
    for (const [name, value] of Object.entries(vm.counters.snapshot()))
      total[name] += value - before[name as keyof KvmXenCountersSnapshot];
    this.undo();
    return { point, sender, path, outcome, cycles: sent.cycles + worked.cycles + entered.cycles };
  }

  /** @returns whether the sender has reason to think that it is done */
  private send(sender: EventSender): boolean {
    const { vm, vcpu } = this;
    switch (sender) {
      case "irqfd":
        this.eventfd.signal();
        return true;
      case "ioctl":
        return vm.xenHvmEvtchnSend({ port: PORTS.ioctl, vcpu: 0, priority: PRIORITY }) === 0;
      case "hypercall":
        return vm.guestEvtchnSend(SEND_PORT);
      case "timer":
        vcpu.timer.start(vm.nowNs() + TIMER_NS);
        vcpu.timer.expire(vcpu.timer.due);
        return true;
    }
  }

  /** What the monitor does, step by step. */
  private *update(): Generator<string, void> {
    const { update, key } = this.options;
    if (update === "another") {
      yield* this.region(OTHER_SLOT, UNRELATED_GFN, PAGE);
      return;
    }
    if (update === "replace") {
      for (const step of this.region(SLOT, this.gfn, 0)) yield `delete: ${step}`;
      for (const step of this.region(SLOT, this.gfn, PAGE)) yield `create: ${step}`;
      return;
    }
    this.gfn = this.gfn === GFN ? OTHER_GFN : GFN;
    yield* this.region(SLOT, this.gfn, PAGE);
    if (key === "hva") return; // nothing that the kernel has to know
    this.setSharedInfo();
    yield "SHARED_INFO set";
    this.setVcpuInfo();
    yield "VCPU_INFO set";
  }

  /** Ready for the next one: no event pending, no cache outdated. */
  private undo(): void {
    this.as(SCENARIO_PHASES.setUp, () => {
      const { vm, vcpu, options } = this;
      const { memory } = vm;
      if (options.update === "another") for (const _ of this.region(OTHER_SLOT, UNRELATED_GFN, 0));
      this.setSharedInfo();
      this.setVcpuInfo();
      vcpu.timer.stop();
      memory.writeBytes(this.frame * PAGE + PENDING, new Uint8Array(MASK - PENDING));
      memory.writeBytes(this.frame * PAGE + VCPU_INFO, new Uint8Array(VCPU_INFO_FLAGS));
    });
  }

  private setUp(): void {
    const { vm, vcpu } = this;
    vm.userSpace.mmap(HVA, RAM_FRAMES * PAGE, this.frame);
    for (const _ of this.region(SLOT, GFN, PAGE));
    const blobs = { blobAddr32: 0, blobAddr64: 0, blobSize32: 0, blobSize64: 0 };
    must(vm.xenHvmConfig({ flags: KvmXenHvmConfigFlag.EVTCHN_SEND, msr: 0, ...blobs }));
    must(vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: true }));
    must(vm.xenHvmSetAttr({ type: KvmXenAttrType.UPCALL_VECTOR, vector: 0x20 }));
    this.setSharedInfo();
    this.setVcpuInfo();
    const route = { port: PORTS.irqfd, vcpu: 0, priority: PRIORITY };
    must(vm.irqfds.setRouting([{ gsi: GSI, type: KVM_IRQ_ROUTING_XEN_EVTCHN, xenEvtchn: route }]));
    must(vm.irqfds.set({ fd: this.eventfd.fd, gsi: GSI }));
    const deliver = { port: { port: PORTS.hypercall, vcpu: 0, priority: PRIORITY } };
    const evtchnType = EVTCHNSTAT_INTERDOMAIN;
    must(
      vm.xenHvmSetAttr({
        type: KvmXenAttrType.EVTCHN,
        sendPort: SEND_PORT,
        evtchnType,
        flags: 0,
        deliver,
      }),
    );
    const timer = { port: PORTS.timer, priority: PRIORITY, expiresNs: 0 };
    must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.TIMER, ...timer }));
  }

  private setSharedInfo(): void {
    const { vm, gfn, options } = this;
    must(
      options.key === "gfn"
        ? vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO, gfn })
        : vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO_HVA, hva: HVA }),
    );
  }

  private setVcpuInfo(): void {
    const { vcpu, gfn, options } = this;
    must(
      options.key === "gfn"
        ? vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO, gpa: gfn * PAGE + VCPU_INFO })
        : vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: HVA + VCPU_INFO }),
    );
  }

  /** KVM_SET_USER_MEMORY_REGION step by step; no bytes: deletes the slot. */
  private *region(slot: number, gfn: number, memorySize: number): Generator<string, void> {
    const userspaceAddr = slot === SLOT ? HVA : HVA + PAGE;
    const region = { slot, flags: 0, guestPhysAddr: gfn * PAGE, memorySize, userspaceAddr };
    const steps = this.vm.memslots.steps(region);
    if (typeof steps === "number") throw new RangeError(`memory slot ${slot}: errno ${-steps}`);
    for (let next = steps.next(); next.done !== true; next = steps.next()) yield next.value;
  }

  private isPending(port: number): boolean {
    const at = this.frame * PAGE + PENDING + (port >>> 3);
    return (this.vm.memory.readU8(at) & (1 << (port & 7))) !== 0;
  }

  /** Does the vCPU's record say so too? */
  private isSelected(port: number): boolean {
    const { memory } = this.vm;
    const at = this.frame * PAGE + VCPU_INFO;
    return memory.readU8(at) === 1 && (memory.readU8(at + 8) & (1 << (port >>> 6))) !== 0;
  }

  private as<T>(phase: ScenarioPhase, work: () => T): T {
    const { cost } = this;
    cost.enter(cost.phase(phase));
    const result = work();
    cost.leave();
    return result;
  }

  private timed<T>(phase: ScenarioPhase, work: () => T): { readonly result: T; readonly cycles: number } {
    const { clock } = this.processor.ledger;
    const before = clock[0];
    const result = this.as(phase, work);
    return { result, cycles: (clock[0] - before) / TICKS_PER_CYCLE };
  }
}

function must(result: number): void {
  if (result < 0) throw new RangeError(`errno ${-result}`);
}
