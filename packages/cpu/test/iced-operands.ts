import { type Instruction as IcedInstruction, OpKind, Register } from "iced-x86";
import { type Instruction, RIP_BASE } from "../src/decode/instruction.js";
import { type OperandCode, OperandKind, OperandWidth } from "../src/decode/operand-codes.js";

/*
 * Operands as comparable text, from our decoder and from iced-x86: "rax", "xmm3", "[rbx+rcx*4+0x10]", "#0x12",
 * "->0x1234" for relative targets.
 */

const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"];
const LOW8 = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"];
const HIGH8 = ["ah", "ch", "dh", "bh"];
const NAMES16 = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];

/** Name of a general register; `size` is log2 of its bytes. */
function general(number: number, size: number, rex: boolean): string {
  if (size === 0) {
    if (number >= 8) return `r${number}l`;
    return !rex && number >= 4 ? HIGH8[number - 4] : LOW8[number];
  }
  if (number >= 8) return `r${number}${["", "w", "d", ""][size]}`;
  return `${["", "", "e", "r"][size]}${NAMES16[number]}`;
}

/** log2 bytes of a register operand. */
function registerSize(decoded: Instruction, width: number): number {
  switch (width) {
    case OperandWidth.Byte:
      return 0;
    case OperandWidth.Word:
      return 1;
    case OperandWidth.Dword:
      return 2;
    case OperandWidth.Qword:
      return 3;
    case OperandWidth.ByOperandSizeTo32:
      return Math.min(decoded.operandSize, 2);
    case OperandWidth.DwordOrQword:
      return decoded.operandSize === 3 ? 3 : 2;
    case OperandWidth.Native:
      return decoded.mode === 64 ? 3 : 2;
    default:
      return decoded.operandSize;
  }
}

function hexOf(value: bigint, bits: number): string {
  return `0x${BigInt.asUintN(bits, value).toString(16)}`;
}

function ourMemory(decoded: Instruction, ip: bigint): string {
  const bits = 8 << decoded.addressSize;
  const low = BigInt(decoded.displacement >>> 0);
  if (decoded.base === -1 && decoded.index === -1 && decoded.displacementHi !== 0)
    return `[${hexOf((BigInt(decoded.displacementHi) << 32n) | low, 64)}]`;
  let displacement = BigInt(decoded.displacement);
  const parts: string[] = [];
  if (decoded.base === RIP_BASE) displacement += ip + BigInt(decoded.length);
  else if (decoded.base >= 0) parts.push(general(decoded.base, decoded.addressSize, true));
  if (decoded.index >= 0)
    parts.push(`${general(decoded.index, decoded.addressSize, true)}*${1 << decoded.scale}`);
  return `[${[...parts, hexOf(displacement, bits)].join("+")}]`;
}

