import { DATA_BASE, DATA_BYTES } from "../layout.js";
import type { Random } from "../random.js";

/** What a register is good for at the start of a sequence. */
export const Role = { Pointer: 0, Small: 1, Value: 2 } as const;

const EDGES: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0],
  [-1, -1],
  [0, 0x80000000 | 0],
  [-1, 0x7fffffff],
  [0x80000000 | 0, 0],
  [0x7fffffff, 0],
  [0x80000000 | 0, -1],
  [-1, 0],
  [0x80, 0],
  [0x7f, 0],
  [0xff, 0],
  [0x8000, 0],
  [0x7fff, 0],
  [0xffff, 0],
  [0, 1],
  [0, 0x8000],
  [-1, 0x7fff],
];

/** Registers of one case: their values, and which of them still point into the data window. */
export class RegisterFile {
  /** Low and high words. */
  readonly words: Int32Array = new Int32Array(32);
  readonly roles: Uint8Array = new Uint8Array(16);

  fill(random: Random, mode: 32 | 64): void {
    for (let r = 0; r < 16; r++) {
      const role = r === 4 ? Role.Pointer : this.roleOf(random, r);
      this.roles[r] = role;
      let lo = 0;
      let hi = 0;
      if (role === Role.Pointer) lo = DATA_BASE + windowOffset(random);
      else if (role === Role.Small) {
        lo = random.between(-32, 32);
        hi = lo >> 31;
      } else if (random.oneIn(2)) {
        [lo, hi] = random.pick(EDGES);
        if (random.oneIn(8)) lo ^= 1 << random.below(32);
      } else {
        lo = random.word();
        hi = random.word() >> (random.oneIn(2) ? 31 : 0);
      }
      if (r === 4 && random.oneIn(3)) lo &= -8;
      if (r === 4 && random.oneIn(64)) hi = 0x12340000;
      this.words[2 * r] = lo;
      this.words[2 * r + 1] = mode === 32 ? 0 : hi;
    }
  }

  /** A register with a role, below `limit`; any register when none has it. */
  withRole(random: Random, role: number, limit: number): number {
    const first = random.below(limit);
    for (let i = 0; i < limit; i++) {
      const r = (first + i) % limit;
      if (this.roles[r] === role) return r;
    }
    return first;
  }

  private roleOf(random: Random, register: number): number {
    const dice = random.below(20);
    if (register === 6 || register === 7) return dice < 16 ? Role.Pointer : Role.Value;
    if (register === 1) return dice < 12 ? Role.Small : Role.Value;
    return dice < 8 ? Role.Pointer : dice < 12 ? Role.Small : Role.Value;
  }
}

/** An offset in the data window: mostly well inside, sometimes at a page or window boundary. */
export function windowOffset(random: Random): number {
  const dice = random.below(32);
  if (dice === 0) return random.below(24);
  if (dice === 1) return DATA_BYTES - random.below(24);
  if (dice < 5) return 0x1000 - random.below(20);
  const offset = random.between(0x400, DATA_BYTES - 0x400);
  return random.oneIn(2) ? offset & -8 : offset;
}

/** A value of `bytes` bytes, mostly at a boundary; returned as an int32. */
export function edgeValue(random: Random, bytes: number): number {
  const top = bytes >= 4 ? 0x80000000 | 0 : 1 << (8 * bytes - 1);
  switch (random.below(10)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return -1;
    case 3:
      return top;
    case 4:
      return (top - 1) | 0;
    case 5:
      return random.between(-16, 16);
    case 6:
      return 1 << random.below(8 * Math.min(bytes, 4));
    default:
      return random.word();
  }
}
