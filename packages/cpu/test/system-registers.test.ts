import { epyc9124, Flag, Segment, SegmentWord, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const USER = 0x140000;
const STACK = 0x200000;
const HLT = 0xf4;

function long(
  code: readonly number[],
  profile: ConstructorParameters<typeof Machine>[0] = epyc9124,
): Machine {
  const machine = new Machine(profile).long(CODE);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

/** Vector of the handler that a program ended in, or -1 when it halted by itself. */
function vectorOf(machine: Machine): number {
  expect(machine.run(100)).toBe(StopReason.Halted);
  const at = Number(machine.rip) - 1;
  return at >= Table.Handlers && at < Table.Handlers + 64 * 16 ? (at - Table.Handlers) / 16 : -1;
}

const baseOf = (machine: Machine, segment: number) =>
  machine.words[State.Segments + 8 * segment + SegmentWord.BaseLo];

describe("STAC and CLAC", () => {
  it("change AC whatever CR4.SMAP says, at CPL 0 only", () => {
    const set = long([0x0f, 0x01, 0xcb, HLT]);
    expect(set.words[State.Cr4] & 0x200000).toBe(0);
    expect(vectorOf(set)).toBe(-1);
    expect(set.words[State.Flags] & Flag.Ac).toBe(Flag.Ac);
    const user = new Machine().long(CODE, 3);
    installTables(user);
    user.write(CODE, [0x0f, 0x01, 0xca]);
    expect(vectorOf(user)).toBe(6);
  });
});

describe("the trap flag", () => {
  /** SYSCALL's and SYSRET's registers: kernel at CODE + 0x100, user selectors from 0x10 on. */
  function calls(kernel: readonly number[]): Machine {
    const machine = long([0x0f, 0x05]); // syscall
    machine.write(CODE + 0x100, kernel);
    machine.write(USER, [0x90, 0x90]);
    machine.words[State.StarHi] = 0x00100008;
    machine.words[State.LstarLo] = CODE + 0x100;
    machine.words[State.FmaskLo] = Flag.Tf | Flag.If;
    machine.processor.engine.setRflags(Flag.Tf | 2);
    return machine;
  }

  it("does not trap after a SYSCALL that clears it", () => {
    expect(vectorOf(calls([0x90, HLT]))).toBe(-1);
  });

  it("traps after a SYSCALL that leaves it", () => {
    const machine = calls([HLT]);
    machine.words[State.FmaskLo] = 0;
    expect(vectorOf(machine)).toBe(1);
  });

  it("traps before the first user instruction when SYSRET sets it", () => {
    // mov rcx, USER; sysretq (R11 has the flags that SYSCALL saw)
    const machine = calls([0x48, 0xc7, 0xc1, 0, 0, 0x14, 0, 0x48, 0x0f, 0x07]);
    expect(vectorOf(machine)).toBe(1);
    expect(machine.processor.memory.readU64(Table.Stack0 - 40)).toBe(BigInt(USER));
  });
});

describe("CR4", () => {
  const setBit = (bit: number, profile: ConstructorParameters<typeof Machine>[0]) => {
    const machine = long([0x0f, 0x22, 0xe0, HLT], profile); // mov cr4, rax
    machine.setGpr(0, BigInt(0x20 | bit));
    return vectorOf(machine);
  };

  it("reserves the bits of features that CPUID does not show", () => {
    const umip = 0x800;
    const fsGsBase = 0x10000;
    expect(setBit(umip, skylakeSp)).toBe(13);
    expect(setBit(umip, epyc9124)).toBe(-1);
    expect([setBit(fsGsBase, skylakeSp), setBit(fsGsBase, epyc9124)]).toEqual([-1, -1]);
    expect(setBit(0x2000, epyc9124)).toBe(13); // VMXE
  });
});

describe("bases", () => {
  const WIDE = 0xff55_5555_5555_5555n;

  it("are as wide as five levels could use, where the processor has them", () => {
    const write = (profile: ConstructorParameters<typeof Machine>[0], value: bigint) => {
      const machine = long([0x0f, 0x30, HLT], profile); // wrmsr
      machine.setGpr(1, 0xc0000101n);
      machine.setGpr(0, value & 0xffffffffn);
      machine.setGpr(2, value >> 32n);
      return vectorOf(machine);
    };
    expect(write(epyc9124, WIDE)).toBe(-1);
    expect(write(skylakeSp, WIDE)).toBe(13);
    expect(write(epyc9124, 0x5555_5555_5555_5555n)).toBe(13);
  });

  it("of a task state have to be canonical", () => {
    const machine = long([0x0f, 0x00, 0xd8, HLT]); // ltr ax
    machine.setGpr(0, 0x28n);
    machine.processor.memory.writeU32(Table.Gdt + 0x30, 0x55555555);
    expect(vectorOf(machine)).toBe(13);
    machine.processor.memory.writeU32(Table.Gdt + 0x30, 0);
    const good = long([0x0f, 0x00, 0xd8, HLT]);
    good.setGpr(0, 0x28n);
    expect(vectorOf(good)).toBe(-1);
  });

  it("of FS and GS stay when a return outwards empties their selectors", () => {
    const machine = long([0x48, 0xcf]); // iretq
    machine.write(USER, [0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x0f, 0x0b]); // mov rax, gs:0; ud2
    machine.words[State.Segments + 8 * Segment.Gs + SegmentWord.BaseLo] = 0x180000;
    machine.processor.memory.writeU64(0x180000, 0x1234n);
    [BigInt(USER), 0x1bn, 2n, BigInt(STACK), 0x23n].forEach((value, i) => {
      machine.processor.memory.writeU64(STACK + 8 * i, value);
    });
    expect(vectorOf(machine)).toBe(6);
    expect(machine.gpr(0)).toBe(0x1234n);
    expect(machine.words[State.Segments + 8 * Segment.Gs]).toBe(0);
    expect(baseOf(machine, Segment.Gs)).toBe(0x180000);
  });
});
