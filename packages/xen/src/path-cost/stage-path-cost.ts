import type { CoreTiming } from "@hyperwalk/cpu";
import {
  Cause,
  type CycleLedger,
  MAX_PHASES,
  type Mmu,
  MmuCounter,
  type SequenceLine,
  ticks,
} from "@hyperwalk/mmu";
import { coldBranchesOf, leavesOf } from "./compose.js";
import type { PhasedPathCost, StageId } from "./path-cost.js";
import { familyOf } from "./phases.js";
import { priceStagesAfter } from "./price-stage.js";
import { amountFor, type HostObject, type Stage } from "./stage.js";
import { ALL_COLD, WarmBranches } from "./warm-branches.js";
import { directmapHi, directmapLo, type XenText } from "./xen-text.js";

/** Where a {@link HostObject} lies: machine frame and byte offset of its first byte, or of the byte after its last. */
export interface HostObjectHome {
  readonly frame: number;
  readonly offset: number;
  /** Offsets count down from here (stacks). */
  readonly down?: boolean;
}

export interface StagePathCostOptions {
  readonly mmu: Mmu;
  readonly timing: CoreTiming;
  readonly vendor: "amd" | "intel";
  /** Its epoch changes whenever the predictor is emptied. */
  readonly predictor: { readonly epoch: number };
  readonly homes: Readonly<Record<HostObject, HostObjectHome>>;
  readonly text: XenText;
  /** For a processor that is not the first to compile the stages of its kind; default false. */
  readonly further?: boolean;
  /** `spec-ctrl=lock-harden`: LFENCE after lock operations. */
  readonly lockHarden: boolean;
}

/** One estimate that results rest on. */
export interface StageEstimate {
  readonly key: string;
  readonly value: number;
  readonly unit: string;
  readonly range: readonly [number, number] | undefined;
  readonly source: string;
}

/** What later costs depend on, as plain data. Prices are worked out anew. */
export interface StagePathCostSnapshot {
  readonly instructions: number;
  /** Names of the stages by number: those that a system is made with, then others as they were first needed. */
  readonly stages: readonly string[];
  /** By stage: state of L1I and ITLB when its text was fetched last. */
  readonly textSeen: Float64Array;
  readonly textEpoch: number;
  readonly textNow: number;
  readonly predictorEpoch: number;
  /** Parts whose branches are warm, by number. */
  readonly warm: readonly number[];
  /** Stages that ran, by number. */
  readonly ran: readonly number[];
}

/** A stage touched memory that the host's page tables do not map: a mistake in the model itself. */
export class HostAccessError extends Error {
  readonly code = "HOST_ACCESS";
  readonly frame: number;
  readonly offset: number;

  constructor(frame: number, offset: number, what: string) {
    super(
      `${what}: host frame 0x${frame.toString(16)} offset 0x${offset.toString(16)} is not mapped or not RAM`,
    );
    this.name = "HostAccessError";
    this.frame = frame;
    this.offset = offset;
  }
}

const MAX_STAGES = 512;
const ROW = 4; // integers of one stage's row in `rows`
const PHASE = 0; // -1: none of its own
const GROUPS = 1; // first of its groups: its parts by phase
const GROUPS_END = 2;
const LINES = 3; // sequence of all its lines in the `Mmu`, -1: none
const GROUP_ROW = 3; // phase, first of its lines, end of its lines
const LEAF_ROW = 4; // phase, text: low and high word, lines
const MAX_PRICED = 4096;
const MAX_WARM_SETS = 1024;

/**
 * {@link PhasedPathCost} on one logical processor: stages become rows of integers, and running one is a few additions.
 * Charges of a run:
 *
 * - `issue`: instructions without a price of their own × `timing.issue`;
 * - LFENCE, CLI/STI, CLGI/STGI, VMREAD, VMWRITE: `serialise`; LOCKed ones: `atomic`; string start-up: `microcode`;
 * - SPEC_CTRL, IBPB, VERW: `predictor-barrier`;
 * - `branch`: on the first run after the predictor was emptied, its cold branches × `timing.branchMispredict`;
 * - touched lines and, when anything entered L1I or the ITLB since it last ran, its text lines, through `Mmu`.
 *
 * While the `Mmu`'s timing is off there are neither cold branches nor lines.
 *
 * All but the last are a function of the stage, the place in the ledger and the parts whose branches are warm, and are
 * priced once for each combination: a run puts their sum on the clock and is counted, and the ledger's cells get
 * count × price when they are read.
 */
