import type { Arena } from "./arena.js";

/** Ledger unit: one cycle is 256 ticks, so that every cell and every sum is exact in a double (dyadic). */
export const TICKS_PER_CYCLE = 256;

/** Rounds a price in cycles to whole ticks. */
export function ticks(cycles: number): number {
  return Math.round(cycles * TICKS_PER_CYCLE);
}

/** Why cycles passed. Order is the cell layout; names are what reports print. */
export const CAUSES = [
  "issue",
  "branch",
  "l1",
  "l2",
  "l3",
  "dram",
  "tlb",
  "walk",
  "serialise",
  "atomic",
  "microcode",
  "exit-hardware",
  "entry-hardware",
  "predictor-barrier",
  "idle",
  "lock-wait",
  "lock-harden",
  "l1d-flush",
] as const;
export type CauseName = (typeof CAUSES)[number];

/** Cause numbers for hot code: `ledger.charge(Cause.L2, ticks)`. */
export const Cause = {
  Issue: 0,
  Branch: 1,
  L1: 2,
  L2: 3,
  L3: 4,
  Dram: 5,
  Tlb: 6,
  Walk: 7,
  Serialise: 8,
  Atomic: 9,
  Microcode: 10,
  ExitHardware: 11,
  EntryHardware: 12,
  PredictorBarrier: 13,
  Idle: 14,
  LockWait: 15,
  LockHarden: 16,
  L1dFlush: 17,
} as const;

const STRIDE = 32; // cells per node: one per cause, the last ones unused
const STRIDE_BITS = 5;
/** Most phases of one ledger. */
export const MAX_PHASES = 64;
const MAX_NODES = 512;
const MAX_DEPTH = 32;

/** Cycles of one cause spent in one phase, with the stack of phases that led there. */
export interface LedgerRow {
  /** Phase names from the outermost to the innermost. */
  readonly path: readonly string[];
  /** The innermost phase: `path.at(-1)`. */
  readonly phase: string;
  readonly cause: CauseName;
  /** Exact amount in ticks ({@link TICKS_PER_CYCLE} to the cycle). */
  readonly ticks: number;
}

/** Plain-data copy of a ledger at one moment; subtract two to get a window. */
export interface LedgerSnapshot {
  readonly clock: number;
  readonly cells: Float64Array;
}

/** A whole ledger as plain data: what {@link CycleLedger.restore} goes on from. */
export interface LedgerState {
  /** Names by phase number. */
  readonly phases: readonly string[];
  /** Nodes of the calling-context tree: phase and parent of each, the root first with parent -1. */
  readonly nodePhase: Int32Array;
  readonly nodeParent: Int32Array;
  /** 32 cells a node. */
  readonly cells: Float64Array;
  readonly clock: number;
  /** Nodes on the phase stack, the present one last. */
  readonly stack: readonly number[];
}

/** Someone who follows the phases of one ledger, see {@link CycleLedger.watch}. */
export interface PhaseWatcher {
  /** A phase is about to be pushed. */
  entering(phase: number): void;
  /** The phase on top is about to be popped. */
  leaving(): void;
  /** It has been: {@link CycleLedger.base} is another one now. */
  moved(): void;
}

/**
 * The account of one logical processor: every tick is charged once, to the phase on top of the phase stack and to a
 * cause. `sum(cells) === clock` holds whenever cells are read, because {@link charge} is the only way in, beside hot
 * code that does the same by itself or puts the cells' part off ({@link beforeReading}).
 *
 * Phases nest; a cell belongs to a node of the calling-context tree, so flame graphs and flat tables are both views.
 * Charging is integer-indexed arithmetic: no strings, closures or objects.
 */
export class CycleLedger {
  /**
   * Cells by `node * 32 + cause`, to be read through {@link rows} and {@link snapshot}; hot code may add to
   * `cells[base + cause]` and `clock[0]` together.
   */
  cells!: Float64Array;
  /** `clock[0]`: all ticks charged so far. `clock[1]`: the clock at which the engine that runs is to stop. */
  clock!: Float64Array;
  /** Index of the first cell of the phase that is on top of the stack. */
  base = 0;
  private children!: Int32Array;
  private readonly stack = new Int32Array(MAX_DEPTH);
  private depth = 0;
  private nodeCount = 1;
  private readonly nodePhase = new Int32Array(MAX_NODES);
  private readonly nodeParent = new Int32Array(MAX_NODES).fill(-1);
  private readonly phaseNames: string[] = [];
  private readonly owed: (() => void)[] = [];

