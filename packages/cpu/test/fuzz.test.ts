import { Flag, Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, Machine } from "./machine.js";

const CODE = 0x100000;
const DATA = 0x300000;
const STOPS = new Set<number>(Object.values(StopReason));

/** Repeatable random bytes (xorshift32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Real mode; virtual-8086 mode as an IRETD would set it up. */
function sixteenBit(machine: Machine, virtual8086: boolean): void {
  machine.real(CODE >> 4, 0);
  for (let vector = 0; vector < 256; vector++) machine.processor.memory.writeU32(4 * vector, 0x800 + vector);
  if (!virtual8086) return;
  const { words } = machine;
  words[State.Cr0] |= 1;
  words[State.Cpl] = 3;
  for (let s = Segment.Es; s <= Segment.Gs; s++)
    words[State.Segments + 8 * s + SegmentWord.Attributes] |= 0x60;
  installTables(machine);
}

function fuzz16(seed: number, virtual8086: boolean): void {
  const next = random(seed * 2654435761 + 54321);
  const machine = new Machine();
  for (let round = 0; round < 30; round++) {
    machine.flat32(CODE, 0);
    sixteenBit(machine, virtual8086);
    machine.write(
      CODE,
      Array.from({ length: 512 }, () => next() & 0xff),
    );
    for (let r = 0; r < 8; r++) machine.setGpr(r, BigInt(next()));
    machine.words[State.Attention] = 0;
    machine.processor.engine.setRflags((next() & 0x7cd5) | 2 | (virtual8086 ? Flag.Vm : 0));
    expect(STOPS.has(machine.run(2000))).toBe(true);
    const sum = machine.processor.ledger.rows().reduce((total, row) => total + row.ticks, 0);
    expect(sum).toBe(machine.processor.ledger.clock[0]);
  }
}

function fuzz(seed: number, long: boolean, cpl: number): void {
  const next = random(seed * 2654435761 + 12345);
  const machine = long ? new Machine().long(CODE, cpl) : new Machine().flat32(CODE, cpl);
  installTables(machine);
  for (let round = 0; round < 30; round++) {
    if (long) machine.long(CODE, cpl);
    else machine.flat32(CODE, cpl);
    installTables(machine);
    machine.write(
      CODE,
      Array.from({ length: 512 }, () => next() & 0xff),
    );
    for (let r = 0; r < 16; r++)
      machine.setGpr(r, BigInt((next() & 3) === 0 ? next() : DATA + (next() & 0xffff)));
    machine.setGpr(4, BigInt(DATA));
    machine.words[State.Attention] = 0;
    machine.processor.engine.setRflags((next() & 0xcd5) | 2);
    const before = machine.processor.engine.instructions;
    const stop = machine.run(2000);
    expect(STOPS.has(stop)).toBe(true);
    expect(machine.processor.engine.instructions - before).toBeLessThanOrEqual(2000 + 32);
    if (stop === StopReason.Unsupported) {
      const report = machine.processor.engine.lastUnsupported;
      expect(report?.disassembly.length).toBeGreaterThan(0);
      expect(report?.rip).toMatch(/^0x[0-9a-f]+$/);
    }
    const sum = machine.processor.ledger.rows().reduce((total, row) => total + row.ticks, 0);
    expect(sum).toBe(machine.processor.ledger.clock[0]);
  }
}

describe("random bytes as code", { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 8; seed++) {
    it(`stop for a reason: 64-bit, CPL 0, seed ${seed}`, () => fuzz(seed, true, 0));
    it(`stop for a reason: 64-bit, CPL 3, seed ${seed}`, () => fuzz(seed + 100, true, 3));
    it(`stop for a reason: 32-bit, CPL 0, seed ${seed}`, () => fuzz(seed + 200, false, 0));
    it(`stop for a reason: 32-bit, CPL 3, seed ${seed}`, () => fuzz(seed + 300, false, 3));
    it(`stop for a reason: real mode, seed ${seed}`, () => fuzz16(seed + 400, false));
    it(`stop for a reason: virtual-8086 mode, seed ${seed}`, () => fuzz16(seed + 500, true));
  }
});
