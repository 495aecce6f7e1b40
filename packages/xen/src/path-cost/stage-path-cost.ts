import type { CoreTiming } from "@hyperwalk/cpu";
import { Cause, type CycleLedger, type Mmu, MmuCounter, ticks } from "@hyperwalk/mmu";
import { defaultColdBranches, INSTRUCTIONS_PER_COLD_BRANCH } from "./compose.js";
import type { PathCost, StageId } from "./path-cost.js";
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
const ROW = 12; // integers of one stage's row in `rows`
const PHASE = 0;
const CHARGES = 1; // first of its charges
const CHARGES_END = 2;
const TOUCHES = 3;
const TOUCHES_END = 4;
const TEXT_LO = 5;
const TEXT_HI = 6;
const TEXT_LINES = 7;
const COLD = 8; // ticks of its cold branches
const SEEN_EPOCH = 9;
const RAN = 10;
const CHARGES_PER_STAGE = 8; // at most one a cause, and no stage has more causes
const TOUCHES_PER_STAGE = 8; // on average
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
    this.runTimes(stage, 1);
  }

  /** Executes a stage several times in a row; its lines are touched once. */
  runTimes(stage: StageId, times: number): void {
    const { rows, ledger, mmu } = this;
    const row = stage * ROW;
    const phase = rows[row + PHASE];
    const nested = phase !== this.phases[this.depth];
    if (nested) ledger.enter(phase);
    rows[row + RAN] = 1;
    this.instructions += this.counts[stage] * times;
    const { cells, base } = ledger;
    const { chargeCause, chargeTicks } = this;
    const chargesEnd = rows[row + CHARGES_END];
    for (let i = rows[row + CHARGES]; i < chargesEnd; i++)
      cells[base + chargeCause[i]] += chargeTicks[i] * times;
    ledger.clock[0] += this.totals[stage] * times;
    const { epoch } = this.predictor;
    if (rows[row + SEEN_EPOCH] !== epoch) {
      rows[row + SEEN_EPOCH] = epoch;
      ledger.charge(Cause.Branch, rows[row + COLD]);
    }
    if (this.textSeen[stage] !== this.textNow) this.fetchText(stage);
    const touchesEnd = rows[row + TOUCHES_END];
    const { touchList } = this;
    for (let i = rows[row + TOUCHES]; i < touchesEnd; i += TOUCH) {
      const lo = touchList[i];
      const hi = touchList[i + 1];
      const at = touchList[i + 2] !== 0 ? mmu.write(lo, hi, 8) : mmu.read(lo, hi, 8);
      if (at < 0) throw new HostAccessError(mmu.fault.gfn, lo & 4095, this.stages[stage].name);
    }
    if (nested) ledger.leave();
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
    const { rows, mmu } = this;
    const row = stage * ROW;
    const hi = rows[row + TEXT_HI];
    let lo = rows[row + TEXT_LO];
    for (let lines = rows[row + TEXT_LINES]; lines > 0; lines--) {
      if (mmu.fetch(lo, hi) < 0) throw new HostAccessError(mmu.fault.gfn, lo & 4095, this.stages[stage].name);
      lo = (lo + 64) | 0;
    }
    this.textNow = this.textState();
    this.textSeen[stage] = this.textNow;
  }

  private fillRow(id: StageId, stage: Stage): void {
    const { vendor, timing, lockHarden, text } = this.options;
    const amount = (value: Parameters<typeof amountFor>[0]) => amountFor(value, vendor);
    const instructions = amount(stage.instructions);
    const lfences = amount(stage.lfences) - (lockHarden ? 0 : amount(stage.lockLfences));
    // [count, price in cycles, cause, is an instruction of its own]
    const priced: readonly (readonly [number, number, number, boolean])[] = [
      [lfences, timing.lfence, Cause.Serialise, true],
      [amount(stage.atomics), timing.atomic, Cause.Atomic, true],
      [amount(stage.vmreads), timing.vmread, Cause.Serialise, true],
      [amount(stage.vmwrites), timing.vmwrite, Cause.Serialise, true],
      [stage.cliSti ?? 0, timing.cliSti, Cause.Serialise, true],
      [stage.clgiStgi ?? 0, timing.clgiStgi, Cause.Serialise, true],
      [stage.wrmsrSpecCtrl ?? 0, timing.wrmsrSpecCtrl, Cause.PredictorBarrier, true],
      [stage.ibpb ?? 0, timing.ibpb, Cause.PredictorBarrier, true],
      [stage.verw ?? 0, timing.verw, Cause.PredictorBarrier, true],
      [stage.strings ?? 0, timing.stringStart, Cause.Microcode, false],
      [stage.mispredicts ?? 0, timing.branchMispredict, Cause.Branch, false],
    ];
    const special = priced.reduce((sum, [count, , , own]) => sum + (own ? count : 0), 0);
    const byCause = new Map<number, number>([
      [Cause.Issue, ticks(Math.max(0, instructions - special) * timing.issue)],
    ]);
    for (const [count, price, cause] of priced)
      if (count > 0) byCause.set(cause, (byCause.get(cause) ?? 0) + ticks(count * price));
    const row = id * ROW;
    const { rows } = this;
    rows[row + PHASE] = this.ledger.registerPhase(stage.phase);
    rows[row + CHARGES] = this.charges;
    for (const [cause, amountOfTicks] of byCause) {
      if (amountOfTicks === 0) continue;
      this.chargeCause[this.charges] = cause;
      this.chargeTicks[this.charges++] = amountOfTicks;
      this.totals[id] += amountOfTicks;
    }
    rows[row + CHARGES_END] = this.charges;
    rows[row + TOUCHES] = this.touches;
    for (const touch of stage.touches ?? []) {
      const home = this.options.homes[touch.object];
      for (const offset of touch.offsets) this.addTouch(home, offset, touch.write === true);
    }
    rows[row + TOUCHES_END] = this.touches;
    this.counts[id] = instructions;
    const place = text.place(instructions);
    rows[row + TEXT_LO] = place.lo;
    rows[row + TEXT_HI] = place.hi;
    rows[row + TEXT_LINES] = place.lines;
    rows[row + COLD] = ticks((stage.coldBranches ?? defaultColdBranches(stage)) * timing.branchMispredict);
    rows[row + SEEN_EPOCH] = -1;
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
