import {
  epyc9124,
  Flag,
  type ProcessorProfile,
  Segment,
  SegmentWord,
  State,
  StopReason,
  skylakeSp,
} from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, le, Machine, Selector, Table } from "./machine.js";

const CODE = 0x100000;
const STACK = 0x200000;
/** Nothing is mapped here in 64-bit mode: the tables of {@link Machine.long} end at 1 GiB. */
const UNMAPPED = 0x40000000;
const PROFILES: Readonly<Record<string, ProcessorProfile>> = { amd: epyc9124, intel: skylakeSp };

function start(profile: ProcessorProfile, mode: 32 | 64, code: number[], cpl = 0): Machine {
  const machine = new Machine(profile);
  if (mode === 64) machine.long(CODE, cpl);
  else machine.flat32(CODE, cpl);
  installTables(machine);
  machine.write(CODE, [...code, 0xf4]);
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

/** At CPL 3, with 4 MiB pages over 16 MiB and nothing above. */
function paged32(profile: ProcessorProfile, code: number[]): Machine {
  const machine = start(profile, 32, code, 3);
  for (let i = 0; i < 4; i++) machine.processor.memory.writeU32(0x3000 + 4 * i, (i << 22) | 0x87);
  machine.words[State.Cr3Lo] = 0x3000;
  machine.words[State.Cr4] = 0x10;
  machine.words[State.Cr0] |= 0x80000000;
  machine.processor.syncTranslation();
  return machine;
}

/** Runs to a HLT. @returns the vector whose handler has it, -1 for that behind the code */
function vectorOf(machine: Machine): number {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const at = Number(machine.rip) - 1 - Table.Handlers;
  return at >= 0 && at < 16 * 64 ? at / 16 : -1;
}

/** RFLAGS of the 64-bit frame on top of the stack. */
function pushedFlags(machine: Machine, hasCode: boolean): number {
  return machine.processor.memory.readU32(Number(machine.gpr(4)) + (hasCode ? 24 : 16));
}

describe.each(Object.entries(PROFILES))("an %s processor", (vendor, profile) => {
  const amd = vendor === "amd";

  it("takes PREFETCH with a register for undefined or for a NOP", () => {
    expect(vectorOf(start(profile, 64, [0x0f, 0x0d, 0xc0]))).toBe(amd ? 6 : -1);
    expect(vectorOf(start(profile, 64, [0x0f, 0x0d, 0x04, 0x24]))).toBe(-1);
  });

  it("reaches CR8 with LOCK MOV CR0, or not", () => {
    const machine = start(profile, 64, [0xf0, 0x0f, 0x22, 0xc0, 0x44, 0x0f, 0x20, 0xc1]);
    machine.setGpr(0, 5n);
    expect(vectorOf(machine)).toBe(amd ? -1 : 6);
    if (amd) expect(machine.gpr(1)).toBe(5n);
    expect(vectorOf(start(profile, 64, [0xf0, 0x0f, 0x22, 0xc0], 3))).toBe(amd ? 13 : 6);
  });

  it("exchanges or pauses with F3 and REX.B before 90", () => {
    const machine = start(profile, 64, [0xf3, 0x49, 0x90]);
    machine.setGpr(0, 1n);
    machine.setGpr(8, 2n);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(0)).toBe(amd ? 2n : 1n);
    const pause = start(profile, 64, [0xf3, 0x48, 0x90]);
    pause.setGpr(0, 1n);
    expect(vectorOf(pause)).toBe(-1);
    expect(pause.gpr(0)).toBe(1n);
  });

  it("fetches a ModRM byte of UD0 or not", () => {
    // Cut off by the end of the mapped gigabyte.
    const machine = start(profile, 64, [0xbb, ...le(UNMAPPED - 2, 4), 0xff, 0xe3]);
    machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    machine.write(UNMAPPED - 2, [0x0f, 0xff]);
    expect(vectorOf(machine)).toBe(amd ? 6 : 14);
  });

  it("writes the return address of a CALL to a bad target or not", () => {
    for (const code of [
      [0xff, 0xd0],
      [0xff, 0x13],
    ]) {
      const machine = start(profile, 64, code, 3);
      machine.setGpr(0, 0x8000000000000000n);
      machine.setGpr(3, 0x210000n);
      machine.processor.memory.writeU64(0x210000, 0x8000000000000000n);
      machine.processor.memory.writeU64(STACK - 8, 0x55n);
      expect(vectorOf(machine)).toBe(13);
      expect(machine.processor.memory.readU64(STACK - 8)).toBe(amd ? 0x55n : BigInt(CODE + 2));
    }
  });

  it("pushes a segment register as four bytes or as two", () => {
    const machine = start(profile, 32, [0x06]);
    machine.processor.memory.writeU32(STACK - 4, 0x55555555);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.processor.memory.readU32(STACK - 4)).toBe(
      amd ? Selector.Data0 : 0x55550000 | Selector.Data0,
    );
  });

  it("faults on operands that wrap around the top of a 4 GiB segment, or not", () => {
    for (const [code, vector] of [
      [[0x8b, 0x03], 13], // MOV EAX, [EBX]: the hot loop
      [[0x0f, 0xbd, 0x03], 13], // BSR EAX, [EBX]: a handler
      [[0x58], 12],
    ] as const) {
      const machine = paged32(profile, [...code]);
      machine.setGpr(3, 0xffff_fffdn);
      machine.setGpr(4, 0xffff_fffdn);
      expect(vectorOf(machine)).toBe(amd ? vector : 14);
    }
  });

  it("clears the base of FS with a null selector (NullSelectClearsBase on AMD)", () => {
    const run = (from: ProcessorProfile) => {
      const machine = start(from, 64, [0x31, 0xc0, 0x8e, 0xe0]);
      machine.segment(Segment.Fs, 0, 0x10000, 0x1234);
      expect(vectorOf(machine)).toBe(-1);
      return machine.words[State.Segments + 8 * Segment.Fs + SegmentWord.BaseLo];
    };
    expect(run(profile)).toBe(0);
    const cpuid = profile.cpuid.filter((row) => row[0] !== 0x8000_0021);
    expect(run({ ...profile, cpuid })).toBe(amd ? 0x1234 : 0);
  });

  it("reads all of a selector's slot, or two bytes", () => {
    const machine = start(profile, 64, [0x0f, 0xa1]);
    machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    machine.setGpr(4, BigInt(UNMAPPED - 2));
    machine.write(UNMAPPED - 2, [0, 0]);
    // The frame of the fault needs a stack: on IST 1.
    machine.processor.memory.writeU8(Table.Idt + 16 * 14 + 4, 1);
    expect(vectorOf(machine)).toBe(amd ? 14 : -1);
  });

  it("pops the outer stack of a far return before or after it checks the selector", () => {
    for (const [code, words] of [
      [[0x48, 0xcb], 2],
      [[0x48, 0xcf], 3],
    ] as const) {
      const machine = start(profile, 64, [...code]);
      machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
      const top = UNMAPPED - 8 * words;
      machine.processor.memory.writeU64(top, BigInt(CODE));
      machine.processor.memory.writeU64(top + 8, 0xff3n);
      machine.setGpr(4, BigInt(top));
      machine.processor.memory.writeU8(Table.Idt + 16 * 14 + 4, 1);
      expect(vectorOf(machine)).toBe(amd ? 14 : 13);
    }
  });

  it("reads the flags of an IRET first or last", () => {
    const machine = start(profile, 64, [0x48, 0xcf]);
    machine.setGpr(4, BigInt(UNMAPPED));
    machine.processor.memory.writeU8(Table.Idt + 16 * 14 + 4, 1);
    expect(vectorOf(machine)).toBe(14);
    expect(machine.words[State.Cr2Lo]).toBe(amd ? UNMAPPED + 16 : UNMAPPED);
  });

  it("shows the flags of the last element of a scan that faults, or those of before", () => {
    const machine = start(profile, 64, [0xf2, 0xae]);
    machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    machine.setGpr(0, 1n);
    machine.setGpr(1, 9n);
    machine.setGpr(7, BigInt(UNMAPPED - 1));
    machine.processor.engine.setRflags(Flag.Pf | 2);
    expect(vectorOf(machine)).toBe(14);
    expect(pushedFlags(machine, true) & (Flag.Zf | Flag.Pf)).toBe(amd ? 0 : Flag.Pf);
    expect(pushedFlags(machine, true) & Flag.Rf).toBe(Flag.Rf);
  });

  it("cuts pointers of a REP with 32-bit addresses when it begins, or not", () => {
    const machine = start(profile, 64, [0x67, 0xf3, 0xaa]);
    machine.setGpr(1, 1n << 32n);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(1)).toBe(amd ? 1n << 32n : 0n);
  });

  it("traps between the elements of a repeated string without or with RF", () => {
    const machine = start(profile, 64, [0xf3, 0xaa]);
    machine.setGpr(1, 3n);
    machine.setGpr(7, 0x210000n);
    machine.processor.engine.setRflags(Flag.Tf | 2);
    expect(vectorOf(machine)).toBe(1);
    expect(pushedFlags(machine, false) & Flag.Rf).toBe(amd ? 0 : Flag.Rf);
  });

  it("lets a repeat prefix change the condition of LOOPE, or not", () => {
    const machine = start(profile, 64, [0xf2, 0xe1, 0x01, 0xf4, 0x90]);
    machine.setGpr(1, 5n);
    expect(vectorOf(machine)).toBe(-1);
    // ZF is clear: REPNE LOOPE jumps over the first HLT on AMD.
    expect(Number(machine.rip)).toBe(amd ? CODE + 6 : CODE + 4);
  });

  it("reads both bounds of BOUND before it compares, or not", () => {
    const machine = paged32(profile, [0x62, 0x03]);
    machine.setGpr(3, 0xff_fffcn);
    machine.processor.memory.writeU32(0xff_fffc, 5);
    expect(vectorOf(machine)).toBe(amd ? 14 : 5);
  });

  it("reads the offset of a far pointer before it checks the selector's limit, or not", () => {
    const machine = paged32(profile, [0x0f, 0xb5, 0x03]);
    // The offset lies in the segment but in no page, the selector beyond the limit.
    machine.segment(Segment.Ds, Selector.Small, 0x40f3, 0x2000000, 0xff);
    machine.setGpr(3, 0xfcn);
    expect(vectorOf(machine)).toBe(amd ? 14 : 13);
  });
});
