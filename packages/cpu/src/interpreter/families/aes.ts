import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { byteOf, keepOld, vectorSource } from "../vector-operands.js";

/** Each byte of a word times x in the field of AES (FIPS 197, 4.2.1). */
function double(word: number): number {
  return ((word & 0x7f7f7f7f) << 1) ^ Math.imul((word >>> 7) & 0x01010101, 0x1b);
}

function rotateRight(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** S-box: the inverse in the field, then an affine map (FIPS 197, 5.1.1). */
function buildBox(): Uint8Array {
  const powers = new Uint8Array(255);
  let power = 1;
  for (let i = 0; i < 255; i++) {
    powers[i] = power;
    // Three is a generator of the field.
    power = (power ^ double(power)) & 0xff;
  }
  const box = new Uint8Array(256);
  box[0] = 0x63;
  for (let i = 0; i < 255; i++) {
    const inverse = Math.imul(powers[(255 - i) % 255], 0x0101);
    box[powers[i]] =
      (inverse ^ (inverse >> 4) ^ (inverse >> 5) ^ (inverse >> 6) ^ (inverse >> 7) ^ 0x63) & 0xff;
  }
  return box;
}

const BOX: Uint8Array = buildBox();
const INVERSE_BOX: Uint8Array = new Uint8Array(256);
for (let i = 0; i < 256; i++) INVERSE_BOX[BOX[i]] = i;

function substitute(box: Uint8Array, word: number): number {
  return (
    box[word & 0xff] |
    (box[(word >>> 8) & 0xff] << 8) |
    (box[(word >>> 16) & 0xff] << 16) |
    (box[word >>> 24] << 24)
  );
}

/** MixColumns of one column. */
function mix(column: number): number {
  const next = rotateRight(column, 8);
  return double(column) ^ double(next) ^ next ^ rotateRight(column, 16) ^ rotateRight(column, 24);
}

/** InvMixColumns: MixColumns once more after the difference of the two matrices. */
function unmix(column: number): number {
  return mix(column ^ double(double(column ^ rotateRight(column, 16))));
}

const ENCRYPT = 0;
const DECRYPT = 1;
const LAST = 2;

/** AESENC, AESENCLAST, AESDEC, AESDECLAST: one round. */
function round(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const variant = core.variantOf(pc);
  const decrypt = (variant & DECRYPT) !== 0;
  const box = decrypt ? INVERSE_BOX : BOX;
  const old = keepOld(words, to);
  // Row r moves r columns to the left, or to the right.
  const step = decrypt ? -4 : 4;
  for (let i = 0; i < 4; i++) {
    let column = 0;
    for (let row = 0; row < 4; row++)
      column |= box[byteOf(words, old, (4 * i + row + step * row) & 15)] << (8 * row);
    if ((variant & LAST) === 0) column = decrypt ? unmix(column) : mix(column);
    words[to + i] = column ^ words[from + i];
  }
  return Status.Next;
}

/** AESIMC: InvMixColumns of a round key. */
function inverseMix(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  for (let i = 0; i < 4; i++) words[to + i] = unmix(words[from + i]);
  return Status.Next;
}

/** AESKEYGENASSIST: substituted words 1 and 3, plain and rotated with the round constant. */
function keyAssist(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const constant = code[pc + Entry.Immediate] & 0xff;
  const low = substitute(BOX, words[from + 1]);
  const high = substitute(BOX, words[from + 3]);
  words[to] = low;
  words[to + 1] = rotateRight(low, 8) ^ constant;
  words[to + 2] = high;
  words[to + 3] = rotateRight(high, 8) ^ constant;
  return Status.Next;
}

/** PCLMULQDQ: product of two 64-bit polynomials over GF(2). */
function carrylessMultiply(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const immediate = code[pc + Entry.Immediate];
  const a = to + 2 * (immediate & 1);
  const b = from + 2 * ((immediate >> 4) & 1);
  const aLo = words[a];
  const aHi = words[a + 1];
  const bLo = words[b];
  const bHi = words[b + 1];
  let p0 = 0;
  let p1 = 0;
  let p2 = 0;
  let p3 = 0;
  // From the top bit of one factor down: the product moves up, the other factor joins it.
  for (let i = 63; i >= 0; i--) {
    p3 = (p3 << 1) | (p2 >>> 31);
    p2 = (p2 << 1) | (p1 >>> 31);
    p1 = (p1 << 1) | (p0 >>> 31);
    p0 <<= 1;
    if ((((i < 32 ? aLo : aHi) >>> (i & 31)) & 1) !== 0) {
      p0 ^= bLo;
      p1 ^= bHi;
    }
  }
  words[to] = p0;
  words[to + 1] = p1;
  words[to + 2] = p2;
  words[to + 3] = p3;
  return Status.Next;
}

export const AES: Family = {
  aesenc: [round, ENCRYPT],
  aesenclast: [round, ENCRYPT | LAST],
  aesdec: [round, DECRYPT],
  aesdeclast: [round, DECRYPT | LAST],
  aesimc: inverseMix,
  aeskeygenassist: keyAssist,
  pclmulqdq: carrylessMultiply,
};
