import { DecodeStatus, Instruction, RIP_BASE } from "../decode/instruction.js";
import { type OperandCode, OperandKind, OperandWidth } from "../decode/operand-codes.js";
import { widthBytes } from "../interpreter/lowering.js";
import { registerName, SEGMENT_NAMES } from "./register-names.js";

const POINTERS = ["byte ptr ", "word ptr ", "dword ptr ", "qword ptr "];
const STRING_KEYS = /^(movs|cmps|stos|lods|scas|ins|outs)[bw]$/;
const COMPARING = /^(cmps|scas)/;

/** Shows machine code in Intel syntax. */
export class Disassembler {
  /** Bytes of the latest instruction; 1 when it could not be decoded. */
  length = 1;
  private readonly instruction: Instruction = new Instruction();

  /**
   * @param bytes the code @param at offset of the instruction @param mode 16, 32 or 64
   * @param ripLo low word of its address @param ripHi high word, for branch targets and RIP-relative operands
   */
  disassemble(bytes: Uint8Array, at: number, mode: number, ripLo = 0, ripHi = 0): string {
    const { instruction } = this;
    const status = instruction.decode(bytes, at, bytes.length - at, mode);
    if (status === DecodeStatus.Extended) {
      this.length = instruction.length;
      return "(vector extension)";
    }
    if (status !== DecodeStatus.Ok) {
      this.length = 1;
      return status === DecodeStatus.Truncated ? "(truncated)" : "(bad)";
    }
    this.length = instruction.length;
    const form = instruction.form!;
    let mnemonic = form.mnemonics[instruction.operandSize - 1];
    if (form.key === "xchg" && instruction.opcode === 0x90 && (instruction.rex & 1) === 0) return "nop";
    if (form.key === "jrcxz") mnemonic = ["", "jcxz", "jecxz", "jrcxz"][instruction.addressSize];
    if (form.key === "callf" || form.key === "jmpf") mnemonic += " far";
    const prefix = this.prefix(form.key);
    if (STRING_KEYS.test(form.key)) return prefix + mnemonic;
    const operands = form.operands.map((operand) => this.operand(operand, ripLo, ripHi));
    return prefix + (operands.length === 0 ? mnemonic : `${mnemonic} ${operands.join(", ")}`);
  }

  private prefix(key: string): string {
    const { instruction } = this;
    let text = instruction.lock ? "lock " : "";
    if (STRING_KEYS.test(key) && instruction.repeat !== 0)
      text += instruction.repeat === 0xf2 ? "repne " : COMPARING.test(key) ? "repe " : "rep ";
    return text;
  }

  private operand(operand: OperandCode, ripLo: number, ripHi: number): string {
    const { instruction } = this;
    const { kind, width } = operand;
    const size = widthBytes(width, instruction);
    switch (kind) {
      case OperandKind.RegisterOrMemory:
      case OperandKind.Memory:
        if (instruction.hasMemory) return this.memory(width, size, ripLo, ripHi);
        return registerName(instruction.rm, size, instruction.rex);
      case OperandKind.Register:
        return registerName(instruction.reg, size, instruction.rex);
      case OperandKind.RegisterFromRm:
        return registerName(instruction.rm, size, instruction.rex);
      case OperandKind.RegisterFromOpcode:
        return registerName((instruction.opcode & 7) | ((instruction.rex & 1) << 3), size, instruction.rex);
      case OperandKind.FixedRegister:
        return registerName(operand.register, size, 0x40);
      case OperandKind.VexRegister:
        return registerName(instruction.vvvv, size, 0x40);
      case OperandKind.Immediate:
        return this.immediate(operand);
      case OperandKind.One:
        return "1";
      case OperandKind.Relative:
        return this.target(ripLo, ripHi);
      case OperandKind.Offset:
        return `${POINTERS[size]}${this.segment()}[${hex64(instruction.displacement, instruction.displacementHi)}]`;
      case OperandKind.FarPointer:
        return `0x${instruction.immediate2.toString(16)}:0x${(instruction.immediate >>> 0).toString(16)}`;
      case OperandKind.SegmentFromReg:
        return SEGMENT_NAMES[instruction.reg & 7];
      case OperandKind.FixedSegment:
        return SEGMENT_NAMES[operand.register];
      case OperandKind.Control:
        return `cr${instruction.reg}`;
      case OperandKind.Debug:
        return `dr${instruction.reg}`;
      case OperandKind.VectorFromReg:
        return `xmm${instruction.reg}`;
      case OperandKind.VectorOrMemory:
        return instruction.hasMemory ? this.memory(width, size, ripLo, ripHi) : `xmm${instruction.rm}`;
      case OperandKind.VectorFromRm:
        return `xmm${instruction.rm}`;
      case OperandKind.MmxFromReg:
        return `mm${instruction.reg & 7}`;
      case OperandKind.MmxOrMemory:
        return instruction.hasMemory ? this.memory(width, size, ripLo, ripHi) : `mm${instruction.rm & 7}`;
      case OperandKind.MmxFromRm:
        return `mm${instruction.rm & 7}`;
      case OperandKind.StackTop:
        return "st(0)";
      default:
        return `st(${instruction.rm & 7})`;
    }
  }

