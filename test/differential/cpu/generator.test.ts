import { Code, Decoder, DecoderOptions } from "iced-x86";
import { describe, expect, it } from "vitest";
import { CaseGenerator } from "./generator/case-generator.js";
import { CODE_BASE, CODE_BYTES, MAX_CODE } from "./layout.js";

const FEATURES = "bmi1 abm pni ssse3 sse4_1 sse4_2 aes pclmulqdq sha_ni";

describe.each([64, 32] as const)("generator in %i-bit mode", (mode) => {
  const options = { seed: 7, mode, vendor: "GenuineIntel", features: new Set(FEATURES.split(" ")) };

  it("makes the same cases from the same seed", () => {
    const a = new CaseGenerator(options);
    const b = new CaseGenerator(options);
    for (let i = 0; i < 200; i++) expect(a.next()).toEqual(b.next());
  });

  it("makes sequences that iced-x86 reads as instructions up to their INT3", () => {
    const generator = new CaseGenerator(options);
    let instructions = 0;
    let invalid = 0;
    const keys = new Set<string>();
    for (let i = 0; i < 5000; i++) {
      const test = generator.next();
      for (const key of test.keys) keys.add(key);
      expect(test.code.length).toBeLessThanOrEqual(MAX_CODE);
      expect(test.codeOffset + test.code.length).toBeLessThanOrEqual(CODE_BYTES);
      const decoder = new Decoder(mode, test.code, DecoderOptions.None);
      decoder.ip = BigInt(CODE_BASE + test.codeOffset);
      let last: number = Code.INVALID;
      while (decoder.canDecode) {
        const instruction = decoder.decode();
        last = instruction.code;
        instructions++;
        if (last === Code.INVALID) invalid++;
        instruction.free();
      }
      decoder.free();
      // An undefined instruction in between (LOCK where it is not legal) may swallow the INT3.
      const cut = test.codeOffset + test.code.length === CODE_BYTES;
      if (invalid === 0 && !cut) expect(last).toBe(Code.Int3);
    }
    expect(invalid / instructions).toBeLessThan(0.03);
    expect(generator.forms.map(({ form }) => form.key).filter((key) => !keys.has(key))).toEqual([]);
  });
});
