import { Segment, State } from "../cpu-state.js";
import { type Instruction, RIP_BASE } from "../decode/instruction.js";
import type { OpcodeForm } from "../decode/opcode-map.js";
import { type OperandCode, OperandKind, OperandWidth } from "../decode/operand-codes.js";
import { EaKind, Entry, Form, HIGH_BYTE } from "./entry.js";
import { fallbackKey, handlerOf, usesVectors } from "./handlers.js";
import type { HotForms } from "./hot-forms.js";
import { HotOp } from "./hot-op.js";
import { ModeBits, segmentIsFlat } from "./mode-bits.js";

const GENERAL = new Set<number>([
  OperandKind.RegisterOrMemory,
  OperandKind.Register,
  OperandKind.RegisterFromRm,
  OperandKind.RegisterFromOpcode,
  OperandKind.FixedRegister,
  OperandKind.VexRegister,
]);
const MEMORY = new Set<number>([OperandKind.RegisterOrMemory, OperandKind.Memory, OperandKind.Offset]);
const NUMBERED = new Set<number>([
  OperandKind.SegmentFromReg,
  OperandKind.FixedSegment,
  OperandKind.Control,
  OperandKind.Debug,
]);

const VECTOR = new Set<number>([
  OperandKind.VectorFromReg,
  OperandKind.VectorOrMemory,
  OperandKind.VectorFromRm,
]);
const MMX = new Set<number>([OperandKind.MmxFromReg, OperandKind.MmxOrMemory, OperandKind.MmxFromRm]);
const MEMORY_OR_VECTOR = new Set<number>([OperandKind.VectorOrMemory, OperandKind.MmxOrMemory]);

/** log2 bytes of an operand width under an operand size. */
export function widthBytes(width: number, instruction: Instruction): number {
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
      return instruction.operandSize === 1 ? 1 : 2;
    case OperandWidth.DwordOrQword:
      return instruction.operandSize === 3 ? 3 : 2;
    case OperandWidth.Native:
      return instruction.mode === 64 ? 3 : 2;
    default:
      return instruction.operandSize;
  }
}

/** The size that handlers work with: that of the first operand that has data in it. */
function operationSize(form: OpcodeForm, instruction: Instruction): number {
  const { operands } = form;
  for (const operand of operands) {
    const { kind, width } = operand;
    const port = kind === OperandKind.FixedRegister && operand.register === 2;
    const data =
      GENERAL.has(kind) ||
      kind === OperandKind.StringSource ||
      kind === OperandKind.StringDestination ||
      kind === OperandKind.Offset;
    if (data && !port) return widthBytes(width, instruction);
  }
  return instruction.operandSize;
}

/** Register operand as an entry has it: state word, plus {@link HIGH_BYTE} for AH-BH. */
function registerCode(number: number, size: number, rex: number): number {
  if (size === 0 && rex === 0 && number >= 4) return ((number - 4) << 1) | HIGH_BYTE;
  return number << 1;
}

/** State word of a general register operand, with {@link HIGH_BYTE} for AH-BH. */
export function registerOf(operand: OperandCode, instruction: Instruction): number {
  const size = widthBytes(operand.width, instruction);
  let number = operand.register;
  if (operand.kind === OperandKind.FixedRegister) return number << 1;
  if (operand.kind === OperandKind.VexRegister) return instruction.vvvv << 1;
  if (operand.kind === OperandKind.Register) number = instruction.reg;
  else if (operand.kind === OperandKind.RegisterFromOpcode)
    number = (instruction.opcode & 7) | ((instruction.rex & 1) << 3);
  else number = instruction.rm;
  return registerCode(number, size, instruction.rex);
}

/** State word of a vector or MMX register operand; MMX registers are the significands of R0 to R7. */
function vectorRegisterOf({ kind }: OperandCode, instruction: Instruction): number {
  const fromReg = kind === OperandKind.VectorFromReg || kind === OperandKind.MmxFromReg;
  const number = fromReg ? instruction.reg : instruction.rm;
  return MMX.has(kind) ? State.Fpr + 4 * (number & 7) : State.Vector + 8 * number;
}

