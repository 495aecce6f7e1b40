import type { CoreTiming } from "@hyperwalk/cpu";
import { Cause, type CycleLedger, type Mmu, MmuCounter, ticks } from "@hyperwalk/mmu";
import { coldBranchesOf, INSTRUCTIONS_PER_COLD_BRANCH, leavesOf } from "./compose.js";
import type { PathCost, StageId } from "./path-cost.js";
import { priceStages } from "./price-stage.js";
import { amountFor, type HostObject, type Stage } from "./stage.js";
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
const ROW = 8; // integers of one stage's row in `rows`
const PHASE = 0; // -1: none of its own
const GROUPS = 1; // first of its groups: its parts by phase
const GROUPS_END = 2;
const LEAVES = 3; // first of its distinct parts
const LEAVES_END = 4;
const SEEN_EPOCH = 5;
const RAN = 6;
const GROUP_ROW = 5; // phase, first charge, end of charges, first touched line, end of touched lines
const LEAF_ROW = 6; // phase, ticks of its cold branches, epoch they were warmed in, text: low and high word, lines
const CHARGES_PER_STAGE = 8; // at most one a cause, and no stage has more causes
const TOUCHES_PER_STAGE = 8; // on average
const LEAVES_PER_STAGE = 8; // on average
const TOUCH = 3; // integers of one touched line: low word, high word, 1 for writes

/**
 * {@link PathCost} on one logical processor: stages become rows of integers, and running one is a few additions to the
 * ledger plus its lines. Charges of a run:
 *
 * - `issue`: instructions without a price of their own × `timing.issue`;
 * - LFENCE, CLI/STI, CLGI/STGI, VMREAD, VMWRITE: `serialise`; LOCKed ones: `atomic`; string start-up: `microcode`;
 * - SPEC_CTRL, IBPB, VERW: `predictor-barrier`;
 * - `branch`: on the first run after the predictor was emptied, its cold branches × `timing.branchMispredict`;
 * - touched lines and, when anything entered L1I or the ITLB since it last ran, its text lines, through `Mmu`.
 */
export class StagePathCost implements PathCost {
  /** Instructions of modelled hypervisor code retired so far. */
  instructions = 0;
  private readonly mmu: Mmu;
  private readonly ledger: CycleLedger;
  private readonly options: StagePathCostOptions;
  private readonly ids = new Map<Stage, StageId>();
  private readonly stages: Stage[] = [];
  private readonly rows = new Int32Array(MAX_STAGES * ROW);
  private readonly counts = new Float64Array(MAX_STAGES); // instructions
  private readonly totals = new Float64Array(MAX_STAGES); // ticks of all charges
  private readonly textSeen = new Float64Array(MAX_STAGES).fill(-2);
  private readonly chargeCause = new Int32Array(MAX_STAGES * CHARGES_PER_STAGE);
  private readonly chargeTicks = new Float64Array(MAX_STAGES * CHARGES_PER_STAGE);
  private charges = 0;
  private readonly groupRows = new Int32Array(MAX_STAGES * GROUP_ROW);
  private groups = 0;
  private readonly leafIds = new Map<Stage, number>();
  private readonly leafRows = new Int32Array(MAX_STAGES * LEAF_ROW);
  private readonly leafLists = new Int32Array(MAX_STAGES * LEAVES_PER_STAGE);
  private leafCount = 0;
  private readonly touchList = new Int32Array(MAX_STAGES * TOUCHES_PER_STAGE * TOUCH);
  private touches = 0;
  private readonly phases = new Int32Array(32).fill(-1); // mirror of the ledger's stack, from the root
  private depth = 0;
  private textEpoch = 0;
  /** {@link textState} as of the latest exit or text fetch: nothing else of Xen's fills L1I. */
  private textNow = -1;
  private readonly predictor: { readonly epoch: number };

  constructor(options: StagePathCostOptions) {
    this.options = options;
    this.mmu = options.mmu;
    this.ledger = options.mmu.ledger;
    this.predictor = options.predictor;
  }

