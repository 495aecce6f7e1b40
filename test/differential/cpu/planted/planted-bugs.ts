/** One wrong flag in the semantics of one instruction. */
export interface PlantedBug {
  readonly name: string;
  /** Source file below packages/cpu/src. */
  readonly file: string;
  /** Where the bug goes: text that the file has exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Form keys that the sequences are made of. */
  readonly keys: readonly string[];
}

const ARITHMETIC = "interpreter/families/arithmetic.ts";
const SHIFTS = "interpreter/families/shifts.ts";

/**
 * Ten bugs in ten instruction families. A line that the source has no more makes the script that plants them fail: then
 * the bug has to move to where the semantics went.
 */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "ADC: AF inverted",
    file: ARITHMETIC,
    find: "      setAdd(words, size, aLo, aHi, bLo, bHi, lo, hi);\n      break;",
    replace:
      "      setAdd(words, size, aLo, aHi, bLo, bHi, lo, hi);\n      if (operation === ADC) words[State.FlagsCarry] ^= 8;\n      break;",
    keys: ["adc"],
  },
  {
    name: "NEG: CF always set",
    file: ARITHMETIC,
    find: "    setSubtract(words, size, 0, 0, aLo, aHi, lo, hi);",
    replace: "    setSubtract(words, size, 0, 0, aLo, aHi, lo, hi);\n    setCarry(words, 1);",
    keys: ["neg"],
  },
  {
    name: "CMPXCHG: ZF set although the comparison failed",
    file: ARITHMETIC,
    find: "    core.writeRegister(0, size, oldLo, oldHi);\n  }",
    replace: "    core.writeRegister(0, size, oldLo, oldHi);\n    words[State.FlagsZero] = 0;\n  }",
    keys: ["cmpxchg"],
  },
  {
    name: "DAA: AF always clear",
    file: ARITHMETIC,
    find: "(carry << 31) | (carry << 30) | (adjust ? 8 : 0)",
    replace: "(carry << 31) | (carry << 30) | (adjust && variant !== 0 ? 8 : 0)",
    keys: ["daa"],
  },
  {
    name: "RCR: OF always clear",
    file: SHIFTS,
    find: "operation === RCL ? top ^ carry : top ^ next;",
    replace: "operation === RCL ? top ^ carry : 0;",
    keys: ["rcr"],
  },
  {
    name: "SHLD of 32 bits: CF is the bit next to it",
    file: SHIFTS,
    find: "carry = (aLo >>> (32 - count)) & 1;",
    replace: "carry = (aLo >>> (31 - count)) & 1;",
    keys: ["shld"],
  },
  {
    name: "IMUL with two or three operands: OF always clear",
    file: "interpreter/families/multiply.ts",
    find: "    setResult(words, size, lo, 0);\n  }\n  words[State.FlagsCarry] = 0;\n  setCarryOverflow(words, overflow, overflow);",
    replace:
      "    setResult(words, size, lo, 0);\n  }\n  words[State.FlagsCarry] = 0;\n  setCarryOverflow(words, overflow, 0);",
    keys: ["imul"],
  },
  {
    name: "BSF and BSR: ZF inverted",
    file: "interpreter/families/bits.ts",
    find: "  setZero(words, zero);\n  return Status.Next;\n}\n\nfunction trailingZeros",
    replace: "  setZero(words, !zero);\n  return Status.Next;\n}\n\nfunction trailingZeros",
    keys: ["bsf", "bsr"],
  },
  {
    name: "SAHF: SF not loaded",
    file: "interpreter/families/flag-control.ts",
    find: "((words[0] >> 8) & 0xd5) | overflow",
    replace: "((words[0] >> 8) & 0x55) | overflow",
    keys: ["sahf"],
  },
  {
    name: "FCOMI and FUCOMI: PF clear for unordered operands",
    file: "interpreter/families/x87-compare.ts",
    find: "Flag.Cf | Flag.Pf | Flag.Zf] as const;",
    replace: "Flag.Cf | Flag.Zf] as const;",
    keys: ["fcomi", "fcomip", "fucomi", "fucomip"],
  },
];
