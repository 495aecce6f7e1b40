import { P2m, type P2mOptions } from "../p2m.js";
import { isReadOnlyType, P2mRights, P2mType, rightsOf } from "../p2m-type.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { MemoryRegions } from "./memory-regions.js";

/**
 * The monitor's own book of what is where in guest memory (QEMU's `PhysPageMap` is such a tree): a p2m that no hardware walks
 * and that Xen's operations find what they need in. Every change of it becomes changes of memory slots, and nothing that it
 * does costs what it costs Xen.
 */
export class MonitorPhysmap extends P2m {
  private regions: MemoryRegions | undefined;
  /** Guest frames that were placed before there were regions. */
  private readonly early: (readonly [number, number])[] = [];

  private readonly firstFrame: number;

  constructor(options: P2mOptions) {
    super(options);
    this.firstFrame = options.guestFirst;
  }

  /** From now on changes go to memory slots, beginning with what was placed before. */
  attach(regions: MemoryRegions): void {
    this.regions = regions;
    for (const [gfn, mfn] of this.early) regions.show(gfn, mfn, false, false);
    this.early.length = 0;
  }

  /** Guest frame of a machine frame of RAM that has not been moved, or -1. */
  gfnOf(mfn: number): number {
    const gfn = mfn - this.firstFrame;
    return gfn >= 0 && this.translate(gfn) === mfn ? gfn : -1;
  }

  override lookup(gfn: number): number {
    return super.getPage(gfn, undefined);
  }

  override putPage(mfn: number): void {
    super.dropPage(mfn, undefined);
  }

  override getPage(gfn: number): number {
    return super.getPage(gfn, undefined);
  }

  override dropPage(mfn: number): void {
    super.dropPage(mfn, undefined);
  }

  override takePage(mfn: number, _cost: PathCost | undefined): void {
    super.takePage(mfn, undefined);
  }

  override queryType(gfn: number): number {
    this.type = this.typeAt(gfn);
    return this.type;
  }

  /** -EINVAL where KVM has no slots, -ENOMEM when it may have no more of them. */
  override changeError(gfn: number, other = -1): number {
    return this.regions?.changeError(gfn, other) ?? 0;
  }

  override setEntry(gfn: number, mfn: number, priced = false, type: number = P2mType.RamRw): void {
    super.setEntry(gfn, mfn, false, type);
    if (this.regions === undefined) this.early.push([gfn, mfn]);
    else this.regions.show(gfn, rightsOf(type) === 0 ? -1 : mfn, isReadOnly(type), priced);
  }

  override removeEntry(gfn: number, priced = false): void {
    super.removeEntry(gfn, false);
    this.regions?.show(gfn, -1, false, priced);
  }

  /** @throws RangeError before anything is changed, when there is no slot for it */
  override setType(gfn: number, type: number, priced = false): void {
    const error = this.changeError(gfn);
    if (error !== 0) throw new RangeError(`guest frame 0x${gfn.toString(16)}: errno ${-error}`);
    super.setType(gfn, type, false);
    this.regions?.show(gfn, rightsOf(type) === 0 ? -1 : this.frameOf(gfn), isReadOnly(type), priced);
  }
}

function isReadOnly(type: number): boolean {
  return isReadOnlyType(type) || (rightsOf(type) & P2mRights.Write) === 0;
}
