const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/** Repeatable random integers in [0, limit) (mulberry32). */
export function randomSource(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 4294967296) * limit);
  };
}

/** Random bytes that reach every opcode map often, with prefixes. */
export function randomInstruction(below: (limit: number) => number, mode: number): Uint8Array {
  const bytes = Uint8Array.from({ length: 15 }, () => below(256));
  let at = 0;
  while (at < 4 && below(2) === 0) bytes[at++] = PREFIXES[below(PREFIXES.length)];
  if (mode === 64 && below(2) === 0) bytes[at++] = 0x40 | below(16);
  const map = below(8);
  if (map < 3) bytes[at++] = 0x0f;
  if (map === 2) bytes[at++] = below(2) === 0 ? 0x38 : 0x3a;
  return bytes;
}
