import { Flag } from "../../../../packages/cpu/src/cpu-state.js";
import { Outcome, ResultField, type TestCase } from "../layout.js";

/** Fields of a result record by name, with their bytes. */
const FIELDS: readonly (readonly [string, number, number])[] = [
  ...["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].map((name, i) => [name, 8 * i, 8] as const),
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((r) => [`r${r}`, 8 * r, 8] as const),
  ["rip", ResultField.Rip, 8],
  ["flags", ResultField.Flags, 8],
  ["cr2", ResultField.Cr2, 8],
  ["fs base", ResultField.FsBase, 8],
  ["gs base", ResultField.GsBase, 8],
  ["vector", ResultField.Trap, 4],
  ["error code", ResultField.Error, 4],
  ["data window", ResultField.Hash, 4],
  ["cs", ResultField.Cs, 2],
  ["ss", ResultField.Ss, 2],
  ["ds", ResultField.Ds, 2],
  ["es", ResultField.Es, 2],
  ["fs", ResultField.Fs, 2],
  ["gs", ResultField.Gs, 2],
];

export interface Difference {
  readonly field: string;
  readonly native: bigint;
  readonly simulated: bigint;
}

/** Whether both sides ended with an exception, so that there is something to compare. */
export function comparable(native: DataView, simulated: DataView, at: number): boolean {
  const theirs = native.getUint32(at + ResultField.Trap, true);
  const ours = simulated.getUint32(at + ResultField.Trap, true);
  if (theirs === Outcome.SystemCall) return false;
  return theirs !== Outcome.Timeout || ours !== Outcome.Timeout;
}

/** Cheap test first: most results are the same byte for byte. */
export function sameBytes(native: DataView, simulated: DataView, at: number): boolean {
  for (let i = 0; i < ResultField.Bytes; i += 4)
    if (native.getInt32(at + i, true) !== simulated.getInt32(at + i, true)) return false;
  return true;
}

/** What differs in a pair of result records, undefined results left out. */
export function differences(test: TestCase, native: DataView, simulated: DataView, at: number): Difference[] {
  const found: Difference[] = [];
  for (const [field, offset, bytes] of FIELDS) {
    if (test.mode === 32 && /^r(8|9|1\d)$/.test(field)) continue;
    let mask = maskOf(test, field);
    // Linux sets the present bit for every fault at a kernel address.
    if (field === "error code" && native.getInt32(at + ResultField.Cr2 + 4, true) < 0) mask = ~1n;
    const theirs = valueAt(native, at + offset, bytes) & mask;
    const ours = valueAt(simulated, at + offset, bytes) & mask;
    if (theirs !== ours) found.push({ field, native: theirs, simulated: ours });
  }
  return found;
}

function maskOf(test: TestCase, field: string): bigint {
  if (field === "flags") return ~BigInt(test.undefinedFlags);
  const is64 = field.startsWith("r") && test.mode === 64;
  return is64 || !field.startsWith("r") ? 0xffffffffffffffffn : 0xffffffffn;
}

function valueAt(view: DataView, at: number, bytes: number): bigint {
  if (bytes === 8) return view.getBigUint64(at, true);
  return BigInt(bytes === 4 ? view.getUint32(at, true) : view.getUint16(at, true));
}

const NAMES: readonly (readonly [number, string])[] = Object.entries(Flag)
  .filter(([name]) => name !== "Iopl")
  .map(([name, bit]) => [bit, name.toUpperCase()]);

/** Names of the set flags. */
export function flagNames(flags: bigint): string {
  return NAMES.filter(([bit]) => (flags & BigInt(bit)) !== 0n)
    .map(([, name]) => name)
    .join(" ");
}
