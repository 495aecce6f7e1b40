import { BranchPredictor, CpuState, epyc9124, resolveProfile, State, skylakeSp } from "@hyperwalk/cpu";
import { Arena, CycleLedger, Mmu, PhysicalMemory } from "@hyperwalk/mmu";
import { GuestWalker } from "../src/guest-access/guest-walk.ts";
import { LinearAccess } from "../src/guest-access/linear.ts";
import { PhysicalAccess } from "../src/guest-access/physical.ts";
import { GuestMemory } from "../src/guest-memory.ts";
import { GuestRegisters } from "../src/host/guest-registers.ts";
import { HostMemory, XEN_TEXT_BYTES } from "../src/host/host-memory.ts";
import { hostObjectHomes } from "../src/host/host-objects.ts";
import { HypervisorCounters } from "../src/hypervisor-counters.ts";
import { P2m } from "../src/p2m.ts";
import { StagePathCost } from "../src/path-cost/stage-path-cost.ts";
import { XenText } from "../src/path-cost/xen-text.ts";

/** Guest registers without a control structure: RAX, RIP and RFLAGS are plain fields. */
export class PlainRegisters extends GuestRegisters {
  rflags = 2;
  ripLo = 0;
  ripHi = 0;
  readonly canTakeInterrupt = false;
  skip(length: number): void {
    this.ripLo += length;
  }
  injectException(): void {}
  injectDebugTrap(): void {}
  readonly ripRefused = false;
  correctRip(): void {}
  injectInterrupt(): void {}
  injectNmi(): void {}
  saveArithmeticFlags(): void {}
  readonly canTakeNmi = false;
  readonly eventQueued = false;
  readonly nmiMasked = false;
  protected saveRax(): void {}
}

export interface HypervisorBenchOptions {
  readonly vendor?: "amd" | "intel";
  readonly p2mPage?: "4k" | "2m" | "1g";
  readonly mmioHandlers?: number;
  readonly guestFrames?: number;
}

/** Xen's memory side over a bare Mmu: host tables, p2m, guest access, path cost. No guest code. */
export class HypervisorBench {
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: Mmu;
  readonly state: CpuState;
  readonly registers: PlainRegisters;
  readonly counters: HypervisorCounters = new HypervisorCounters();
  readonly predictor: BranchPredictor;
  readonly host: HostMemory;
  readonly cost: StagePathCost;
  readonly p2m: P2m;
  readonly guest: GuestMemory;
  readonly linear: LinearAccess;
  readonly physical: PhysicalAccess;

  constructor(options: HypervisorBenchOptions = {}) {
    const { vendor = "amd", p2mPage = "4k", mmioHandlers = 5, guestFrames = 16384 } = options;
    const profile = resolveProfile(vendor === "amd" ? epyc9124 : skylakeSp);
    const arena = new Arena();
    this.memory = new PhysicalMemory(arena);
    this.ledger = new CycleLedger(arena);
    this.mmu = new Mmu(arena, this.memory, this.ledger, profile.memory);
    this.state = new CpuState(arena);
    this.registers = new PlainRegisters(this.state);
    this.predictor = new BranchPredictor(arena, profile.predictor, profile.timing);
    const ram = [{ first: 0, count: guestFrames }];
    this.host = new HostMemory(this.mmu, guestFrames, ram);
    this.mmu.activate(this.host.context);
    const { heap } = this.host;
    this.cost = new StagePathCost({
      mmu: this.mmu,
      timing: profile.timing,
      vendor,
      predictor: this.predictor,
      homes: hostObjectHomes(this.host, heap.allocate(), heap.allocate()),
      text: new XenText(XEN_TEXT_BYTES),
      lockHarden: true,
    });
    const { memory, counters, cost, ledger } = this;
    this.p2m = new P2m({
      memory,
      format: vendor === "amd" ? "npt" : "ept",
      page: p2mPage,
      ram,
      guestFirst: this.host.guestFirst,
      pool: this.host.p2mPool,
      frameTable: this.host.frameTable,
      cost,
      counters,
    });
    this.guest = new GuestMemory(memory, this.p2m);
    const walker = new GuestWalker(this.p2m, cost, counters, memory, this.registers, 48);
    const copy = { p2m: this.p2m, cost, counters, memory, ledger, timing: profile.timing, mmioHandlers };
    this.linear = new LinearAccess(copy, walker);
    this.physical = new PhysicalAccess(copy);
  }

  /** Paging mode of the guest: the values of CR0, CR3, CR4, EFER. */
  setControl(cr0: number, cr3: number, cr4: number, efer: number): void {
    const { words } = this.state;
    words[State.Cr0] = cr0;
    words[State.Cr3Lo] = cr3;
    words[State.Cr4] = cr4;
    words[State.EferLo] = efer;
  }

  /** What a piece of work takes: counters, instructions. */
  measure(work: () => unknown): {
    lookups: number;
    tableReads: number;
    pteReads: number;
    bytes: number;
    instructions: number;
  } {
    const { counters, cost } = this;
    const before = { ...counters, instructions: cost.instructions };
    work();
    return {
      lookups: counters.p2mLookups - before.p2mLookups,
      tableReads: counters.p2mTableReads - before.p2mTableReads,
      pteReads: counters.guestPteReads - before.guestPteReads,
      bytes: counters.bytesCopied - before.bytesCopied,
      instructions: cost.instructions - before.instructions,
    };
  }

  /** Ledger cells of all phases and causes, against the clock. */
  ledgerSum(): number {
    return this.ledger.rows().reduce((sum, row) => sum + row.ticks, 0);
  }
}
