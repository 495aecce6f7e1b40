import {
  BIAS,
  Class,
  classOf,
  denormalOperand,
  infiniteResult,
  invalidResult,
  normalise,
  propagateOne,
  roundAndPack,
  zeroResult,
} from "./extended.js";
import { type FloatContext, Part, REST, Slot } from "./float-context.js";

/** R = square root of A. */
export function squareRoot(f: FloatContext): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    return;
  }
  if (kind === Class.Zero) {
    zeroResult(f, sign);
    return;
  }
  if (sign === 1) {
    invalidResult(f);
    return;
  }
  if (kind === Class.Infinity) {
    infiniteResult(f, 0);
    return;
  }
  if (kind === Class.Denormal) {
    if (!denormalOperand(f)) return;
    normalise(words, Slot.A);
  }
  const power = words[Slot.A + Part.Exponent] - BIAS;
  rootOfSignificand(words, power & 1);
  words[Slot.R + Part.Exponent] = (power >> 1) + BIAS;
  words[Slot.R + Part.Sign] = 0;
  roundAndPack(f, f.precision);
}

/**
 * Digit by digit, two bits of the radicand for a bit of the root: 64 bits of the root to R and two more, with all that
 * follows, to the rest.
 * @param odd 1 when the power of two is odd and the radicand is doubled for it
 */
function rootOfSignificand(words: Int32Array, odd: number): void {
  let inLo = words[Slot.A];
  let inHi = words[Slot.A + Part.Hi];
  // The radicand is below 4: its integer part is the first pair of bits.
  let pair = odd === 1 ? inHi >>> 30 : inHi >>> 31;
  const used = 1 + odd;
  inHi = (inHi << used) | (inLo >>> (32 - used));
  inLo <<= used;
  let r0 = 0; // the remainder, three words
  let r1 = 0;
  let r2 = 0;
  let q0 = 0; // the root, three words
  let q1 = 0;
  let q2 = 0;
  for (let i = 0; i < 66; i++) {
    r2 = (r2 << 2) | (r1 >>> 30);
    r1 = (r1 << 2) | (r0 >>> 30);
    r0 = (r0 << 2) | pair;
    // The trial subtrahend is 4 * root + 1.
    const t0 = (q0 << 2) | 1;
    const t1 = (q1 << 2) | (q0 >>> 30);
    const t2 = (q2 << 2) | (q1 >>> 30);
    const d0 = (r0 >>> 0) - (t0 >>> 0);
    const d1 = (r1 >>> 0) - (t1 >>> 0) - (d0 < 0 ? 1 : 0);
    const d2 = (r2 >>> 0) - (t2 >>> 0) - (d1 < 0 ? 1 : 0);
    q2 = (q2 << 1) | (q1 >>> 31);
    q1 = (q1 << 1) | (q0 >>> 31);
    q0 <<= 1;
    if (d2 >= 0) {
      r0 = d0 | 0;
      r1 = d1 | 0;
      r2 = d2 | 0;
      q0 |= 1;
    }
    pair = inHi >>> 30;
    inHi = (inHi << 2) | (inLo >>> 30);
    inLo <<= 2;
  }
  words[Slot.R + Part.Hi] = (q2 << 30) | (q1 >>> 2);
  words[Slot.R] = (q1 << 30) | (q0 >>> 2);
  words[REST] = (q0 << 30) | ((r0 | r1 | r2) === 0 ? 0 : 1);
}