/** Segment of the memory operand: the override, SS for stack bases, otherwise DS. */
function segmentOf(instruction: Instruction): number {
  const { segmentOverride, base, mode } = instruction;
  if (segmentOverride >= 0 && (mode !== 64 || segmentOverride >= Segment.Fs)) return segmentOverride;
  return base === 4 || base === 5 ? Segment.Ss : Segment.Ds;
}

/** How the hot loop could form the address, or -1 when a handler has to. */
function eaKind(instruction: Instruction, segment: number, modeBits: number): number {
  if ((modeBits & ModeBits.Aligned) !== 0) return -1;
  if (instruction.mode === 64) {
    if (instruction.addressSize !== 3) return -1;
    if (segment >= Segment.Fs) return EaKind.Segment64;
    return instruction.index < 0 ? EaKind.Base64 : EaKind.Indexed64;
  }
  if (instruction.mode !== 32 || instruction.addressSize !== 2) return -1;
  return segmentIsFlat(modeBits, segment) ? EaKind.Flat32 : -1;
}

/**
 * Writes one decoded instruction into the block store.
 * @param at index of the entry's first word
 * @param offset of the instruction from the start of its block
 * @param cost issue ticks of the instructions before it
 * @returns the form key, which says whether the block ends
 */
export function lower(
  code: Int32Array,
  at: number,
  instruction: Instruction,
  offset: number,
  cost: number,
  modeBits: number,
  hotForms: HotForms,
): string {
  const form = instruction.form as OpcodeForm;
  const { operands } = form;
  const size = operationSize(form, instruction);
  code.fill(0, at, at + Entry.Stride);
  code[at + Entry.Op] = HotOp.Handler;
  code[at + Entry.A] = 0;
  code[at + Entry.B] = 0;
  code[at + Entry.Where] = offset | (instruction.length << 16);
  code[at + Entry.Cost] = cost;
  code[at + Entry.Immediate] = instruction.immediate;
  code[at + Entry.ImmediateHi] = instruction.immediateHi;
  // The x87 opcode that the last-instruction pointers remember: escape byte and ModRM.
  if (instruction.map === 0 && (instruction.opcode & 0xf8) === 0xd8)
    code[at + Entry.Immediate] = ((instruction.opcode & 7) << 8) | instruction.modrm;
  let { key } = form;
  let known = handlerOf(key);
  let variant = known?.variant ?? 0;
  if (known === undefined) {
    key = fallbackKey(form);
    known = handlerOf(key);
    variant = usesVectors(form) ? 1 : 0;
  }
  const segment = segmentOf(instruction);
  let word = size | (instruction.addressSize << Form.AddressShift) | (segment << Form.SegmentShift);
  if (instruction.lock) word |= Form.Lock;
  if (instruction.repeat === 0xf3) word |= Form.RepeatEqual;
  else if (instruction.repeat === 0xf2) word |= Form.RepeatNotEqual;
  for (let next = 0, i = 0; next < operands.length; next++) {
    const operand = operands[next];
    const { kind } = operand;
    if (kind === OperandKind.VexRegister && next > 0) {
      code[at + Entry.Immediate] = registerOf(operand, instruction);
      continue;
    }
    if (i === 2) continue;
    const slot = at + (i === 0 ? Entry.A : Entry.B);
    if (MEMORY_OR_VECTOR.has(kind) && instruction.hasMemory)
      word |= i === 0 ? Form.MemoryFirst : Form.MemorySecond;
    else if (VECTOR.has(kind) || MMX.has(kind)) code[slot] = vectorRegisterOf(operand, instruction);
    else if (MEMORY.has(kind) && instruction.hasMemory)
      word |= i === 0 ? Form.MemoryFirst : Form.MemorySecond;
    else if (GENERAL.has(kind)) code[slot] = registerOf(operand, instruction);
    else if (kind === OperandKind.Immediate && i === 1) word |= Form.ImmediateSecond;
    else if (kind === OperandKind.Immediate && i === 0 && operands.length === 1) word |= Form.ImmediateSecond;
    else if (kind === OperandKind.One) {
      word |= Form.ImmediateSecond;
      code[at + Entry.Immediate] = 1;
      code[at + Entry.ImmediateHi] = 0;
    } else if (NUMBERED.has(kind)) variant = numberOf(operand, instruction, key);
    i++;
  }
  variant = variantOf(key, form, instruction, variant);
  if (key === "enter" || key === "callf" || key === "jmpf") {
    // The second immediate: nesting level, or selector.
    if (!instruction.hasMemory) code[at + Entry.ImmediateHi] = instruction.immediate2;
  }
  if (instruction.hasMemory) {
    setAddress(code, at, instruction, offset);
    if (operands.some((o) => o.kind === OperandKind.Offset)) {
      word |= Form.Absolute;
      code[at + Entry.ImmediateHi] = instruction.displacementHi;
    }
  } else {
    code[at + Entry.Base] = State.ZeroLo;
    code[at + Entry.Index] = State.ZeroLo;
  }
  if (key === "xlatb") code[at + Entry.Base] = State.Gpr + 6;
  else if (key === "maskmovq" || key === "maskmovdqu") code[at + Entry.Base] = State.Gpr + 14;
  word |= (variant & 0xff) << Form.VariantShift;
  word |= (known?.handler ?? 0) << Form.HandlerShift;
  code[at + Entry.Form] = word;
  const kind = instruction.hasMemory ? eaKind(instruction, segment, modeBits) : 0;
  if (kind >= 0 && !instruction.lock && (word & Form.Absolute) === 0) {
    const scale = instruction.scale;
    hotForms.apply(code, at, instruction, key, size, variant, kind | (scale << 8), offset, modeBits);
  } else if (instruction.hasMemory) code[at + Entry.Ea] = instruction.scale << 8;
  return key;
}

