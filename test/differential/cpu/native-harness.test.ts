import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomImage, startImage } from "./generator/vector-image.js";
import {
  CODE_BASE,
  DATA_BASE,
  ImageField,
  Outcome,
  ResultField,
  type TestCase,
  USER_CS,
  USER_CS32,
} from "./layout.js";
import { NativeHarness, whyNotNative } from "./native/native-harness.js";
import { Random } from "./random.js";

const reason = whyNotNative();

function caseOf(mode: 32 | 64, code: readonly number[]): TestCase {
  const gpr = new Int32Array(32);
  for (let r = 0; r < 16; r++) gpr[2 * r] = 0x1111 * r;
  gpr[8] = DATA_BASE + 0x1000;
  return {
    mode,
    codeOffset: 0x100,
    code: Uint8Array.from(code),
    seed: 7,
    gpr,
    flags: 0x202,
    fsBase: 0x10,
    gsBase: 0x20,
    image: startImage(),
    undefinedFlags: new Map(),
    keys: [],
  };
}

describe.skipIf(reason !== "")(`native harness${reason && ` (skipped: ${reason})`}`, () => {
  let harness: NativeHarness;
  beforeAll(() => {
    harness = new NativeHarness();
  });
  afterAll(() => harness?.close());

  const known: [string, 32 | 64, number[], { trap: number; rip: number; error?: number; cr2?: number }][] = [
    ["INT3", 64, [0xcc], { trap: 3, rip: 1 }],
    ["UD2", 64, [0x0f, 0x0b], { trap: 6, rip: 0 }],
    ["DIV by zero", 64, [0xf7, 0xf0], { trap: 0, rip: 0 }],
    ["HLT", 64, [0xf4], { trap: 13, rip: 0 }],
    [
      "a read of an unmapped page",
      64,
      [0x8a, 0x04, 0x25, 0, 0, 0, 0x30],
      { trap: 14, rip: 0, error: 4, cr2: 0x30000000 },
    ],
    [
      "a write of a code page",
      64,
      [0x88, 0x04, 0x25, 0, 0, 0, 0x10],
      { trap: 14, rip: 0, error: 7, cr2: 0x10000000 },
    ],
    [
      "an unaligned access with AC",
      64,
      [0x68, 2, 2, 4, 0, 0x9d, 0x8b, 0x04, 0x25, 1, 0, 0, 0x20],
      { trap: 17, rip: 6 },
    ],
    ["TF", 64, [0x68, 2, 3, 0, 0, 0x9d, 0x90, 0x90], { trap: 1, rip: 7 }],
    ["SYSCALL", 64, [0x0f, 0x05], { trap: Outcome.SystemCall, rip: 2 }],
    ["a jump to itself", 64, [0xeb, 0xfe], { trap: Outcome.Timeout, rip: 0 }],
    ["INC in 32-bit mode", 32, [0x40, 0xcc], { trap: 3, rip: 2 }],
    ["INT 80h", 32, [0xcd, 0x80], { trap: Outcome.SystemCall, rip: 2 }],
  ];

  it.each(known)("ends with %s in %i-bit mode", (_name, mode, code, expected) => {
    const result = harness.run([caseOf(mode, code)]);
    expect(result.getUint32(ResultField.Trap, true)).toBe(expected.trap);
    expect(result.getUint32(ResultField.Rip, true)).toBe(CODE_BASE + 0x100 + expected.rip);
    expect(result.getUint32(ResultField.Error, true)).toBe(expected.error ?? 0);
    expect(result.getUint32(ResultField.Cr2, true)).toBe(expected.cr2 ?? 0);
    expect(result.getUint16(ResultField.Cs, true)).toBe(mode === 32 ? USER_CS32 : USER_CS);
  });

  it("starts with the case's registers, FS base and flags, whatever the case before did", () => {
    // NT, ID, DF and the bases of the first case are not seen by the second.
    const wild = { ...caseOf(64, [0xcc]), flags: 0x204602, fsBase: 0x77 };
    const calm = caseOf(64, [0xcc]);
    const result = harness.run([wild, calm]);
    const second = ResultField.Bytes;
    for (let r = 0; r < 16; r++)
      expect(result.getUint32(second + 8 * r, true)).toBe(r === 4 ? DATA_BASE + 0x1000 : 0x1111 * r);
    expect(result.getUint32(ResultField.Flags, true)).toBe(0x204602);
    expect(result.getUint32(second + ResultField.Flags, true)).toBe(0x202);
    expect(result.getUint32(ResultField.FsBase, true)).toBe(0x77);
    expect(result.getUint32(second + ResultField.FsBase, true)).toBe(0x10);
  });

  it("starts and ends with x87, MMX and XMM registers", () => {
    const image = randomImage(new Random(3), false);
    // PXOR XMM2, XMM2
    const test = { ...caseOf(64, [0x66, 0x0f, 0xef, 0xd2, 0xcc]), image };
    const result = harness.run([test, caseOf(64, [0xcc])]);
    const expected = image.slice();
    expected.fill(0, ImageField.Xmm + 32, ImageField.Xmm + 48);
    const imageOf = (at: number) => new Uint8Array(result.buffer, at + ResultField.Image, ImageField.Bytes);
    expect(imageOf(0)).toEqual(expected);
    expect(imageOf(ResultField.Bytes)).toEqual(startImage());
  });
});