export class StagePathCost implements PhasedPathCost {
  /** Instructions of modelled hypervisor code retired so far. */
  instructions = 0;
  protected readonly mmu: Mmu;
  protected readonly ledger: CycleLedger;
  protected readonly options: StagePathCostOptions;
  private readonly predictor: { readonly epoch: number };
  /** Of all processors, by number; those below `compiled` have rows here. */
  protected readonly stages: readonly Stage[];
  private compiled = 0;
  protected readonly leaves: (readonly number[])[] = []; // by stage: its distinct parts
  private readonly rows = new Int32Array(MAX_STAGES * ROW);
  private readonly counts = new Float64Array(MAX_STAGES); // instructions
  private readonly textSeen = new Float64Array(MAX_STAGES).fill(-2);
  private readonly groupRows = new Int32Array(MAX_STAGES * GROUP_ROW);
  private groups = 0;
  private readonly leafIds = new Map<Stage, number>();
  protected readonly leafStages: Stage[] = [];
  private readonly leafRows = new Int32Array(MAX_STAGES * LEAF_ROW);
  private readonly lines: SequenceLine[] = [];
  private readonly phases = new Int32Array(32).fill(-1); // mirror of the ledger's stack, from the root
  private depth = 0;
  private textEpoch = 0;
  /** {@link textState} as of the latest exit or text fetch: nothing else of Xen's fills L1I. */
  private textNow = -1;
  protected readonly warmBranches: WarmBranches = new WarmBranches();
  protected warm: number = ALL_COLD;
  private predictorEpoch = -1;
  // Priced runs, from 1: found by (warm set, stage), then by place in a chain.
  private readonly pricedFirst = new Int16Array(MAX_WARM_SETS * MAX_STAGES);
  private readonly pricedNext = new Int16Array(MAX_PRICED);
  private readonly pricedPlace = new Int32Array(MAX_PRICED).fill(-1);
  private readonly pricedTicks = new Float64Array(MAX_PRICED);
  protected readonly pricedRuns: Float64Array = new Float64Array(MAX_PRICED); // not yet in the cells
  private readonly pricedWarm = new Int32Array(MAX_PRICED); // set after the run
  protected readonly pricedCells: ReadonlyMap<number, number>[] = [new Map()];
  private readonly ran = new Set<Stage>();

  constructor(options: StagePathCostOptions) {
    this.options = options;
    this.mmu = options.mmu;
    this.ledger = options.mmu.ledger;
    this.predictor = options.predictor;
    this.stages = options.text.stages;
    this.fillRows();
    this.ledger.beforeReading(() => this.settle());
  }

  /**
   * Prepares a stage; the same stage object gives the same number, on every processor that shares {@link XenText}.
   * @throws RangeError beyond 512 stages
   */
  compile(stage: Stage): StageId {
    const id = this.options.text.idOf(stage, this.options.further);
    if (id >= this.compiled) this.fillRows();
    return id;
  }

  /** Number of a ledger phase, for {@link enter}. */
  phase(name: string): number {
    return this.ledger.registerPhase(name);
  }

  /** Enters a phase that encloses stages and accesses of others; a phase already on top is not entered twice. */
  enter(phase: number): void {
    if (phase !== this.phases[this.depth]) this.ledger.enter(phase);
    this.phases[++this.depth] = phase;
  }

  leave(): void {
    const { phases } = this;
    if (phases[this.depth] !== phases[--this.depth]) this.ledger.leave();
  }

  run(stage: StageId): void {
    const { ledger, predictor } = this;
    if (predictor.epoch !== this.predictorEpoch) {
      this.predictorEpoch = predictor.epoch;
      this.warm = ALL_COLD;
    }
    const place = ledger.base * MAX_PHASES + this.phases[this.depth] + 1;
    let priced = this.pricedFirst[this.warm * MAX_STAGES + stage];
    while (this.pricedPlace[priced] !== place) {
      if (priced === 0) {
        priced = this.price(stage, place);
        break;
      }
      priced = this.pricedNext[priced];
    }
    ledger.clock[0] += this.pricedTicks[priced];
    this.pricedRuns[priced]++;
    this.warm = this.pricedWarm[priced];
    this.instructions += this.counts[stage];
    const sequence = this.rows[stage * ROW + LINES];
    if (sequence >= 0 && !this.mmu.touchLines(sequence)) this.touch(stage, sequence);
    if (this.textSeen[stage] !== this.textNow && this.mmu.timed) this.fetchText(stage);
  }

