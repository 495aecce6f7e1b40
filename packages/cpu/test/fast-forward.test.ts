import { FAST_FORWARD_PHASE, Flag, State, StopReason } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { installTables, le, Machine, Table } from "./machine.js";

vi.setConfig({ testTimeout: 60_000 }); // many machines, however slow the host

const CODE = 0x100000;
const DATA = 0x200000;
const MARKER = [0x66, 0x87, 0xdb]; // xchg bx, bx

const registers = (machine: Machine): object => ({
  gpr: [...machine.words.slice(0, 32)],
  rip: machine.rip,
  rflags: machine.processor.engine.rflags(),
  cr2: [...machine.words.slice(State.Cr2Lo, State.Cr2Hi + 1)],
});

/** All of a machine's memory that differs from zero. */
function memoryOf(machine: Machine): object {
  const { memory } = machine.processor;
  const frames = memory
    .snapshot()
    .frames.map((frame) => [frame, [...memory.readBytes(frame * 4096, 4096)]] as const);
  return frames.filter(([, bytes]) => bytes.some((byte) => byte !== 0)).sort(([a], [b]) => a - b);
}

/** Programs, each with what the machine needs beside them; all end with HLT. */
const PROGRAMS: Readonly<Record<string, () => Machine>> = {
  "modifies its own code in a loop": () => {
    const machine = new Machine().long(CODE);
    // mov ecx, 50; again: mov al, 0x11; add [sum], al; inc byte [again + 1]; dec ecx; jnz again; hlt
    machine.write(CODE, [
      ...[0xb9, ...le(50, 4)],
      ...[0xb0, 0x11],
      ...[0x00, 0x04, 0x25, ...le(DATA, 4)],
      ...[0xfe, 0x04, 0x25, ...le(CODE + 6, 4)],
      ...[0xff, 0xc9],
      ...[0x75, 0xec],
      0xf4,
    ]);
    return machine;
  },
  "remaps a page under its own feet": () => {
    const machine = new Machine().long(CODE);
    // The 2 MiB page at 4 MiB goes to another frame in each turn, and is written through.
    // mov ecx, 3; again: mov rax, rcx; shl eax, 21; or eax, 0x83; mov [pde of 4 MiB], rax; invlpg [4 MiB];
    // inc dword [4 MiB + 0x40]; add edx, [4 MiB + 0x40]; dec ecx; jnz again; hlt
    machine.write(CODE, [
      ...[0xb9, ...le(3, 4)],
      ...[0x48, 0x89, 0xc8],
      ...[0xc1, 0xe0, 0x15],
      ...[0x0d, ...le(0x83, 4)],
      ...[0x48, 0x89, 0x04, 0x25, ...le(0x3000 + 16, 4)],
      ...[0x0f, 0x01, 0x3c, 0x25, ...le(0x400000, 4)],
      ...[0xff, 0x04, 0x25, ...le(0x400040, 4)],
      ...[0x03, 0x14, 0x25, ...le(0x400040, 4)],
      ...[0xff, 0xc9],
      ...[0x75, 0xd3],
      0xf4,
    ]);
    return machine;
  },
  "faults on a page that its handler maps": () => {
    const machine = new Machine().long(CODE);
    installTables(machine);
    machine.processor.memory.writeU64(0x3000 + 16, 0n);
    // #PF: mov qword [pde of 4 MiB], 0x400083; add rsp, 8; iretq
    machine.write(Table.Handlers + 16 * 14, [0xe9, ...le(DATA - (Table.Handlers + 16 * 14 + 5), 4)]);
    machine.write(DATA, [
      ...[0x48, 0xc7, 0x04, 0x25, ...le(0x3010, 4), ...le(0x400083, 4)],
      ...[0x48, 0x83, 0xc4, 0x08],
      ...[0x48, 0xcf],
    ]);
    machine.setGpr(4, BigInt(Table.Stack0));
    // mov ecx, 4; again: inc dword [4 MiB]; mov qword [pde], 0; invlpg [4 MiB]; dec ecx; jnz again; hlt
    machine.write(CODE, [
      ...[0xb9, ...le(4, 4)],
      ...[0xff, 0x04, 0x25, ...le(0x400000, 4)],
      ...[0x48, 0xc7, 0x04, 0x25, ...le(0x3010, 4), ...le(0, 4)],
      ...[0x0f, 0x01, 0x3c, 0x25, ...le(0x400000, 4)],
      ...[0xff, 0xc9],
      ...[0x75, 0xdf],
      0xf4,
    ]);
    return machine;
  },
  "copies strings over page ends": () => {
    const machine = new Machine().long(CODE);
    machine.write(
      DATA + 0xff0,
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    // mov esi, …; mov edi, …; mov ecx, 100; rep movsb; mov rax, [DATA + 0x1ffc]; call +1; hlt; ret
    machine.write(CODE, [
      ...[0xbe, ...le(DATA + 0xff0, 4)],
      ...[0xbf, ...le(DATA + 0x1fd0, 4)],
      ...[0xb9, ...le(100, 4)],
      ...[0xf3, 0xa4],
      ...[0x48, 0x8b, 0x04, 0x25, ...le(DATA + 0x1ffc, 4)],
      ...[0xe8, ...le(1, 4)],
      0xf4,
      0xc3,
    ]);
    machine.setGpr(4, BigInt(Table.Stack0));
    return machine;
  },
};

describe.each(Object.entries(PROGRAMS))("a program that %s", (_name, make) => {
  const timed = make();
  const stop = timed.run(10_000);

  it("halts with timing on", () => expect(stop).toBe(StopReason.Halted));

  it("comes to the same with timing off, and however often that changes", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }), (parts) => {
        const machine = make();
        const { processor } = machine;
        let reason: number = StopReason.Budget;
        for (const part of parts) {
          processor.setTimed(!processor.timed);
          reason = machine.run(part);
          if (reason !== StopReason.Budget) break;
        }
        if (reason === StopReason.Budget) reason = machine.run(10_000);
        expect(reason).toBe(StopReason.Halted);
        expect(registers(machine)).toEqual(registers(timed));
        expect(memoryOf(machine)).toEqual(memoryOf(timed));
      }),
      { numRuns: 8 },
    );
  });
});

