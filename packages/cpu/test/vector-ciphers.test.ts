import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { memory, OPERANDS, registers, VectorMachine } from "./vector-machine.js";

/*
 * Whole algorithms in the instructions made for them, against the examples of their standards and Node's own.
 */

const hex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const move = (to: number, from: number) => registers(0x66, [0x6f], to, from);
const load = (to: number, displacement: number) => memory(0x66, [0x6f], to, displacement);
const store = (from: number, displacement: number) => memory(0x66, [0x7f], from, displacement);
const xor = (to: number, from: number) => registers(0x66, [0xef], to, from);
const add = (to: number, from: number) => registers(0x66, [0xfe], to, from);

describe("AES", () => {
  // FIPS 197, appendix C.1.
  const key = hex("000102030405060708090a0b0c0d0e0f");
  const plain = hex("00112233445566778899aabbccddeeff");
  const cipher = "69c4e0d86a7b0430d8cdb78070b4c55a";

  /** Key in XMM1: the eleven round keys to [rbx]. XMM2 and XMM3 are overwritten. */
  function expandKey(): number[] {
    const code = store(1, 0);
    for (let round = 1, constant = 1; round <= 10; round++) {
      code.push(...registers(0x66, [0x3a, 0xdf], 2, 1, constant), ...registers(0x66, [0x70], 2, 2, 0xff));
      code.push(...move(3, 1));
      for (let i = 0; i < 3; i++) code.push(...registers(0x66, [0x73], 7, 3, 4), ...xor(1, 3));
      code.push(...xor(1, 2), ...store(1, 16 * round));
      constant = (constant << 1) ^ (constant >= 0x80 ? 0x11b : 0);
    }
    return code;
  }

  it("encrypts the standard's example and decrypts it again", () => {
    const machine = new VectorMachine();
    machine.setXmm(0, plain);
    machine.setXmm(1, key);
    const encrypt = memory(0x66, [0xef], 0, 0);
    for (let round = 1; round < 10; round++) encrypt.push(...memory(0x66, [0x38, 0xdc], 0, 16 * round));
    encrypt.push(...memory(0x66, [0x38, 0xdd], 0, 160));
    machine.execute([...expandKey(), ...encrypt]);
    expect(toHex(machine.xmm(0))).toBe(cipher);

    const decrypt = memory(0x66, [0xef], 0, 160);
    for (let round = 9; round > 0; round--)
      decrypt.push(...memory(0x66, [0x38, 0xdb], 4, 16 * round), ...registers(0x66, [0x38, 0xde], 0, 4));
    decrypt.push(...memory(0x66, [0x38, 0xdf], 0, 0));
    machine.execute(decrypt);
    expect(machine.xmm(0)).toEqual(plain);
  });
});

const PRIMES = Array.from({ length: 312 }, (_, i) => i).filter(
  (n) => n > 1 && !Array.from({ length: n }, (_, d) => d).some((d) => d > 1 && n % d === 0),
);

/** The first 32 bits of a number's fraction. */
function fraction(x: number): number {
  return Math.floor((x % 1) * 2 ** 32);
}

/** "abc" padded to one block (FIPS 180-4, 5.1.1). */
function abcBlock(): Uint8Array {
  const block = new Uint8Array(64);
  block.set([0x61, 0x62, 0x63, 0x80]);
  block[63] = 24;
  return block;
}

/** Words of a register from the top one down, as the standard writes them. */
function wordsOf(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer);
  return [12, 8, 4, 0].map((at) => view.getUint32(at, true).toString(16).padStart(8, "0"));
}

function register(...words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setUint32(12 - 4 * i, word, true);
  });
  return bytes;
}

const MESSAGE = 0x400;
const CONSTANTS = 0x800;
const SHUFFLE = 0x7f0;

