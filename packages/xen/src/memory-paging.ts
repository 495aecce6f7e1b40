import { Cause, type CycleLedger, ticks } from "@hyperwalk/mmu";
import type { P2m } from "./p2m.js";
import { P2mType } from "./p2m-type.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { PAGE_IN_REQUEST } from "./path-cost/stages/p2m-conditions.js";

/** Paging as plain data; which frames are out is in the p2m. */
export interface MemoryPagingSnapshot {
  readonly latencyCycles: number;
  readonly automatic: boolean;
  readonly requests: readonly number[];
}

/**
 * Guest frames whose contents a pager in dom0 took away (`mem_paging.c`, xenpaging), and its answers. Who touches one waits
 * until it is back; a hypercall whose copy meets one gets -EFAULT first.
 */
export class MemoryPaging {
  /** Cycles from a request to its answer, in which the vCPU is paused; default 30000 (an estimate: 10 us and no disk). */
  latencyCycles = 30_000;
  /** The pager answers by itself; otherwise {@link pageIn} does, between two runs. Default true. */
  automatic = true;
  private readonly requests: number[] = [];
  private readonly p2m: P2m;

  constructor(p2m: P2m) {
    this.p2m = p2m;
  }

  /**
   * Pages an ordinary guest frame out.
   * @throws RangeError for a frame that is not ordinary RAM
   */
  pageOut(gfn: number): void {
    const type = this.p2m.typeAt(gfn);
    if (type !== P2mType.RamRw && type !== P2mType.RamLogdirty)
      throw new RangeError(
        `guest frame 0x${gfn.toString(16)} has type ${type}: only ordinary RAM is paged out`,
      );
    this.p2m.setType(gfn, P2mType.RamPaged);
  }

  /** Brings a frame back, asked for or not. @throws RangeError for one that is not out */
  pageIn(gfn: number): void {
    if (!this.isOut(gfn)) throw new RangeError(`guest frame 0x${gfn.toString(16)} is not paged out`);
    const at = this.requests.indexOf(gfn);
    if (at >= 0) this.requests.splice(at, 1);
    this.p2m.setOrdinary(gfn);
  }

  isOut(gfn: number): boolean {
    const type = this.p2m.typeAt(gfn);
    return type === P2mType.RamPaged || type === P2mType.RamPagingIn;
  }

  /** Frames that were asked for and are not back. */
  get requested(): readonly number[] {
    return this.requests;
  }

  /** Whether a vCPU has to wait for the pager before it goes on. */
  get holds(): boolean {
    return this.automatic && this.requests.length > 0;
  }

  /** `p2m_mem_paging_populate` */
  request(gfn: number, cost: PathCost): void {
    cost.run(cost.compile(PAGE_IN_REQUEST));
    if (this.requests.includes(gfn)) return;
    this.requests.push(gfn);
    this.p2m.setType(gfn, P2mType.RamPagingIn);
  }

  /** Lets the time pass until the pager has answered. */
  wait(ledger: CycleLedger): void {
    ledger.charge(Cause.Idle, ticks(this.latencyCycles));
    for (const gfn of [...this.requests]) this.pageIn(gfn);
  }

  snapshot(): MemoryPagingSnapshot {
    const { latencyCycles, automatic, requests } = this;
    return { latencyCycles, automatic, requests: [...requests] };
  }

  /** Puts it back, after memory. @throws RangeError for requests of frames that are not out */
  restore({ latencyCycles, automatic, requests }: MemoryPagingSnapshot): void {
    if (!(latencyCycles >= 0) || !requests.every((gfn) => this.isOut(gfn)))
      throw new RangeError("requests for frames that are not paged out");
    this.latencyCycles = latencyCycles;
    this.automatic = automatic;
    this.requests.splice(0, this.requests.length, ...requests);
  }
}
