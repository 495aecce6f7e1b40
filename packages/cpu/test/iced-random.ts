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
  if (below(16) === 0) {
    // VEX with maps 0F 38 and 0F 3A, and opcodes F0 to F7, where the general registers' instructions are.
    bytes[at++] = 0xc4;
    bytes[at] = (bytes[at] & 0xe0) | (2 + below(2));
    if (mode !== 64) bytes[at] |= 0xc0;
    at++;
    if (below(4) !== 0) bytes[at] &= ~4;
    at++;
    bytes[at++] = 0xf0 | below(8);
    return bytes;
  }
  const map = below(8);
  if (map < 3) bytes[at++] = 0x0f;
  if (map === 2) bytes[at++] = below(2) === 0 ? 0x38 : 0x3a;
  return bytes;
}
