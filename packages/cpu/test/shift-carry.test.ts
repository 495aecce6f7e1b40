import { Flag, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, Machine } from "./machine.js";

const CODE = 0x500000;
const OPERAND = 0x610000;
const VALUES = [0x8000_0000_8000_8081n, 0x7fff_fffe_7ffe_7f7en, 0x0123_4567_89ab_cdefn, -1n, 0n];
const SIZES = [
  [8, ""],
  [16, "66 "],
  [32, ""],
  [64, "48 "],
] as const;

/** By one, by an immediate, by CL. @param operand ModRM byte with 7 (SAR) as its register field */
function encodings(bits: number, prefix: string, operand: string, count: number): string[] {
  const wide = bits === 8 ? 0 : 1;
  const immediate = `${prefix}${(0xc0 | wide).toString(16)} ${operand} ${count.toString(16)}`;
  const byCl = `${prefix}${(0xd2 | wide).toString(16)} ${operand}`;
  const byOne = `${prefix}${(0xd0 | wide).toString(16)} ${operand}`;
  return count === 1 ? [immediate, byCl, byOne] : [immediate, byCl];
}

describe.each(SIZES)("SAR of %i bits", (bits, prefix) => {
  it.each([
    ["a register", "f8"],
    ["memory", "3b"],
  ])(
    "puts the last bit that left %s into CF, and the sign where more left than there are",
    (_name, operand) => {
      const machine = new Machine().long(CODE);
      machine.setGpr(3, BigInt(OPERAND));
      let at = CODE;
      for (let count = 1; count < (bits === 64 ? 64 : 32); count++) {
        machine.setGpr(1, BigInt(count));
        for (const text of encodings(bits, prefix, operand, count)) {
          machine.write(at, code(text, "0f 92 c2", "f4")); // setc dl
          for (const value of VALUES) {
            const carry = (BigInt.asIntN(bits, value) >> BigInt(count - 1)) & 1n;
            // What CF was before must not show.
            machine.processor.engine.setRflags(2 | (carry === 0n ? Flag.Cf : 0));
            machine.setGpr(0, value);
            machine.setGpr(2, 0n);
            machine.processor.memory.writeU64(OPERAND, BigInt.asUintN(64, value));
            machine.rip = BigInt(at);
            expect(machine.run(3)).toBe(StopReason.Halted);
            expect(machine.gpr(2), `${text} of ${value}`).toBe(carry);
            expect(machine.processor.engine.rflags() & Flag.Cf).toBe(Number(carry));
          }
          at += 16;
        }
      }
    },
  );
});

describe("SAR by 0", () => {
  it("leaves CF as it was", () => {
    for (const before of [0, Flag.Cf]) {
      for (const text of ["c1 f8 00", "d3 f8", "48 c1 f8 40"]) {
        const machine = new Machine().long(CODE);
        machine.write(CODE, code(text, "f4"));
        machine.setGpr(0, -1n);
        machine.processor.engine.setRflags(2 | before);
        machine.run(2);
        expect(machine.processor.engine.rflags() & Flag.Cf, text).toBe(before);
      }
    }
  });
});
