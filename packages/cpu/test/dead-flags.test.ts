import { StopReason } from "@hyperwalk/cpu";
import fc from "fast-check";
import { expect, it } from "vitest";
import { markDeadFlags } from "../src/interpreter/dead-flags.js";
import { Entry, FLAGS_DEAD } from "../src/interpreter/entry.js";
import { HotOp } from "../src/interpreter/hot-op.js";
import { Machine } from "./machine.js";

const CODE = 0x500000;
const READABLE = 0x610000n; // in RSI
const CLD = 0xfc; // a handler's, so every flag before it is made; it changes nothing here

/** ModRM for two registers of RAX, RCX, RDX, RBX. */
const registers = fc.tuple(fc.nat(3), fc.nat(3)).map(([reg, rm]) => 0xc0 | (reg << 3) | rm);
const wide = fc.constantFrom<readonly number[]>([], [0x48]);
const byte = fc.nat(255);
const count = fc.nat(63);
const group = (opcode: number, numbers: readonly number[], immediate: fc.Arbitrary<number>) =>
  fc
    .tuple(wide, fc.constantFrom(...numbers), fc.nat(3), immediate)
    .map(([rex, number, rm, value]) => [...rex, opcode, 0xc0 | (number << 3) | rm, value]);
const ONES = [0x01, 0x09, 0x21, 0x29, 0x31, 0x39, 0x85, 0x89, 0x11, 0x19];
const instruction: fc.Arbitrary<readonly number[]> = fc.oneof(
  fc.tuple(wide, fc.constantFrom(...ONES), registers).map(([rex, op, modrm]) => [...rex, op, modrm]),
  group(0x83, [0, 1, 2, 3, 4, 5, 6, 7], byte),
  group(0xc1, [0, 1, 4, 5, 7], count),
  fc.tuple(wide, registers).map(([rex, modrm]) => [...rex, 0x0f, 0xaf, modrm]),
  fc.tuple(wide, registers, byte).map(([rex, modrm, value]) => [...rex, 0x6b, modrm, value]),
  fc
    .tuple(wide, fc.constantFrom(2, 3), fc.nat(3))
    .map(([rex, n, rm]) => [...rex, 0xf7, 0xc0 | (n << 3) | rm]),
  fc
    .tuple(wide, fc.constantFrom(0, 1), fc.nat(3))
    .map(([rex, n, rm]) => [...rex, 0xff, 0xc0 | (n << 3) | rm]),
  // lea rax, [rcx+8]; setc bl; cmovs rdx, rax; shl rbx, cl
  fc.constantFrom([0x48, 0x8d, 0x41, 0x08], [0x0f, 0x92, 0xc3], [0x48, 0x0f, 0x48, 0xd0], [0x48, 0xd3, 0xe3]),
  // add, sub, xor, imul from [rsi], and to it
  fc
    .tuple(wide, fc.constantFrom<readonly number[]>([0x03], [0x2b], [0x33], [0x0f, 0xaf], [0x01]), fc.nat(3))
    .map(([rex, op, reg]) => [...rex, ...op, (reg << 3) | 6]),
);
/** add rax, [rdi]; mov [rdi], rcx; mov rbx, [rdi]: RDI points nowhere. */
const fault = fc.constantFrom<readonly number[]>([0x48, 0x03, 0x07], [0x48, 0x89, 0x0f], [0x48, 0x8b, 0x1f]);

/** Runs programs one after another; a new machine after one that shut down. */
class Runner {
  private machine = new Machine().long(CODE);

  /** What a program leaves: how it stopped, four registers, memory, flags. */
  run(instructions: readonly (readonly number[])[], values: readonly bigint[]): readonly unknown[] {
    const { machine } = this;
    const { memory, engine } = machine.processor;
    values.forEach((value, i) => {
      machine.setGpr(i, value);
    });
    machine.setGpr(6, READABLE);
    machine.setGpr(7, 0x7000_0000_0000n);
    memory.writeU64(Number(READABLE), values[0]);
    machine.write(CODE, Uint8Array.from([...instructions.flat(), 0xf4]));
    machine.rip = BigInt(CODE);
    engine.setRflags(2);
    const stop = machine.run(200);
    if (stop !== StopReason.Halted) this.machine = new Machine().long(CODE);
    const gpr = [0, 1, 2, 3].map((n) => machine.gpr(n));
    return [stop, gpr, memory.readU64(Number(READABLE)), engine.rflags()];
  }
}

it("flags that are not made are never seen: not at the end, not by a reader, not at a fault", () => {
  const [together, one] = [new Runner(), new Runner()];
  const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 30, arbitrary: instruction }, { weight: 1, arbitrary: fault }), {
        minLength: 2,
        maxLength: 24,
      }),
      fc.tuple(value, value, value, value),
      (instructions, values) => {
        const apart = instructions.flatMap((bytes) => [bytes, [CLD]]);
        expect(together.run(instructions, values)).toEqual(one.run(apart, values));
      },
    ),
    { numRuns: 200 },
  );
});

it("marks what is replaced before anything can look, and nothing else", () => {
  const marked = (...ops: readonly number[]) => {
    const code = new Int32Array((ops.length + 1) * Entry.Stride);
    ops.forEach((op, i) => {
      code[i * Entry.Stride] = op;
    });
    markDeadFlags(code, 0, ops.length);
    return ops.map((_, i) => (code[i * Entry.Stride] & FLAGS_DEAD) !== 0);
  };
  expect(marked(HotOp.AddRM64, HotOp.AddRI64, HotOp.CmpRR64, HotOp.Jcc)).toEqual([true, true, false, false]);
  expect(marked(HotOp.AddRR64, HotOp.MovRM64, HotOp.CmpRR64)).toEqual([false, false, false]);
  expect(marked(HotOp.AddRR64, HotOp.AdcRR64)).toEqual([false, false]);
  expect(marked(HotOp.AddRR64, HotOp.Inc64, HotOp.SubRR64)).toEqual([false, false, false]);
  expect(marked(HotOp.AddRR64, HotOp.Handler, HotOp.SubRR64)).toEqual([false, false, false]);
  expect(marked(HotOp.AddRR64, HotOp.ShiftCl64, HotOp.SubRR64)).toEqual([false, false, false]);
});
