/*
 * Memory encryption as AMD's memory controllers do it (APM vol. 2, 7.10 and 15.34): an address bit, the C-bit, says that
 * an access goes through a key; without it the same memory shows ciphertext. A frame therefore has several names, its own
 * and one for each key, and names differ as physical addresses with and without the C-bit do in caches.
 */

/** C-bit, as a bit of a frame number: physical address bit 51, where Zen 3 and Zen 4 have it (CPUID 8000001F EBX). */
export const ENCRYPTED_FRAME: number = 2 ** 39;
/** Position of the C-bit in an address and in a page-table entry. */
export const C_BIT = 51;
/** Frames that can be encrypted: 2 TiB. The rest of a name is the key's number. */
const KEY_UNIT = 2 ** 29;
/** Largest number of a key: an ASID of an encrypted guest. */
export const MAX_ENCRYPTION_KEY = 1023;

/** Name of a frame as accesses through a key know it. @param key 1 to {@link MAX_ENCRYPTION_KEY} */
export function encryptedFrame(frame: number, key: number): number {
  return ENCRYPTED_FRAME + key * KEY_UNIT + frame;
}

/** The frame behind any of its names. */
export function plainFrame(name: number): number {
  return name < ENCRYPTED_FRAME ? name : name % KEY_UNIT;
}

/** The key of a frame's name; 0 for the frame itself. */
export function encryptionKeyOf(name: number): number {
  return name < ENCRYPTED_FRAME ? 0 : Math.floor((name - ENCRYPTED_FRAME) / KEY_UNIT);
}

const WORDS = 1024;
const BLOCK_WORDS = 4;
const ROUNDS = 3;

function mix(x: number, y: number, z: number, tweak: number): number {
  let h = Math.imul(x ^ tweak, 0x9e3779b1);
  h = Math.imul((h ^ (h >>> 15)) + y, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ z, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** What makes equal blocks at two addresses, or under two keys, come out different. */
function tweakOf(frame: number, key: number, block: number): number {
  return mix(frame | 0, key, block, Math.floor(frame / 0x100000000));
}

/**
 * Turns a frame's plaintext into what the memory holds, in place. A stand-in for AES-128 with a physical-address tweak: a
 * permutation of each 16-byte block that depends on key and address. Whoever changes a byte of the ciphertext garbles the
 * whole block; it keeps no secrets.
 * @param at index of the frame's first word in `memory`
 */
export function encryptWords(memory: Int32Array, at: number, frame: number, key: number): void {
  for (let i = at; i < at + WORDS; i += BLOCK_WORDS) {
    const tweak = tweakOf(frame, key, i - at);
    let a = memory[i];
    let b = memory[i + 1];
    let c = memory[i + 2];
    let d = memory[i + 3];
    for (let round = 1; round <= ROUNDS; round++) {
      a ^= mix(b, c, d, tweak + round);
      b ^= mix(c, d, a, tweak - round);
      c ^= mix(d, a, b, tweak ^ round);
      d ^= mix(a, b, c, ~tweak + round);
    }
    memory[i] = a;
    memory[i + 1] = b;
    memory[i + 2] = c;
    memory[i + 3] = d;
  }
}

/** The way back. */
export function decryptWords(memory: Int32Array, at: number, frame: number, key: number): void {
  for (let i = at; i < at + WORDS; i += BLOCK_WORDS) {
    const tweak = tweakOf(frame, key, i - at);
    let a = memory[i];
    let b = memory[i + 1];
    let c = memory[i + 2];
    let d = memory[i + 3];
    for (let round = ROUNDS; round >= 1; round--) {
      d ^= mix(a, b, c, ~tweak + round);
      c ^= mix(d, a, b, tweak ^ round);
      b ^= mix(c, d, a, tweak - round);
      a ^= mix(b, c, d, tweak + round);
    }
    memory[i] = a;
    memory[i + 1] = b;
    memory[i + 2] = c;
    memory[i + 3] = d;
  }
}