  /** @param rootPhase name of the phase that runs when nothing else was entered */
  constructor(arena: Arena, rootPhase = "guest") {
    const cellsAt = arena.reserve(MAX_NODES * STRIDE * 8);
    const clockAt = arena.reserve(16);
    const childrenAt = arena.reserve(MAX_NODES * MAX_PHASES * 4);
    arena.adopt(() => {
      this.cells = arena.float64(cellsAt, MAX_NODES * STRIDE);
      this.clock = arena.float64(clockAt, 2);
      this.children = arena.int32(childrenAt, MAX_NODES * MAX_PHASES);
    });
    this.registerPhase(rootPhase);
  }

  /** Has charges that are on the clock already added to their cells before anyone reads those. */
  beforeReading(settle: () => void): void {
    this.owed.push(settle);
  }

  /** Number of a phase for {@link enter}; the same name always gives the same number. At most 64 phases. */
  registerPhase(name: string): number {
    const known = this.phaseNames.indexOf(name);
    if (known >= 0) return known;
    if (this.phaseNames.length === MAX_PHASES) throw new RangeError(`more than ${MAX_PHASES} ledger phases`);
    return this.phaseNames.push(name) - 1;
  }

  /** Name of a phase by its number. */
  phaseName(phase: number): string {
    return this.phaseNames[phase];
  }

  /** Pushes a phase; charges go to it until the matching {@link leave}. */
  enter(phase: number): void {
    const parent = this.base >> STRIDE_BITS;
    let node = this.children[parent * MAX_PHASES + phase];
    if (node === 0) node = this.createNode(parent, phase);
    this.stack[this.depth++] = parent;
    this.base = node << STRIDE_BITS;
  }

  leave(): void {
    if (this.depth === 0) throw new RangeError("ledger phase stack underflow");
    this.base = this.stack[--this.depth] << STRIDE_BITS;
  }

  /**
   * Tells of every phase that is entered and left from now on, one watcher at most. This ledger's own methods are replaced:
   * those of ledgers that nobody watches ask nothing.
   */
  watch(watcher: PhaseWatcher): void {
    const { enter, leave } = CycleLedger.prototype;
    this.enter = (phase) => {
      watcher.entering(phase);
      enter.call(this, phase);
      watcher.moved();
    };
    this.leave = () => {
      watcher.leaving();
      leave.call(this);
      watcher.moved();
    };
  }

  /** Length of the beginning of {@link cells} that is in use: nothing has been charged beyond. */
  get usedCells(): number {
    return this.nodeCount * STRIDE;
  }

  /** Depth of the phase stack; zero in the root phase. */
  get phaseDepth(): number {
    return this.depth;
  }

  /** @param cause a {@link Cause} number @param amount ticks, a non-negative integer */
  charge(cause: number, amount: number): void {
    this.cells[this.base + cause] += amount;
    this.clock[0] += amount;
  }

  /** Moves the clock to the next whole cycle, charged to `cause`; what a timestamp read observes is then an integer. */
  alignToCycle(cause: number): void {
    const rest = this.clock[0] % TICKS_PER_CYCLE;
    if (rest !== 0) this.charge(cause, TICKS_PER_CYCLE - rest);
  }

  /** Whole cycles on the clock (exact after {@link alignToCycle}). */
  get cycles(): number {
    return Math.floor(this.clock[0] / TICKS_PER_CYCLE);
  }

  snapshot(into?: LedgerSnapshot): LedgerSnapshot {
    for (const settle of this.owed) settle();
    const used = this.nodeCount * STRIDE;
    const cells = into?.cells ?? new Float64Array(MAX_NODES * STRIDE);
    for (let cell = 0; cell < used; cell++) cells[cell] = this.cells[cell];
    return { clock: this.clock[0], cells };
  }

