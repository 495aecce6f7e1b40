import { State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { handlerOf, installTables, Machine } from "./machine.js";

const CODE = 0x100000;
const [RCX, RSP, RSI, RDI] = [1, 4, 6, 7];

/** 4 KiB pages at 8 MiB and up are mapped one by one. */
function paged(code: number[], mapped: readonly number[]): Machine {
  const machine = new Machine().long(CODE);
  const { memory } = machine.processor;
  memory.writeU64(0x3000 + 8 * 4, 0x5000n | 7n);
  for (const page of mapped) memory.writeU64(0x5000 + 8 * page, BigInt(0x800000 + page * 4096) | 7n);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(RSP, 0x200000n);
  return machine;
}

describe("repeated strings", () => {
  it("stop at the first byte of an unmapped page with registers that tell how far they got, and go on", () => {
    const machine = paged([0xf3, 0xa4, 0xf4], [0, 1]); // rep movsb
    const source = Uint8Array.from({ length: 9000 }, (_, i) => (i * 7) & 0xff);
    machine.processor.memory.writeBytes(0x400000, source);
    machine.setGpr(RCX, 9000n);
    machine.setGpr(RSI, 0x400000n);
    machine.setGpr(RDI, 0x800000n);
    machine.write(handlerOf(14), [0xf4]);
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(handlerOf(14) + 1);
    expect(machine.words[State.Cr2Lo]).toBe(0x802000);
    expect([machine.gpr(RCX), machine.gpr(RSI), machine.gpr(RDI)]).toEqual([808n, 0x402000n, 0x802000n]);
    // Map it, return.
    machine.processor.memory.writeU64(0x5000 + 16, 0x802007n);
    machine.write(handlerOf(14) + 1, [0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf]); // add rsp, 8; iretq
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(CODE + 3);
    expect(machine.processor.memory.readBytes(0x800000, 9000)).toEqual(source);
    expect(machine.gpr(RCX)).toBe(0n);
  });

  it("can be interrupted between pages", () => {
    const machine = new Machine().long(CODE);
    machine.write(CODE, [0xf3, 0xaa, 0xf4]); // rep stosb
    machine.setGpr(RCX, 1n << 20n);
    machine.setGpr(RDI, 0x400000n);
    const before = machine.processor.ledger.clock[0];
    expect(machine.run(10, before + 1)).toBe(StopReason.Budget);
    expect(Number(machine.rip)).toBe(CODE);
    expect(machine.gpr(RCX)).toBeGreaterThan(0n);
    expect(machine.gpr(RCX)).toBeLessThan(1n << 20n);
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.gpr(RDI)).toBe(0x500000n);
  });

  it("count a repeated instruction once", () => {
    const machine = new Machine().long(CODE);
    machine.write(CODE, [0xf3, 0xab, 0xf4]);
    machine.setGpr(RCX, 10000n);
    machine.setGpr(RDI, 0x400000n);
    machine.run(100);
    expect(machine.processor.engine.instructions).toBe(2);
  });

  it("replicate a pattern when source and destination overlap forwards", () => {
    const machine = new Machine().long(CODE);
    machine.write(CODE, [0xf3, 0xa4, 0xf4]);
    machine.write(0x400000, [1, 2, 3]);
    machine.setGpr(RCX, 200n);
    machine.setGpr(RSI, 0x400000n);
    machine.setGpr(RDI, 0x400003n);
    machine.run(100);
    const bytes = machine.processor.memory.readBytes(0x400000, 203);
    expect(bytes.every((b, i) => b === (i % 3) + 1)).toBe(true);
  });
});