  /** Prepares a stage; the same stage object gives the same number. @throws RangeError beyond 512 stages */
  compile(stage: Stage): StageId {
    const known = this.ids.get(stage);
    if (known !== undefined) return known;
    const id = this.stages.length;
    if (id === MAX_STAGES) throw new RangeError(`more than ${MAX_STAGES} path-cost stages`);
    this.stages.push(stage);
    this.ids.set(stage, id);
    this.fillRow(id, stage);
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
    const { rows, ledger } = this;
    const row = stage * ROW;
    const phase = rows[row + PHASE];
    const enters = phase >= 0 && phase !== this.phases[this.depth];
    if (enters) ledger.enter(phase);
    rows[row + RAN] = 1;
    this.instructions += this.counts[stage];
    ledger.clock[0] += this.totals[stage];
    const groupsEnd = rows[row + GROUPS_END];
    for (let group = rows[row + GROUPS]; group < groupsEnd; group++) this.runGroup(group * GROUP_ROW, phase);
    const { epoch } = this.predictor;
    if (rows[row + SEEN_EPOCH] !== epoch) {
      rows[row + SEEN_EPOCH] = epoch;
      this.warmBranches(row, phase, epoch);
    }
    if (this.textSeen[stage] !== this.textNow) this.fetchText(stage);
    if (enters) ledger.leave();
  }

  /** The parts of one phase: their charges, which the clock has already, and their lines. */
  private runGroup(at: number, stagePhase: number): void {
    const { groupRows, ledger, chargeCause, chargeTicks, touchList, mmu } = this;
    const phase = groupRows[at];
    const nested = phase !== stagePhase;
    if (nested) ledger.enter(phase);
    const { cells, base } = ledger;
    const chargesEnd = groupRows[at + 2];
    for (let i = groupRows[at + 1]; i < chargesEnd; i++) cells[base + chargeCause[i]] += chargeTicks[i];
    const touchesEnd = groupRows[at + 4];
    for (let i = groupRows[at + 3]; i < touchesEnd; i += TOUCH) {
      const lo = touchList[i];
      const hi = touchList[i + 1];
      const offset = touchList[i + 2] !== 0 ? mmu.write(lo, hi, 8) : mmu.read(lo, hi, 8);
      if (offset < 0) throw new HostAccessError(mmu.fault.gfn, lo & 4095, "a stage's line");
    }
    if (nested) ledger.leave();
  }