  /** Non-zero cells of the window from `since` (default: the beginning) to `until` (default: now). */
  rows(since?: LedgerSnapshot, until?: LedgerSnapshot): LedgerRow[] {
    for (const settle of this.owed) settle();
    const out: LedgerRow[] = [];
    const end = until?.cells ?? this.cells;
    for (let node = 0; node < this.nodeCount; node++) {
      const path = this.pathOf(node);
      for (let cause = 0; cause < CAUSES.length; cause++) {
        const at = node * STRIDE + cause;
        const amount = end[at] - (since ? since.cells[at] : 0);
        if (amount !== 0)
          out.push({ path, phase: path[path.length - 1], cause: CAUSES[cause], ticks: amount });
      }
    }
    return out;
  }

  /** Everything there is to know, for {@link restore}. */
  state(): LedgerState {
    for (const settle of this.owed) settle();
    const { nodeCount, depth } = this;
    return {
      phases: [...this.phaseNames],
      nodePhase: this.nodePhase.slice(0, nodeCount),
      nodeParent: this.nodeParent.slice(0, nodeCount),
      cells: this.cells.slice(0, nodeCount * STRIDE),
      clock: this.clock[0],
      stack: [...this.stack.subarray(0, depth), this.base >> STRIDE_BITS],
    };
  }

  /**
   * Puts it back. Phases keep their numbers: those that this ledger has registered must be a beginning of the state's.
   * Charges that somebody has put off are lost: theirs are in the state.
   * @throws RangeError for a state that is no ledger of this one's
   */
  restore(state: LedgerState): void {
    checkState(state, this.phaseNames);
    for (const name of state.phases) this.registerPhase(name);
    const count = state.nodePhase.length;
    this.nodeCount = count;
    this.nodePhase.set(state.nodePhase);
    this.nodeParent.set(state.nodeParent);
    this.children.fill(0);
    for (let node = 1; node < count; node++)
      this.children[this.nodeParent[node] * MAX_PHASES + this.nodePhase[node]] = node;
    this.cells.fill(0);
    this.cells.set(state.cells);
    this.clock[0] = state.clock;
    this.depth = state.stack.length - 1;
    this.stack.set(state.stack.slice(0, this.depth));
    this.base = state.stack[this.depth] << STRIDE_BITS;
  }

  private pathOf(node: number): string[] {
    const path: string[] = [];
    for (let at = node; at >= 0; at = this.nodeParent[at]) path.unshift(this.phaseNames[this.nodePhase[at]]);
    return path;
  }

  private createNode(parent: number, phase: number): number {
    if (this.nodeCount === MAX_NODES) throw new RangeError(`more than ${MAX_NODES} ledger nodes`);
    if (this.depth >= MAX_DEPTH - 1) throw new RangeError(`ledger phases nested deeper than ${MAX_DEPTH}`);
    const node = this.nodeCount++;
    this.nodePhase[node] = phase;
    this.nodeParent[node] = parent;
    this.children[parent * MAX_PHASES + phase] = node;
    return node;
  }
}

/** @throws RangeError for what {@link CycleLedger.state} cannot have made of a ledger with these phases */
function checkState(state: LedgerState, known: readonly string[]): void {
  const { phases, nodePhase, nodeParent, cells, stack } = state;
  const count = nodePhase.length;
  const isNode = (node: number) => Number.isInteger(node) && node >= 0 && node < count;
  const refused = known.some((name, i) => phases[i] !== name)
    ? `phases ${known.join(", ")} are not the first of ${phases.join(", ")}`
    : phases.length > MAX_PHASES || new Set(phases).size !== phases.length
      ? `${phases.length} phases`
      : count < 1 || count > MAX_NODES || nodeParent.length !== count || cells.length !== count * STRIDE
        ? `${count} nodes with ${cells.length} cells`
        : nodeParent.some((parent, node) =>
              node === 0 ? parent !== -1 : !isNode(parent) || parent >= node,
            ) || nodePhase.some((phase) => phase < 0 || phase >= phases.length)
          ? "a tree that is none"
          : stack.length < 1 || stack.length > MAX_DEPTH || !stack.every(isNode)
            ? "a phase stack of nodes that do not exist"
            : undefined;
  if (refused !== undefined) throw new RangeError(`not a state of this ledger: ${refused}`);
}
