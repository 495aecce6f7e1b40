import { Flag } from "../../../../packages/cpu/src/cpu-state.js";
import { CODE_BASE, ImageField, Outcome, ResultField, type TestCase } from "../layout.js";

const REGISTERS_8: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7];
const REGISTERS_16: readonly number[] = [...REGISTERS_8, 8, 9, 10, 11, 12, 13, 14, 15];

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
  ["fcw", ResultField.Image + ImageField.ControlWord, 2],
  ["fsw", ResultField.Image + ImageField.StatusWord, 2],
  ["ftw", ResultField.Image + ImageField.InUse, 1],
  ["fop", ResultField.Image + ImageField.Opcode, 2],
  ["fip", ResultField.Image + ImageField.InstructionPointer, 8],
  ["fdp", ResultField.Image + ImageField.DataPointer, 8],
  ["mxcsr", ResultField.Image + ImageField.Mxcsr, 4],
  ...REGISTERS_8.map((r) => [`st${r}`, ResultField.Image + ImageField.Stack + 16 * r, 10] as const),
  ...REGISTERS_16.map((r) => [`xmm${r}`, ResultField.Image + ImageField.Xmm + 16 * r, 16] as const),
];

/** AMD's processors save these only while an x87 exception is pending. */
const POINTERS = new Set(["fop", "fip", "fdp"]);
const SELECTORS = new Set(["cs", "ss", "ds", "es", "fs", "gs"]);

export interface Difference {
  readonly field: string;
  readonly native: bigint;
  readonly simulated: bigint;
}

const LINUX_USER_END = 0x7ffffffff000n;
const INT1 = 0xf1;
const LOCK = 0xf0;
const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, LOCK, 0xf2, 0xf3]);

/** Whether both sides ended with an exception that the simulator has, so that there is something to compare. */
export function comparable(native: DataView, simulated: DataView, at: number): boolean {
  const theirs = native.getUint32(at + ResultField.Trap, true);
  const ours = simulated.getUint32(at + ResultField.Trap, true);
  if (theirs === Outcome.SystemCall) return false;
  return theirs !== Outcome.Timeout || ours !== Outcome.Timeout;
}

/** Bits of the word with the tags and the opcode that are compared when no x87 exception is pending. */
const TAGS = 0xffff;

/**
 * Cheap test first: most results are the same byte for byte, but for x87 pointers and undefined flags, which
 * {@link differences} leaves out.
 */
export function sameBytes(test: TestCase, native: DataView, simulated: DataView, at: number): boolean {
  const tags = ResultField.Image + ImageField.InUse;
  const pointersEnd = ResultField.Image + ImageField.Mxcsr;
  const pending = exceptionPending(native, at);
  for (let i = 0; i < ResultField.Bytes; i += 4) {
    const unlike = native.getInt32(at + i, true) ^ simulated.getInt32(at + i, true);
    if (unlike === 0) continue;
    if (!pending && i > tags && i < pointersEnd) continue;
    if (!pending && i === tags && (unlike & TAGS) === 0) continue;
    if (i === ResultField.Flags && (unlike & ~undefinedAt(test, native, at)) === 0) continue;
    return false;
  }
  return true;
}

/**
 * What differs in a pair of result records, undefined results left out.
 * @param vendor "GenuineIntel", "AuthenticAMD": of the machine
 */
