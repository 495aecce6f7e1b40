import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "./path-cost/path-cost.js";
import type { Stage } from "./path-cost/stage.js";

// struct shared_info of 64-bit guests and, where it differs, of 32-bit ones.
const PENDING = 2048;
const MASK = 2560;
const MASK_32BIT = PENDING + 128;
const VCPU_INFO = 64;
const UPCALL_PENDING = 0;
const UPCALL_MASK = 1;
const PENDING_SEL = 8;
const PENDING_SEL_32BIT = 4;
/** vCPUs whose `vcpu_info` is in shared_info. */
const LEGACY_VCPUS = 32;

/** Setting a port pending that was not, over and above `evtchn_send` on one that was. */
export const EVTCHN_2L_SET_PENDING: Stage = {
  name: "evtchn_2l_set_pending",
  phase: "operation",
  instructions: 60,
  basis: "estimate",
  source:
    "read in source: mask test, second test-and-set of the selector, vcpu_mark_events_pending, hvm_assert_evtchn_irq up to a kick of a vCPU that already runs",
  range: [30, 140],
  coldBranches: 5,
  atomics: 2,
};

/** What is not in shared_info and vcpu_info themselves, as plain data. */
export interface TwoLevelEventsSnapshot {
  readonly is32Bit: boolean;
  /** By vCPU: frame and offset of its vcpu_info. */
  readonly infoFrame: Int32Array;
  readonly infoOffset: Int32Array;
}

/** Where the two-level bits are. */
export interface TwoLevelEventsOptions {
  readonly memory: PhysicalMemory;
  /** Host frame of shared_info. */
  readonly sharedInfoFrame: number;
  readonly vcpus: number;
}

/**
 * Pending and mask bits of the 2-level event-channel ABI in the guest's own shared_info, and the selectors and upcall
 * flags in each `vcpu_info` (Xen: `common/event_2l.c`). With a {@link PathCost} each touch goes through the caches.
 */
export class TwoLevelEvents {
  /** Told a vCPU's number when its `evtchn_upcall_pending` goes from 0 to 1, and who pays for telling it. */
  onUpcall: ((vcpu: number, cost: PathCost | undefined) => void) | undefined;
  /** Told a port that has become pending, masked or not (`evtchn_check_pollers`). */
  onPending: ((port: number, cost: PathCost | undefined) => void) | undefined;
  private readonly memory: PhysicalMemory;
  private readonly sharedInfoFrame: number;
  private readonly infoFrame: Int32Array; // vcpu_info by vCPU; -1: nowhere (a dummy in Xen)
  private readonly infoOffset: Int32Array;
  private is32Bit = false;

  constructor(options: TwoLevelEventsOptions) {
    this.memory = options.memory;
    this.sharedInfoFrame = options.sharedInfoFrame;
    this.infoFrame = new Int32Array(options.vcpus);
    this.infoOffset = new Int32Array(options.vcpus);
    for (let vcpu = 0; vcpu < options.vcpus; vcpu++) {
      this.infoFrame[vcpu] = vcpu < LEGACY_VCPUS ? this.sharedInfoFrame : -1;
      this.infoOffset[vcpu] = vcpu * VCPU_INFO;
    }
  }

  snapshot(): TwoLevelEventsSnapshot {
    return {
      is32Bit: this.is32Bit,
      infoFrame: this.infoFrame.slice(),
      infoOffset: this.infoOffset.slice(),
    };
  }

  restore(snapshot: TwoLevelEventsSnapshot): void {
    this.is32Bit = snapshot.is32Bit;
    this.infoFrame.set(snapshot.infoFrame);
    this.infoOffset.set(snapshot.infoOffset);
  }

  /** Xen latches shared_info's layout when the hypercall page or the callback is set (`hvm_latch_shinfo_size`). */
  latchLayout(is32Bit: boolean): void {
    this.is32Bit = is32Bit;
  }

  /** Sets a port pending; tells the vCPU if it was neither pending nor masked. */
  setPending(port: number, vcpu: number, cost?: PathCost): void {
    if (this.changeBit(PENDING, port, true, cost)) return;
    cost?.run(cost.compile(EVTCHN_2L_SET_PENDING));
    if (!this.testBit(this.maskBase, port, cost)) this.select(port, vcpu, cost);
    this.onPending?.(port, cost);
  }

  clearPending(port: number, cost?: PathCost): void {
    this.changeBit(PENDING, port, false, cost);
  }

  /** Clears a port's mask; tells the vCPU if the port was masked and is pending. */
  unmask(port: number, vcpu: number, cost?: PathCost): void {
    if (this.changeBit(this.maskBase, port, false, cost) && this.testBit(PENDING, port, cost))
      this.select(port, vcpu, cost);
  }

