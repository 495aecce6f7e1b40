import { epyc9124, Flag, type ProcessorProfile, Segment, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, installTables, Machine, Selector, Table } from "./machine.js";

const CODE = 0x500000;
const STACK = 0x200000;
const OPERANDS = 0x610000;
/** Nothing is mapped here in 64-bit mode: the tables of {@link Machine.long} end at 1 GiB. */
const UNMAPPED = 0x40000000;
const AM = 0x40000;
const OSFXSR = 0x200;
const OSXSAVE = 0x40000;
const MISALIGNED = 0x20000;
const [SS, GP, PF, AC] = [12, 13, 14, 17];
const NOTHING = -1;
const PROFILES: Readonly<Record<string, ProcessorProfile>> = { amd: epyc9124, intel: skylakeSp };

/** CPL 3, CR0.AM on, SSE on, the instruction's operand at `[rbx]`. */
function start(profile: ProcessorProfile, mode: 32 | 64, text: string, address: number | bigint): Machine {
  const machine = new Machine(profile);
  if (mode === 64) machine.long(CODE, 3);
  else {
    machine.flat32(CODE, 3);
    // 4 MiB pages over 16 MiB and nothing above.
    for (let i = 0; i < 4; i++) machine.processor.memory.writeU32(0x3000 + 4 * i, (i << 22) | 0x87);
    machine.words[State.Cr3Lo] = 0x3000;
    machine.words[State.Cr4] = 0x10;
    machine.words[State.Cr0] |= 0x80000000;
  }
  installTables(machine);
  machine.words[State.Cr0] |= AM;
  machine.words[State.Cr4] |= OSFXSR;
  machine.processor.syncTranslation();
  machine.write(CODE, code(text, "cc"));
  machine.setGpr(3, BigInt(address));
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

/** As {@link start} in 32-bit code on AMD, with 16-bit addresses, the operand so many bytes before their end. */
function startShort(text: string, distance: number): Machine {
  // [bx] is encoded as 7 where [ebx] is 3.
  return start(epyc9124, 32, `67 ${text.slice(0, -1)}${text.endsWith("b") ? "f" : "7"}`, 0x10000 - distance);
}

/** The same in 64-bit code with 32-bit addresses; nothing is mapped at 4 GiB. */
function startBelow4GiB(text: string, distance: number): Machine {
  const machine = start(epyc9124, 64, `67 ${text}`, 2 ** 32 - distance);
  // The last GiB below 4 shows what the first one does.
  machine.processor.memory.writeU64(0x2018, 0x3007n);
  machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
  return machine;
}

/** Runs to the handler of an exception. @returns its vector, -1 for the INT3 behind the instruction */
function vectorOf(machine: Machine, flags = 0): number {
  machine.processor.engine.setRflags(0x202 | flags);
  expect(machine.run(100)).toBe(StopReason.Halted);
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  return vector === 3 ? NOTHING : vector;
}

describe.each(Object.entries(PROFILES))("an %s processor", (vendor, profile) => {
  const amd = vendor === "amd";

  it("reads a dword or a word for MOVSXD of 16 bits", () => {
    const MOVSXD = "66 63 03"; // movsxd ax, [rbx]
    const machine = start(profile, 64, MOVSXD, OPERANDS);
    machine.setGpr(0, 0x1111222233334444n);
    machine.write(OPERANDS, [0xfe, 0xff, 0x55, 0x55]);
    expect(vectorOf(machine)).toBe(NOTHING);
    expect(machine.gpr(0)).toBe(0x111122223333fffen);
    expect(vectorOf(start(profile, 64, MOVSXD, OPERANDS + 2), Flag.Ac)).toBe(amd ? AC : NOTHING);
    const last = start(profile, 64, MOVSXD, UNMAPPED - 2);
    last.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    expect(vectorOf(last)).toBe(amd ? PF : NOTHING);
  });

  it.each([
    ["FRSTOR", "dd 23", 4, 108],
    ["FRSTOR with 66", "66 dd 23", 2, 94],
    ["FNSAVE", "dd 33", 4, 108],
    ["FLDENV", "d9 23", 4, 28],
    ["FNSTENV", "d9 33", 4, 28],
    ["FLD of 80 bits", "db 2b", 8, 10],
    ["FSTP of 80 bits", "db 3b", 8, 10],
    ["FBLD", "df 23", 8, 10],
    ["FBSTP", "df 33", 8, 10],
  ])(
    "touches the first piece of %s before it checks the limit of the rest, or not",
    (_name, text, first, bytes) => {
      const top = 2 ** 32;
      const run = (distance: number, flags = 0) => {
        const machine = start(profile, 32, text, top - distance);
        machine.words[State.FpuInUse] = text.startsWith("db 2") || text.startsWith("df 2") ? 0 : 0xff;
        return [vectorOf(machine, flags), machine.words[State.Cr2Lo] >>> 0];
      };
      // All of it, a part and only the last byte wraps at 4 GiB, where Intel's segments have no end.
      for (const distance of [first, bytes - 1]) expect(run(distance)).toEqual([PF, top - distance]);
      expect(run(first - 1)[0]).toBe(amd ? GP : PF);
      if (amd) expect(run(first + 1, Flag.Ac)[0]).toBe(AC);
    },
  );

  it("refuses a ten-byte operand that leaves the canonical half after its eight bytes", () => {
    const machine = start(profile, 64, "db 2b", 0x7fff_ffff_fff8n);
    expect(vectorOf(machine)).toBe(amd ? PF : GP);
    expect(vectorOf(start(profile, 64, "db 2b", 0x7fff_ffff_fff9n))).toBe(GP);
  });

  it.each([
    ["PSLLW", "66 0f f1 03"],
    ["PSRLQ", "66 0f d3 03"],
    ["PSRAD", "66 0f e2 03"],
    ["PUNPCKLBW", "66 0f 60 03"],
    ["PUNPCKLQDQ", "66 0f 6c 03"],
    ["UNPCKLPS", "0f 14 03"],
    ["UNPCKLPD", "66 0f 14 03"],
  ])("reads only the eight bytes of %s that it needs", (_name, text) => {
    const run = (address: number | bigint) => {
      const machine = start(profile, 64, text, address);
      machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
      if (amd) machine.words[State.Mxcsr] |= MISALIGNED;
      return vectorOf(machine);
    };
    // Intel wants all operands aligned, so nothing is to be seen of it there.
    expect(run(UNMAPPED - 8)).toBe(amd ? NOTHING : GP);
    expect(run(UNMAPPED - 7)).toBe(amd ? PF : GP);
    // The form of the address is that of sixteen.
    expect(run(0x7fff_ffff_fff8n)).toBe(GP);
  });

  it("reads all of PUNPCKHBW and PADDB", () => {
    for (const text of ["66 0f 68 03", "66 0f fc 03"]) {
      const machine = start(profile, 64, text, UNMAPPED - 8);
      machine.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
      if (amd) machine.words[State.Mxcsr] |= MISALIGNED;
      expect(vectorOf(machine)).toBe(amd ? PF : GP);
    }
  });
});

describe("operands of several accesses on AMD, where 16- and 32-bit addresses start again", () => {
  const run = (text: string, distance: number, inUse: number, bytes: readonly number[] = []): Machine[] =>
    [startShort(text, distance), startBelow4GiB(text, distance)].map((machine) => {
      const { memory } = machine.processor;
      const top = machine.words[State.EferLo] === 0 ? 0x10000 : UNMAPPED;
      for (const [i, byte] of bytes.entries())
        memory.writeU8(i < distance ? top - distance + i : i - distance, byte);
      machine.words[State.FpuInUse] = inUse;
      for (let i = 0; i < 8; i++)
        machine.words.set([0x11111111 * i, 0x80000000 | i, 0x3fff + i], State.Fpr + 4 * i);
      expect(vectorOf(machine)).toBe(NOTHING);
      return machine;
    });

  it("FNSAVE and FRSTOR", () => {
    // From 8 bytes before the end: control and status word there, tags at 0, ST(7) at 20 + 70.
    for (const { processor } of run("dd 33", 8, 0xff)) {
      expect(processor.memory.readU32(0)).toBe(0xffff0000);
      expect(processor.memory.readU32(90)).toBe(0x77777777);
      expect(processor.memory.readU32(94)).toBe(0x80000007);
      // What comes after the end of 16-bit addresses is not touched.
      expect(processor.memory.readU32(0x10000)).toBe(0);
    }
    const image = Array.from({ length: 108 }, (_, i) => (i < 28 ? 0 : i));
    for (const { words } of run("dd 23", 8, 0, image)) {
      expect(words[State.FpuInUse]).toBe(0xff);
      expect(words[State.Fpr + 28]).toBe(0x65646362);
      expect(words[State.Fpr + 30]).toBe(0x6b6a);
    }
  });

  it("FNSTENV and FLDENV", () => {
    for (const { processor } of run("d9 33", 8, 0xff)) {
      expect(processor.memory.readU32(0)).toBe(0xffff0000);
      expect(processor.memory.readU32(0x10000)).toBe(0);
    }
    const image = [0x7f, 3, 0, 0, 0, 0, 0, 0, 0xff, 0x0f];
    for (const { words } of run("d9 23", 8, 0, image)) expect(words[State.FpuInUse]).toBe(0xc0);
  });

  it("FLD and FSTP of 80 bits", () => {
    for (const { words } of run("db 2b", 8, 0, [1, 2, 3, 4, 5, 6, 7, 0x88, 0x34, 0x12]))
      expect([...words.slice(State.Fpr + 28, State.Fpr + 31)]).toEqual([0x04030201, 0x88070605 | 0, 0x1234]);
    for (const machine of run("db 3b", 8, 0xff)) {
      expect(machine.word16(0)).toBe(0x3fff);
      expect(machine.word16(0x10000)).toBe(0);
    }
  });

  it("BOUND and far pointers", () => {
    const bounds = startShort("62 03", 4);
    bounds.processor.memory.writeU32(0, 7);
    bounds.setGpr(0, 7n);
    expect(vectorOf(bounds)).toBe(NOTHING);
    for (const text of ["0f b5 03", "0f b4 03"]) {
      for (const machine of [startShort(text, 4), startBelow4GiB(text, 4)]) {
        machine.processor.memory.writeU32(0, Selector.Data3);
        expect(vectorOf(machine)).toBe(NOTHING);
        const segment = text === "0f b5 03" ? Segment.Gs : Segment.Fs;
        expect(machine.words[State.Segments + 8 * segment]).toBe(Selector.Data3);
      }
    }
  });
});

describe("FXSAVE and FXRSTOR on AMD", () => {
  const SAVE = "0f ae 03";
  const RESTORE = "0f ae 0b";

  it("read the first dword before they look at the segment's rights", () => {
    // CS is no segment to write to.
    expect(vectorOf(start(epyc9124, 32, `2e ${SAVE}`, OPERANDS + 2), Flag.Ac)).toBe(AC);
    expect(vectorOf(start(epyc9124, 32, `2e ${SAVE}`, OPERANDS + 2))).toBe(GP);
    expect(vectorOf(start(epyc9124, 32, `2e ${SAVE}`, OPERANDS), Flag.Ac)).toBe(GP);
    expect(vectorOf(start(epyc9124, 32, SAVE, OPERANDS + 4), Flag.Ac)).toBe(GP);
  });

  it.each([SAVE, RESTORE])("%s finds its last byte where the offset has wrapped", (text) => {
    const machine = start(epyc9124, 32, text, 2 ** 32 - 16);
    // The page at 0 is not the user's.
    machine.processor.memory.writeU32(0x3000, 0x83);
    expect(vectorOf(machine)).toBe(PF);
    expect(machine.words[State.Cr2Lo]).toBe(0x1ef);
  });

  it.each([SAVE, RESTORE])("%s wraps its last byte at 4 GiB with 32-bit addresses in 64-bit code", (text) => {
    const machine = start(epyc9124, 64, `67 ${text}`, 2 ** 32 - 16);
    expect(vectorOf(machine)).toBe(PF);
    // The last byte, at 1EFh, is there; the first is not.
    expect([machine.words[State.Cr2Hi], machine.words[State.Cr2Lo]]).toEqual([0, -16]);
    const whole = start(epyc9124, 64, text, 2 ** 32 - 16);
    expect(vectorOf(whole)).toBe(PF);
    expect([whole.words[State.Cr2Hi], whole.words[State.Cr2Lo]]).toEqual([1, 0x1ef]);
  });

  it.each([
    ["FXSAVE", SAVE, 16],
    ["XSAVE", "0f ae 23", 64],
  ])("%s writes the rest of its area where 16- and 32-bit addresses start again", (_name, text, distance) => {
    for (const machine of [startShort(text, distance), startBelow4GiB(text, distance)]) {
      const { memory } = machine.processor;
      machine.words[State.Cr4] |= OSXSAVE;
      machine.words[State.XcrLo] = 3;
      machine.words[State.Gpr] = 3;
      machine.words[State.Vector] = 0x12345678;
      // XMM0 is 160 bytes after the start.
      memory.writeU32(0x10000 + 160 - distance, 0x55555555);
      expect(vectorOf(machine)).toBe(NOTHING);
      expect(memory.readU32(160 - distance)).toBe(0x12345678);
      expect(memory.readU32(0x10000 + 160 - distance)).toBe(0x55555555);
    }
  });

  it.each([SAVE, RESTORE])("%s has the limit of its first dword before its alignment", (text) => {
    expect(vectorOf(start(epyc9124, 32, `36 ${text}`, 2 ** 32 - 1))).toBe(SS);
    expect(vectorOf(start(epyc9124, 32, `36 ${text}`, 2 ** 32 - 5))).toBe(GP);
    const small = start(epyc9124, 32, `36 ${text}`, OPERANDS);
    small.segment(Segment.Ss, 0x23, 0xc0f3, 0, OPERANDS + 0x100);
    expect(vectorOf(small)).toBe(SS);
  });
});

describe("XSAVE and XRSTOR", () => {
  const SAVE = "0f ae 23";
  const RESTORE = "0f ae 2b";
  const run = (profile: ProcessorProfile, text: string, address: number | bigint): Machine => {
    const machine = start(profile, 64, text, address);
    machine.words[State.Cr4] |= OSXSAVE;
    machine.words[State.XcrLo] = 3;
    return machine;
  };

  it.each([
    [SAVE, "0f ae 65 00"],
    [RESTORE, "0f ae 6d 00"],
  ])("%s off its alignment: on AMD before the form of a stack address", (text, onStack) => {
    for (const [profile, off] of [
      [epyc9124, GP],
      [skylakeSp, SS],
    ] as const) {
      const outside = 0x0123_0000_0000_0000n;
      for (const [address, vector] of [
        [outside, SS],
        [outside + 16n, off],
      ] as const) {
        const machine = run(profile, onStack, 0);
        machine.setGpr(5, address);
        expect(vectorOf(machine)).toBe(vector);
      }
      expect(vectorOf(run(profile, text, outside))).toBe(GP);
    }
  });

  it.each([
    [SAVE, 575],
    [RESTORE, 512],
  ])("%s faults at its first byte, then %i bytes on", (text, second) => {
    const neither = run(epyc9124, text, UNMAPPED + 0x1000 - 64);
    expect(vectorOf(neither)).toBe(PF);
    expect(neither.words[State.Cr2Lo]).toBe(UNMAPPED + 0x1000 - 64);
    const first = run(epyc9124, text, UNMAPPED - 64);
    first.processor.memory.addRam((UNMAPPED - 0x1000) >> 12, 1);
    expect(vectorOf(first)).toBe(PF);
    expect(first.words[State.Cr2Lo]).toBe(UNMAPPED - 64 + second);
  });
});
