import { State } from "@hyperwalk/cpu";
import { PageFaultCode, type PhysicalMemory } from "@hyperwalk/mmu";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { P2m } from "../p2m.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import { VTLB_INSERT, VTLB_LOOKUP } from "../path-cost/stages/shadow.js";
import type { ShadowPaging } from "../shadow/shadow-paging.js";
import { pageOf } from "../shadow/virtual-tlb.js";
import { GuestWalker } from "./guest-walk.js";

const CR0_PG = 1 << 31;

/**
 * `sh_gva_to_gfn`: Xen's software walk for a shadow-paged guest. The virtual TLB is asked first; on a miss the walk begins
 * at a root that is known, looks nothing up for it nor at the end, and leaves its result in the virtual TLB.
 */
export class ShadowGuestWalker extends GuestWalker {
  private readonly shadow: ShadowPaging;
  private readonly pathCost: StagePathCost;

  /** @param rflags the guest's present ones @param physicalAddressBits MAXPHYADDR that its CPUID reports */
  constructor(
    p2m: P2m,
    cost: StagePathCost,
    counters: HypervisorCounters,
    memory: PhysicalMemory,
    shadow: ShadowPaging,
    rflags: () => number,
    physicalAddressBits: number,
  ) {
    const registers = {
      words: shadow.guest.words,
      get rflags() {
        return rflags();
      },
    };
    super(p2m, cost, counters, memory, registers, physicalAddressBits);
    this.shadow = shadow;
    this.pathCost = cost;
  }

  override walk(lo: number, hi: number, write: boolean): number {
    const { shadow, pathCost } = this;
    if ((shadow.guest.words[State.Cr0] & CR0_PG) === 0) return super.walk(lo, hi, write);
    const { virtualTlb } = shadow;
    const page = pageOf(lo, hi);
    const code = PageFaultCode.Present | (write ? PageFaultCode.Write : 0);
    pathCost.run(pathCost.compile(VTLB_LOOKUP));
    const known = virtualTlb.find(page, code);
    if (known >= 0) return known;
    const gfn = super.walk(lo, hi, write);
    if (gfn < 0) return gfn;
    pathCost.run(pathCost.compile(VTLB_INSERT));
    virtualTlb.insert(page, gfn, code);
    return gfn;
  }

  protected override lookupTable(gfn: number, depth: number): number {
    return depth === 0 ? this.p2m.translate(gfn) : super.lookupTable(gfn, depth);
  }

  protected override releaseTable(mfn: number, depth: number): void {
    if (depth > 0) super.releaseTable(mfn, depth);
  }

  protected override confirm(gfn: number): number {
    return gfn;
  }
}
