import {
  type AluOperation,
  Assembler,
  AssemblerError,
  absolute,
  at,
  atLabel,
  Condition,
  type ConditionName,
  indexed,
  linearAddress,
  type Memory,
  type OperandBits,
  type PlainInstruction,
  physicalAddress,
  type Register,
  register,
} from "@hyperwalk/guest-sdk";
import fc from "fast-check";
import {
  Decoder,
  DecoderOptions,
  Register as IcedRegister,
  type Instruction,
  Mnemonic,
  OpKind,
} from "iced-x86";
import { describe, expect, it } from "vitest";

const ORIGIN = { physical: 0x200000, linear: 0xffffffff80200000n };
const WIDTHS: OperandBits[] = [8, 16, 32, 64];

function emit(mode: 32 | 64, body: (a: Assembler) => void): Uint8Array {
  const a = new Assembler(ORIGIN);
  a.mode = mode;
  body(a);
  return a.link();
}

/** Decodes exactly one instruction that takes all the bytes. */
function decode(mode: 32 | 64, bytes: Uint8Array, ip = 0n): Instruction {
  const decoder = new Decoder(mode, bytes, DecoderOptions.None);
  decoder.ip = ip;
  const instruction = decoder.decode();
  expect(decoder.lastError).toBe(0);
  expect(instruction.length).toBe(bytes.length);
  return instruction;
}

const name = (r: number): string =>
  r === 0 ? "" : IcedRegister[r].toLowerCase().replace(/^r(\d+)l$/, "r$1b");
const mnemonic = (i: Instruction): string => Mnemonic[i.mnemonic].toLowerCase();

function expectMemory(i: Instruction, m: Memory, mode: 32 | 64): void {
  expect(name(i.memoryBase)).toBe(m.base?.name ?? "");
  expect(name(i.memoryIndex)).toBe(m.index?.name ?? "");
  if (m.index) expect(i.memoryIndexScale).toBe(m.scale);
  expect(BigInt.asIntN(mode, i.memoryDisplacement)).toBe(BigInt.asIntN(mode, BigInt(m.displacement)));
}

const widths64 = fc.constantFrom(...WIDTHS);
const anyRegister = (bits: OperandBits, mode: 32 | 64 = 64): fc.Arbitrary<Register> =>
  fc.integer({ min: 0, max: mode === 64 ? 15 : bits === 8 ? 3 : 7 }).map((i) => register(i, bits));
const displacement = fc.oneof(
  fc.constantFrom(0, 1, -1, 127, 128, -128, -129, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer(),
);
const scale = fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const);
const anyMemory = (mode: 32 | 64 = 64): fc.Arbitrary<Memory> =>
  fc.oneof(
    fc.tuple(anyRegister(mode, mode), displacement).map(([b, d]) => at(b, d)),
    fc
      .tuple(
        anyRegister(mode, mode),
        anyRegister(mode, mode).filter((r) => r.index !== 4),
        scale,
        displacement,
      )
      .map(([b, i, s, d]) => indexed(b, i, s, d)),
    fc.integer().map((d) => absolute(d)),
  );

