import { State } from "../../cpu-state.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { vectorSource } from "../vector-operands.js";

/*
 * SHA-1 and SHA-256 (FIPS 180-4; SDM vol. 2, 4.3). The hash's first variable is in a register's top word.
 */

/** Second operand; Zen 3 takes unaligned ones (SDM vol. 2: exceptions of class 4). */
function source(core: ExecutionCore, pc: number): number {
  return vectorSource(core, pc, 16, core.amd ? 0 : 15);
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** f of SHA-1 for a quarter of its rounds. */
function sha1Function(quarter: number, b: number, c: number, d: number): number {
  if (quarter === 0) return (b & c) | (~b & d);
  return quarter === 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
}

function sha1Constant(quarter: number): number {
  if (quarter < 2) return quarter === 0 ? 0x5a827999 : 0x6ed9eba1;
  return quarter === 2 ? 0x8f1bbcdc : 0xca62c1d6;
}

/** SHA1RNDS4: four rounds; the first word of the message comes with E already added. */
function sha1Rounds(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const quarter = code[pc + Entry.Immediate] & 3;
  const constant = sha1Constant(quarter);
  let a = words[to + 3];
  let b = words[to + 2];
  let c = words[to + 1];
  let d = words[to];
  let e = 0;
  for (let i = 3; i >= 0; i--) {
    // The message is read before its register is written.
    const next = (sha1Function(quarter, b, c, d) + rotateLeft(a, 5) + words[from + i] + e + constant) | 0;
    e = d;
    d = c;
    c = rotateLeft(b, 30);
    b = a;
    a = next;
  }
  words[to + 3] = a;
  words[to + 2] = b;
  words[to + 1] = c;
  words[to] = d;
  return Status.Next;
}

/** SHA1NEXTE: E of four rounds later joins the message. */
function sha1NextE(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  words[to + 3] = rotateLeft(words[to + 3], 30) + words[from + 3];
  words[to + 2] = words[from + 2];
  words[to + 1] = words[from + 1];
  words[to] = words[from];
  return Status.Next;
}

/** SHA1MSG1. */
function sha1Message1(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const w4 = words[from + 3];
  const w5 = words[from + 2];
  words[to + 3] ^= words[to + 1];
  words[to + 2] ^= words[to];
  words[to + 1] ^= w4;
  words[to] ^= w5;
  return Status.Next;
}

/** SHA1MSG2. */
function sha1Message2(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const w13 = words[from + 2];
  const w14 = words[from + 1];
  const w15 = words[from];
  const w16 = rotateLeft(words[to + 3] ^ w13, 1);
  words[to + 3] = w16;
  words[to + 2] = rotateLeft(words[to + 2] ^ w14, 1);
  words[to + 1] = rotateLeft(words[to + 1] ^ w15, 1);
  words[to] = rotateLeft(words[to] ^ w16, 1);
  return Status.Next;
}

/** Σ0 and Σ1 of SHA-256: three rotations to the right. */
function bigSigma(word: number, first: number, second: number, third: number): number {
  return rotateLeft(word, 32 - first) ^ rotateLeft(word, 32 - second) ^ rotateLeft(word, 32 - third);
}

function sigma0(word: number): number {
  return rotateLeft(word, 25) ^ rotateLeft(word, 14) ^ (word >>> 3);
}

function sigma1(word: number): number {
  return rotateLeft(word, 15) ^ rotateLeft(word, 13) ^ (word >>> 10);
}

/** SHA256RNDS2: two rounds; XMM0 has the message with the constants added. */
function sha256Rounds(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  let a = words[from + 3];
  let b = words[from + 2];
  let c = words[to + 3];
  let d = words[to + 2];
  let e = words[from + 1];
  let f = words[from];
  let g = words[to + 1];
  let h = words[to];
  const second = words[State.Vector + 1];
  for (let i = 0, message = words[State.Vector]; i < 2; i++, message = second) {
    const first = ((e & f) ^ (~e & g)) + bigSigma(e, 6, 11, 25) + message + h;
    const other = ((a & b) ^ (a & c) ^ (b & c)) + bigSigma(a, 2, 13, 22);
    h = g;
    g = f;
    f = e;
    e = (first + d) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + other) | 0;
  }
  words[to + 3] = a;
  words[to + 2] = b;
  words[to + 1] = e;
  words[to] = f;
  return Status.Next;
}

/** SHA256MSG1. */
function sha256Message1(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const w4 = words[from];
  words[to] += sigma0(words[to + 1]);
  words[to + 1] += sigma0(words[to + 2]);
  words[to + 2] += sigma0(words[to + 3]);
  words[to + 3] += sigma0(w4);
  return Status.Next;
}

/** SHA256MSG2. */
function sha256Message2(core: ExecutionCore, pc: number): number {
  const from = source(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const w14 = words[from + 2];
  const w15 = words[from + 3];
  words[to] += sigma1(w14);
  words[to + 1] += sigma1(w15);
  words[to + 2] += sigma1(words[to]);
  words[to + 3] += sigma1(words[to + 1]);
  return Status.Next;
}

export const SHA: Family = {
  sha1rnds4: sha1Rounds,
  sha1nexte: sha1NextE,
  sha1msg1: sha1Message1,
  sha1msg2: sha1Message2,
  sha256rnds2: sha256Rounds,
  sha256msg1: sha256Message1,
  sha256msg2: sha256Message2,
};
