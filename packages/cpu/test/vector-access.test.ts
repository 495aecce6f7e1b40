import { epyc9124, type ProcessorProfile, Segment, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, Machine, Selector, Table } from "./machine.js";
import { memory, OPERANDS, registers, VectorMachine } from "./vector-machine.js";

const CODE = 0x100000;
const [UD, NM, SS, GP, PF, MF] = [6, 7, 12, 13, 14, 16];
const NOTHING = -1;
const CR0 = { em: 4, ts: 8, ne: 0x20 };
const OSFXSR = 0x200;
const PENDING = 0x80;
/** Nothing is mapped here: the tables end at 1 GiB, and RAM after 16 MiB. */
const UNMAPPED = 0x40000000;

/** Runs code at CPL 0. @returns the vector whose handler it ended in, or -1 */
function vectorOf(machine: Machine, code: readonly number[]): number {
  machine.write(CODE, [...code, 0xf4]);
  machine.rip = BigInt(CODE);
  machine.setGpr(4, 0x300000n);
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const at = Number(machine.rip) - 1 - Table.Handlers;
  return at >= 0 && at < 16 * 64 ? at / 16 : NOTHING;
}

function long(profile: ProcessorProfile = epyc9124): VectorMachine {
  const machine = new VectorMachine(profile);
  installTables(machine);
  return machine;
}

const PXOR_XMM = registers(0x66, [0xef], 1, 2);
const PXOR_MMX = registers(0, [0xef], 1, 2);
const MOVQ2DQ = registers(0xf3, [0xd6], 1, 2);

describe("who may use vector registers", () => {
  const both = { set: CR0.em | CR0.ts, clear: 0 };
  const none = { set: 0, clear: 0 };
  it.each([
    ["an XMM instruction", PXOR_XMM, none, OSFXSR, 0, NOTHING],
    ["an XMM instruction without CR4.OSFXSR", PXOR_XMM, none, 0, 0, UD],
    ["an XMM instruction under CR0.EM and TS", PXOR_XMM, both, OSFXSR, 0, UD],
    ["an XMM instruction under CR0.TS", PXOR_XMM, { set: CR0.ts, clear: 0 }, OSFXSR, 0, NM],
    ["an XMM instruction without CR4.OSFXSR under CR0.TS", PXOR_XMM, { set: CR0.ts, clear: 0 }, 0, 0, UD],
    ["an XMM instruction with an x87 exception pending", PXOR_XMM, none, OSFXSR, PENDING, NOTHING],
    ["an MMX instruction without CR4.OSFXSR", PXOR_MMX, none, 0, 0, NOTHING],
    ["an MMX instruction under CR0.EM and TS", PXOR_MMX, both, OSFXSR, PENDING, UD],
    ["an MMX instruction under CR0.TS", PXOR_MMX, { set: CR0.ts, clear: 0 }, OSFXSR, PENDING, NM],
    ["an MMX instruction with an x87 exception pending", PXOR_MMX, none, OSFXSR, PENDING, MF],
    [
      "the same without CR0.NE, IGNNE# asserted",
      PXOR_MMX,
      { set: 0, clear: CR0.ne },
      OSFXSR,
      PENDING,
      NOTHING,
    ],
    ["MOVQ2DQ without CR4.OSFXSR", MOVQ2DQ, none, 0, PENDING, UD],
    ["MOVQ2DQ with an x87 exception pending", MOVQ2DQ, none, OSFXSR, PENDING, MF],
  ])("%s", (_name, code, cr0, cr4, status, vector) => {
    const machine = long();
    machine.words[State.Cr0] = (machine.words[State.Cr0] | cr0.set) & ~cr0.clear;
    machine.words[State.Cr4] = 0x20 | cr4;
    machine.words[State.FpuStatus] = status;
    expect(vectorOf(machine, code)).toBe(vector);
  });
});