describe.each([32, 64] as const)("operands in %d-bit code", (mode) => {
  const bits = mode === 64 ? widths64 : fc.constantFrom(8 as const, 16 as const, 32 as const);

  it("MOV between registers and memory", () => {
    const operands = bits.chain((b) => fc.tuple(anyRegister(b, mode), anyRegister(b, mode), anyMemory(mode)));
    fc.assert(
      fc.property(operands, ([left, right, m]) => {
        const copy = decode(
          mode,
          emit(mode, (a) => a.mov(left, right)),
        );
        expect([mnemonic(copy), name(copy.op0Register), name(copy.op1Register)]).toEqual([
          "mov",
          left.name,
          right.name,
        ]);
        const store = decode(
          mode,
          emit(mode, (a) => a.mov(m, right)),
        );
        expect([mnemonic(store), store.op0Kind, name(store.op1Register)]).toEqual([
          "mov",
          OpKind.Memory,
          right.name,
        ]);
        expectMemory(store, m, mode);
        const load = decode(
          mode,
          emit(mode, (a) => a.mov(left, m)),
        );
        expect([mnemonic(load), name(load.op0Register), load.op1Kind]).toEqual([
          "mov",
          left.name,
          OpKind.Memory,
        ]);
        expectMemory(load, m, mode);
      }),
    );
  });

  it("ALU operations in every direction", () => {
    const operation = fc.constantFrom<AluOperation>("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp");
    const operands = bits.chain((b) =>
      fc.record({
        op: operation,
        left: anyRegister(b, mode),
        right: anyRegister(b, mode),
        m: anyMemory(mode),
        value:
          b === 8
            ? fc.integer({ min: -128, max: 127 })
            : b === 16
              ? fc.integer({ min: -32768, max: 32767 })
              : fc.integer(),
        b: fc.constant(b),
      }),
    );
    fc.assert(
      fc.property(operands, ({ op, left, right, m, value, b }) => {
        const rr = decode(
          mode,
          emit(mode, (a) => a.alu(op, left, right)),
        );
        expect([mnemonic(rr), name(rr.op0Register), name(rr.op1Register)]).toEqual([
          op,
          left.name,
          right.name,
        ]);
        const rm = decode(
          mode,
          emit(mode, (a) => a.alu(op, left, m)),
        );
        expect([mnemonic(rm), name(rm.op0Register), rm.op1Kind]).toEqual([op, left.name, OpKind.Memory]);
        expectMemory(rm, m, mode);
        const mi = decode(
          mode,
          emit(mode, (a) => a.alu(op, m, value, b)),
        );
        expect([mnemonic(mi), mi.op0Kind, BigInt.asIntN(b, mi.immediate(1))]).toEqual([
          op,
          OpKind.Memory,
          BigInt(value),
        ]);
        expectMemory(mi, m, mode);
        const ri = decode(
          mode,
          emit(mode, (a) => a.alu(op, left, value)),
        );
        expect([mnemonic(ri), name(ri.op0Register), BigInt.asIntN(b, ri.immediate(1))]).toEqual([
          op,
          left.name,
          BigInt(value),
        ]);
      }),
    );
  });

  it("one-operand instructions, shifts, TEST, XCHG, LEA", () => {
    const operands = bits.chain((b) =>
      fc.record({
        r: anyRegister(b, mode),
        s: anyRegister(b, mode),
        m: anyMemory(mode),
        n: fc.integer({ min: 0, max: 31 }),
        b: fc.constant(b),
      }),
    );
    fc.assert(
      fc.property(operands, ({ r, s, m, n, b }) => {
        for (const op of ["not", "neg", "mul", "imul", "div", "idiv"] as const) {
          const u = decode(
            mode,
            emit(mode, (a) => a.unary(op, r)),
          );
          expect([mnemonic(u), u.opCount, name(u.op0Register)]).toEqual([op, 1, r.name]);
        }
        for (const op of ["rol", "ror", "shl", "shr", "sar"] as const) {
          const u = decode(
            mode,
            emit(mode, (a) => a.shift(op, m, n, b)),
          );
          expect([mnemonic(u), Number(u.immediate(1))]).toEqual([op, n]);
          expectMemory(u, m, mode);
        }
        const test = decode(
          mode,
          emit(mode, (a) => a.test(r, s)),
        );
        expect([mnemonic(test), name(test.op0Register), name(test.op1Register)]).toEqual([
          "test",
          r.name,
          s.name,
        ]);
        const testConstant = decode(
          mode,
          emit(mode, (a) => a.test(m, n, b)),
        );
        expect([mnemonic(testConstant), Number(testConstant.immediate(1))]).toEqual(["test", n]);
        const swap = decode(
          mode,
          emit(mode, (a) => a.xchg(m, r)),
        );
        expect([mnemonic(swap), name(swap.op1Register)]).toEqual(["xchg", r.name]);
        expect(
          mnemonic(
            decode(
              mode,
              emit(mode, (a) => a.inc(m, b)),
            ),
          ),
        ).toBe("inc");
        expect(
          mnemonic(
            decode(
              mode,
              emit(mode, (a) => a.dec(r)),
            ),
          ),
        ).toBe("dec");
        if (b !== 8) {
          const lea = decode(
            mode,
            emit(mode, (a) => a.lea(r, m)),
          );
          expect([mnemonic(lea), name(lea.op0Register)]).toEqual(["lea", r.name]);
          expectMemory(lea, m, mode);
          expect(
            mnemonic(
              decode(
                mode,
                emit(mode, (a) => a.imul(r, m)),
              ),
            ),
          ).toBe("imul");
        }
      }),
    );
  });

  it("PUSH, POP, indirect CALL and JMP, control registers", () => {
    fc.assert(
      fc.property(anyRegister(mode, mode), anyMemory(mode), (r, m) => {
        const each = (body: (a: Assembler) => void): string => {
          const i = decode(mode, emit(mode, body));
          return `${mnemonic(i)} ${name(i.op0Register)}`;
        };
        expect(each((a) => a.push(r))).toBe(`push ${r.name}`);
        expect(each((a) => a.pop(r))).toBe(`pop ${r.name}`);
        expect(each((a) => a.call(r))).toBe(`call ${r.name}`);
        expect(each((a) => a.jmp(r))).toBe(`jmp ${r.name}`);
        expectMemory(
          decode(
            mode,
            emit(mode, (a) => a.call(m)),
          ),
          m,
          mode,
        );
        for (const control of [0, 2, 3, 4] as const) {
          const to = decode(
            mode,
            emit(mode, (a) => a.movToControl(control, r)),
          );
          expect([mnemonic(to), name(to.op0Register), name(to.op1Register)]).toEqual([
            "mov",
            `cr${control}`,
            r.name,
          ]);
          const from = decode(
            mode,
            emit(mode, (a) => a.movFromControl(r, control)),
          );
          expect([name(from.op0Register), name(from.op1Register)]).toEqual([r.name, `cr${control}`]);
        }
      }),
    );
  });
});

