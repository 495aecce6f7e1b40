import { AssemblerError, CodeBuffer } from "./code-buffer.js";
import { type CodeBits, encode } from "./encoding.js";
import { Label, type LabelAddress } from "./label.js";
import type { Memory } from "./memory.js";
import {
  ALU,
  type AluOperation,
  Condition,
  type ConditionName,
  PLAIN,
  type PlainInstruction,
  SHIFT,
  type ShiftOperation,
  UNARY,
  type UnaryOperation,
} from "./opcodes.js";
import type { OperandBits, Register } from "./register.js";

/**
 * Emits x86 machine code and data, in the order of the calls, into one flat image. Operands are destination first,
 * as in Intel's manuals. Only what guests need is here; `bytes` takes anything else.
 *
 * @example
 * const a = new Assembler({ physical: 0x200000, linear: 0xffffffff80200000n });
 * a.mov(rdi, 4); a.call(label); a.plain("ret");
 */
export class Assembler extends CodeBuffer {
  /** Size of the code emitted from here on. */
  mode: CodeBits = 64;

  /** A new label, not yet bound. */
  label(name: string): Label {
    return new Label(name);
  }

  /** Binds a new label here. */
  here(name: string): Label {
    const label = new Label(name);
    this.bind(label);
    return label;
  }

  plain(instruction: PlainInstruction): void {
    this.u8(...PLAIN[instruction]);
  }

  /**
   * MOV. Constants take the shortest encoding that gives the register its value; into memory they are
   * sign-extended from 32 bits. `bits` is needed where no register tells the width.
   */
  mov(
    to: Register | Memory,
    from: Register | Memory | number | bigint | LabelAddress,
    bits?: OperandBits,
  ): void {
    if (typeof from === "object" && from.kind === "register") {
      this.form([from.bits === 8 ? 0x88 : 0x89], this.same(to, from.bits), from, to);
    } else if (to.kind === "memory") {
      if (typeof from === "object")
        throw new AssemblerError("OPERAND", "MOV to memory from memory or an address");
      this.storeConstant(to, from, bits);
    } else if (typeof from !== "object") this.loadConstant(to, BigInt(from));
    else if (from.kind === "memory") this.form([to.bits === 8 ? 0x8a : 0x8b], to.bits, to, from);
    else this.loadAddress(to, from);
  }

  /** MOVZX from 8 or 16 bits. */
  movzx(to: Register, from: Register | Memory, fromBits: 8 | 16): void {
    this.same(from, fromBits);
    this.form([0x0f, fromBits === 8 ? 0xb6 : 0xb7], to.bits, to, from);
  }

  /** MOVSX, or MOVSXD from 32 bits. */
  movsx(to: Register, from: Register | Memory, fromBits: 8 | 16 | 32): void {
    this.same(from, fromBits);
    this.form(fromBits === 32 ? [0x63] : [0x0f, fromBits === 8 ? 0xbe : 0xbf], to.bits, to, from);
  }

  lea(to: Register, from: Memory): void {
    this.form([0x8d], to.bits, to, from);
  }

  /** ADD, OR, ADC, SBB, AND, SUB, XOR or CMP. Constants are sign-extended from 32 bits. */
  alu(
    operation: AluOperation,
    to: Register | Memory,
    from: Register | Memory | number,
    bits?: OperandBits,
  ): void {
    const row = ALU[operation] << 3;
    if (typeof from === "object") {
      if (from.kind === "register")
        this.form([row | (from.bits === 8 ? 0 : 1)], this.same(to, from.bits), from, to);
      else if (to.kind === "register") this.form([row | (to.bits === 8 ? 2 : 3)], to.bits, to, from);
      else throw new AssemblerError("OPERAND", `${operation} between memory and memory`);
      return;
    }
    const width = this.width(to, bits);
    if (width === 8) this.withImmediate([0x80], width, ALU[operation], to, from, 1);
    else if (from >= -128 && from <= 127) this.withImmediate([0x83], width, ALU[operation], to, from, 1);
    else this.withImmediate([0x81], width, ALU[operation], to, from, width === 16 ? 2 : 4);
  }

  test(left: Register | Memory, right: Register | number, bits?: OperandBits): void {
    if (typeof right === "object") {
      this.form([right.bits === 8 ? 0x84 : 0x85], this.same(left, right.bits), right, left);
      return;
    }
    const width = this.width(left, bits);
    this.withImmediate(
      [width === 8 ? 0xf6 : 0xf7],
      width,
      0,
      left,
      right,
      width === 8 ? 1 : width === 16 ? 2 : 4,
    );
  }

  /** NOT, NEG, or MUL, IMUL, DIV, IDIV of rDX:rAX. */
  unary(operation: UnaryOperation, operand: Register | Memory, bits?: OperandBits): void {
    const width = this.width(operand, bits);
    this.form([width === 8 ? 0xf6 : 0xf7], width, UNARY[operation], operand);
  }

