import { ImageField, type TestCase } from "../layout.js";
import { Random } from "../random.js";
import { startImage } from "./vector-image.js";
import { extendedValue } from "./x87-values.js";

const INT3 = 0xcc;
const IN_USE = 0x3f;

/** Second bytes under D9, and names. */
const INSTRUCTIONS: readonly (readonly [number, string])[] = [
  [0xf0, "f2xm1"],
  [0xf1, "fyl2x"],
  [0xf2, "fptan"],
  [0xf3, "fpatan"],
  [0xf9, "fyl2xp1"],
  [0xfb, "fsincos"],
  [0xfe, "fsin"],
  [0xff, "fcos"],
];

/** Single transcendental instructions on operands in their domains and on special values, everything masked. */
export class X87TranscendentalGenerator {
  private readonly random: Random;
  private readonly mode: 32 | 64;

  constructor(seed: number, mode: 32 | 64) {
    this.random = new Random(seed);
    this.mode = mode;
  }

  next(): TestCase {
    const { random } = this;
    const [modrm, key] = random.pick(INSTRUCTIONS);
    const image = startImage();
    const view = new DataView(image.buffer);
    view.setUint8(ImageField.InUse, random.oneIn(16) ? random.below(256) : IN_USE);
    for (let i = 0; i < 2; i++) {
      const [lo, hi, se] = random.oneIn(5) ? extendedValue(random) : this.operand(key, i);
      const at = ImageField.Stack + 16 * i;
      view.setInt32(at, lo, true);
      view.setInt32(at + 4, hi, true);
      view.setUint16(at + 8, se, true);
    }
    return {
      mode: this.mode,
      codeOffset: 0,
      code: Uint8Array.of(0xd9, modrm, INT3),
      seed: 1,
      gpr: new Int32Array(32),
      flags: 0x202,
      fsBase: 0,
      gsBase: 0,
      image,
      undefinedFlags: new Map(),
      keys: [key],
    };
  }

  private operand(key: string, i: number): readonly [number, number, number] {
    const { random } = this;
    const lo = random.oneIn(4) ? 0 : random.word();
    const hi = (random.oneIn(4) ? random.below(256) << 23 : random.word()) | 0x80000000;
    const sign = random.oneIn(2) ? 0x8000 : 0;
    const near = 0x3fff + random.between(-8, 8);
    if (key === "f2xm1") return [lo, hi, sign | (0x3ffe - random.below(random.oneIn(3) ? 80 : 6))];
    if (key === "fyl2x" && i === 0)
      return [lo, hi, random.oneIn(2) ? near : 0x3fff + random.between(-2000, 2000)];
    // At most 1 - sqrt(2) / 2.
    if (key === "fyl2xp1" && i === 0)
      return [lo, hi, sign | (0x3ffc - random.below(random.oneIn(3) ? 80 : 6))];
    if (key === "fpatan" || i === 1)
      return [lo, hi, sign | (random.oneIn(3) ? 0x3fff + random.between(-60, 60) : near)];
    return [lo, hi, sign | (random.oneIn(3) ? 0x3fff + random.between(-80, 64) : near)];
  }
}