describe("MMX instructions and the x87 state", () => {
  const state = ({ words }: Machine) => [words[State.FpuStatus], words[State.FpuInUse], words[State.Fpr + 6]];

  it.each([
    ["PXOR MM1, MM2 writes", PXOR_MMX, 0xffff],
    ["MOVQ [rbx], MM1 reads", memory(0, [0x7f], 1, 0), 0x1234],
    ["PMOVMSKB EAX, MM1 reads", registers(0, [0xd7], 0, 1), 0x1234],
  ])("%s: TOP is 0, every register in use, a written one has ones above", (_name, code, above) => {
    const machine = long();
    machine.words[State.FpuStatus] = 0x2841;
    machine.words[State.Fpr + 6] = 0x1234;
    expect(vectorOf(machine, code)).toBe(NOTHING);
    expect(state(machine)).toEqual([0x0041, 0xff, above]);
  });

  it("change nothing when their operand faults", () => {
    const machine = long();
    machine.words[State.FpuStatus] = 0x2841;
    machine.words[State.Fpr + 6] = 0x1234;
    machine.setGpr(3, BigInt(UNMAPPED));
    expect(vectorOf(machine, memory(0, [0xef], 1, 0))).toBe(PF);
    expect(state(machine)).toEqual([0x2841, 0, 0x1234]);
  });
});