  /** A line of some stage, by its place among those of all. */
  protected touchLine(line: number): void {
    const { mmu } = this;
    const { lo, hi, write } = this.lines[line];
    const offset = write ? mmu.write(lo, hi, 8) : mmu.read(lo, hi, 8);
    if (offset < 0) throw new HostAccessError(mmu.fault.gfn, lo & 4095, "a stage's line");
  }

  /** Its lines one by one, each charged to the phase of its part. */
  private touch(stage: StageId, sequence: number): void {
    const { rows, groupRows, mmu, ledger } = this;
    const row = stage * ROW;
    const before = ledger.clock[0];
    const entered = this.enterOwn(row);
    for (let group = rows[row + GROUPS]; group < rows[row + GROUPS_END]; group++) {
      const at = group * GROUP_ROW;
      const nested = groupRows[at] !== rows[row + PHASE];
      if (nested) ledger.enter(groupRows[at]);
      for (let i = groupRows[at + 1]; i < groupRows[at + 2]; i++) this.touchLine(i);
      if (nested) ledger.leave();
    }
    if (entered) ledger.leave();
    // Lines that take turns in one set would be noted and lost again each time.
    if (ledger.clock[0] === before) mmu.noteLines(sequence);
  }

  /** Enters a stage's own phase, unless it has none or is in it; returns whether it did. */
  private enterOwn(row: number): boolean {
    const phase = this.rows[row + PHASE];
    if (phase < 0 || phase === this.phases[this.depth]) return false;
    this.ledger.enter(phase);
    return true;
  }

  /** Prices a run of a stage in the present place with the present warm branches. */
  protected price(stage: StageId, place: number): number {
    if (this.pricedCells.length === MAX_PRICED || this.warmBranches.size === MAX_WARM_SETS)
      this.forgetPriced();
    const { ledger, warmBranches, options } = this;
    // The place tells whether timing is on: what runs while it is off has a ledger phase of its own.
    const { timed } = this.mmu;
    const perBranch = options.text.overrides.instructionsPerColdBranch;
    const subject = this.stages[stage];
    const cells = new Map<number, number>();
    const cold = timed
      ? warmBranches.coldIn(this.warm, this.leaves[stage]).map((leaf) => this.leafStages[leaf])
      : [];
    const families = new Map<string, readonly Stage[]>();
    const entered = this.enterOwn(stage * ROW);
    for (const [phase, parts] of byPhase(leavesOf(subject))) {
      const relatives = families.get(familyOf(phase)) ?? [];
      families.set(familyOf(phase), [...relatives, ...parts]);
      const number = ledger.registerPhase(phase);
      const nested = number !== this.rows[stage * ROW + PHASE];
      if (nested) ledger.enter(number);
      const charges = [...priceStagesAfter(relatives, parts, options)];
      for (const leaf of cold)
        if (leaf.phase === phase)
          charges.push([
            Cause.Branch,
            ticks(coldBranchesOf(leaf, options.vendor, perBranch) * options.timing.branchMispredict),
          ]);
      for (const [cause, amount] of charges)
        if (amount !== 0) cells.set(ledger.base + cause, (cells.get(ledger.base + cause) ?? 0) + amount);
      if (nested) ledger.leave();
    }
    if (entered) ledger.leave();
    const priced = this.pricedCells.push(cells) - 1;
    const first = this.warm * MAX_STAGES + stage;
    this.pricedPlace[priced] = place;
    this.pricedTicks[priced] = [...cells.values()].reduce((sum, amount) => sum + amount, 0);
    this.pricedWarm[priced] = timed ? warmBranches.with(this.warm, this.leaves[stage]) : this.warm;
    this.pricedNext[priced] = this.pricedFirst[first];
    this.pricedFirst[first] = priced;
    if (timed) this.ran.add(subject);
    return priced;
  }

  /** Starts the prices over, in the present warm set. */
  private forgetPriced(): void {
    this.settle();
    this.pricedCells.length = 1;
    this.pricedFirst.fill(0);
    this.warm = this.warmBranches.keepOnly(this.warm);
  }

  /** Between two runs of the guest: outside every phase. */
  snapshot(): StagePathCostSnapshot {
    const { ran } = this;
    const stages = this.stages.slice(0, this.compiled);
    return {
      instructions: this.instructions,
      stages: stages.map((stage) => stage.name),
      textSeen: this.textSeen.slice(0, stages.length),
      textEpoch: this.textEpoch,
      textNow: this.textNow,
      predictorEpoch: this.predictorEpoch,
      warm: this.warmBranches.partsOf(this.warm),
      ran: stages.flatMap((stage, id) => (ran.has(stage) ? [id] : [])),
    };
  }

