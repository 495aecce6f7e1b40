/** Round constants and initial hash: fractional parts of cube and square roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
const ROUNDS = 64;
const BLOCK_BYTES = 64;
const { constants: K, initial: INITIAL } = rootsOfPrimes();

/** SHA-256 of some bytes (FIPS 180-4), 32 bytes. The same in Node and in browsers, without waiting. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const state = Int32Array.from(INITIAL);
  const schedule = new Int32Array(ROUNDS);
  const padded = pad(bytes);
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += BLOCK_BYTES) compress(state, schedule, view, at);
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => {
    digest.setInt32(4 * i, word);
  });
  return new Uint8Array(digest.buffer);
}

/** {@link sha256} as 64 hexadecimal digits. */
export function sha256Hex(bytes: Uint8Array): string {
  return Array.from(sha256(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A one bit, zeros, and the length in bits, up to whole blocks. */
function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length * 8) >>> 0);
  return padded;
}

function compress(state: Int32Array, w: Int32Array, view: DataView, from: number): void {
  for (let t = 0; t < 16; t++) w[t] = view.getInt32(from + 4 * t);
  for (let t = 16; t < ROUNDS; t++) {
    const x = w[t - 15];
    const y = w[t - 2];
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < ROUNDS; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + s1 + ((e & f) ^ (~e & g)) + K[t] + w[t]) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** The first 32 bits of the fractional part of a prime's root, by integer arithmetic. */
function rootsOfPrimes(): { readonly constants: Int32Array; readonly initial: Int32Array } {
  const primes: number[] = [];
  for (let n = 2; primes.length < ROUNDS; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  const constants = primes.map((prime) => Number(root(BigInt(prime) << 96n, 3n) & 0xffffffffn) | 0);
  const initial = primes.slice(0, 8).map((prime) => Number(root(BigInt(prime) << 64n, 2n) & 0xffffffffn) | 0);
  return { constants: Int32Array.from(constants), initial: Int32Array.from(initial) };
}

/** Largest integer whose power is not above a value. */
function root(value: bigint, power: bigint): bigint {
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** power <= value) low = middle;
    else high = middle;
  }
  return low;
}
