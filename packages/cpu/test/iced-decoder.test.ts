import { Code, CpuidFeature, Decoder, DecoderOptions, type Instruction as IcedInstruction } from "iced-x86";
import { describe, expect, it } from "vitest";
import { DecodeStatus, Instruction } from "../src/decode/instruction.js";
import { OperandKind } from "../src/decode/operand-codes.js";
import { icedImmediateBits, icedOperand, ourImmediate, ourOperand } from "./iced-operands.js";
import { randomInstruction, randomSource } from "./iced-random.js";

/** Instructions in each mode; longer runs set both from outside. */
const ROUNDS = Number(process.env.ICED_ROUNDS ?? 50_000);
const SEED = Number(process.env.ICED_SEED ?? 0);

/** Forms whose operands iced-x86 lists otherwise: implicit ones spelled out, NOP without any. */
const OTHER_OPERAND_COUNT = new Set("nop xlatb xchg maskmovq maskmovdqu fxch fucom fucomp".split(" "));
/** A 16-bit operand that iced-x86 names by its full register, or the other way round. */
const OTHER_WIDTH = new Set(
  (
    "arpl movtoseg lsl lar lldt ltr verr verw lmsw movsxd nop " +
    "movmskps movmskpd pmovmskb pinsrw pextrw pextrb extractps pinsrb"
  ).split(" "),
);
/** Accepted by our tables whatever the prefixes or the mode, and refused later if at all. */
const LOOSE = new Set("getsec".split(" "));
/** What the processors of our profiles have in common, and SHA; forms of other extensions may be missing. */
const BASE_FEATURES = new Set<number>([
  CpuidFeature.INTEL8086,
  CpuidFeature.INTEL186,
  CpuidFeature.INTEL286,
  CpuidFeature.INTEL386,
  CpuidFeature.INTEL486,
  CpuidFeature.X64,
  CpuidFeature.CMOV,
  CpuidFeature.CX8,
  CpuidFeature.MMX,
  CpuidFeature.SSE,
  CpuidFeature.SSE2,
  CpuidFeature.SSE3,
  CpuidFeature.SSSE3,
  CpuidFeature.SSE4_1,
  CpuidFeature.SSE4_2,
  CpuidFeature.AES,
  CpuidFeature.PCLMULQDQ,
  CpuidFeature.SHA,
  CpuidFeature.TSC,
  CpuidFeature.MSR,
  CpuidFeature.SYSCALL,
]);

/** What differs between the two decoders' operands, or an empty string. */
function operandDifference(ours: Instruction, theirs: IcedInstruction, ip: bigint): string {
  const { key, operands } = ours.form!;
  if (theirs.opCount !== operands.length)
    return OTHER_OPERAND_COUNT.has(key) ? "" : `${operands.length} operands, iced ${theirs.opCount}`;
  for (let i = 0; i < operands.length; i++) {
    const expected = icedOperand(theirs, i, 8 << ours.addressSize);
    let actual = ourOperand(ours, operands[i], ip);
    if (operands[i].kind === OperandKind.Immediate) {
      const second = operands[i - 1]?.kind === OperandKind.Immediate;
      const bits = icedImmediateBits(theirs, i);
      if (!second && bits > 0) actual = ourImmediate(ours, bits);
    }
    if (key === "xbegin") continue; // iced-x86 does not cut its target
    if (actual === expected || (OTHER_WIDTH.has(key) && !actual?.startsWith("["))) continue;
    return `operand ${i} is ${actual}, iced ${expected}`;
  }
  return "";
}

/** Whether iced-x86 knows an instruction that our tables should hold. */
function isBasic(theirs: IcedInstruction): boolean {
  return theirs.cpuidFeatures().every((feature) => BASE_FEATURES.has(feature));
}

describe.each([64, 32, 16])("decoder against iced-x86 in %i-bit mode", (mode) => {
  const ours = new Instruction();
  const below = randomSource(SEED + mode);
  const ip = mode === 64 ? 0x7fff12345000n : mode === 32 ? 0x12345000n : 0x5000n;
  const differences: string[] = [];
  const forms = new Set<object>();
  let compared = 0;

  for (let i = 0; i < ROUNDS; i++) {
    const bytes = randomInstruction(below, mode);
    const status = ours.decode(bytes, 0, bytes.length, mode);
    const decoder = new Decoder(mode, bytes, DecoderOptions.None);
    decoder.ip = ip;
    const theirs = decoder.decode();
    const valid = theirs.code !== Code.INVALID;
    const shown = Buffer.from(bytes.subarray(0, Math.max(ours.length, theirs.length))).toString("hex");
    if (status === DecodeStatus.Ok) {
      const { key } = ours.form!;
      if (valid) {
        compared++;
        forms.add(ours.form!);
        const difference =
          theirs.length === ours.length
            ? operandDifference(ours, theirs, ip)
            : `${ours.length} bytes, iced ${theirs.length}`;
        if (difference !== "") differences.push(`${key} ${shown}: ${difference}`);
      } else if (!LOOSE.has(key)) differences.push(`${key} ${shown}: undefined says iced`);
    } else if (status === DecodeStatus.Extended) {
      if (valid && theirs.length !== ours.length)
        differences.push(`${shown}: ${ours.length} bytes, iced ${theirs.length}`);
    } else if (valid && isBasic(theirs))
      differences.push(`${shown}: status ${status}, iced ${Code[theirs.code]}`);
    theirs.free();
    decoder.free();
  }

  it("agrees on length and operands of whatever both accept", () => {
    expect(differences).toEqual([]);
  });

  it(`compared ${compared} instructions of ${forms.size} forms`, () => {
    expect(compared).toBeGreaterThan(0.6 * ROUNDS);
    expect(forms.size).toBeGreaterThan(800);
  });
});