  inc(operand: Register | Memory, bits?: OperandBits): void {
    const width = this.width(operand, bits);
    this.form([width === 8 ? 0xfe : 0xff], width, 0, operand);
  }

  dec(operand: Register | Memory, bits?: OperandBits): void {
    const width = this.width(operand, bits);
    this.form([width === 8 ? 0xfe : 0xff], width, 1, operand);
  }

  /** Two-operand IMUL: `to *= from`. */
  imul(to: Register, from: Register | Memory): void {
    this.form([0x0f, 0xaf], to.bits, to, from);
  }

  /** Shift or rotate by a constant. */
  shift(operation: ShiftOperation, operand: Register | Memory, count: number, bits?: OperandBits): void {
    const width = this.width(operand, bits);
    this.withImmediate([width === 8 ? 0xc0 : 0xc1], width, SHIFT[operation], operand, count, 1);
  }

  xchg(left: Register | Memory, right: Register): void {
    this.form([right.bits === 8 ? 0x86 : 0x87], this.same(left, right.bits), right, left);
  }

  push(operand: Register): void {
    this.stack(0x50, operand);
  }

  pop(operand: Register): void {
    this.stack(0x58, operand);
  }

  /** Near CALL to a label, or through a register or memory. */
  call(target: Label | Register | Memory): void {
    if (target instanceof Label) {
      this.u8(0xe8);
      this.reference("relative32", target);
    } else this.indirect(2, target);
  }

  /** Near CALL to a fixed distance behind a label. */
  callOffset(target: Label, addend: number): void {
    this.u8(0xe8);
    this.reference("relative32", target, addend);
  }

  /** Near JMP; short where the label is bound and close. */
  jmp(target: Label | Register | Memory): void {
    if (!(target instanceof Label)) this.indirect(4, target);
    else if (this.isShort(target)) {
      this.u8(0xeb);
      this.reference("relative8", target);
    } else {
      this.u8(0xe9);
      this.reference("relative32", target);
    }
  }

  /** Jcc; short where the label is bound and close, or where `short` promises that it will be. */
  jcc(condition: ConditionName, target: Label, short = false): void {
    if (short || this.isShort(target)) {
      this.u8(0x70 | Condition[condition]);
      this.reference("relative8", target);
    } else {
      this.u8(0x0f, 0x80 | Condition[condition]);
      this.reference("relative32", target);
    }
  }

  setcc(condition: ConditionName, to: Register): void {
    if (to.bits !== 8) throw new AssemblerError("OPERAND", `SETcc writes 8 bits, not ${to.name}`);
    this.form([0x0f, 0x90 | Condition[condition]], 8, 0, to);
  }

  cmov(condition: ConditionName, to: Register, from: Register | Memory): void {
    this.form([0x0f, 0x40 | Condition[condition]], to.bits, to, from);
  }

  /** OUT of AL: to a constant port below 256, or to the port in DX. */
  outAl(port: number | "dx"): void {
    if (port === "dx") this.u8(0xee);
    else this.u8(0xe6, port);
  }

  /** INT n. */
  int(vector: number): void {
    this.u8(0xcd, vector);
  }

  /** MOV to a control register (0, 2, 3, 4 or 8 in 64-bit code) from a full-width register. */
  movToControl(control: 0 | 2 | 3 | 4 | 8, from: Register): void {
    this.control(0x22, control, from);
  }

  /** MOV from a control register. */
  movFromControl(to: Register, control: 0 | 2 | 3 | 4 | 8): void {
    this.control(0x20, control, to);
  }

  /** MOV to ES (0), SS (2), DS (3), FS (4) or GS (5). */
  movToSegment(segment: 0 | 2 | 3 | 4 | 5, from: Register): void {
    encode(
      this,
      this.mode,
      { opcode: [0x8e], bits: 32, reg: segment },
      from.bits === 32 ? from : { ...from, bits: 32 },
    );
  }

  lgdt(from: Memory): void {
    this.form([0x0f, 0x01], 32, 2, from);
  }

  lidt(from: Memory): void {
    this.form([0x0f, 0x01], 32, 3, from);
  }

  /** Direct far jump to a physical address; only 32-bit code has it. */
  farJump(selector: number, target: Label): void {
    if (this.mode !== 32) throw new AssemblerError("OPERAND", "there is no direct far jump in 64-bit code");
    this.u8(0xea);
    this.reference("physical32", target);
    this.integer(selector, 2);
  }

  /** Anything that has no method. */
  raw(...values: number[]): void {
    this.u8(...values);
  }

  private form(
    opcode: readonly number[],
    bits: OperandBits,
    reg: Register | number,
    rm: Register | Memory,
  ): void {
    encode(this, this.mode, { opcode, bits, reg }, rm);
  }