  isPending(port: number, cost?: PathCost): boolean {
    return this.testBit(PENDING, port, cost);
  }

  isMasked(port: number, cost?: PathCost): boolean {
    return this.testBit(this.maskBase, port, cost);
  }

  /** `evtchn_upcall_pending`: an event waits for this vCPU. */
  hasUpcall(vcpu: number, cost?: PathCost): boolean {
    if (this.infoFrame[vcpu] < 0) return false;
    return this.u8[this.vcpuInfo(vcpu, 1, false, cost) + UPCALL_PENDING] !== 0;
  }

  /** Clears `evtchn_upcall_mask`, as SCHEDOP_block and SCHEDOP_poll do. */
  enableUpcalls(vcpu: number, cost?: PathCost): void {
    if (this.infoFrame[vcpu] < 0) return;
    this.u8[this.vcpuInfo(vcpu, 2, true, cost) + UPCALL_MASK] = 0;
  }

  /** Is this vCPU's `vcpu_info` still where it was at the start? */
  hasInitialVcpuInfo(vcpu: number): boolean {
    return this.infoFrame[vcpu] === (vcpu < LEGACY_VCPUS ? this.sharedInfoFrame : -1);
  }

  /** Moves a vCPU's `vcpu_info` to another host frame (VCPUOP_register_vcpu_info); its contents go along. */
  moveVcpuInfo(vcpu: number, frame: number, offset: number): void {
    const { memory, infoFrame, infoOffset } = this;
    const from = infoFrame[vcpu] * 4096 + infoOffset[vcpu];
    memory.writeBytes(
      frame * 4096 + offset,
      from < 0 ? new Uint8Array(VCPU_INFO) : memory.readBytes(from, VCPU_INFO),
    );
    infoFrame[vcpu] = frame;
    infoOffset[vcpu] = offset;
    // Events may have gone to the old place meanwhile: Xen marks every selector and the upcall.
    const at =
      this.vcpuInfo(vcpu, VCPU_INFO, true, undefined) + (this.is32Bit ? PENDING_SEL_32BIT : PENDING_SEL);
    this.u8.fill(0xff, at, at + (this.is32Bit ? 4 : 8));
    this.markUpcall(vcpu, undefined);
  }

  private select(port: number, vcpu: number, cost: PathCost | undefined): void {
    if (this.infoFrame[vcpu] < 0) return;
    const word = this.is32Bit ? port >>> 5 : port >>> 6;
    const selector = this.is32Bit ? PENDING_SEL_32BIT : PENDING_SEL;
    const at = this.vcpuInfo(vcpu, 16, true, cost) + selector + (word >>> 3);
    const bit = 1 << (word & 7);
    if ((this.u8[at] & bit) !== 0) return;
    this.u8[at] |= bit;
    this.markUpcall(vcpu, cost);
  }

  private markUpcall(vcpu: number, cost: PathCost | undefined): void {
    const at = this.vcpuInfo(vcpu, 1, true, cost) + UPCALL_PENDING;
    if (this.u8[at] !== 0) return;
    this.u8[at] = 1;
    this.onUpcall?.(vcpu, cost);
  }

  // Fetched at every use: touching a frame may grow the arena, which detaches older views.
  private get u8(): Uint8Array {
    return this.memory.arena.u8;
  }

  private get maskBase(): number {
    return this.is32Bit ? MASK_32BIT : MASK;
  }

  /** Sets or clears a bit of shared_info and returns what it was. */
  private changeBit(base: number, port: number, set: boolean, cost: PathCost | undefined): boolean {
    const at = this.touch(cost, this.sharedInfoFrame, base + (port >>> 3), 1, true);
    const bit = 1 << (port & 7);
    const was = (this.u8[at] & bit) !== 0;
    this.u8[at] = set ? this.u8[at] | bit : this.u8[at] & ~bit;
    return was;
  }

  private testBit(base: number, port: number, cost: PathCost | undefined): boolean {
    const at = this.touch(cost, this.sharedInfoFrame, base + (port >>> 3), 1, false);
    return (this.u8[at] & (1 << (port & 7))) !== 0;
  }

  private vcpuInfo(vcpu: number, bytes: number, write: boolean, cost: PathCost | undefined): number {
    return this.touch(cost, this.infoFrame[vcpu], this.infoOffset[vcpu], bytes, write);
  }

  private touch(
    cost: PathCost | undefined,
    frame: number,
    offset: number,
    bytes: number,
    write: boolean,
  ): number {
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, bytes, write);
  }
}