/** One operand as our decoder sees it; undefined where it exposes nothing to compare. */
export function ourOperand(decoded: Instruction, operand: OperandCode, ip: bigint): string | undefined {
  const { kind, width } = operand;
  const rex = decoded.rex !== 0;
  const byRm = decoded.mod === 3;
  switch (kind) {
    case OperandKind.RegisterOrMemory:
      return byRm ? general(decoded.rm, registerSize(decoded, width), rex) : ourMemory(decoded, ip);
    case OperandKind.Register:
      return general(decoded.reg, registerSize(decoded, width), rex);
    case OperandKind.Memory:
    case OperandKind.Offset:
      return ourMemory(decoded, ip);
    case OperandKind.VexRegister:
      return general(decoded.vvvv, registerSize(decoded, width), true);
    case OperandKind.RegisterFromRm:
      return general(decoded.rm, registerSize(decoded, width), rex);
    case OperandKind.RegisterFromOpcode:
      return general((decoded.opcode & 7) | ((decoded.rex & 1) << 3), registerSize(decoded, width), rex);
    case OperandKind.FixedRegister:
      return general(operand.register, registerSize(decoded, width), true);
    case OperandKind.FixedSegment:
      return SEGMENTS[operand.register];
    case OperandKind.SegmentFromReg:
      return SEGMENTS[decoded.reg & 7];
    case OperandKind.Control:
      return `cr${decoded.reg}`;
    case OperandKind.Debug:
      return `dr${decoded.reg}`;
    case OperandKind.VectorFromReg:
      return `xmm${decoded.reg}`;
    case OperandKind.VectorOrMemory:
      return byRm ? `xmm${decoded.rm}` : ourMemory(decoded, ip);
    case OperandKind.VectorFromRm:
      return `xmm${decoded.rm}`;
    case OperandKind.MmxFromReg:
      return `mm${decoded.reg & 7}`;
    case OperandKind.MmxOrMemory:
      return byRm ? `mm${decoded.rm & 7}` : ourMemory(decoded, ip);
    case OperandKind.MmxFromRm:
      return `mm${decoded.rm & 7}`;
    case OperandKind.StackTop:
      return "st0";
    case OperandKind.StackRegister:
      return `st${decoded.rm & 7}`;
    case OperandKind.Relative: {
      const target = ip + BigInt(decoded.length) + BigInt(decoded.immediate);
      return `->${hexOf(target, 8 << decoded.operandSize)}`;
    }
    case OperandKind.One:
      return "#0x1";
    default:
      return undefined;
  }
}

/** Immediate of our decoder, cut to `bits`. */
export function ourImmediate(decoded: Instruction, bits: number): string {
  const low = BigInt(decoded.immediate >>> 0);
  return `#${hexOf((BigInt(decoded.immediateHi) << 32n) | low, bits)}`;
}

const ICED_IMMEDIATES: ReadonlyMap<number, number> = new Map<number, number>([
  [OpKind.Immediate8, 8],
  [OpKind.Immediate8to16, 16],
  [OpKind.Immediate16, 16],
  [OpKind.Immediate8to32, 32],
  [OpKind.Immediate32, 32],
  [OpKind.Immediate8to64, 64],
  [OpKind.Immediate32to64, 64],
  [OpKind.Immediate64, 64],
]);

/** Bits of iced-x86's immediate operand, or 0 when it is none. */
export function icedImmediateBits(instruction: IcedInstruction, operand: number): number {
  return ICED_IMMEDIATES.get(instruction.opKind(operand)) ?? 0;
}

function icedMemory(instruction: IcedInstruction, bits: number): string {
  const parts: string[] = [];
  const { memoryBase, memoryIndex } = instruction;
  if (memoryBase !== Register.None && memoryBase !== Register.RIP && memoryBase !== Register.EIP)
    parts.push(Register[memoryBase].toLowerCase());
  if (memoryIndex !== Register.None)
    parts.push(`${Register[memoryIndex].toLowerCase()}*${instruction.memoryIndexScale}`);
  // RIP-relative displacements are absolute addresses in iced-x86.
  return `[${[...parts, hexOf(instruction.memoryDisplacement, bits)].join("+")}]`;
}

/** One operand as iced-x86 sees it; undefined for kinds that are not compared. */
export function icedOperand(
  instruction: IcedInstruction,
  operand: number,
  addressBits: number,
): string | undefined {
  const kind = instruction.opKind(operand);
  switch (kind) {
    case OpKind.Register:
      return Register[instruction.opRegister(operand)].toLowerCase();
    case OpKind.Memory:
      return icedMemory(instruction, addressBits);
    case OpKind.NearBranch16:
      return `->${hexOf(BigInt(instruction.nearBranch16), 16)}`;
    case OpKind.NearBranch32:
      return `->${hexOf(BigInt(instruction.nearBranch32), 32)}`;
    case OpKind.NearBranch64:
      return `->${hexOf(instruction.nearBranch64, 64)}`;
    default: {
      const bits = ICED_IMMEDIATES.get(kind);
      return bits === undefined ? undefined : `#${hexOf(BigInt(instruction.immediate(operand)), bits)}`;
    }
  }
}
