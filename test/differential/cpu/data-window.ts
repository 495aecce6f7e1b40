import { DATA_BASE } from "./layout.js";

const EDGES = [
  0,
  0xffffffff,
  0x80000000,
  0x7fffffff,
  1,
  DATA_BASE + 0x1040,
  0xffff8000,
  0x8080,
  0x3f800000,
  0x3ff00000,
  0x7f800001,
  0x7ff00000,
  0x00800000,
  0xbf000000,
  0x4f000000,
  0x7fc00000,
];

/** State of the generator before the first word of a window. */
export function windowState(seed: number): number {
  return seed | 1;
}

/**
 * The same sequence as fill_window() in native/harness.c.
 * @param state {@link windowState} for the first words, then what the previous call returned
 */
export function fillWindow(words: Int32Array, at: number, count: number, state: number): number {
  let x = state;
  for (let i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at + i] = (x & 0x70) === 0 ? EDGES[x & 15] : x;
  }
  return x;
}

/** The same hash as hash_window() in native/harness.c; start with {@link HASH_START}. */
export function hashWindow(words: Int32Array, at: number, count: number, start: number): number {
  let hash = start;
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ words[at + i], 0x01000193);
  return hash;
}

export const HASH_START = 0x811c9dc5;
