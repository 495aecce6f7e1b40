import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from "iced-x86";
import { CODE_BASE, type TestCase } from "../layout.js";
import { type Difference, flagNames } from "./compare.js";

const REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ");

/** The sequence as text, an instruction a line. */
export function disassemble(test: TestCase): string[] {
  const decoder = new Decoder(test.mode, test.code, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Nasm);
  const start = BigInt(CODE_BASE + test.codeOffset);
  decoder.ip = start;
  const lines: string[] = [];
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    const at = Number(instruction.ip - start);
    const bytes = Buffer.from(test.code.subarray(at, at + instruction.length)).toString("hex");
    lines.push(`  ${instruction.ip.toString(16)}  ${bytes.padEnd(24)} ${formatter.format(instruction)}`);
    instruction.free();
  }
  formatter.free();
  decoder.free();
  return lines;
}

/** Everything one needs to see a mismatch: code, registers at the start, and what differs at the end. */
export function explain(
  test: TestCase,
  found: readonly Difference[],
  windows?: { native: Uint8Array; simulated: Uint8Array },
): string {
  const lines = [
    `${test.mode}-bit, seed of the data window ${test.seed}`,
    ...disassemble(test),
    "  at the start:",
  ];
  const registers = REGISTERS.slice(0, test.mode === 64 ? 16 : 8).map(
    (name, i) => `${name}=${word(test.gpr[2 * i + 1])}${word(test.gpr[2 * i])}`,
  );
  for (let i = 0; i < registers.length; i += 4) lines.push(`    ${registers.slice(i, i + 4).join(" ")}`);
  lines.push(
    `    flags=${test.flags.toString(16)} (${flagNames(BigInt(test.flags))}) ` +
      `fs base=${test.fsBase.toString(16)} gs base=${test.gsBase.toString(16)}`,
    "  at the end, this machine and simulated:",
  );
  for (const { field, native, simulated } of found) {
    const names =
      field === "flags" ? ` (${flagNames(native & ~simulated)} / ${flagNames(simulated & ~native)})` : "";
    lines.push(`    ${field}: ${native.toString(16)} / ${simulated.toString(16)}${names}`);
  }
  if (windows !== undefined) lines.push(...windowLines(windows.native, windows.simulated));
  return lines.join("\n");
}

function windowLines(native: Uint8Array, simulated: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < native.length && lines.length < 8; at += 8) {
    const theirs = Buffer.from(native.subarray(at, at + 8)).toString("hex");
    const ours = Buffer.from(simulated.subarray(at, at + 8)).toString("hex");
    if (theirs !== ours) lines.push(`    data window +${at.toString(16)}: bytes ${theirs} / ${ours}`);
  }
  return lines;
}

function word(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
