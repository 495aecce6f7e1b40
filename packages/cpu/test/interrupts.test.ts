import { Flag, ApicRegister as R, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { handlerOf, installTables, le, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const STACK = 0x200000;
const APIC = 0xfee00000;
const VECTOR = 0x30;
const HLT = 0xf4;
const STI = 0xfb;
const NOP = 0x90;
const IRETQ = [0x48, 0xcf];
const LOOP = [0xeb, 0xfe];
/** mov ecx, msr; mov eax, lo; mov edx, hi; wrmsr */
const wrmsr = (msr: number, lo: number, hi = 0) => [
  0xb9,
  ...le(msr, 4),
  0xb8,
  ...le(lo, 4),
  0xba,
  ...le(hi, 4),
  0x0f,
  0x30,
];
/** mov dword [rbx + offset], value; rbx is the APIC page. */
const store = (offset: number, value: number) => [0xc7, 0x83, ...le(offset, 4), ...le(value, 4)];
const load = (offset: number) => [0x8b, 0x83, ...le(offset, 4)];

function long(code: readonly number[], profile?: ConstructorParameters<typeof Machine>[0]): Machine {
  const machine = new Machine(profile).long(CODE);
  installTables(machine);
  // The fourth gigabyte as well.
  machine.processor.memory.writeU64(0x2000 + 24, 0x3007n);
  for (let i = 0; i < 512; i++)
    machine.processor.memory.writeU64(0x4000 + 8 * i, (BigInt(i) << 21n) | 0xc0000087n);
  machine.processor.memory.writeU64(0x2000 + 24, 0x4007n);
  machine.write(CODE, code);
  machine.setGpr(4, BigInt(STACK));
  machine.setGpr(3, BigInt(APIC));
  return machine;
}

function enabled(code: readonly number[], profile?: ConstructorParameters<typeof Machine>[0]): Machine {
  const machine = long(code, profile);
  machine.processor.apic.store(R.SpuriousVector, 4, 0x1ff);
  return machine;
}

const at = (machine: Machine) => Number(machine.rip) - CODE;
const pushedRip = (machine: Machine) =>
  Number(machine.processor.memory.readU64(Number(machine.gpr(4)))) - CODE;
const inHandler = (machine: Machine, vector: number) => Number(machine.rip) === handlerOf(vector) + 1;
const raise = (machine: Machine, vector = VECTOR) => machine.processor.apic.accept(0, vector, false);

describe("external interrupts", () => {
  it("wait for IF, and for the instruction after STI", () => {
    const machine = enabled([NOP, STI, NOP, NOP]);
    raise(machine);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect([inHandler(machine, VECTOR), pushedRip(machine)]).toEqual([true, 3]);
    expect(machine.processor.engine.rflags() & Flag.If).toBe(0);
  });

  it("wait for the instruction after MOV SS", () => {
    const machine = enabled([0x8e, 0xd0, NOP, NOP]);
    machine.setGpr(0, 0x10n);
    machine.processor.engine.setRflags(Flag.If | 2);
    machine.run(1);
    raise(machine);
    machine.run(100);
    expect([inHandler(machine, VECTOR), pushedRip(machine)]).toEqual([true, 3]);
  });

  it("come one after the other, by priority, each after the EOI of the one before", () => {
    const machine = enabled([STI, ...LOOP]);
    const log = 0x180000;
    for (const [i, vector] of [0x21, 0x30, 0x28].entries()) {
      const body = 0x190000 + 64 * i;
      machine.write(body, [0xc6, 0x07, vector, 0x48, 0xff, 0xc7, ...store(R.Eoi, 0), ...IRETQ]);
      machine.write(handlerOf(vector), [0xe9, ...le(body - handlerOf(vector) - 5, 4)]);
      raise(machine, vector);
    }
    machine.setGpr(7, BigInt(log));
    machine.run(200);
    expect([...machine.processor.memory.readBytes(log, 4)]).toEqual([0x30, 0x28, 0x21, 0]);
    expect(machine.processor.apic.snapshot().registers.slice(16, 24)).toEqual(new Array(8).fill(0));
  });

  it("below the task priority wait for MOV CR8", () => {
    const machine = enabled([0x44, 0x0f, 0x22, 0xc1, NOP, 0x44, 0x0f, 0x22, 0xc0, NOP, NOP]); // mov cr8, rcx; …; mov cr8, rax
    machine.setGpr(1, 3n);
    machine.processor.engine.setRflags(Flag.If | 2);
    machine.run(1);
    expect(machine.processor.apic.load(R.TaskPriority, 4)).toBe(0x30);
    raise(machine);
    machine.run(100);
    expect([inHandler(machine, VECTOR), pushedRip(machine)]).toEqual([true, 9]);
  });

  it("leave a repeated string under way, to go on after IRET", () => {
    const machine = enabled([0xf3, 0xaa, HLT]);
    machine.setGpr(1, 100000n);
    machine.setGpr(7, 0x300000n);
    machine.processor.engine.setRflags(Flag.If | 2);
    machine.write(handlerOf(VECTOR), [...store(R.Eoi, 0), ...IRETQ]);
    machine.run(1, 1);
    raise(machine);
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect([at(machine), machine.gpr(1)]).toEqual([3, 0n]);
  });
});

describe("NMI", () => {
  it("needs no IF, and blocks further ones until IRET", () => {
    const machine = long([NOP, NOP, HLT]);
    machine.write(handlerOf(2), [0xfa, 0xff, 0xc6, ...IRETQ]); // cli; inc esi
    machine.processor.raiseNmi();
    machine.run(1);
    expect(machine.words[State.NmiBlocked]).toBe(1);
    machine.processor.raiseNmi();
    machine.processor.raiseNmi(); // one place only
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect([machine.gpr(6), at(machine), machine.words[State.NmiBlocked]]).toEqual([2n, 3, 0]);
  });

  it("comes before an external interrupt", () => {
    const machine = enabled([NOP]);
    machine.processor.engine.setRflags(Flag.If | 2);
    raise(machine);
    machine.processor.raiseNmi();
    machine.run(100);
    expect(inHandler(machine, 2)).toBe(true);
  });

  it("is held back by MOV SS, not by STI", () => {
    const machine = long([0x8e, 0xd0, NOP, NOP]);
    machine.setGpr(0, 0x10n);
    machine.run(1);
    machine.processor.raiseNmi();
    machine.run(100);
    expect(pushedRip(machine)).toBe(3);
    const sti = long([STI, NOP]);
    sti.run(1);
    sti.processor.raiseNmi();
    sti.run(100);
    expect(pushedRip(sti)).toBe(1);
  });
});

describe("HLT", () => {
  const TIMER = [
    ...store(R.LvtTimer, VECTOR),
    ...store(R.DivideConfiguration, 0xb),
    ...store(R.InitialCount, 1000),
  ];

  it("sleeps until the timer's exact tick, and charges the time as idle", () => {
    const machine = enabled([...TIMER, STI, HLT, NOP]);
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect([inHandler(machine, VECTOR), pushedRip(machine)]).toEqual([true, TIMER.length + 2]);
    const { ledger, profile } = machine.processor;
    const idle = ledger.rows().find((row) => row.cause === "idle")?.ticks ?? 0;
    const timer = 1000 * profile.ghz * 10 * TICKS_PER_CYCLE;
    expect(idle).toBeGreaterThan(timer * 0.9);
    expect(idle).toBeLessThanOrEqual(timer);
  });

  it("is over at once when an interrupt waits; with IF clear nothing wakes it but an NMI", () => {
    const machine = enabled([STI, HLT, NOP]);
    raise(machine);
    machine.run(100);
    expect(pushedRip(machine)).toBe(2);
    const masked = enabled([...TIMER, HLT, NOP, HLT]);
    expect(masked.run(1000)).toBe(StopReason.Halted);
    expect(at(masked)).toBe(TIMER.length + 1);
    const nmi = long([HLT, NOP]);
    nmi.processor.raiseNmi();
    nmi.run(100);
    expect(inHandler(nmi, 2)).toBe(true);
  });

  it("ends with the cycle budget, and sleeps on from there", () => {
    const machine = enabled([...TIMER, STI, HLT, NOP]);
    const { clock } = machine.processor.ledger;
    let runs = 0;
    while (machine.run(1000, clock[0] + 1e6) === StopReason.Budget) runs++;
    expect(inHandler(machine, VECTOR)).toBe(true);
    expect(runs).toBeGreaterThan(5);
  });
});

describe("the local APIC from code", () => {
  it("is reached by instructions that a budget counts", () => {
    const stores = Array.from({ length: 100 }, () => store(R.TaskPriority, 0)).flat();
    const machine = enabled([...stores, 0xe9, ...le(-stores.length - 5, 4)]);
    expect(machine.run(200)).toBe(StopReason.Budget);
    expect(machine.processor.engine.instructions).toBeLessThan(200 + 32);
  });

  it("is reached through its page by plain, widening and combining instructions", () => {
    const machine = long([
      ...store(R.SpuriousVector, 0x1ff),
      ...load(R.Version), // mov eax, [version]
      0x0f,
      0xb6,
      0x8b,
      ...le(R.Version, 4), // movzx ecx, byte [version]
      0x81,
      0x8b,
      ...le(R.TaskPriority, 4),
      ...le(0x20, 4), // or dword [tpr], 20h
      0x83,
      0xbb,
      ...le(R.TaskPriority, 4),
      0x20, // cmp dword [tpr], 20h
      0x0f,
      0x94,
      0xc2, // sete dl
      0xbe,
      ...le(0x30, 4), // mov esi, 30h
      0x87,
      0xb3,
      ...le(R.TaskPriority, 4), // xchg [tpr], esi
      HLT,
    ]);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(machine.gpr(0)).toBe(0x50014n);
    expect(machine.gpr(1)).toBe(0x14n);
    expect(machine.gpr(2) & 0xffn).toBe(1n);
    expect(machine.gpr(6)).toBe(0x20n);
    expect(machine.words[State.Cr8]).toBe(3);
  });

  it("stops at instructions that it cannot carry out there, and at other holes", () => {
    const machine = long([0x0f, 0xc1, 0x03]); // xadd [rbx], eax
    expect(machine.run(10)).toBe(StopReason.Unsupported);
    expect(at(machine)).toBe(0);
    const hole = long(load(0x1000));
    expect(hole.run(10)).toBe(StopReason.Unsupported);
  });

  it("sends itself an interrupt through the ICR", () => {
    const machine = enabled([STI, ...store(R.InterruptCommand, 0x40000 | VECTOR), NOP, NOP]);
    machine.run(100);
    expect([inHandler(machine, VECTOR), pushedRip(machine)]).toEqual([true, 11]);
  });

  it("interrupts a loop periodically", () => {
    const machine = enabled([
      ...store(R.LvtTimer, 0x20000 | VECTOR),
      ...store(R.DivideConfiguration, 0xb),
      ...store(R.InitialCount, 200),
      STI,
      ...LOOP,
    ]);
    const body = 0x190000;
    machine.write(body, [0xff, 0xc6, ...store(R.Eoi, 0), ...IRETQ]);
    machine.write(handlerOf(VECTOR), [0xe9, ...le(body - handlerOf(VECTOR) - 5, 4)]);
    const period = 200 * machine.processor.profile.ghz * 10 * TICKS_PER_CYCLE;
    machine.run(1e7, 10.5 * period);
    expect(machine.gpr(6)).toBe(10n);
  });

  it("is driven through x2APIC MSRs, TSC deadline included", () => {
    const machine = long(
      [
        ...wrmsr(0x1b, APIC | 0xd00),
        ...wrmsr(0x80f, 0x1ff),
        ...wrmsr(0x832, 0x40000 | VECTOR),
        ...wrmsr(0x6e0, 1e6),
        STI,
        HLT,
        NOP,
      ],
      skylakeSp,
    );
    expect(machine.run(1000)).toBe(StopReason.Halted);
    expect(inHandler(machine, VECTOR)).toBe(true);
    const now = machine.processor.readTimestamp();
    expect(now).toBeGreaterThan(1e6);
    expect(now).toBeLessThan(1e6 + 2000);
  });

  it("#GP for an x2APIC MSR in xAPIC mode and for an illegal mode change", () => {
    for (const code of [wrmsr(0x80b, 0), wrmsr(0x1b, APIC | 0x400), [0xb9, ...le(0x802, 4), 0x0f, 0x32]]) {
      const machine = long(code);
      machine.run(100);
      expect(inHandler(machine, 13)).toBe(true);
    }
  });

  it("shows its features and its state in CPUID", () => {
    const machine = long([0xb8, 1, 0, 0, 0, 0x0f, 0xa2, HLT]);
    machine.run(10);
    expect([(Number(machine.gpr(1)) >> 21) & 1, (Number(machine.gpr(2)) >> 9) & 1]).toEqual([1, 1]);
    const off = long([...wrmsr(0x1b, APIC), 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, HLT]);
    off.run(20);
    expect((Number(off.gpr(2)) >> 9) & 1).toBe(0);
  });
});

describe("time stamps", () => {
  const RDTSC = [0x0f, 0x31];

  it("IA32_TSC and IA32_TSC_ADJUST move together", () => {
    const machine = long([...wrmsr(0x10, 0, 0x100), ...RDTSC, HLT], skylakeSp);
    machine.run(20);
    expect(Number(machine.gpr(2))).toBe(0x100);
    const adjusted = long(
      [
        ...wrmsr(0x3b, 0, 1),
        ...wrmsr(0x3b, 0, 1),
        ...RDTSC,
        0x89,
        0xd6,
        ...[0xb9, 0x3b, 0, 0, 0, 0x0f, 0x32],
        HLT,
      ],
      skylakeSp,
    );
    adjusted.run(20);
    expect([adjusted.gpr(6), adjusted.gpr(2), adjusted.gpr(0)]).toEqual([1n, 1n, 0n]);
  });

  it("a deadline moves with IA32_TSC", () => {
    const machine = enabled(
      [...store(R.LvtTimer, 0x40000 | VECTOR), ...wrmsr(0x6e0, 1e6), ...wrmsr(0x10, 990000), STI, HLT, NOP],
      skylakeSp,
    );
    machine.run(100);
    expect(inHandler(machine, VECTOR)).toBe(true);
    expect(machine.processor.ledger.cycles).toBeLessThan(20000);
  });

  it("a guest's runs at the ratio of the TSC-ratio MSR, then gets the offset", () => {
    const machine = long([...wrmsr(0xc0000104, 0x80000000, 2), HLT]); // 2.5
    machine.run(10);
    const { processor } = machine;
    const host = processor.readTimestamp();
    machine.words[State.GuestMode] = 1;
    processor.state.tscOffset = 1000;
    expect(processor.readTimestamp()).toBe(Math.floor(host * 2.5) + 1000);
    machine.words[State.GuestMode] = 0;
    processor.state.tscOffset = 0;
    expect(processor.readTimestamp()).toBe(host);
    const bad = long(wrmsr(0xc0000104, 0, 0x100));
    bad.run(10);
    expect(inHandler(bad, 13)).toBe(true);
  });

  it("RDTSCP gives IA32_TSC_AUX", () => {
    const machine = long([...wrmsr(0xc0000103, 77), 0x0f, 0x01, 0xf9, HLT]);
    machine.run(10);
    expect(machine.gpr(1)).toBe(77n);
  });
});

describe("determinism", () => {
  it("two runs with interrupts are byte-identical", () => {
    const run = () => {
      const machine = enabled([
        ...store(R.LvtTimer, 0x20000 | VECTOR),
        ...store(R.InitialCount, 37),
        STI,
        0xf0,
        0xff,
        0x05,
        ...le(0x1000, 4), // lock inc dword [rip + 1000h]
        0xeb,
        0xf7,
      ]);
      const body = 0x190000;
      machine.write(body, [0xff, 0xc6, ...store(R.Eoi, 0), ...IRETQ]);
      machine.write(handlerOf(VECTOR), [0xe9, ...le(body - handlerOf(VECTOR) - 5, 4)]);
      machine.run(50000);
      const { ledger, memory, apic, mmu } = machine.processor;
      return JSON.stringify([
        [...machine.words],
        ledger.rows(),
        [...memory.snapshot().bytes.filter((byte) => byte !== 0)],
        apic.snapshot(),
        [...mmu.counters],
      ]);
    };
    expect(run()).toBe(run());
  });
});

describe("INIT", () => {
  it("leaves a bootstrap processor at the reset vector", () => {
    const machine = long([NOP]);
    machine.processor.apic.accept(5, 0, true);
    machine.run(1);
    const { words } = machine.processor.state;
    expect([words[State.RipLo], words[State.Segments + 8], words[State.Segments + 11] >>> 0]).toEqual([
      0xfff0, 0xf000, 0xffff0000,
    ]);
    expect(words[State.Cr0] & 1).toBe(0);
    expect(Table.Gdt).not.toBe(words[State.GdtrBaseLo]);
  });
});