export function differences(
  test: TestCase,
  native: DataView,
  simulated: DataView,
  at: number,
  vendor: string,
): Difference[] {
  const found: Difference[] = [];
  const amd = vendor === "AuthenticAMD";
  if (amd && isLockedVerw(test, native, simulated, at)) return found;
  for (const [field, offset, bytes] of FIELDS) {
    if (test.mode === 32 && /^r(8|9|1\d)$/.test(field)) continue;
    if (POINTERS.has(field) && !exceptionPending(native, at)) continue;
    let theirs = valueAt(native, at + offset, bytes);
    let ours = valueAt(simulated, at + offset, bytes);
    if (theirs === ours) continue;
    if (field === "flags") {
      const mask = ~BigInt(undefinedAt(test, native, at));
      theirs &= mask;
      ours &= mask;
    } else if (bytes === 8 && test.mode === 32) {
      theirs &= 0xffffffffn;
      ours &= 0xffffffffn;
    } else if (field === "error code" && native.getBigUint64(at + ResultField.Cr2, true) >= LINUX_USER_END) {
      // Linux sets the present bit for every fault beyond what user space can map.
      theirs |= 1n;
      ours |= 1n;
    } else if (SELECTORS.has(field) && theirs < 4n && ours < 4n) {
      // The kernel's IRET clears the RPL of null selectors.
      continue;
    }
    // KVM reinjects the #DB of an INT1 with RIP still at the instruction; by the manual it is a trap (APM vol. 2, 8.2.2).
    if (field === "rip" && amd && isUnadvanced(test, theirs, ours)) continue;
    if (theirs === ours || isUnspecified(test, field, theirs, ours)) continue;
    found.push({ field, native: theirs, simulated: ours });
  }
  return found;
}

/** Differences that the manuals allow, because they do not order the steps of an instruction. */
function isUnspecified(test: TestCase, field: string, theirs: bigint, ours: bigint): boolean {
  // Which of the words of a far return is read first.
  if (field === "cr2" && (test.keys.includes("retf") || test.keys.includes("iret"))) {
    const distance = BigInt.asIntN(test.mode, theirs - ours);
    return distance < 40n && distance > -40n;
  }
  return false;
}

/**
 * LOCK VERW m16 is undefined (APM vol. 3, 1.2.5), and yet the microcode that has VERW clear buffers runs it; LOCK VERR
 * and LOCK VERW with a register raise #UD.
 */
function isLockedVerw(test: TestCase, native: DataView, simulated: DataView, at: number): boolean {
  const undefinedOpcode = 6;
  if (simulated.getUint32(at + ResultField.Trap, true) !== undefinedOpcode) return false;
  const start = simulated.getUint32(at + ResultField.Rip, true);
  const refused = native.getUint32(at + ResultField.Trap, true) === undefinedOpcode;
  if (refused && native.getUint32(at + ResultField.Rip, true) === start) return false;
  let i = start - CODE_BASE - test.codeOffset;
  let locked = false;
  for (; isPrefix(test, test.code[i]); i++) locked ||= test.code[i] === LOCK;
  const [first, opcode, modrm] = test.code.subarray(i, i + 3);
  return locked && first === 0x0f && opcode === 0 && (modrm & 0x38) === 0x28 && modrm < 0xc0;
}

function isPrefix(test: TestCase, byte: number): boolean {
  return PREFIXES.has(byte) || (test.mode === 64 && (byte & 0xf0) === 0x40);
}

/** Whether the second RIP is that after an INT1, the first that at it. */
function isUnadvanced(test: TestCase, theirs: bigint, ours: bigint): boolean {
  const start = Number(theirs) - CODE_BASE - test.codeOffset;
  const end = Number(ours) - CODE_BASE - test.codeOffset;
  if (start < 0 || start >= end || end > test.code.length || test.code[end - 1] !== INT1) return false;
  return test.code.subarray(start, end - 1).every((byte) => isPrefix(test, byte));
}

/** Flags left undefined by the instruction before the one that raised the exception. */
function undefinedAt(test: TestCase, native: DataView, at: number): number {
  const ended = native.getUint32(at + ResultField.Rip, true) - CODE_BASE - test.codeOffset;
  return test.undefinedFlags.get(ended) ?? test.undefinedFlags.get(ended - 1) ?? 0;
}

function exceptionPending(native: DataView, at: number): boolean {
  return (native.getUint16(at + ResultField.Image + ImageField.StatusWord, true) & 0x80) !== 0;
}

function valueAt(view: DataView, at: number, bytes: number): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(at + i));
  return value;
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