describe("constants and addresses", () => {
  it("loads any 64-bit constant in its shortest form", () => {
    const value = fc.oneof(
      fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n }),
      fc.integer().map(BigInt),
      fc.constantFrom(0n, 1n, -1n, 0xffffffffn, 0x100000000n, -0x80000000n, -0x80000001n),
    );
    fc.assert(
      fc.property(anyRegister(64), value, (r, v) => {
        const bytes = emit(64, (a) => a.mov(r, v));
        const i = decode(64, bytes);
        const pattern = BigInt.asUintN(64, v);
        if (pattern === 0n) expect(mnemonic(i)).toBe("xor");
        else expect(BigInt.asUintN(i.op0Register === 0 ? 64 : 64, i.immediate(1))).toBe(pattern);
        expect(bytes.length).toBeLessThanOrEqual(10);
      }),
    );
  });

  it("fills in linear, physical and RIP-relative references", () => {
    const a = new Assembler(ORIGIN);
    const data = a.label("data");
    a.mov(register(7, 64), linearAddress(data, 8));
    const first = a.offset;
    a.mov(register(7, 64), physicalAddress(data, 8));
    const second = a.offset;
    a.mov(atLabel(data, 4), 0x12345678, 32);
    const third = a.offset;
    a.align(64);
    a.bind(data);
    const bytes = a.link();
    const target = BigInt(data.offset!);
    expect(decode(64, bytes.slice(0, first)).immediate(1)).toBe(ORIGIN.linear + target + 8n);
    expect(decode(64, bytes.slice(first, second)).immediate(1)).toBe(BigInt(ORIGIN.physical) + target + 8n);
    const store = decode(64, bytes.slice(second, third), BigInt(second));
    expect(store.isIpRelMemoryOperand).toBe(true);
    expect(store.ipRelMemoryAddress).toBe(target + 4n);
  });

  it("branches backwards short and forwards near", () => {
    const a = new Assembler(ORIGIN);
    const back = a.here("back");
    a.jcc("ne", back);
    expect(a.offset).toBe(2);
    const ahead = a.label("ahead");
    a.jmp(ahead);
    expect(a.offset).toBe(7);
    a.bind(ahead);
    const bytes = a.link();
    expect(decode(64, bytes.slice(0, 2), 0n).nearBranchTarget).toBe(0n);
    expect(decode(64, bytes.slice(2), 2n).nearBranchTarget).toBe(7n);
  });

  it("encodes every condition", () => {
    for (const condition of Object.keys(Condition) as ConditionName[]) {
      const a = new Assembler(ORIGIN);
      const here = a.here("here");
      a.jcc(condition, here);
      const i = decode(64, a.link());
      expect(i.conditionCode).toBe(Condition[condition] + 1);
      const set = decode(
        64,
        emit(64, (b) => b.setcc(condition, register(6, 8))),
      );
      expect([set.conditionCode, name(set.op0Register)]).toEqual([Condition[condition] + 1, "sil"]);
      const move = decode(
        64,
        emit(64, (b) => b.cmov(condition, register(9, 32), register(3, 32))),
      );
      expect([move.conditionCode, name(move.op0Register)]).toEqual([Condition[condition] + 1, "r9d"]);
    }
  });

  it("encodes the instructions without operands", () => {
    const plain: PlainInstruction[] = [
      "nop",
      "ret",
      "int3",
      "hlt",
      "cli",
      "sti",
      "cld",
      "ud2",
      "wrmsr",
      "rdtsc",
      "rdmsr",
      "cpuid",
      "pause",
      "lfence",
      "mfence",
      "vmcall",
      "vmmcall",
    ];
    for (const p of plain)
      expect(
        mnemonic(
          decode(
            64,
            emit(64, (a) => a.plain(p)),
          ),
        ),
      ).toBe(p);
  });
});

describe("what cannot be encoded", () => {
  const refuse = (mode: 32 | 64, body: (a: Assembler) => void): void =>
    expect(() => emit(mode, body)).toThrow(AssemblerError);

  it("is refused", () => {
    refuse(32, (a) => a.mov(register(8, 32), register(0, 32)));
    refuse(64, (a) => a.mov(register(0, 32), register(0, 64)));
    refuse(64, (a) => a.mov(register(0, 64), at(register(0, 32))));
    refuse(64, (a) => a.mov(register(0, 64), indexed(register(0, 64), register(4, 64))));
    refuse(64, (a) => a.mov(at(register(0, 64)), 1));
    refuse(64, (a) => a.mov(at(register(0, 64)), 2 ** 40, 64));
    refuse(64, (a) => a.mov(register(0, 32), 2 ** 33));
    refuse(64, (a) => a.alu("add", register(0, 64), 2 ** 31));
    refuse(64, (a) => a.jmp(a.label("nowhere")));
    refuse(64, (a) => a.movzx(register(0, 32), register(6, 32), 8));
  });
});