  /**
   * Puts it back, before the ledger, on one that has compiled the same stages or the first of them.
   * @param later stages that may follow those @throws RangeError for stages that are not these
   */
  restore(snapshot: StagePathCostSnapshot, later: readonly Stage[]): void {
    this.settle();
    const { stages } = snapshot;
    for (let id = this.compiled; id < stages.length; id++) {
      const stage = later.find((each) => each.name === stages[id]);
      if (stage === undefined) throw new RangeError(`no path-cost stage is called "${stages[id]}"`);
      this.options.text.idOf(stage);
      this.fillRows(id + 1); // another processor may have compiled more
    }
    const differs = this.stages.slice(0, this.compiled).findIndex((stage, id) => stage.name !== stages[id]);
    if (differs >= 0 || snapshot.textSeen.length !== stages.length)
      throw new RangeError(`path-cost stage ${differs} is "${stages[differs]}"`);
    const isPart = (leaf: number) => this.leafStages[leaf] !== undefined;
    if (!snapshot.warm.every(isPart) || !snapshot.ran.every((id) => this.stages[id] !== undefined))
      throw new RangeError("path-cost stages that do not exist have run");
    this.instructions = snapshot.instructions;
    this.textSeen.set(snapshot.textSeen);
    this.textEpoch = snapshot.textEpoch;
    this.textNow = snapshot.textNow;
    this.predictorEpoch = snapshot.predictorEpoch;
    this.warm = this.warmBranches.with(ALL_COLD, snapshot.warm);
    this.ran.clear();
    for (const id of snapshot.ran) this.ran.add(this.stages[id]);
  }

  /** Brings the ledger's cells up to date. */
  protected settle(): void {
    const { pricedRuns, pricedCells, ledger } = this;
    for (let priced = 1; priced < pricedCells.length; priced++) {
      const runs = pricedRuns[priced];
      if (runs === 0) continue;
      pricedRuns[priced] = 0;
      for (const [cell, amount] of pricedCells[priced]) ledger.cells[cell] += runs * amount;
    }
  }

  access(frame: number, offset: number, bytes: number, write: boolean): number {
    const lo = directmapLo(frame, offset);
    const hi = directmapHi(frame);
    const at = write ? this.mmu.write(lo, hi, bytes) : this.mmu.read(lo, hi, bytes);
    if (at < 0) throw new HostAccessError(frame, offset, "access");
    return at;
  }

  /** The guest ran: its code may have displaced text. Called on every exit. */
  afterGuest(): void {
    this.textNow = this.textState();
  }

  /** Something emptied L1I by itself (WBINVD): every stage fetches its text again. */
  forgetText(): void {
    this.textEpoch++;
    this.textNow = this.textState();
  }

  /** Instructions of one run of a stage on this vendor. */
  instructionsOf(stage: StageId): number {
    return this.counts[stage];
  }

  /** Estimates among the stages (or parts of stages) that ran, and those that all stages rest on. */
  estimates(): readonly StageEstimate[] {
    const found: StageEstimate[] = [];
    for (const stage of this.stages) if (this.ran.has(stage)) this.collect(stage, found);
    if (found.length > 0) found.push(...this.options.text.overrides.modelEstimates());
    return found;
  }

  private collect(stage: Stage, found: StageEstimate[]): void {
    if (stage.parts !== undefined) {
      for (const part of stage.parts) this.collect(part, found);
      return;
    }
    const key = `stage.${stage.name}`;
    if (stage.basis !== "estimate" || found.some((entry) => entry.key === key)) return;
    const value = amountFor(stage.instructions, this.options.vendor);
    found.push({ key, value, unit: "instructions", range: stage.range, source: stage.source });
  }

  /** Changes whenever a line may have left L1I or a translation the ITLB. */
  private textState(): number {
    const { counters } = this.mmu;
    return (
      counters[MmuCounter.FetchL2] +
      counters[MmuCounter.FetchL3] +
      counters[MmuCounter.FetchDram] +
      counters[MmuCounter.ItlbMisses] +
      counters[MmuCounter.Invalidations] +
      this.textEpoch
    );
  }

