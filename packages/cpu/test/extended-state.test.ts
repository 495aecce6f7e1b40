import { epyc9124, State, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const AREA = 0x200000;
const HLT = 0xf4;
const CR0 = 0x80050033 | 0;
const TS = 8;
const EM = 4;
/** PAE, OSFXSR, OSXMMEXCPT, OSXSAVE. */
const CR4 = 0x40620;
const OSFXSR = 0x200;
const OSXMMEXCPT = 0x400;
const OSXSAVE = 0x40000;

const ADDPS = [0x0f, 0x58, 0xc1];
const FXSAVE = [0x0f, 0xae, 0x04, 0x25, 0, 0, 0x20, 0];
const XSAVE = [0x0f, 0xae, 0x24, 0x25, 0, 0, 0x20, 0];
const XSAVEC = [0x0f, 0xc7, 0x24, 0x25, 0, 0, 0x20, 0];
const XRSTOR = [0x0f, 0xae, 0x2c, 0x25, 0, 0, 0x20, 0];
const XGETBV = [0x0f, 0x01, 0xd0];
const XSETBV = [0x0f, 0x01, 0xd1];

function machine(code: readonly number[], cr0 = CR0, cr4 = CR4, profile = epyc9124): Machine {
  const made = new Machine(profile).long(CODE);
  installTables(made);
  made.words[State.Cr0] = cr0;
  made.words[State.Cr4] = cr4;
  made.words[State.XcrLo] = 3;
  made.setGpr(4, BigInt(Table.Stack0));
  made.write(CODE, [...code, HLT]);
  return made;
}

/** Vector of the exception that ended the code, or -1. */
function run(made: Machine): number {
  made.run(20);
  const offset = Number(made.rip) - Table.Handlers;
  return offset >= 0 && offset < 0x1000 ? offset >> 4 : -1;
}

describe("exceptions of SSE instructions", () => {
  const invalid = (made: Machine): Machine => {
    made.words[State.Vector] = 0x7f800001; // SNaN
    made.words[State.Mxcsr] = 0x1f00;
    return made;
  };

  it("an unmasked one is #XM, or #UD without OSXMMEXCPT, and leaves the destination alone", () => {
    for (const [cr4, vector] of [
      [CR4, 19],
      [CR4 & ~OSXMMEXCPT, 6],
    ] as const) {
      const made = invalid(machine(ADDPS, CR0, cr4));
      expect(run(made)).toBe(vector);
      expect(made.words[State.Vector]).toBe(0x7f800001);
      expect(made.words[State.Mxcsr]).toBe(0x1f01);
    }
  });

  it.each([
    ["OSFXSR clear", CR0, CR4 & ~OSFXSR, 6],
    ["EM set", CR0 | EM | TS, CR4, 6],
    ["TS set", CR0 | TS, CR4, 7],
  ] as const)("%s", (_name, cr0, cr4, vector) => {
    expect(run(machine(ADDPS, cr0, cr4))).toBe(vector);
  });

  it("EM is #UD on AMD and #NM on Intel for FXSAVE, which needs no OSFXSR", () => {
    expect(run(machine(FXSAVE, CR0 | EM))).toBe(6);
    expect(run(machine(FXSAVE, CR0 | EM, CR4, skylakeSp))).toBe(7);
    expect(run(machine(FXSAVE, CR0, CR4 & ~OSFXSR))).toBe(-1);
  });
});

describe("XCR0", () => {
  const set = (value: number, register = 0) => [
    0xb9,
    register,
    0,
    0,
    0,
    0xb8,
    value,
    0,
    0,
    0,
    0x31,
    0xd2,
    ...XSETBV,
  ];

  it.each([
    [1, -1],
    [3, -1],
    [0, 13],
    [2, 13],
    [7, 13],
  ] as const)("set to %i ends with vector %i", (value, vector) => {
    const made = machine(set(value));
    expect(run(made)).toBe(vector);
    expect(made.words[State.XcrLo]).toBe(vector < 0 ? value : 3);
  });

  it("is the only extended control register, and there is none without OSXSAVE", () => {
    expect(run(machine(set(3, 1)))).toBe(13);
    expect(run(machine(set(3), CR0, CR4 & ~OSXSAVE))).toBe(6);
    expect(run(machine([0xb9, 2, 0, 0, 0, ...XGETBV]))).toBe(13);
    const made = machine([0xb9, 0, 0, 0, 0, ...XGETBV]);
    expect(run(made)).toBe(-1);
    expect(made.gpr(0)).toBe(3n);
  });

  it("CPUID shows OSXSAVE as CR4 has it, and 576 bytes for x87 and SSE", () => {
    const out = new Int32Array(4);
    const made = machine([]);
    const { cpuid } = made.processor;
    cpuid.query(1, 0, out);
    expect((out[2] >>> 26) & 3).toBe(3);
    made.words[State.Cr4] &= ~OSXSAVE;
    cpuid.query(1, 0, out);
    expect((out[2] >>> 26) & 3).toBe(1);
    // AVX is not offered.
    expect((out[2] >>> 28) & 1).toBe(0);
    cpuid.query(0xd, 0, out);
    expect([...out]).toEqual([3, 576, 576, 0]);
  });
});

describe("XSAVE and XRSTOR", () => {
  const components = [0xb8, 3, 0, 0, 0];

  it("leave out of a compacted image what is in its initial state", () => {
    const made = machine([...components, ...XSAVEC], CR0, CR4, skylakeSp);
    made.words[State.FpuControl] = 0x37f;
    made.words[State.Mxcsr] = 0x1f80;
    expect(run(made)).toBe(-1);
    const { memory } = made.processor;
    expect(memory.readU32(AREA + 512)).toBe(0);
    expect([memory.readU32(AREA + 520), memory.readU32(AREA + 524)]).toEqual([3, 0x80000000]);
  });

  it("bring registers back, and initial values where the image has none", () => {
    const made = machine([...components, ...XSAVE]);
    made.words[State.Vector + 8 * 9 + 2] = 77;
    made.words[State.Fpr + 4] = 55;
    expect(run(made)).toBe(-1);
    made.words[State.Vector + 8 * 9 + 2] = 0;
    made.words[State.Fpr + 4] = 0;
    const { memory } = made.processor;
    expect(memory.readU32(AREA + 512)).toBe(3);
    made.write(CODE, [...components, ...XRSTOR, HLT]);
    made.rip = BigInt(CODE);
    expect(run(made)).toBe(-1);
    expect(made.words[State.Vector + 8 * 9 + 2]).toBe(77);
    expect(made.words[State.Fpr + 4]).toBe(55);
    made.write(AREA + 512, [1]);
    made.rip = BigInt(CODE);
    expect(run(made)).toBe(-1);
    expect(made.words[State.Vector + 8 * 9 + 2]).toBe(0);
  });

  it("refuse a header with unknown states, reserved bits, or MXCSR bits that there are not", () => {
    for (const [offset, value] of [
      [512, 4],
      [528, 1],
      [26, 4],
    ] as const) {
      const made = machine([...components, ...XRSTOR]);
      made.write(AREA + offset, [value]);
      expect(run(made)).toBe(13);
    }
  });
});
