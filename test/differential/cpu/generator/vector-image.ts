import { ImageField } from "../layout.js";
import type { Random } from "../random.js";

/** Words that packed integers of every width find interesting. */
const EDGES = [
  0, -1, 0x80000000, 0x7fffffff, 1, 0x80008000, 0x7fff7fff, 0x80808080, 0x7f7f7f7f, 0xffff0000, 0x00ff00ff,
  0x01010101,
];

/** Registers as FNINIT and a reset leave them, all data zero. */
export function startImage(): Uint8Array {
  const image = new Uint8Array(ImageField.Bytes);
  const view = new DataView(image.buffer);
  view.setUint16(ImageField.ControlWord, 0x37f, true);
  view.setUint32(ImageField.Mxcsr, 0x1f80, true);
  return image;
}

/** Start values of the x87, MMX and XMM registers of a case; every exception is masked. */
export function randomImage(random: Random): Uint8Array {
  const image = startImage();
  const view = new DataView(image.buffer);
  view.setUint16(ImageField.StatusWord, random.below(8) << 11, true);
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
  const kind = random.below(4);
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
