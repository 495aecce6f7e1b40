import { StopReason } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { installTables, le, Machine } from "./machine.js";

const CODE = 0x100000;

function sum(machine: Machine): number {
  return machine.processor.ledger.rows().reduce((total, row) => total + row.ticks, 0);
}

describe("ledger of an execution", () => {
  it("adds up to the clock after faults, strings, fences and branches", () => {
    const machine = new Machine().long(CODE);
    installTables(machine);
    machine.setGpr(4, 0x200000n);
    machine.write(CODE, [
      0xb9,
      ...le(100, 4),
      0xf7,
      0xe1,
      0x0f,
      0xae,
      0xe8,
      0xf0,
      0xff,
      0x04,
      0x24,
      0x0f,
      0xa2, // mul, lfence, lock inc, cpuid
      0xb9,
      ...le(300, 4),
      0xbf,
      ...le(0x400000, 4),
      0xf3,
      0xab,
      0x31,
      0xc9,
      0xf7,
      0xf1, // rep stosd, div by zero
    ]);
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect(sum(machine)).toBe(machine.processor.ledger.clock[0]);
    const causes = new Set(machine.processor.ledger.rows().map((row) => row.cause));
    for (const cause of ["issue", "serialise", "atomic", "microcode"] as const)
      expect(causes).toContain(cause);
  });

  it("charges nothing for what a fault kept from executing", () => {
    const issueOf = (code: number[]) => {
      const machine = new Machine().long(CODE);
      installTables(machine);
      machine.setGpr(4, 0x200000n);
      machine.write(CODE, code);
      machine.run(1000);
      return machine.processor.ledger.rows().find((row) => row.cause === "issue")?.ticks ?? 0;
    };
    const fault = [0xa1, ...le(0x40000000, 8)];
    expect(issueOf([0x90, ...fault, ...Array(20).fill(0x90)])).toBe(issueOf([0x90, ...fault]));
    expect(issueOf([0x90, ...fault])).toBeGreaterThan(0);
  });

  it("makes the difference of two RDTSC reads the ledger's difference between them", () => {
    const machine = new Machine().long(CODE);
    const seen: number[] = [];
    const clocks: number[] = [];
    machine.processor.probes.onTimestamp = (cycles) => {
      seen.push(cycles);
      clocks.push(machine.processor.ledger.clock[0]);
    };
    machine.write(
      CODE,
      [0x0f, 0x31, 0x89, 0xc3, 0xf7, 0xe1, 0x8b, 0x04, 0x25, 0, 0, 0x50, 0, 0x0f, 0x31, 0xf4],
    );
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(seen).toHaveLength(2);
    expect((seen[1] - seen[0]) * TICKS_PER_CYCLE).toBe(clocks[1] - clocks[0]);
    expect(Number(machine.gpr(0) - machine.gpr(3))).toBe(seen[1] - seen[0]);
  });

  it("is the same tick for tick when a run is cut into pieces", () => {
    const program = [
      0xb9,
      ...le(500, 4),
      0x01,
      0xc8,
      0x69,
      0xc0,
      ...le(7, 4),
      0x50,
      0x58,
      0xff,
      0xc9,
      0x75,
      0xf2,
      0xf4,
    ];
    const whole = new Machine().long(CODE);
    const pieces = new Machine().long(CODE);
    for (const machine of [whole, pieces]) {
      machine.write(CODE, program);
      machine.setGpr(4, 0x200000n);
    }
    whole.run();
    while (pieces.run(7) === StopReason.Budget);
    expect(pieces.processor.ledger.clock[0]).toBe(whole.processor.ledger.clock[0]);
    expect(pieces.processor.engine.instructions).toBe(whole.processor.engine.instructions);
  });

  it("charges the start of a repeated string once, wherever the engine stops in it", () => {
    const [whole, pieces] = [Number.POSITIVE_INFINITY, 1].map((ticks) => {
      const machine = new Machine().long(CODE);
      machine.write(CODE, [0xb9, ...le(40000, 4), 0xbf, ...le(0x400000, 4), 0xf3, 0xaa, 0xf3, 0xaa, 0xf4]);
      const { clock } = machine.processor.ledger;
      let runs = 1;
      while (machine.run(1000, clock[0] + ticks) === StopReason.Budget) runs++;
      return { runs, clock: clock[0] };
    });
    expect(whole.runs).toBe(1);
    expect(pieces.runs).toBeGreaterThan(5);
    expect(pieces.clock).toBe(whole.clock);
  });
});