  /** Parts whose branches are still cold pay for them, each in its own phase. */
  private warmBranches(row: number, phase: number, epoch: number): void {
    const { rows, leafRows, leafLists, ledger } = this;
    const end = rows[row + LEAVES_END];
    for (let i = rows[row + LEAVES]; i < end; i++) {
      const leaf = leafLists[i] * LEAF_ROW;
      if (leafRows[leaf + 2] === epoch) continue;
      leafRows[leaf + 2] = epoch;
      const nested = leafRows[leaf] !== phase;
      if (nested) ledger.enter(leafRows[leaf]);
      ledger.charge(Cause.Branch, leafRows[leaf + 1]);
      if (nested) ledger.leave();
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
    this.stages.forEach((stage, id) => {
      if (this.rows[id * ROW + RAN] !== 0) this.collect(stage, found);
    });
    if (found.length > 0) found.push(...MODEL_ESTIMATES);
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
    const { rows, mmu, ledger, leafRows, leafLists } = this;
    const row = stage * ROW;
    const end = rows[row + LEAVES_END];
    for (let i = rows[row + LEAVES]; i < end; i++) {
      const leaf = leafLists[i] * LEAF_ROW;
      const nested = leafRows[leaf] !== rows[row + PHASE];
      if (nested) ledger.enter(leafRows[leaf]);
      const hi = leafRows[leaf + 4];
      let lo = leafRows[leaf + 3];
      for (let lines = leafRows[leaf + 5]; lines > 0; lines--) {
        if (mmu.fetch(lo, hi) < 0)
          throw new HostAccessError(mmu.fault.gfn, lo & 4095, this.stages[stage].name);
        lo = (lo + 64) | 0;
      }
      if (nested) ledger.leave();
    }
    this.textNow = this.textState();
    this.textSeen[stage] = this.textNow;
  }

  private fillRow(id: StageId, stage: Stage): void {
    const row = id * ROW;
    const { rows } = this;
    const leaves = leavesOf(stage);
    rows[row + PHASE] = stage.phase === "" ? -1 : this.ledger.registerPhase(stage.phase);
    rows[row + GROUPS] = this.groups;
    for (const phase of new Set(leaves.map((leaf) => leaf.phase)))
      this.addGroup(
        id,
        this.ledger.registerPhase(phase),
        leaves.filter((leaf) => leaf.phase === phase),
      );
    rows[row + GROUPS_END] = this.groups;
    this.counts[id] = amountFor(stage.instructions, this.options.vendor);
    rows[row + LEAVES] = this.leafCount;
    for (const leaf of new Set(leaves)) {
      if (this.leafCount === this.leafLists.length) throw new RangeError("too many parts in all stages");
      this.leafLists[this.leafCount++] = this.leafOf(leaf);
    }
    rows[row + LEAVES_END] = this.leafCount;
    rows[row + SEEN_EPOCH] = -1;
  }

  /** Number of a part; its text gets its place the first time. */
  private leafOf(stage: Stage): number {
    const known = this.leafIds.get(stage);
    if (known !== undefined) return known;
    const id = this.leafIds.size;
    if (id === MAX_STAGES) throw new RangeError(`more than ${MAX_STAGES} path-cost stages`);
    this.leafIds.set(stage, id);
    const { vendor, timing, text } = this.options;
    const { leafRows } = this;
    const row = id * LEAF_ROW;
    const place = text.place(amountFor(stage.instructions, vendor));
    leafRows[row] = this.ledger.registerPhase(stage.phase);
    leafRows[row + 1] = ticks(coldBranchesOf(stage, vendor) * timing.branchMispredict);
    leafRows[row + 2] = -1;
    leafRows[row + 3] = place.lo;
    leafRows[row + 4] = place.hi;
    leafRows[row + 5] = place.lines;
    return id;
  }

  private addGroup(id: StageId, phase: number, stages: readonly Stage[]): void {
    const { groupRows } = this;
    const at = this.groups++ * GROUP_ROW;
    if (at === groupRows.length) throw new RangeError("too many phases in all stages");
    groupRows[at] = phase;
    groupRows[at + 1] = this.charges;
    for (const [cause, amount] of priceStages(stages, this.options)) {
      if (amount === 0) continue;
      this.chargeCause[this.charges] = cause;
      this.chargeTicks[this.charges++] = amount;
      this.totals[id] += amount;
    }
    groupRows[at + 2] = this.charges;
    groupRows[at + 3] = this.touches;
    for (const stage of new Set(stages))
      for (const touch of stage.touches ?? [])
        for (const offset of touch.offsets)
          this.addTouch(this.options.homes[touch.object], offset, touch.write === true);
    groupRows[at + 4] = this.touches;
  }

  private addTouch(home: HostObjectHome, offset: number, write: boolean): void {
    const at = home.offset + (home.down === true ? -64 - offset : offset);
    const frame = home.frame + Math.floor(at / 4096);
    if (this.touches === this.touchList.length) throw new RangeError("too many touched lines in all stages");
    this.touchList[this.touches++] = directmapLo(frame, at & 4095 & ~63);
    this.touchList[this.touches++] = directmapHi(frame);
    this.touchList[this.touches++] = write ? 1 : 0;
  }
}

/** What every stage's price rests on besides its own count. */
const MODEL_ESTIMATES: readonly StageEstimate[] = [
  {
    key: "stages.instructionsPerColdBranch",
    value: INSTRUCTIONS_PER_COLD_BRANCH,
    unit: "instructions",
    range: [6, 25],
    source:
      "branch sites that a cold predictor gets wrong once: typical density of taken branches in kernel code",
  },
  {
    key: "stages.bytesPerInstruction",
    value: 4,
    unit: "bytes",
    range: [3.5, 5],
    source: "average length of x86-64 instructions in compiled kernel code",
  },
];