describe("operands in memory", () => {
  const ALIGNED = memory(0x66, [0xfe], 1, 0);
  const MOVAPS = memory(0, [0x28], 1, 0);
  const MOVAPS_STORE = memory(0, [0x29], 1, 0);
  const MOVUPS = memory(0, [0x10], 1, 0);
  const MOVUPS_STORE = memory(0, [0x11], 1, 0);
  const LDDQU = memory(0xf2, [0xf0], 1, 0);
  const PCMPISTRI = memory(0x66, [0x3a, 0x63], 1, 0, 0);

  it.each([
    ["PADDD", ALIGNED, GP],
    ["MOVAPS", MOVAPS, GP],
    ["MOVAPS to memory", MOVAPS_STORE, GP],
    ["MOVNTDQ", memory(0x66, [0xe7], 1, 0), GP],
    ["MOVNTDQA", memory(0x66, [0x38, 0x2a], 1, 0), GP],
    ["AESENC", memory(0x66, [0x38, 0xdc], 1, 0), GP],
    ["MOVUPS", MOVUPS, NOTHING],
    ["MOVUPS to memory", MOVUPS_STORE, NOTHING],
    ["MOVDQU", memory(0xf3, [0x6f], 1, 0), NOTHING],
    ["LDDQU", LDDQU, NOTHING],
    ["PCMPISTRI", PCMPISTRI, NOTHING],
    ["PMOVZXBW", memory(0x66, [0x38, 0x30], 1, 0), NOTHING],
    ["MOVHPS", memory(0, [0x16], 1, 0), NOTHING],
    ["PADDD of MMX", memory(0, [0xfe], 1, 0), NOTHING],
  ])("%s off its alignment", (_name, code, vector) => {
    for (const step of [1, 4, 8]) {
      const machine = long();
      machine.setGpr(3, BigInt(OPERANDS + step));
      const before = machine.xmm(1);
      expect(vectorOf(machine, code)).toBe(vector);
      if (vector === GP) expect(machine.xmm(1)).toEqual(before);
    }
  });

  it.each([
    ["an AMD processor takes", epyc9124, NOTHING],
    ["an Intel processor refuses", skylakeSp, GP],
  ])("%s SHA1MSG1 off its alignment", (_name, profile, vector) => {
    const machine = long(profile as ProcessorProfile);
    machine.setGpr(3, BigInt(OPERANDS + 4));
    expect(vectorOf(machine, memory(0, [0x38, 0xc9], 1, 0))).toBe(vector);
  });

  it("alignment is looked at before the page tables", () => {
    const machine = long();
    machine.setGpr(3, BigInt(UNMAPPED + 8));
    expect(vectorOf(machine, ALIGNED)).toBe(GP);
    expect(vectorOf(machine, MOVUPS)).toBe(PF);
  });

  it("a store that ends in a page that is not there leaves the first page alone", () => {
    const machine = long();
    machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    machine.setXmm(1, new Uint8Array(16).fill(0x5a));
    machine.setGpr(3, BigInt(UNMAPPED - 5));
    expect(vectorOf(machine, MOVUPS_STORE)).toBe(PF);
    expect(machine.words[State.Cr2Lo]).toBe(UNMAPPED);
    expect(machine.processor.memory.readU32(UNMAPPED - 4)).toBe(0);
  });

  it("an access across two pages arrives in both", () => {
    const machine = long();
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => 3 * i + 1);
    machine.setXmm(1, bytes);
    machine.setGpr(3, BigInt(OPERANDS + 0x1000 - 7));
    expect(vectorOf(machine, [...MOVUPS_STORE, ...memory(0, [0x10], 2, 0)])).toBe(NOTHING);
    expect(machine.processor.memory.readBytes(OPERANDS + 0x1000 - 7, 16)).toEqual(bytes);
    expect(machine.xmm(2)).toEqual(bytes);
  });

  it("MASKMOVDQU stores the bytes that its mask chooses", () => {
    const machine = long();
    machine.setGpr(7, BigInt(OPERANDS + 0x1000 - 3));
    machine.setXmm(
      1,
      Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    );
    machine.setXmm(
      2,
      Uint8Array.from({ length: 16 }, (_, i) => (i % 5 === 1 ? 0x80 : 0x7f)),
    );
    expect(vectorOf(machine, registers(0x66, [0xf7], 1, 2))).toBe(NOTHING);
    const stored = [...machine.processor.memory.readBytes(OPERANDS + 0x1000 - 3, 16)];
    expect(stored).toEqual([0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0, 12, 0, 0, 0, 0]);
  });

  // Faults, and the bytes that have been stored by then, as on a Zen 3 with the same pages.
  describe("MASKMOVQ and MASKMOVDQU at the end of 32-bit addresses in 64-bit code", () => {
    const TOP = 0xffff_f000;
    const BEHIND = 0x1_0000_0000;
    const NEAR = 0;
    /** Only these pages may be written. @returns the machine, and CR2 or nothing */
    function store(bytes: 8 | 16, before: number, pages: readonly number[], first: boolean, last: boolean) {
      const machine = long();
      const { memory } = machine.processor;
      // Pages of 4 KiB at the end of the fourth GiB, and from 4 GiB on.
      memory.writeU64(0x2018, 0x20007n);
      memory.writeU64(0x20000 + 8 * 511, 0x21007n);
      memory.writeU64(0x2020, 0x22007n);
      memory.writeU64(0x22000, 0x23007n);
      memory.writeU64(0x3000, 0x24007n);
      for (let i = 0; i < 512; i++) memory.writeU64(0x24000 + 8 * i, (BigInt(i) << 12n) | 7n);
      const entries = { [TOP]: 0x21000 + 8 * 511, [BEHIND]: 0x23000, [NEAR]: 0x24000 };
      for (const [page, at] of Object.entries(entries)) {
        const frame = Number(page) === NEAR ? 0x300000n : Number(page) === TOP ? 0x301000n : 0x302000n;
        memory.writeU64(at, frame | (pages.includes(Number(page)) ? 7n : 0n));
      }
      const data = new Uint8Array(16).fill(0x5a);
      const mask = Uint8Array.from({ length: 16 }, (_, i) => ((i < before ? first : last) ? 0x80 : 0));
      if (bytes === 8) {
        machine.setMmx(1, data.subarray(0, 8));
        machine.setMmx(2, mask.subarray(0, 8));
      } else {
        machine.setXmm(1, data);
        machine.setXmm(2, mask);
      }
      machine.setGpr(7, BigInt(BEHIND - before));
      machine.words[State.Cr2Lo] = -1;
      const code = [0x67, ...registers(bytes === 8 ? 0 : 0x66, [0xf7], 1, 2)];
      const vector = vectorOf(machine, code);
      const stored = (at: number) => [...memory.readBytes(at, 16)].filter((byte) => byte === 0x5a).length;
      const cr2 = machine.words[State.Cr2Hi] * 2 ** 32 + (machine.words[State.Cr2Lo] >>> 0);
      return {
        fault: vector === PF ? cr2 : vector,
        stored: [stored(0x302000 - 16), stored(0x302000), stored(0x300000)],
      };
    }

    const all = [TOP, BEHIND, NEAR];
    it.each([
      [8, 3, all, true, true, NOTHING, [3, 0, 5]],
      [16, 6, all, true, true, NOTHING, [6, 0, 10]],
      [16, 11, all, true, true, NOTHING, [11, 0, 5]],
      [8, 4, [BEHIND, NEAR], false, false, BEHIND - 4, [0, 0, 0]],
      [8, 4, [TOP, NEAR], true, false, BEHIND, [0, 0, 0]],
      [8, 4, [TOP, BEHIND], true, false, NOTHING, [4, 0, 0]],
      [8, 4, [TOP, BEHIND], true, true, 0, [4, 0, 0]],
      [16, 1, [TOP, BEHIND], false, false, 7, [0, 0, 0]],
      [16, 6, [TOP, BEHIND], true, false, 2, [0, 0, 0]],
      [16, 8, [TOP, BEHIND], true, false, 0, [0, 0, 0]],
      [16, 8, [TOP, NEAR], true, true, NOTHING, [8, 0, 8]],
      [16, 11, [TOP, BEHIND], true, true, 0, [11, 0, 0]],
      [16, 11, [TOP, BEHIND], true, false, NOTHING, [11, 0, 0]],
    ] as const)(
      "%i bytes, %i of them before it, pages %j, mask %s %s",
      (bytes, before, pages, first, last, fault, stored) => {
        expect(store(bytes, before, pages, first, last)).toEqual({ fault, stored });
      },
    );
  });

  it("limits and 16-bit addresses hold for them as for others", () => {
    const machine = new Machine().flat32(CODE);
    installTables(machine);
    machine.words[State.Cr4] = OSFXSR;
    // MOV EAX, Small; MOV DS, AX: 256 bytes from 0x10000 on.
    const small = [0xb8, Selector.Small, 0, 0, 0, 0x8e, 0xd8];
    machine.setGpr(3, 0xffff_00f0n);
    // MOVUPS XMM1, [BX]; the upper half of EBX does not count.
    const load = [0x67, 0x0f, 0x10, 0x0f];
    machine.write(0x100f0, [1, 2, 3, 4]);
    expect(vectorOf(machine, [...small, ...load])).toBe(NOTHING);
    expect(machine.words[State.Vector + 8]).toBe(0x04030201);
    machine.setGpr(3, 0xffff_00f1n);
    expect(vectorOf(machine, [...small, ...load])).toBe(GP);
  });

  it("code that a vector store changes runs as changed", () => {
    const machine = long();
    // MOVUPS [rdi], XMM1 over the MOV EAX, 1 behind it, which becomes MOV EAX, 2 and NOPs.
    const code = [0x0f, 0x11, 0x0f, 0xb8, 1, 0, 0, 0, ...new Array(11).fill(0x90)];
    machine.setGpr(7, BigInt(CODE + 3));
    machine.setXmm(1, Uint8Array.from([0xb8, 2, 0, 0, 0, ...new Array(11).fill(0x90)]));
    expect(vectorOf(machine, code)).toBe(NOTHING);
    expect(machine.gpr(0)).toBe(2n);
  });
});

it.each([
  ["an AMD processor looks at the alignment first", epyc9124, GP],
  ["an Intel processor at the limit", skylakeSp, SS],
])("of an operand beyond the limit of SS and off its alignment %s", (_name, profile, vector) => {
  const machine = new Machine(profile as ProcessorProfile).flat32(CODE);
  installTables(machine);
  machine.words[State.Cr4] = OSFXSR;
  // 256 bytes, byte-granular.
  machine.segment(Segment.Ss, Selector.Data0, 0x4093, 0x20000, 0xff);
  // MOV ESP, 80h; MOVAPS XMM1, [EBP]
  const code = [0xbc, 0x80, 0, 0, 0, 0x0f, 0x28, 0x4d, 0];
  machine.setGpr(5, 0xf1n);
  expect(vectorOf(machine, code)).toBe(vector);
  machine.setGpr(5, 0x100n);
  expect(vectorOf(machine, code)).toBe(SS);
});
