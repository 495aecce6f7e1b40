import { Dr6, Flag, Intercept, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { handlerOf, installTables, le, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const DATA = 0x180000;
const STACK = 0x200000;
const MOV_SS = [0x8e, 0xd0]; // mov ss, eax
const READ = [0x8b, 0x03]; // mov eax, [rbx]
const WRITE = [0x89, 0x03]; // mov [rbx], eax
const NOP = 0x90;
const ICEBP = 0xf1;

function long(code: readonly number[], profile?: ConstructorParameters<typeof Machine>[0]): Machine {
  const machine = new Machine(profile).long(CODE);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(4, BigInt(STACK));
  machine.setGpr(3, BigInt(DATA));
  machine.setGpr(0, 0x10n); // a stack selector
  return machine;
}

/** Enables breakpoint `i` on an address; `condition`: 0 execute, 1 write, 2 port, 3 read or write. */
function arm(machine: Machine, i: number, address: number | bigint, condition = 0, bytes = 1): void {
  const length = { 1: 0, 2: 1, 8: 2, 4: 3 }[bytes] ?? 0;
  machine.words[State.Dr0 + 2 * i] = Number(BigInt.asIntN(32, BigInt(address)));
  machine.words[State.Dr0 + 2 * i + 1] = Number(BigInt.asIntN(32, BigInt(address) >> 32n));
  machine.words[State.Dr7] |= (2 << (2 * i)) | (condition << (16 + 4 * i)) | (length << (18 + 4 * i));
}

interface Trap {
  readonly vector: number;
  readonly rip: number;
  readonly flags: number;
  readonly dr6: number;
}

/** Runs to a handler's HLT: its vector, the RIP and RFLAGS that were pushed, and what DR6 reports. */
function trap(machine: Machine): Trap {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const sp = Number(machine.gpr(4));
  const { memory } = machine.processor;
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  const at = vector === 13 || vector === 14 ? sp + 8 : sp;
  return {
    vector,
    rip: Number(memory.readU64(at)) - CODE,
    flags: Number(memory.readU64(at + 16)),
    dr6: machine.words[State.Dr6] ^ Dr6.Fixed,
  };
}

/** Where a program without a trap halts. */
function end(machine: Machine): number {
  expect(machine.run(10)).toBe(StopReason.Halted);
  return Number(machine.rip) - CODE;
}

/** As {@link trap}, after the handler returned. */
function next(machine: Machine): Trap {
  machine.rip = machine.processor.memory.readU64(Number(machine.gpr(4)));
  machine.processor.engine.setRflags(Number(machine.processor.memory.readU64(Number(machine.gpr(4)) + 16)));
  machine.setGpr(4, BigInt(STACK));
  return trap(machine);
}

describe("instruction breakpoints", () => {
  it("fault before the instruction, without RF in the pushed flags", () => {
    const machine = long([NOP, NOP, 0xf4]);
    arm(machine, 2, CODE + 1);
    expect(trap(machine)).toEqual({ vector: 1, rip: 1, flags: 2, dr6: 4 });
  });

  it("let the instruction run after an IRET that loads RF, once", () => {
    const machine = long([NOP, 0xeb, 0xfd]); // nop; jmp to it
    arm(machine, 0, CODE);
    // The handler sets RF in the image and returns.
    machine.write(handlerOf(1), [
      0x48,
      0x81,
      0x4c,
      0x24,
      0x10,
      ...le(Flag.Rf, 4),
      0x48,
      0xff,
      0xc1,
      0x48,
      0xcf,
    ]);
    machine.setGpr(1, 0n);
    machine.run(16);
    expect(machine.gpr(1)).toBeGreaterThan(1n);
    expect(machine.gpr(1)).toBeLessThan(6n);
    expect(machine.words[State.Flags] & Flag.Rf).toBe(0);
  });

  it("fire again and again when the handler returns without RF", () => {
    const machine = long([NOP, 0xf4]);
    arm(machine, 0, CODE);
    for (let i = 0; i < 3; i++) {
      expect((i === 0 ? trap(machine) : next(machine)).rip).toBe(0);
    }
  });

  it("are held off by MOV SS as if RF were set, on Intel alone, and come before a fault of the instruction", () => {
    const machine = long([...MOV_SS, 0x0f, 0x0b], skylakeSp);
    arm(machine, 0, CODE + 2);
    expect(trap(machine).vector).toBe(6);
    const amd = long([...MOV_SS, 0x0f, 0x0b]);
    arm(amd, 0, CODE + 2);
    expect(trap(amd).vector).toBe(1);
    const other = long([0x0f, 0x0b]);
    arm(other, 0, CODE);
    expect(trap(other).vector).toBe(1);
  });

  it("report every match at one place", () => {
    const machine = long([NOP]);
    arm(machine, 1, CODE);
    arm(machine, 3, CODE);
    expect(trap(machine).dr6).toBe(0xa);
  });

  it("do not match data accesses, nor another address with the same low half", () => {
    const machine = long([...READ, 0xf4]);
    arm(machine, 0, DATA);
    arm(machine, 1, BigInt(CODE) + 0x1_0000_0000n);
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(CODE + 3);
  });

  it("match once for a repeated string that pauses under way", () => {
    const machine = long([0xf3, 0xaa, 0xf4]); // rep stosb
    machine.setGpr(1, 20000n);
    machine.setGpr(7, BigInt(DATA));
    machine.processor.engine.setRflags(Flag.Rf | 2);
    arm(machine, 0, CODE);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(CODE + 3);
    expect(machine.gpr(1)).toBe(0n);
  });
});

describe("data breakpoints", () => {
  it("trap after a write, not after a read", () => {
    const machine = long([...READ, ...WRITE, NOP]);
    arm(machine, 0, DATA, 1, 4);
    expect(trap(machine)).toEqual({ vector: 1, rip: 4, flags: 2, dr6: 1 });
  });

  it("trap after reads where asked, of any byte of an aligned range", () => {
    for (const [offset, bytes, hit] of [
      [-4, 4, false],
      [-3, 4, true],
      [3, 4, true],
      [4, 4, false],
      [5, 8, true],
      [-1, 1, true],
      [1, 1, false],
    ] as const) {
      const machine = long([...READ, 0xf4]);
      arm(machine, 1, DATA, 3, bytes);
      machine.setGpr(3, BigInt(DATA + offset));
      if (hit) expect(trap(machine)).toMatchObject({ vector: 1, rip: 2, dr6: 2 });
      else expect(end(machine)).toBe(3);
    }
  });

  it("see both halves of an access that crosses a page, and pushes, and read-modify-writes", () => {
    const crossing = long([...WRITE, NOP]);
    crossing.setGpr(3, BigInt(DATA + 4094));
    arm(crossing, 0, DATA + 4096, 1, 1);
    expect(trap(crossing)).toMatchObject({ vector: 1, dr6: 1 });
    const push = long([0x50, NOP]);
    arm(push, 0, STACK - 8, 1, 8);
    expect(trap(push)).toMatchObject({ vector: 1, rip: 1 });
    const add = long([0x01, 0x03, NOP]); // add [rbx], eax
    arm(add, 3, DATA, 3, 4);
    expect(trap(add)).toMatchObject({ vector: 1, dr6: 8 });
  });

  it("do not fire for an access that faults", () => {
    const machine = long([...READ]);
    machine.setGpr(3, 0x40000000n);
    arm(machine, 0, 0x40000000, 3, 4);
    expect(trap(machine)).toMatchObject({ vector: 14, dr6: 0 });
  });

  it("trap after the iteration of a repeated string that touched them", () => {
    const machine = long([0xf3, 0xaa, NOP]);
    machine.setGpr(1, 8n);
    machine.setGpr(7, BigInt(DATA));
    arm(machine, 0, DATA + 2, 1, 1);
    expect(trap(machine)).toMatchObject({ vector: 1, rip: 0, dr6: 1 });
    expect(machine.gpr(1)).toBe(5n);
    // On AMD RF is not pushed; the string goes on.
    expect(machine.gpr(7)).toBe(BigInt(DATA + 3));
  });

  it("are held back by MOV SS until the next instruction has run, and survive INT n", () => {
    const held = long([0x8e, 0x13, NOP, NOP]); // mov ss, [rbx]
    held.processor.memory.writeU32(DATA, 0x10);
    arm(held, 0, DATA, 3, 2);
    expect(trap(held)).toMatchObject({ vector: 1, rip: 3, dr6: 1 });
    const int = long([0x8e, 0x13, 0xcd, 0x20, NOP]);
    int.processor.memory.writeU32(DATA, 0x10);
    arm(int, 0, DATA, 3, 2);
    expect(trap(int)).toMatchObject({ vector: 1, rip: handlerOf(0x20) - CODE, dr6: 1 });
  });

  it("cost nothing: the same cycles with one armed elsewhere and none", () => {
    const cycles = (armed: boolean) => {
      const machine = long([0xb9, ...le(500, 4), ...READ, ...WRITE, 0xff, 0xc9, 0x75, 0xf8, 0xf4]);
      if (armed) arm(machine, 0, DATA + 0x1000, 3, 4);
      expect(machine.run(1e6)).toBe(StopReason.Halted);
      return machine.processor.ledger.clock[0];
    };
    expect(cycles(true)).toBe(cycles(false));
  });

  it("are gone once DR7 no longer enables them", () => {
    const machine = long([...READ, 0x31, 0xc0, 0x0f, 0x23, 0xf8, ...WRITE, 0xf4]); // xor eax, eax; mov dr7, rax
    arm(machine, 0, DATA, 1, 4);
    expect(machine.run(20)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(CODE + 10);
  });
});

describe("port breakpoints", () => {
  const IN = [0xe4, 0x60, NOP]; // in al, 0x60

  it("trap after IN with CR4.DE only", () => {
    const machine = long([...IN, 0xf4]);
    arm(machine, 0, 0x60, 2, 1);
    expect(end(machine)).toBe(4);
    const enabled = long(IN);
    enabled.words[State.Cr4] |= 8;
    arm(enabled, 0, 0x5e, 2, 4); // 5ch to 5fh
    arm(enabled, 1, 0x61, 2, 2); // 60h and 61h
    expect(trap(enabled)).toMatchObject({ vector: 1, rip: 2, dr6: 2 });
  });
});

describe("single step", () => {
  it("reports BS, and a breakpoint of the same instruction with it", () => {
    const machine = long([...WRITE, NOP]);
    machine.processor.engine.setRflags(Flag.Tf | 2);
    arm(machine, 0, DATA, 1, 4);
    expect(trap(machine)).toEqual({ vector: 1, rip: 2, flags: Flag.Tf | 2, dr6: 0x4001 });
  });

  it("passes over MOV SS, and over nothing after STI", () => {
    const machine = long([...MOV_SS, NOP, NOP]);
    machine.processor.engine.setRflags(Flag.Tf | 2);
    expect(trap(machine)).toMatchObject({ vector: 1, rip: 3, dr6: 0x4000 });
    const sti = long([0xfb, NOP]);
    sti.processor.engine.setRflags(Flag.Tf | 2);
    expect(trap(sti)).toMatchObject({ vector: 1, rip: 1 });
  });

  it("keeps BS in DR6 until software clears it, but not the breakpoints of before", () => {
    const machine = long([NOP, NOP]);
    machine.words[State.Dr6] |= 0x4003;
    arm(machine, 2, CODE + 1);
    expect(trap(machine).dr6).toBe(0x4004);
  });

  it("begins with the instruction after POPF and ends after the one that clears TF", () => {
    const machine = long([0x9d, NOP, NOP]); // popfq
    machine.setGpr(4, BigInt(STACK - 8));
    machine.processor.memory.writeU64(STACK - 8, BigInt(Flag.Tf | 2));
    expect(trap(machine).rip).toBe(2);
    const off = long([0x9d, NOP, NOP]);
    off.setGpr(4, BigInt(STACK - 8));
    off.processor.memory.writeU64(STACK - 8, 2n);
    off.processor.engine.setRflags(Flag.Tf | 2);
    expect(trap(off)).toMatchObject({ rip: 1, flags: 2 });
  });
});

describe("debug registers", () => {
  const dr = (register: number, from: boolean) => [0x0f, from ? 0x21 : 0x23, 0xc0 | (register << 3)];

  it("general detect faults before the access, with BD and RF, and lets the handler in", () => {
    const machine = long([NOP, ...dr(7, true)]);
    machine.words[State.Dr7] |= 0x2000;
    const { flags, ...rest } = trap(machine);
    expect(rest).toEqual({ vector: 1, rip: 1, dr6: 0x2000 });
    expect(flags).toBe(Flag.Rf | 2);
    expect(machine.words[State.Dr7] & 0x2000).toBe(0);
  });

  it("DR4 and DR5 are DR6 and DR7 without CR4.DE, undefined with it", () => {
    const machine = long([...dr(5, true), 0xf4]);
    machine.run(5);
    expect(machine.gpr(0)).toBe(0x400n);
    const enabled = long(dr(4, true));
    enabled.words[State.Cr4] |= 8;
    expect(trap(enabled).vector).toBe(6);
  });

  it("refuse the upper half of DR6 and DR7 in 64-bit mode", () => {
    for (const register of [6, 7]) {
      const machine = long(dr(register, false));
      machine.setGpr(0, 0x1_0000_0000n);
      expect(trap(machine).vector).toBe(13);
    }
  });

  it("keep reserved bits", () => {
    const machine = long([...dr(7, false), ...dr(6, false), 0xf4]);
    machine.setGpr(0, 0xffff_ff00n & ~0x2000n);
    machine.run(9);
    expect(machine.words[State.Dr7] >>> 0).toBe(0xffff0700);
    expect(machine.words[State.Dr6] >>> 0).toBe((0xffff0ff0 | 0xc000) >>> 0);
  });

  it("exit before a privilege fault on Intel, after it on AMD", () => {
    for (const [profile, exits] of [
      [skylakeSp, true],
      [undefined, false],
    ] as const) {
      const machine = new Machine(profile).long(CODE, 3);
      installTables(machine);
      machine.write(CODE, dr(0, true));
      const asked: number[] = [];
      machine.processor.guestMode = {
        interceptInstruction: (event) => asked.push(event) > 0,
        interceptException: () => false,
        secondStageFault: () => {},
        externalEvent: () => false,
      };
      machine.run(1);
      expect(asked.includes(Intercept.DrAccess)).toBe(exits);
    }
  });
});

describe("ICEBP", () => {
  it("is a trap that leaves DR6 alone", () => {
    const machine = long([ICEBP, NOP]);
    expect(trap(machine)).toEqual({ vector: 1, rip: 1, flags: 2, dr6: 0 });
  });
});

describe("RF", () => {
  it("is pushed by faults, cleared by the next instruction, and in no image of PUSHF", () => {
    const machine = long([0x9c, 0x0f, 0x0b]); // pushfq; ud2
    machine.processor.engine.setRflags(Flag.Rf | 2);
    const { flags } = trap(machine);
    expect(flags).toBe(Flag.Rf | 2);
    expect(machine.processor.memory.readU64(STACK - 8)).toBe(2n);
  });
});

describe("a #DB in a guest", () => {
  it.each([
    ["amd", undefined, 0x4000],
    ["intel", skylakeSp, 0],
  ] as const)("shows DR6 to the hypervisor on %s", (_vendor, profile, dr6) => {
    const machine = long([NOP], profile);
    machine.processor.engine.setRflags(Flag.Tf | 2);
    const seen: number[] = [];
    machine.processor.guestMode = {
      interceptInstruction: () => false,
      interceptException: (vector, _code, _has, lo) => seen.push(vector, lo) > 0,
      secondStageFault: () => {},
      externalEvent: () => false,
    };
    expect(machine.run(5)).toBe(StopReason.VmExit);
    expect(seen).toEqual([1, 0x4000]);
    expect(machine.words[State.Dr6] ^ Dr6.Fixed).toBe(dr6);
  });
});