describe("SHA", () => {
  it("hashes the standard's example with SHA-256", () => {
    const machine = new VectorMachine();
    machine.write(OPERANDS + MESSAGE, abcBlock());
    machine.write(OPERANDS + SHUFFLE, [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]);
    PRIMES.slice(0, 64).forEach((prime, i) => {
      machine.processor.memory.writeU32(OPERANDS + CONSTANTS + 4 * i, fraction(Math.cbrt(prime)));
    });
    const [a, b, c, d, e, f, g, h] = PRIMES.map((prime) => fraction(Math.sqrt(prime)));
    machine.setXmm(1, register(a, b, e, f));
    machine.setXmm(2, register(c, d, g, h));
    const code = [...store(1, 0), ...store(2, 16)];
    for (let i = 0; i < 16; i++) {
      const now = 4 + (i & 3);
      if (i < 4) code.push(...load(now, MESSAGE + 16 * i), ...memory(0x66, [0x38, 0x00], now, SHUFFLE));
      else {
        const [next, later, last] = [1, 2, 3].map((step) => 4 + ((i + step) & 3));
        code.push(...registers(0, [0x38, 0xcc], now, next), ...move(3, last));
        code.push(...registers(0x66, [0x3a, 0x0f], 3, later, 4), ...add(now, 3));
        code.push(...registers(0, [0x38, 0xcd], now, last));
      }
      code.push(...move(0, now), ...memory(0x66, [0xfe], 0, CONSTANTS + 16 * i));
      code.push(...registers(0, [0x38, 0xcb], 2, 1), ...registers(0x66, [0x70], 0, 0, 0x0e));
      code.push(...registers(0, [0x38, 0xcb], 1, 2));
    }
    code.push(...memory(0x66, [0xfe], 1, 0), ...memory(0x66, [0xfe], 2, 16));
    machine.execute(code);
    const [ra, rb, re, rf] = wordsOf(machine.xmm(1));
    const [rc, rd, rg, rh] = wordsOf(machine.xmm(2));
    expect([ra, rb, rc, rd, re, rf, rg, rh].join("")).toBe(createHash("sha256").update("abc").digest("hex"));
  });

  it("hashes the standard's example with SHA-1", () => {
    const machine = new VectorMachine();
    machine.write(OPERANDS + MESSAGE, abcBlock());
    machine.write(OPERANDS + SHUFFLE, [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    machine.setXmm(1, register(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476));
    machine.setXmm(2, register(0xc3d2e1f0, 0, 0, 0));
    const code = [...store(1, 0), ...store(2, 16)];
    for (let i = 0; i < 20; i++) {
      const now = 4 + (i & 3);
      if (i < 4) code.push(...load(now, MESSAGE + 16 * i), ...memory(0x66, [0x38, 0x00], now, SHUFFLE));
      else {
        const [next, later, last] = [1, 2, 3].map((step) => 4 + ((i + step) & 3));
        code.push(...registers(0, [0x38, 0xc9], now, next), ...xor(now, later));
        code.push(...registers(0, [0x38, 0xca], now, last));
      }
      // XMM3: the variables before the latest four rounds, from which E follows.
      if (i === 0) code.push(...add(2, now));
      else code.push(...registers(0, [0x38, 0xc8], 3, now), ...move(2, 3));
      code.push(...move(3, 1), ...registers(0, [0x3a, 0xcc], 1, 2, Math.floor(i / 5)));
    }
    code.push(...memory(0, [0x38, 0xc8], 3, 16), ...memory(0x66, [0xfe], 1, 0));
    machine.execute(code);
    const digest = [...wordsOf(machine.xmm(1)), wordsOf(machine.xmm(3))[0]].join("");
    expect(digest).toBe(createHash("sha1").update("abc").digest("hex"));
  });
});

describe("PCLMULQDQ", () => {
  it("multiplies polynomials over GF(2)", () => {
    const machine = new VectorMachine();
    const a = hex("ad1dd2e0f1a7c0ff0123456789abcdef");
    const b = hex("ffeeddccbbaa99880f1e2d3c4b5a6978");
    const half = (bytes: Uint8Array, which: number) =>
      new DataView(bytes.buffer).getBigUint64(8 * which, true);
    for (const [i, j] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ]) {
      machine.setXmm(1, a);
      machine.setXmm(2, b);
      machine.execute(registers(0x66, [0x3a, 0x44], 1, 2, i | (j << 4)));
      let expected = 0n;
      for (let bit = 0n; bit < 64n; bit++)
        if (((half(a, i) >> bit) & 1n) !== 0n) expected ^= half(b, j) << bit;
      const bytes = machine.xmm(1);
      expect((half(bytes, 1) << 64n) | half(bytes, 0)).toBe(expected);
    }
  });
});
