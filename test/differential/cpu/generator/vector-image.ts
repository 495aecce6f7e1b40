import { ImageField } from "../layout.js";
import type { Random } from "../random.js";

/** Words that packed integers of every width find interesting. */
const EDGES = [
  0, -1, 0x80000000, 0x7fffffff, 1, 0x80008000, 0x7fff7fff, 0x80808080, 0x7f7f7f7f, 0xffff0000, 0x00ff00ff,
  0x01010101,
];

/** Exponents and signs of binary32 and of binary64, in the word that has them, around which something changes. */
const SINGLES = [
  0, 0x800000, 0x1000000, 0x3f000000, 0x3f800000, 0x40000000, 0x4b000000, 0x4b800000, 0x4effffff, 0x4f000000,
  0x5f000000, 0x7f000000, 0x7f7fffff, 0x7f800000, 0x7fc00000,
];
const DOUBLES = [
  0, 0x100000, 0x200000, 0x36a00000, 0x38100000, 0x3fe00000, 0x3ff00000, 0x40000000, 0x41dfffff, 0x41e00000,
  0x43300000, 0x43e00000, 0x47efffff, 0x47f00000, 0x7fe00000, 0x7fefffff, 0x7ff00000, 0x7ff80000,
];

/** Registers as FNINIT and a reset leave them, all data zero. */
export function startImage(): Uint8Array {
  const image = new Uint8Array(ImageField.Bytes);
  const view = new DataView(image.buffer);
  view.setUint16(ImageField.ControlWord, 0x37f, true);
  view.setUint32(ImageField.Mxcsr, 0x1f80, true);
  return image;
}

/**
 * Start values of the x87, MMX and XMM registers of a case; mostly every exception is masked.
 * @param misaligned whether MXCSR has AMD's bit 17
 */
export function randomImage(random: Random, misaligned: boolean): Uint8Array {
  const image = startImage();
  const view = new DataView(image.buffer);
  // Now and then an exception that no x87 instruction has reported yet.
  const pending = random.oneIn(16);
  if (pending) view.setUint16(ImageField.ControlWord, 0x37e, true);
  view.setUint16(ImageField.StatusWord, (random.below(8) << 11) | (pending ? 0x8081 : 0), true);
  view.setUint32(ImageField.Mxcsr, randomMxcsr(random, misaligned), true);
  view.setUint8(ImageField.InUse, random.oneIn(3) ? 0 : random.oneIn(2) ? 0xff : random.below(256));
  for (let r = 0; r < 8; r++) {
    const at = ImageField.Stack + 16 * r;
    fill(random, view, at, 2);
    // What MMX instructions leave in the sign and exponent, or any number.
    view.setUint16(at + 8, random.oneIn(2) ? 0xffff : random.below(0x10000), true);
  }
  for (let r = 0; r < 16; r++) fill(random, view, ImageField.Xmm + 16 * r, 4);
  return image;
}

function fill(random: Random, view: DataView, at: number, words: number): void {
  const kind = random.below(8);
  if (kind > 3) {
    fillNumbers(random, view, at, words);
    return;
  }
  const edge = random.pick(EDGES);
  for (let i = 0; i < words; i++) {
    let word = random.word();
    if (kind === 0) word = edge;
    else if (kind === 1) word = random.pick(EDGES);
    // Few bits: sums and comparisons that differ in one place only.
    else if (kind === 2) word = edge ^ (1 << (word & 31));
    view.setInt32(at + 4 * i, word, true);
  }
}

/** Floating-point numbers, mostly near something special or near each other. */
function fillNumbers(random: Random, view: DataView, at: number, words: number): void {
  const wide = random.oneIn(2);
  const special = random.pick(wide ? DOUBLES : SINGLES);
  for (let i = 0; i < words; i++) {
    if (wide && (i & 1) === 0) view.setInt32(at + 4 * i, fraction(random), true);
    else {
      const near = random.oneIn(2) ? special : random.pick(wide ? DOUBLES : SINGLES);
      const sign = random.word() & (0x80000000 | 0);
      const moved = random.oneIn(3) ? near : near ^ (fraction(random) & (wide ? 0x1fffff : 0xffffff));
      view.setInt32(at + 4 * i, (random.oneIn(4) ? near + random.between(-2, 2) : moved) ^ sign, true);
    }
  }
}

/** Fraction bits: none, all, the last or first few, or any. */
function fraction(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return 0;
    case 1:
      return -1;
    case 2:
      return 1 << random.below(32);
    case 3:
      return -1 << random.below(32);
    case 4:
      return random.between(-2, 2);
    default:
      return random.word();
  }
}

/** Every rounding mode, DAZ and FTZ now and then, some flags already set, and one time in eight any masks. */
export function randomMxcsr(random: Random, misaligned: boolean): number {
  let mxcsr = random.below(4) << 13;
  if (misaligned && random.oneIn(8)) mxcsr |= 0x20000;
  if (random.oneIn(4)) mxcsr |= 0x40;
  if (random.oneIn(4)) mxcsr |= 0x8000;
  if (random.oneIn(2)) mxcsr |= random.below(64);
  return mxcsr | (random.oneIn(8) ? random.below(64) << 7 : 0x1f80);
}
