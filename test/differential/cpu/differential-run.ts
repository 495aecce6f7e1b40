import { comparable, type Difference, differences, sameBytes } from "./compare/compare.js";
import { explain } from "./compare/explain.js";
import { CaseGenerator, type GeneratorOptions } from "./generator/case-generator.js";
import { Outcome, ResultField, type TestCase } from "./layout.js";
import type { NativeHarness } from "./native/native-harness.js";
import type { SimulatedMachine } from "./simulated/simulated-machine.js";

/** Anything that makes test cases. */
export interface CaseSource {
  next(): TestCase;
}

export interface Mismatch {
  readonly test: TestCase;
  readonly found: readonly Difference[];
}

/** Totals of a run. */
export class DifferentialTotals {
  sequences = 0;
  /** Sequences that ended with a system call, or looped on both sides. */
  skipped = 0;
  /** Sequences in which the engine met an instruction that it does not execute, by disassembly's first word. */
  readonly unsupported: Map<string, number> = new Map();
  /** Compared sequences by exception vector of the machine. */
  readonly vectors: Map<number, number> = new Map();
  readonly keys: Map<string, number> = new Map();
  mismatches = 0;
  /** Sequences that differed once and agreed when this machine ran them again: it had interrupted them. */
  unrepeated = 0;
  /** The first mismatches of each set of forms. */
  readonly kept: Mismatch[] = [];
}

const BATCH = 5000;
/** How often a sequence that differs is run again natively. */
const REPEATS = 3;
/** With more mismatches than this there is no doubt that something is wrong. */
const MOST_REPEATED = 20;

/** Runs generated cases on both sides and compares them. */
export class DifferentialRun {
  readonly totals: DifferentialTotals = new DifferentialTotals();
  private readonly generator: CaseSource;
  private readonly harness: NativeHarness;
  private readonly machine: SimulatedMachine;
  private readonly vendor: string;
  private readonly seen = new Set<string>();

  /** @param generator where the cases come from, if not from {@link CaseGenerator} */
  constructor(
    options: GeneratorOptions,
    harness: NativeHarness,
    machine: SimulatedMachine,
    generator: CaseSource = new CaseGenerator(options),
  ) {
    this.generator = generator;
    this.harness = harness;
    this.machine = machine;
    this.vendor = options.vendor;
  }

  /** @param keep mismatches to keep; one for each last instruction */
  batch(count: number = BATCH, keep = 20): void {
    const cases = Array.from({ length: count }, () => this.generator.next());
    const native = this.harness.run(cases);
    const simulated = new DataView(new ArrayBuffer(ResultField.Bytes));
    cases.forEach((test, i) => {
      this.compare(test, native, i * ResultField.Bytes, simulated, keep);
    });
  }

  private compare(test: TestCase, natives: DataView, at: number, simulated: DataView, keep: number): void {
    const { totals, machine } = this;
    new Uint8Array(simulated.buffer).fill(0);
    const native = new DataView(natives.buffer, at, ResultField.Bytes);
    machine.run(test, simulated, 0);
    totals.sequences++;
    if (simulated.getUint32(ResultField.Trap, true) === Outcome.Unsupported) {
      const name = machine.unsupported?.disassembly.split(" ")[0] ?? "?";
      totals.unsupported.set(name, (totals.unsupported.get(name) ?? 0) + 1);
      return;
    }
    if (!comparable(native, simulated, 0)) {
      totals.skipped++;
      return;
    }
    const vector = native.getUint32(ResultField.Trap, true);
    totals.vectors.set(vector, (totals.vectors.get(vector) ?? 0) + 1);
    for (const key of test.keys) totals.keys.set(key, (totals.keys.get(key) ?? 0) + 1);
    if (sameBytes(test, native, simulated, 0)) return;
    const found = differences(test, native, simulated, 0, this.vendor);
    if (found.length === 0) return;
    if (totals.mismatches < MOST_REPEATED && this.agreesWhenRepeated(test, simulated)) {
      totals.unrepeated++;
      return;
    }
    totals.mismatches++;
    const kind = `${test.keys.at(-1)} ${found.map((difference) => difference.field).join(" ")}`;
    if (this.seen.has(kind) || totals.kept.length >= keep) return;
    this.seen.add(kind);
    totals.kept.push({ test, found });
  }

  /** x87 pointers get lost when Linux switches tasks within a sequence; run alone, that hardly happens twice. */
  private agreesWhenRepeated(test: TestCase, simulated: DataView): boolean {
    const again = this.harness.run(Array.from({ length: REPEATS }, () => test));
    for (let i = 0; i < REPEATS; i++) {
      const native = new DataView(again.buffer, i * ResultField.Bytes, ResultField.Bytes);
      if (differences(test, native, simulated, 0, this.vendor).length === 0) return true;
    }
    return false;
  }

  /** A mismatch as text, with the bytes of the data window that differ. */
  explain({ test, found }: Mismatch): string {
    const { window } = this.harness.dump(test);
    this.machine.run(test, new DataView(new ArrayBuffer(ResultField.Bytes)), 0);
    return explain(test, found, { native: window, simulated: this.machine.window() });
  }

  /** Totals in a few lines. */
  summary(): string {
    const { totals } = this;
    const list = (map: Map<string | number, number>) =>
      [...map]
        .sort((a, b) => b[1] - a[1])
        .map(([key, count]) => `${key}: ${count}`)
        .join(", ") || "none";
    return [
      `${totals.sequences} sequences, ${totals.mismatches} mismatches, ${totals.skipped} not comparable, ${totals.unrepeated} not repeated`,
      `exceptions by vector: ${list(totals.vectors)}`,
      `not executed by the engine: ${list(totals.unsupported)}`,
    ].join("\n");
  }
}
