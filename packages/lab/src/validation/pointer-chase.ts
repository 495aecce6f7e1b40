import { Processor, type ProcessorProfile, State } from "@hyperwalk/cpu";
import { Assembler, at, rax, rcx } from "@hyperwalk/guest-sdk";
import {
  Arena,
  Ept,
  EptTables,
  LongModeTables,
  MmuCounter,
  NptTables,
  Pte,
  type SecondStage,
  TICKS_PER_CYCLE,
} from "@hyperwalk/mmu";
import { enterLongMode } from "./long-mode.js";

/** Where the lines of a chase lie: anywhere in their pages, or at the same place in each. */
export type Placement = "random line" | "same line";

export interface ChaseOptions {
  /** 4 KiB pages chased, one line in each. */
  readonly pages: number;
  readonly placement: Placement;
  /** Leaves of the guest's tables. */
  readonly leaf: "4k" | "2m";
  /** Leaves of the nested or extended page tables; undefined: native. */
  readonly nested: "4k" | "2m" | undefined;
}

/** Cycles per load. */
export interface ChaseResult {
  /** What the engine charges, the loop's own instructions included. */
  readonly charged: number;
  /**
   * Load-to-use latency: L1's, and all of what lies beyond. The engine hides the profile's `overlap.load` of a miss,
   * which is about average code; a chain of dependent loads hides nothing.
   */
  readonly latency: number;
  /** Page-walk references per load. */
  readonly references: number;
}

const MIB = 2 ** 20;
const CODE = 0x1000;
const TABLES = 0x200; // frames 2 MiB to 64 MiB
const FIRST = 0x40000; // frame and page of the chased area, 1 GiB
const FIRST_BYTES = FIRST * 4096;
const OPEN = Pte.Present | Pte.Write | Pte.User | Pte.Accessed | Pte.Dirty;
const EPT_OPEN = Ept.All | Ept.WriteBack | Ept.Accessed | Ept.Dirty;
/** Loads measured at least, after one round that is not. */
const LOADS = 8192;

/**
 * A processor that runs nothing but a pointer chase: `mov rax, [rax]` around a random cycle over one line a page.
 * Natively, and under a second stage that maps everything to itself, without a hypervisor: no VM exit is involved.
 */
export class PointerChase {
  private readonly processor: Processor;
  private readonly roots: Readonly<Record<"4k" | "2m", number>>;
  private readonly stages: Readonly<Record<"4k" | "2m", SecondStage>>;
  private nextTable = TABLES;

  /** @param most pages of the largest chase */
  constructor(profile: ProcessorProfile, most: number) {
    this.processor = new Processor({ profile, arena: new Arena((96 + most / 256) * MIB) });
    const { memory } = this.processor;
    memory.addRam(0, FIRST + most);
    const allocate = (): number => this.nextTable++;
    const area = 512 * Math.ceil(most / 512);
    const guest = (leaf: "4k" | "2m"): number => {
      const tables = new LongModeTables({ memory, allocate });
      tables.mapRange(0, 0, 1, "2m", OPEN);
      tables.mapRange(FIRST, FIRST, leaf === "4k" ? most : area / 512, leaf, OPEN);
      return tables.rootFrame;
    };
    this.roots = { "4k": guest("4k"), "2m": guest("2m") };
    const format = this.processor.profile.vendor === "amd" ? "npt" : "ept";
    const stage = (leaf: "4k" | "2m", tag: number): SecondStage => {
      const tables = new (format === "npt" ? NptTables : EptTables)({ memory, allocate });
      const open = format === "npt" ? OPEN : EPT_OPEN;
      const low = 0x4000; // code, and the guest's tables
      tables.mapRange(0, 0, leaf === "4k" ? low : low / 512, leaf, open);
      tables.mapRange(FIRST, FIRST, leaf === "4k" ? most : area / 512, leaf, open);
      return { format, rootFrame: tables.rootFrame, levels: 4, tag, accessDirty: false };
    };
    this.stages = { "4k": stage("4k", 0), "2m": stage("2m", 1) };
    this.loadCode();
  }

  run({ pages, placement, leaf, nested }: ChaseOptions): ChaseResult {
    const { processor } = this;
    const { ledger, mmu, profile, context } = processor;
    const first = this.link(pages, placement);
    context.secondStage = nested === undefined ? null : this.stages[nested];
    context.asid = nested === undefined ? 0 : 1;
    enterLongMode(processor, this.roots[leaf]);
    mmu.invalidateAll();
    mmu.flushCaches();
    this.chase(first, pages);
    const before = ledger.snapshot();
    const start = ledger.cycles;
    const references = mmu.counters[MmuCounter.WalkReferences];
    const loads = Math.max(LOADS, pages);
    this.chase(first, loads);
    let beyond = 0;
    for (const { cause, ticks } of ledger.rows(before)) {
      if (cause === "l2" || cause === "l3" || cause === "dram")
        beyond += ticks / (1 - profile.memory.overlap.load);
      else if (cause === "tlb" || cause === "walk") beyond += ticks;
    }
    return {
      charged: (ledger.cycles - start) / loads,
      latency: profile.memory.l1d.latency + beyond / TICKS_PER_CYCLE / loads,
      references: (mmu.counters[MmuCounter.WalkReferences] - references) / loads,
    };
  }

  /** `rcx` loads from `rax` on, then HLT. */
  private loadCode(): void {
    const a = new Assembler({ physical: CODE, linear: BigInt(CODE) });
    const loop = a.here("loop");
    a.mov(rax, at(rax));
    a.dec(rcx);
    a.jcc("ne", loop, true);
    a.plain("hlt");
    this.processor.memory.writeBytes(CODE, a.link());
  }

  /** Links one line in each page into a random cycle. @returns address of its first line */
  private link(pages: number, placement: Placement): number {
    const { memory } = this.processor;
    let state = 0x2545f491;
    const below = (count: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % count;
    };
    const order = Uint32Array.from({ length: pages }, (_, i) => i);
    for (let i = pages - 1; i > 0; i--) {
      const other = below(i + 1);
      [order[i], order[other]] = [order[other], order[i]];
    }
    const line = Uint8Array.from({ length: pages }, () => (placement === "same line" ? 0 : below(64)));
    const address = (i: number): number => FIRST_BYTES + order[i] * 4096 + line[order[i]] * 64;
    for (let i = 0; i < pages; i++) {
      memory.writeU32(address(i), address((i + 1) % pages) >>> 0);
      memory.writeU32(address(i) + 4, 0);
    }
    return address(0);
  }

  private chase(first: number, loads: number): void {
    const { engine, state } = this.processor;
    const { words } = state;
    words[State.Gpr] = first | 0;
    words[State.Gpr + 1] = 0;
    words[State.Gpr + 2] = loads;
    words[State.Gpr + 3] = 0;
    words[State.RipLo] = CODE;
    words[State.RipHi] = 0;
    const stop = engine.run(3 * loads + 1, Number.POSITIVE_INFINITY);
    if (words[State.Gpr + 2] !== 0)
      throw new Error(`the chase stopped (${stop}) with ${words[State.Gpr + 2]} loads to go`);
  }
}