function setAddress(code: Int32Array, at: number, instruction: Instruction, offset: number): void {
  const { base, index } = instruction;
  let { displacement } = instruction;
  if (base === RIP_BASE) {
    // State RIP is that of the block while it runs.
    displacement = (displacement + offset + instruction.length) | 0;
    code[at + Entry.Base] = State.RipLo;
  } else code[at + Entry.Base] = base < 0 ? State.ZeroLo : base << 1;
  code[at + Entry.Index] = index < 0 ? State.ZeroLo : index << 1;
  code[at + Entry.Displacement] = displacement;
  code[at + Entry.Ea] = instruction.scale << 8;
}

/** Segment, control and debug register numbers travel in the variant. */
function numberOf(operand: OperandCode, instruction: Instruction, key: string): number {
  switch (operand.kind) {
    case OperandKind.SegmentFromReg:
      return instruction.reg & 7;
    case OperandKind.FixedSegment:
      return operand.register;
    case OperandKind.Debug:
      return instruction.reg | (key === "movtodr" ? 8 : 0);
    default:
      return instruction.reg;
  }
}

/** Variants that depend on the form and not only on its key. */
function variantOf(key: string, form: OpcodeForm, instruction: Instruction, variant: number): number {
  const { operands } = form;
  switch (key) {
    case "imul":
      return operands.length;
    case "movzx":
    case "movsx":
      return (key === "movsx" ? 4 : 0) | widthBytes(operands[1].width, instruction);
    case "movsxd":
      // With a 16-bit operand size it moves 16 bits.
      return 4 | (instruction.operandSize === 1 ? 8 | 1 : 2);
    case "crc32":
      return widthBytes(operands[1].width, instruction);
    case "shld":
    case "shrd":
      return variant | (operands[2].kind === OperandKind.Immediate ? 0 : 2);
    case "in":
    case "out": {
      const port = operands[key === "in" ? 1 : 0];
      return variant | (port.kind === OperandKind.Immediate ? 0 : 2);
    }
    case "jmp":
    case "call":
      return operands[0].kind === OperandKind.Relative ? 1 : 0;
    case "jmpf":
    case "callf":
      return operands[0].kind === OperandKind.FarPointer ? 1 : 0;
    default:
      return variant;
  }
}
