import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { EventAbi } from "./event-abi.js";
import type { PathCost } from "./path-cost/path-cost.js";
import type { Stage } from "./path-cost/stage.js";
import type { VcpuEvents } from "./vcpu-events.js";

// struct shared_info of 64-bit guests and, where it differs, of 32-bit ones.
const PENDING = 2048;
const MASK = 2560;
const MASK_32BIT = PENDING + 128;

/** Setting a port pending that was not, over and above `evtchn_send` on one that was. */
export const EVTCHN_2L_SET_PENDING: Stage = {
  name: "evtchn_2l_set_pending",
  phase: "operation",
  instructions: 60,
  basis: "estimate",
  source:
    "read in source: mask test, second test-and-set of the selector, vcpu_mark_events_pending, hvm_assert_evtchn_irq up to a kick of a vCPU that already runs",
  range: [30, 140],
  atomics: 2,
};

/** Where the two-level bits are. */
export interface TwoLevelEventsOptions {
  readonly memory: PhysicalMemory;
  /** Host frame of shared_info. */
  readonly sharedInfoFrame: number;
  readonly vcpuEvents: VcpuEvents;
}

/**
 * The 2-level event-channel ABI: a pending and a mask bit for each port in the guest's own shared_info, and a selector in
 * each `vcpu_info` that says which words of the first have news (Xen: `common/event_2l.c`). It keeps no state of its own.
 */
export class TwoLevelEvents implements EventAbi {
  private readonly memory: PhysicalMemory;
  private readonly sharedInfoFrame: number;
  private readonly vcpuEvents: VcpuEvents;

  constructor(options: TwoLevelEventsOptions) {
    this.memory = options.memory;
    this.sharedInfoFrame = options.sharedInfoFrame;
    this.vcpuEvents = options.vcpuEvents;
  }

  /** A selector's bit for each word: 64 by 64, or 32 by 32 (EVTCHN_2L_NR_CHANNELS). */
  get maxPorts(): number {
    return this.vcpuEvents.is32Bit ? 32 * 32 : 64 * 64;
  }

  setPending(port: number, vcpu: number, cost?: PathCost): void {
    if (this.changeBit(PENDING, port, true, cost)) return;
    cost?.run(cost.compile(EVTCHN_2L_SET_PENDING));
    if (!this.testBit(this.maskBase, port, cost)) this.select(port, vcpu, cost);
    this.vcpuEvents.onPending?.(port, cost);
  }

  clearPending(port: number, cost?: PathCost): void {
    this.changeBit(PENDING, port, false, cost);
  }

  unmask(port: number, vcpu: number, cost?: PathCost): void {
    if (this.changeBit(this.maskBase, port, false, cost) && this.testBit(PENDING, port, cost))
      this.select(port, vcpu, cost);
  }

  isPending(port: number, cost?: PathCost): boolean {
    return port < this.maxPorts && this.testBit(PENDING, port, cost);
  }

  isMasked(port: number, cost?: PathCost): boolean {
    return port >= this.maxPorts || this.testBit(this.maskBase, port, cost);
  }

  private select(port: number, vcpu: number, cost: PathCost | undefined): void {
    this.vcpuEvents.select(this.vcpuEvents.is32Bit ? port >>> 5 : port >>> 6, vcpu, cost);
  }

  private get maskBase(): number {
    return this.vcpuEvents.is32Bit ? MASK_32BIT : MASK;
  }

  /** Sets or clears a bit of shared_info and returns what it was. */
  private changeBit(base: number, port: number, set: boolean, cost: PathCost | undefined): boolean {
    const at = this.touch(cost, base + (port >>> 3), true);
    const { u8 } = this.memory.arena;
    const bit = 1 << (port & 7);
    const was = (u8[at] & bit) !== 0;
    u8[at] = set ? u8[at] | bit : u8[at] & ~bit;
    return was;
  }

  private testBit(base: number, port: number, cost: PathCost | undefined): boolean {
    const at = this.touch(cost, base + (port >>> 3), false);
    return (this.memory.arena.u8[at] & (1 << (port & 7))) !== 0;
  }

  private touch(cost: PathCost | undefined, offset: number, write: boolean): number {
    return cost === undefined
      ? this.memory.frameOffset(this.sharedInfoFrame) + offset
      : cost.access(this.sharedInfoFrame, offset, 1, write);
  }
}