  private withImmediate(
    opcode: readonly number[],
    bits: OperandBits,
    reg: number,
    rm: Register | Memory,
    value: number,
    immediateBytes: 1 | 2 | 4,
  ): void {
    const limit = 2 ** (8 * immediateBytes);
    // An 8- or 16-bit pattern may be written as unsigned; wider ones are sign-extended when the operand is 64-bit.
    const top = immediateBytes * 8 >= bits ? limit : limit / 2;
    if (value < -limit / 2 || value >= top)
      throw new AssemblerError("OUT_OF_RANGE", `constant ${value} does not fit ${immediateBytes * 8} bits`);
    encode(this, this.mode, { opcode, bits, reg, immediateBytes }, rm);
    this.integer(value, immediateBytes);
  }

  private storeConstant(to: Memory, value: number | bigint, bits: OperandBits | undefined): void {
    const width = this.width(to, bits);
    const narrow = Number(width === 64 ? BigInt.asIntN(64, BigInt(value)) : value);
    const bytes = width === 8 ? 1 : width === 16 ? 2 : 4;
    this.withImmediate([width === 8 ? 0xc6 : 0xc7], width, 0, to, narrow, bytes);
  }

  private loadConstant(to: Register, value: bigint): void {
    const pattern = BigInt.asUintN(to.bits, value);
    if (BigInt.asIntN(to.bits, value) !== value && pattern !== value)
      throw new AssemblerError("OUT_OF_RANGE", `constant ${value} does not fit ${to.name}`);
    if (to.bits === 8 || to.bits === 16) {
      this.withImmediate(
        [to.bits === 8 ? 0xc6 : 0xc7],
        to.bits,
        0,
        to,
        Number(pattern),
        to.bits === 8 ? 1 : 2,
      );
    } else if (pattern === 0n) {
      const low: Register = to.bits === 64 ? { ...to, bits: 32 } : to;
      this.form([0x31], 32, low, low);
    } else if (pattern < 0x100000000n) {
      this.shortOpcode(0xb8, to, false);
      this.integer(pattern, 4);
    } else if (BigInt.asUintN(64, BigInt.asIntN(32, pattern)) === pattern) {
      this.withImmediate([0xc7], 64, 0, to, Number(BigInt.asIntN(64, pattern)), 4);
    } else {
      this.shortOpcode(0xb8, to, true);
      this.integer(pattern, 8);
    }
  }

  private loadAddress(to: Register, from: LabelAddress): void {
    if (from.space === "linear") {
      if (to.bits !== 64)
        throw new AssemblerError("OPERAND", `a linear address needs a 64-bit register, not ${to.name}`);
      encode(this, this.mode, { opcode: [0xc7], bits: 64, reg: 0 }, to);
      this.reference("linear32", from.label, from.addend);
    } else {
      this.shortOpcode(0xb8, to, false);
      this.reference("physical32", from.label, from.addend);
    }
  }

  /** Opcodes that hold the register in their low three bits. */
  private shortOpcode(opcode: number, to: Register, wide: boolean): void {
    if (this.mode === 32 && (to.index > 7 || to.bits === 64))
      throw new AssemblerError("OPERAND", `${to.name} does not exist in 32-bit code`);
    const rex = (wide ? 8 : 0) | (to.index & 8 ? 1 : 0);
    if (rex) this.u8(0x40 | rex);
    this.u8(opcode | (to.index & 7));
  }

  private stack(opcode: number, operand: Register): void {
    if (operand.bits !== this.mode)
      throw new AssemblerError(
        "OPERAND",
        `${operand.name} cannot be pushed or popped in ${this.mode}-bit code`,
      );
    this.shortOpcode(opcode, operand, false);
  }

  private indirect(extension: number, target: Register | Memory): void {
    encode(this, this.mode, { opcode: [0xff], bits: this.mode, reg: extension, defaultsTo64: true }, target);
  }

  private control(opcode: number, control: number, r: Register): void {
    if (r.bits !== this.mode)
      throw new AssemblerError(
        "OPERAND",
        `control registers are ${this.mode} bits wide here, ${r.name} is not`,
      );
    // Always full width without REX.W; `reg` 8 needs REX.R.
    encode(this, this.mode, { opcode: [0x0f, opcode], bits: this.mode, reg: control, defaultsTo64: true }, r);
  }

  private isShort(target: Label): boolean {
    return target.offset !== undefined && target.offset - (this.offset + 2) >= -128;
  }

  private width(operand: Register | Memory, bits: OperandBits | undefined): OperandBits {
    if (operand.kind === "register") return operand.bits;
    if (bits === undefined)
      throw new AssemblerError("OPERAND", "a memory operand with a constant needs its width in bits");
    return bits;
  }

  private same(operand: Register | Memory, bits: OperandBits): OperandBits {
    if (operand.kind === "register" && operand.bits !== bits)
      throw new AssemblerError("OPERAND", `${operand.name} is not ${bits} bits wide`);
    return bits;
  }
}