  private immediate(operand: OperandCode): string {
    const { instruction } = this;
    const form = instruction.form!;
    const second = form.operands.filter((o) => o.kind === OperandKind.Immediate).indexOf(operand) > 0;
    if (second) return hexSigned(instruction.immediate2);
    if (operand.width === OperandWidth.ByOperandSize && instruction.operandSize === 3)
      return hex64(instruction.immediate, instruction.immediateHi);
    return hexSigned(instruction.immediate);
  }

  private target(ripLo: number, ripHi: number): string {
    const { instruction } = this;
    const lo = (ripLo + instruction.length) | 0;
    const to = (lo + instruction.immediate) | 0;
    if (instruction.mode !== 64)
      return `0x${((instruction.operandSize === 1 ? to & 0xffff : to) >>> 0).toString(16)}`;
    const carry = lo >>> 0 < ripLo >>> 0 ? 1 : 0;
    const hi = (ripHi + carry + (instruction.immediate >> 31) + (to >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
    return hex64(to, hi);
  }

  private segment(): string {
    const { segmentOverride, mode } = this.instruction;
    return segmentOverride >= 0 && (mode !== 64 || segmentOverride >= 4)
      ? `${SEGMENT_NAMES[segmentOverride]}:`
      : "";
  }

  private memory(width: number, size: number, ripLo: number, ripHi: number): string {
    const { instruction } = this;
    const { base, index, scale, displacement, addressSize } = instruction;
    const pointer = this.pointer(width, size);
    if (base === RIP_BASE) {
      const lo = (ripLo + instruction.length) | 0;
      const to = (lo + displacement) | 0;
      const hi =
        (ripHi + (lo >>> 0 < ripLo >>> 0 ? 1 : 0) + (displacement >> 31) + (to >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
      return `${pointer}${this.segment()}[rip+${hexSigned(displacement)}] (${hex64(to, hi)})`;
    }
    const terms: string[] = [];
    if (base >= 0) terms.push(registerName(base, addressSize, 0x40));
    if (index >= 0) terms.push(registerName(index, addressSize, 0x40) + (scale > 0 ? `*${1 << scale}` : ""));
    if (displacement !== 0 || terms.length === 0) {
      if (terms.length === 0)
        terms.push(`0x${(addressSize === 1 ? displacement & 0xffff : displacement >>> 0).toString(16)}`);
      else if (displacement < 0) terms[terms.length - 1] += `-0x${(-displacement).toString(16)}`;
      else terms.push(`0x${displacement.toString(16)}`);
    }
    return `${pointer}${this.segment()}[${terms.join("+")}]`;
  }

  private pointer(width: number, size: number): string {
    switch (width) {
      case OperandWidth.None:
      case OperandWidth.TableRegister:
      case OperandWidth.Bounds:
        return "";
      case OperandWidth.Vector:
        return "xmmword ptr ";
      case OperandWidth.Far:
        return "far ";
      default:
        return POINTERS[size];
    }
  }
}

function hexSigned(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

function hex64(lo: number, hi: number): string {
  if (hi === 0) return `0x${(lo >>> 0).toString(16)}`;
  return `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}`;
}