describe("with timing off", () => {
  it("branches are neither predicted nor learnt, and time passes below a phase of its own", () => {
    const make = (): Machine => {
      const machine = new Machine().long(CODE);
      machine.write(CODE, [0xb9, ...le(100, 4), 0xff, 0xc9, 0x75, 0xfc, 0xf4]);
      return machine;
    };
    const machine = make();
    const { processor } = machine;
    processor.setTimed(false);
    const learnt = processor.predictor.snapshot();
    machine.run();
    expect(processor.predictor.snapshot()).toEqual(learnt);
    processor.setTimed(true);
    expect(processor.ledger.rows().map(({ path, cause }) => [...path, cause])).toEqual([
      ["guest", FAST_FORWARD_PHASE, "issue"],
    ]);
    const timed = make();
    timed.run();
    const issue = timed.processor.ledger.rows().find(({ cause }) => cause === "issue");
    expect(processor.ledger.clock[0]).toBe(issue?.ticks);
  });
});

describe("a stop point", () => {
  const nops = (count: number): number[] => new Array(count).fill(0x90);

  it("is after a marker, and nowhere else once disarmed", () => {
    const machine = new Machine().long(CODE);
    machine.write(CODE, [...nops(5), ...MARKER, 0xff, 0xc0, ...MARKER, 0xff, 0xc0, 0xf4]);
    machine.setGpr(3, 0x123456789abcdefn);
    const { processor } = machine;
    processor.stopAt(true, undefined);
    expect(machine.run()).toBe(StopReason.Requested);
    expect([processor.stopPoint.reached, machine.rip, machine.gpr(0)]).toEqual([
      "marker",
      BigInt(CODE + 8),
      0n,
    ]);
    expect(processor.engine.instructions).toBe(6);
    processor.stopNowhere();
    expect(machine.run()).toBe(StopReason.Halted);
    expect([machine.gpr(0), machine.gpr(3)]).toEqual([2n, 0x123456789abcdefn]);
  });

  it.each([
    ["real", (m: Machine) => m.real(CODE >> 4, 0), [0x87, 0xdb], 0n],
    ["32-bit", (m: Machine) => m.flat32(CODE), MARKER, BigInt(CODE)],
  ] as const)("is after a marker in %s code", (_mode, enter, marker, start) => {
    const machine = enter(new Machine());
    machine.write(CODE, [0x90, ...marker, 0x90, 0xf4]);
    machine.processor.stopAt(true, undefined);
    expect(machine.run()).toBe(StopReason.Requested);
    expect(machine.rip).toBe(start + 1n + BigInt(marker.length));
  });

  it.each([
    ["xchg ebx, ebx", [0x87, 0xdb]],
    ["xchg cx, cx", [0x66, 0x87, 0xc9]],
    ["xchg r11w, r11w", [0x66, 0x45, 0x87, 0xdb]],
    ["xchg bl, bl", [0x86, 0xdb]],
    ["xchg [rbx], bx", [0x66, 0x87, 0x1b]],
  ])("is not after %s", (_text, bytes) => {
    const machine = new Machine().long(CODE);
    machine.setGpr(3, BigInt(DATA));
    machine.write(CODE, [...bytes, 0xf4]);
    machine.processor.stopAt(true, undefined);
    expect(machine.run()).toBe(StopReason.Halted);
  });

  it("is before the instruction at an address: in a block, at its start, in a loop, across pages", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 39 }),
        fc.boolean(),
        fc.constantFrom(CODE, CODE + 0xff0),
        (before, warm, base) => {
          const machine = new Machine().long(base);
          // inc eax, as often as there are instructions before; then a five-byte one, at times over the page's end.
          machine.write(base, [...nops(before), 0xb8, ...le(7, 4), 0x83, 0xf8, 7, 0x74, 0xf6 - before, 0xf4]);
          const { processor } = machine;
          if (warm) machine.run(200);
          machine.rip = BigInt(base);
          machine.setGpr(0, 0n);
          const at = base + before;
          processor.stopAt(false, BigInt(at));
          expect(machine.run(10_000)).toBe(StopReason.Requested);
          expect([processor.stopPoint.reached, machine.rip, machine.gpr(0)]).toEqual([
            "address",
            BigInt(at),
            0n,
          ]);
          // There already: at once.
          const done = processor.engine.instructions;
          expect(machine.run(10_000)).toBe(StopReason.Requested);
          expect(processor.engine.instructions).toBe(done);
          processor.stopNowhere();
          expect(machine.run(100)).toBe(StopReason.Budget);
          expect(machine.gpr(0)).toBe(7n);
        },
      ),
      { numRuns: 16 },
    );
  });

  it("is a linear address: the same code elsewhere goes on, whichever was decoded first", () => {
    const machine = new Machine().long(CODE);
    const alias = (6 << 20) + 0x100000; // 6 MiB shows the same 2 MiB as 0
    machine.processor.memory.writeU64(0x3000 + 8 * 3, 0x83n);
    // inc eax; cmp eax, 2; je end; jmp alias; end: hlt
    const jump = alias - (CODE + 12);
    machine.write(CODE, [0xff, 0xc0, 0x83, 0xf8, 0x02, 0x74, 0x05, 0xe9, ...le(jump, 4), 0xf4]);
    machine.processor.stopAt(false, BigInt(alias + 2));
    expect(machine.run(100)).toBe(StopReason.Requested);
    expect([machine.rip, machine.gpr(0)]).toEqual([BigInt(alias + 2), 2n]);
  });

  it("comes before a breakpoint and a single step at the same place, which still happen", () => {
    const machine = new Machine().long(CODE);
    installTables(machine);
    machine.setGpr(4, BigInt(Table.Stack0));
    machine.write(CODE, [...nops(4), 0xff, 0xc0, 0xf4]);
    machine.processor.stopAt(false, BigInt(CODE + 2));
    machine.processor.engine.setRflags(2 | Flag.Tf | Flag.Rf);
    // The first step's trap goes to a handler that halts; its frame says where it stepped to.
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(BigInt(Table.Handlers + 16 + 1));
    machine.rip = BigInt(CODE + 2);
    machine.words[State.Activity] = 0;
    machine.processor.engine.setRflags(2 | Flag.Tf | Flag.Rf);
    expect(machine.run(100)).toBe(StopReason.Requested);
    expect(machine.processor.engine.rflags() & (Flag.Tf | Flag.Rf)).toBe(Flag.Tf | Flag.Rf);
    machine.processor.stopNowhere();
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(BigInt(Table.Handlers + 16 + 1));
  });
});