  private fetchText(stage: StageId): void {
    const { ledger, leafRows } = this;
    const row = stage * ROW;
    const entered = this.enterOwn(row);
    for (const leaf of this.leaves[stage]) {
      const phase = leafRows[leaf * LEAF_ROW];
      const nested = phase !== this.rows[row + PHASE];
      if (nested) ledger.enter(phase);
      this.fetchLeaf(leaf);
      if (nested) ledger.leave();
    }
    if (entered) ledger.leave();
    this.textNow = this.textState();
    this.textSeen[stage] = this.textNow;
  }

  /** Where a stage's lines begin among those of all, which lie there phase by phase. */
  protected firstLineOf(stage: StageId): number {
    return this.groupRows[this.rows[stage * ROW + GROUPS] * GROUP_ROW + 1];
  }

  /** Fetches the text of a part without parts, by its number. */
  protected fetchLeaf(leaf: number): void {
    const { mmu, leafRows } = this;
    const row = leaf * LEAF_ROW;
    const hi = leafRows[row + 2];
    let lo = leafRows[row + 1];
    for (let lines = leafRows[row + 3]; lines > 0; lines--) {
      if (mmu.fetch(lo, hi) < 0)
        throw new HostAccessError(mmu.fault.gfn, lo & 4095, this.leafStages[leaf].name);
      lo = (lo + 64) | 0;
    }
  }

  /** Rows for the first stages; default all that have numbers by now. */
  private fillRows(count = this.stages.length): void {
    const { stages } = this;
    if (stages.length > MAX_STAGES) throw new RangeError(`more than ${MAX_STAGES} path-cost stages`);
    for (; this.compiled < count && this.compiled < stages.length; this.compiled++)
      this.fillRow(this.compiled, stages[this.compiled]);
  }

  private fillRow(id: StageId, stage: Stage): void {
    const row = id * ROW;
    const { rows, ledger } = this;
    const leaves = leavesOf(stage);
    rows[row + PHASE] = stage.phase === "" ? -1 : ledger.registerPhase(stage.phase);
    rows[row + GROUPS] = this.groups;
    const firstLine = this.lines.length;
    for (const [phase, parts] of byPhase(leaves)) this.addGroup(ledger.registerPhase(phase), parts);
    rows[row + GROUPS_END] = this.groups;
    const lines = this.lines.slice(firstLine);
    rows[row + LINES] = lines.length > 0 ? this.mmu.defineLines(lines) : -1;
    this.counts[id] = amountFor(stage.instructions, this.options.vendor);
    this.leaves.push([...new Set(leaves)].map((leaf) => this.leafOf(leaf)));
  }

  /** Number of a part; its text gets its place the first time. */
  private leafOf(stage: Stage): number {
    const known = this.leafIds.get(stage);
    if (known !== undefined) return known;
    const id = this.leafStages.push(stage) - 1;
    if (id === MAX_STAGES) throw new RangeError(`more than ${MAX_STAGES} path-cost stages`);
    this.leafIds.set(stage, id);
    const { vendor, text } = this.options;
    const { leafRows } = this;
    const row = id * LEAF_ROW;
    const place = text.placeOf(stage, amountFor(stage.codeInstructions ?? stage.instructions, vendor));
    leafRows[row] = this.ledger.registerPhase(stage.phase);
    leafRows[row + 1] = place.lo;
    leafRows[row + 2] = place.hi;
    leafRows[row + 3] = place.lines;
    return id;
  }

  private addGroup(phase: number, stages: readonly Stage[]): void {
    const { groupRows } = this;
    const at = this.groups++ * GROUP_ROW;
    if (at === groupRows.length) throw new RangeError("too many phases in all stages");
    groupRows[at] = phase;
    groupRows[at + 1] = this.lines.length;
    for (const stage of new Set(stages))
      for (const touch of stage.touches ?? [])
        for (const offset of touch.offsets)
          this.addLine(this.options.homes[touch.object], offset, touch.write === true);
    groupRows[at + 2] = this.lines.length;
  }

  private addLine(home: HostObjectHome, offset: number, write: boolean): void {
    const at = home.offset + (home.down === true ? -64 - offset : offset);
    const frame = home.frame + Math.floor(at / 4096);
    this.lines.push({ lo: directmapLo(frame, at & 4095 & ~63), hi: directmapHi(frame), write });
  }
}

/** Stages by phase, in the order in which phases first occur. */
export function byPhase(stages: readonly Stage[]): ReadonlyMap<string, readonly Stage[]> {
  const groups = new Map<string, Stage[]>();
  for (const stage of stages) groups.set(stage.phase, [...(groups.get(stage.phase) ?? []), stage]);
  return groups;
}
