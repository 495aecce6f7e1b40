import type { PhysicalMemory } from "@hyperwalk/mmu";
import { clearFrame } from "./frame-copy.js";
import { LogDirty, type LogDirtySnapshot } from "./log-dirty.js";
import { MemoryPaging, type MemoryPagingSnapshot } from "./memory-paging.js";
import { MemorySharing, type MemorySharingSnapshot } from "./memory-sharing.js";
import type { P2m, P2mFixups } from "./p2m.js";
import { discardsWrites, isRamType, P2mType } from "./p2m-type.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { NESTED_PAGE_FAULT, POD_POPULATE } from "./path-cost/stages/p2m-conditions.js";

export interface PageConditionsOptions {
  readonly p2m: P2m;
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
}

/** Conditions as plain data; types of frames are in the p2m. */
export interface PageConditionsSnapshot {
  readonly logDirty: LogDirtySnapshot;
  readonly paging: MemoryPagingSnapshot;
  readonly sharing: MemorySharingSnapshot;
  readonly watching: P2m["watching"];
}

/** What becomes of a guest's access that the second stage stopped. */
export const FaultVerdict = {
  /** Nothing that Xen knows: the domain crashes. */
  Crash: 0,
  /** The guest makes the access again. */
  Retry: 1,
  /** The instruction is emulated, and what it writes is dropped. */
  Discard: 2,
  /** As {@link FaultVerdict.Retry}, after the pager has answered. */
  Wait: 3,
} as const;

/**
 * Conditions that a domain's frames can be in besides ordinary: watched for writes, paged out, shared, read-only, to be
 * populated, device memory, broken. Dom0 sets them by the methods here; Xen's copies and the guest's accesses meet them.
 */
export class PageConditions implements P2mFixups {
  readonly logDirty: LogDirty;
  readonly paging: MemoryPaging;
  readonly sharing: MemorySharing;
  private readonly options: PageConditionsOptions;

  constructor(options: PageConditionsOptions) {
    const { p2m } = options;
    this.options = options;
    this.logDirty = new LogDirty(options);
    this.paging = new MemoryPaging(p2m);
    this.sharing = new MemorySharing(options);
    p2m.fixups = this;
  }

  /** Writes to a frame are dropped (`p2m_ram_ro`, as for option ROMs). @throws RangeError for what is not RAM */
  setReadOnly(gfn: number): void {
    this.setRam(gfn, P2mType.RamRo);
  }

  /** The machine frame failed (`p2m_ram_broken`). @throws RangeError for what is not RAM */
  setBroken(gfn: number): void {
    this.setRam(gfn, P2mType.RamBroken);
  }

  /** A frame becomes one that the domain gets, zeroed, with the first access. @throws RangeError for what is not RAM */
  setUnpopulated(gfn: number): void {
    this.setRam(gfn, P2mType.PopulateOnDemand);
  }

  /** The frame becomes ordinary RAM again, with the contents that it had. @throws RangeError for a hole */
  setOrdinary(gfn: number): void {
    this.options.p2m.setOrdinary(gfn);
  }

  /** A device's page appears at a guest frame (`p2m_mmio_direct`). @returns the machine frame that stands for it */
  mapDevice(gfn: number): number {
    const mfn = this.options.allocateFrame();
    this.options.p2m.setEntry(gfn, mfn, false, P2mType.MmioDirect);
    return mfn;
  }

  /** A frame that the processor's log names. @param cost who pays; undefined: dom0 */
  noteLogged(gfn: number, cost?: PathCost): void {
    const { p2m } = this.options;
    this.logDirty.mark(gfn, cost);
    if (p2m.typeAt(gfn) === P2mType.RamLogdirty) p2m.setType(gfn, P2mType.RamRw);
  }

  fixUp(gfn: number, type: number, cost: PathCost): boolean {
    if (type === P2mType.RamShared) return this.sharing.unshare(gfn, cost);
    if (type !== P2mType.PopulateOnDemand) return false;
    const { p2m, memory } = this.options;
    cost.run(cost.compile(POD_POPULATE));
    clearFrame(memory, p2m.frameOf(gfn), cost);
    p2m.setOrdinary(gfn);
    return true;
  }

  requestPageIn(gfn: number, cost: PathCost): void {
    this.paging.request(gfn, cost);
  }

  /** `hvm_hap_nested_page_fault` for a frame that is no hole. @returns a value of {@link FaultVerdict} */
  fault(gfn: number, write: boolean, fetch: boolean, cost: PathCost): number {
    const { p2m } = this.options;
    cost.run(cost.compile(NESTED_PAGE_FAULT));
    const type = p2m.typeAt(gfn);
    if (fetch && isRamType(type) && p2m.leafLevel(gfn) > 1) {
      p2m.shatter(gfn, true);
      return FaultVerdict.Retry;
    }
    switch (type) {
      case P2mType.PopulateOnDemand:
        return this.fixUp(gfn, type, cost) ? FaultVerdict.Retry : FaultVerdict.Crash;
      case P2mType.RamPaged:
      case P2mType.RamPagingIn:
        this.paging.request(gfn, cost);
        return this.paging.automatic ? FaultVerdict.Wait : FaultVerdict.Crash;
      case P2mType.RamShared:
        return !write || this.sharing.unshare(gfn, cost) ? FaultVerdict.Retry : FaultVerdict.Crash;
      case P2mType.RamLogdirty:
        if (write) {
          this.logDirty.mark(gfn, cost);
          p2m.setType(gfn, P2mType.RamRw, true);
        }
        return FaultVerdict.Retry;
      case P2mType.RamRw: // another vCPU was faster
        return FaultVerdict.Retry;
      default:
        return write && discardsWrites(type) ? FaultVerdict.Discard : FaultVerdict.Crash;
    }
  }

  snapshot(): PageConditionsSnapshot {
    const { logDirty, paging, sharing, options } = this;
    return {
      logDirty: logDirty.snapshot(),
      paging: paging.snapshot(),
      sharing: sharing.snapshot(),
      watching: options.p2m.watching,
    };
  }

  /** Puts it back, after memory. @throws RangeError for what cannot be */
  restore(snapshot: PageConditionsSnapshot): void {
    this.options.p2m.restoreWatching(snapshot.watching);
    this.logDirty.restore(snapshot.logDirty);
    this.paging.restore(snapshot.paging);
    this.sharing.restore(snapshot.sharing);
  }

  private setRam(gfn: number, type: number): void {
    const { p2m } = this.options;
    if (!isRamType(p2m.typeAt(gfn)))
      throw new RangeError(`guest frame 0x${gfn.toString(16)} has type ${p2m.typeAt(gfn)}: not RAM`);
    p2m.setType(gfn, type);
  }
}
