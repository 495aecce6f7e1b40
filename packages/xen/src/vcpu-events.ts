import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "./path-cost/path-cost.js";

// struct vcpu_info of 64-bit guests and, where it differs, of 32-bit ones.
const VCPU_INFO = 64;
const UPCALL_PENDING = 0;
const UPCALL_MASK = 1;
const PENDING_SEL = 8;
const PENDING_SEL_32BIT = 4;
/** vCPUs whose `vcpu_info` is in shared_info. */
const LEGACY_VCPUS = 32;

/** What is not in the `vcpu_info` themselves, as plain data. */
export interface VcpuEventsSnapshot {
  readonly is32Bit: boolean;
  /** By vCPU: frame and offset of its vcpu_info. */
  readonly infoFrame: Int32Array;
  readonly infoOffset: Int32Array;
}

/** Where the `vcpu_info` are at first. */
export interface VcpuEventsOptions {
  readonly memory: PhysicalMemory;
  /** Host frame of shared_info. */
  readonly sharedInfoFrame: number;
  readonly vcpus: number;
}

/**
 * How vCPUs are told of events, whichever ABI says of which: the upcall flags and selectors in each vCPU's own
 * `vcpu_info`. With a {@link PathCost} each touch goes through the caches.
 */
export class VcpuEvents {
  /** Told a vCPU's number when its `evtchn_upcall_pending` goes from 0 to 1, and who pays for telling it. */
  onUpcall: ((vcpu: number, cost: PathCost | undefined) => void) | undefined;
  /** Told a port that has become pending, masked or not (`evtchn_check_pollers`). */
  onPending: ((port: number, cost: PathCost | undefined) => void) | undefined;
  private readonly memory: PhysicalMemory;
  private readonly sharedInfoFrame: number;
  private readonly infoFrame: Int32Array; // vcpu_info by vCPU; -1: nowhere (a dummy in Xen)
  private readonly infoOffset: Int32Array;
  private compat = false;

  constructor(options: VcpuEventsOptions) {
    this.memory = options.memory;
    this.sharedInfoFrame = options.sharedInfoFrame;
    this.infoFrame = new Int32Array(options.vcpus);
    this.infoOffset = new Int32Array(options.vcpus);
    for (let vcpu = 0; vcpu < options.vcpus; vcpu++) {
      this.infoFrame[vcpu] = vcpu < LEGACY_VCPUS ? this.sharedInfoFrame : -1;
      this.infoOffset[vcpu] = vcpu * VCPU_INFO;
    }
  }

  snapshot(): VcpuEventsSnapshot {
    return {
      is32Bit: this.compat,
      infoFrame: this.infoFrame.slice(),
      infoOffset: this.infoOffset.slice(),
    };
  }

  restore(snapshot: VcpuEventsSnapshot): void {
    this.compat = snapshot.is32Bit;
    this.infoFrame.set(snapshot.infoFrame);
    this.infoOffset.set(snapshot.infoOffset);
  }

  /** Have shared_info and `vcpu_info` the layout of 32-bit guests? */
  get is32Bit(): boolean {
    return this.compat;
  }

  /** Host frame of a vCPU's `vcpu_info`, or -1, and its offset there. */
  infoFrameOf(vcpu: number): number {
    return this.infoFrame[vcpu];
  }

  infoOffsetOf(vcpu: number): number {
    return this.infoOffset[vcpu];
  }

  /** Xen latches shared_info's layout when the hypercall page or the callback is set (`hvm_latch_shinfo_size`). */
  latchLayout(is32Bit: boolean): void {
    this.compat = is32Bit;
  }

  /** `evtchn_upcall_pending`: an event waits for this vCPU. */
  hasUpcall(vcpu: number, cost?: PathCost): boolean {
    if (this.infoFrame[vcpu] < 0) return false;
    const at = this.vcpuInfo(vcpu, 1, false, cost) + UPCALL_PENDING;
    return this.u8[at] !== 0;
  }

  /** Clears `evtchn_upcall_mask`, as SCHEDOP_block and SCHEDOP_poll do. */
  enableUpcalls(vcpu: number, cost?: PathCost): void {
    if (this.infoFrame[vcpu] < 0) return;
    const at = this.vcpuInfo(vcpu, 2, true, cost) + UPCALL_MASK;
    this.u8[at] = 0;
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
      this.vcpuInfo(vcpu, VCPU_INFO, true, undefined) + (this.compat ? PENDING_SEL_32BIT : PENDING_SEL);
    this.u8.fill(0xff, at, at + (this.compat ? 4 : 8));
    this.markUpcall(vcpu);
  }

  /** Sets a bit of `evtchn_pending_sel`; tells the vCPU if it was clear. */
  select(word: number, vcpu: number, cost?: PathCost): void {
    if (this.infoFrame[vcpu] < 0) return;
    const selector = this.compat ? PENDING_SEL_32BIT : PENDING_SEL;
    const at = this.vcpuInfo(vcpu, 16, true, cost) + selector + (word >>> 3);
    const bit = 1 << (word & 7);
    if ((this.u8[at] & bit) !== 0) return;
    this.u8[at] |= bit;
    this.markUpcall(vcpu, cost);
  }

  /** Sets `evtchn_upcall_pending` (`vcpu_mark_events_pending`). */
  markUpcall(vcpu: number, cost?: PathCost): void {
    if (this.infoFrame[vcpu] < 0) return;
    const at = this.vcpuInfo(vcpu, 1, true, cost) + UPCALL_PENDING;
    if (this.u8[at] !== 0) return;
    this.u8[at] = 1;
    this.onUpcall?.(vcpu, cost);
  }

  // Fetched at every use: touching a frame may grow the arena, which detaches older views.
  private get u8(): Uint8Array {
    return this.memory.arena.u8;
  }

  private vcpuInfo(vcpu: number, bytes: number, write: boolean, cost: PathCost | undefined): number {
    const frame = this.infoFrame[vcpu];
    const offset = this.infoOffset[vcpu];
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, bytes, write);
  }
}
