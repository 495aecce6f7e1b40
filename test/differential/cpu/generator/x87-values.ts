import type { Random } from "../random.js";

/** Significands of 64 bits that rounding finds interesting: low and high word. */
function significand(random: Random): readonly [number, number] {
  switch (random.below(8)) {
    case 0:
      return [0, 0x80000000 | 0];
    case 1:
      return [-1, -1];
    case 2:
      return [0, 0x80000000 | random.word()];
    case 3:
      // At and around the last places of the three precisions.
      return [
        random.pick([0x400, 0x3ff, 0x401, 0xc00, 0x800, 0x7ff, 1, -1, -0x400]),
        random.word() | 0x80000000,
      ];
    case 4:
      return [
        random.pick([0, 1, -1]),
        random.pick([0x80, 0x7f, 0x81, 0x180, 0x100, 0xffffff80 | 0]) | 0x80000000,
      ];
    case 5: {
      // A small integer.
      const value = random.between(1, 300);
      return [0, value << Math.clz32(value)];
    }
    default:
      return [random.word(), random.word() | 0x80000000];
  }
}

function exponent(random: Random): number {
  switch (random.below(8)) {
    case 0:
      return random.pick([1, 2, 0x7ffe, 0x7ffd, 0x3fff, 0x3ffe, 0x4000]);
    case 1:
      return random.below(0x7fff);
    case 2:
      // Around the ends of the range of 32- and 64-bit values.
      return random.pick([0x3f81, 0x407e, 0x3c01, 0x43fe]) + random.between(-30, 3);
    case 3:
      return 0x3fff + random.between(-80, 80);
    case 4:
      return random.between(1, 70);
    default:
      return 0x3fff + random.between(-8, 16);
  }
}

/** One extended value of any class: significand low and high, sign and exponent. */
export function extendedValue(random: Random): readonly [number, number, number] {
  const sign = random.oneIn(2) ? 0x8000 : 0;
  const [lo, hi] = significand(random);
  switch (random.below(24)) {
    case 0:
      return [0, 0, sign];
    case 1:
      return [0, 0x80000000 | 0, sign | 0x7fff];
    case 2:
      return [lo, hi | 0xc0000000, sign | 0x7fff];
    case 3:
      return [random.oneIn(2) ? 1 : lo | 1, hi & ~0x40000000, sign | 0x7fff];
    case 4:
      return [lo, hi & 0x7fffffff, sign];
    case 5:
      return [random.oneIn(2) ? 1 : lo, random.oneIn(2) ? 0 : (hi & 0x7fffffff) >>> random.below(31), sign];
    case 6:
      // Pseudo-denormal.
      return [lo, hi, sign];
    case 7:
      // Unnormal, pseudo-infinity or pseudo-NaN.
      return [lo, hi & 0x7fffffff, sign | (random.oneIn(2) ? 0x7fff : exponent(random))];
    case 8:
      return [0, 0x80000000 | 0, sign | 0x3fff];
    case 9:
      return [random.word(), random.word(), random.below(0x10000)];
    case 10:
    case 11: {
      // Integers with a fraction, around the limits of integer formats.
      const power = random.pick([14, 15, 16, 30, 31, 32, 58, 59, 62, 63, 64, 0, 1, 5]);
      return [lo, hi, sign | (0x3fff + power)];
    }
    default:
      return [lo, hi, sign | exponent(random)];
  }
}

/** A 32-bit value, most classes with the same weight. */
export function binary32(random: Random): number {
  const fraction = random.pick([0, 1, 0x7fffff, 0x400000, 0x3fffff, random.word() & 0x7fffff]);
  const power = random.pick([0, 0, 0xff, 1, 0xfe, 0x7f, 0x7f + random.between(-6, 6), random.below(256)]);
  return (random.oneIn(2) ? 0x80000000 : 0) | (power << 23) | fraction;
}

/** Low and high word of a 64-bit value. */
export function binary64(random: Random): readonly [number, number] {
  const fraction = random.pick([0, 0xfffff, 0x80000, 0x7ffff, random.word() & 0xfffff]);
  const power = random.pick([
    0,
    0,
    0x7ff,
    1,
    0x7fe,
    0x3ff,
    0x3ff + random.between(-9, 9),
    random.below(2048),
  ]);
  const lo = random.pick([0, 1, -1, random.word()]);
  return [lo, (random.oneIn(2) ? 0x80000000 : 0) | (power << 20) | fraction];
}

/** Low and high word of an integer. */
export function integerValue(random: Random): readonly [number, number] {
  const lo = random.pick([0, 1, -1, 0x80000000 | 0, 0x7fffffff, 0x8000, -0x8000, random.word()]);
  return [lo, random.oneIn(2) ? lo >> 31 : random.pick([0, 1, -1, 0x80000000 | 0, random.word()])];
}

/** 18 packed decimal digits, mostly valid ones: two words and the top half-word. */
export function decimalValue(random: Random): readonly [number, number, number] {
  const digits = () => {
    let word = 0;
    for (let i = 0; i < 8; i++) word = (word << 4) | (random.oneIn(4) ? 0 : random.below(10));
    return word;
  };
  const top = (digits() & 0xff) | (random.oneIn(2) ? 0x8000 : 0);
  return random.oneIn(6) ? [0, 0, top & 0x8000] : [digits(), digits(), top];
}
