import { expect, test } from "vitest";
import { Arena } from "../src/arena.ts";
import { CycleLedger } from "../src/cycle-ledger.ts";
import { C_BIT, encryptedFrame, encryptionKeyOf, plainFrame } from "../src/memory-encryption.ts";
import { PhysicalMemory } from "../src/physical-memory.ts";

const FRAME = 0x40000;
const KEY = 7;
const TEXT = Uint8Array.from("attack at dawn; attack at dawn; retreat at dusk.", (c) => c.charCodeAt(0));

function encryptingMemory(): PhysicalMemory {
  const memory = new PhysicalMemory(new Arena());
  new CycleLedger(memory.arena);
  memory.addRam(FRAME, 16);
  memory.encryptsMemory = true;
  return memory;
}

const seen = (memory: PhysicalMemory, name: number, at = 0, length = TEXT.length) =>
  memory.readBytes(name * 4096 + at, length);

test("a name holds its frame and its key", () => {
  const name = encryptedFrame(FRAME, KEY);
  expect([plainFrame(name), encryptionKeyOf(name)]).toEqual([FRAME, KEY]);
  expect([plainFrame(FRAME), encryptionKeyOf(FRAME)]).toEqual([FRAME, 0]);
  expect(Math.floor((name * 4096) / 2 ** C_BIT) % 2).toBe(1);
});

test("what a key wrote is read through that key only", () => {
  const memory = encryptingMemory();
  memory.writeBytes(encryptedFrame(FRAME, KEY) * 4096, TEXT);
  expect(seen(memory, encryptedFrame(FRAME, KEY))).toEqual(TEXT);
  const ciphertext = seen(memory, FRAME);
  expect(ciphertext).not.toEqual(TEXT);
  expect(seen(memory, encryptedFrame(FRAME, KEY + 1))).not.toEqual(TEXT);
  // Nobody wrote: all views are what they were.
  expect(seen(memory, FRAME)).toEqual(ciphertext);
  expect(seen(memory, encryptedFrame(FRAME, KEY))).toEqual(TEXT);
});

test("equal plaintext at two addresses, or in two blocks, is not equal ciphertext", () => {
  const memory = encryptingMemory();
  const same = new Uint8Array(32).fill(0x5a);
  for (const frame of [FRAME, FRAME + 1]) memory.writeBytes(encryptedFrame(frame, KEY) * 4096, same);
  const blocks = [0, 16].map((at) => seen(memory, FRAME, at, 16));
  expect(blocks[0]).not.toEqual(blocks[1]);
  expect(seen(memory, FRAME, 0, 16)).not.toEqual(seen(memory, FRAME + 1, 0, 16));
});

test("a byte of ciphertext that is overwritten garbles its block of 16 bytes and no other", () => {
  const memory = encryptingMemory();
  memory.writeBytes(encryptedFrame(FRAME, KEY) * 4096, TEXT);
  memory.writeU8(FRAME * 4096 + 20, memory.readU8(FRAME * 4096 + 20) ^ 1);
  const after = seen(memory, encryptedFrame(FRAME, KEY));
  expect(after.subarray(0, 16)).toEqual(TEXT.subarray(0, 16));
  expect(after.subarray(32)).toEqual(TEXT.subarray(32));
  const garbled = after.subarray(16, 32).filter((byte, i) => byte !== TEXT[16 + i]);
  expect(garbled.length).toBeGreaterThan(8);
});

test("encryption in place keeps the text for the key and takes it from everyone else", () => {
  const memory = encryptingMemory();
  memory.writeBytes(FRAME * 4096, TEXT);
  memory.encryptInPlace(FRAME, KEY);
  expect(seen(memory, encryptedFrame(FRAME, KEY))).toEqual(TEXT);
  expect(seen(memory, FRAME)).not.toEqual(TEXT);
});

test("a change of view is announced with the name that is left, and drops decoded code", () => {
  const memory = encryptingMemory();
  const left: number[] = [];
  const written: number[] = [];
  memory.onViewChange = (name) => left.push(name);
  memory.onCodeWrite = (offset) => written.push(offset);
  const at = memory.frameOffset(encryptedFrame(FRAME, KEY));
  memory.codeSlots[at >>> 12] = 1;
  left.length = 0;
  expect(memory.frameOffset(FRAME)).toBe(at);
  expect(left).toEqual([encryptedFrame(FRAME, KEY)]);
  expect(written[0]).toBe(at);
});

test("a snapshot keeps every view, whichever was used last", () => {
  const memory = encryptingMemory();
  memory.writeBytes(encryptedFrame(FRAME, KEY) * 4096, TEXT);
  memory.writeBytes((FRAME + 1) * 4096, TEXT);
  const taken = memory.snapshot();
  expect(taken.views).toEqual([[FRAME, encryptedFrame(FRAME, KEY)]]);
  const ciphertext = seen(memory, FRAME);
  memory.writeBytes(encryptedFrame(FRAME + 1, KEY) * 4096, new Uint8Array(4096));
  memory.restore(taken);
  expect(memory.snapshot()).toEqual(taken);
  expect(seen(memory, encryptedFrame(FRAME, KEY))).toEqual(TEXT);
  expect(seen(memory, FRAME)).toEqual(ciphertext);
  expect(seen(memory, FRAME + 1)).toEqual(TEXT);
});

test("without encryption the names are addresses like others, where nothing is", () => {
  const memory = new PhysicalMemory(new Arena());
  memory.addRam(FRAME, 1);
  expect(memory.frameOffset(encryptedFrame(FRAME, KEY))).toBe(-1);
  expect(memory.isRam(encryptedFrame(FRAME, KEY))).toBe(false);
});
