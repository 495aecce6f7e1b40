import { State } from "../cpu-state.js";
import type { Instruction } from "../decode/instruction.js";
import { CONDITIONS } from "../decode/opcode-tables.js";
import { EaKind, Entry, Form, HIGH_BYTE } from "./entry.js";
import { HotOp } from "./hot-op.js";
import { ModeBits } from "./mode-bits.js";

/** Order of the switch's arithmetic groups. */
const GROUP: Readonly<Record<string, number>> = { add: 0, or: 1, and: 2, sub: 3, xor: 4, cmp: 5, test: 6 };
/** Operations of the AluMR and AluMI forms. */
const TO_MEMORY: Readonly<Record<string, number>> = { add: 0, or: 1, and: 4, sub: 5, xor: 6 };
const UNARY: Readonly<Record<string, number>> = {
  neg: HotOp.Neg32,
  not: HotOp.Not32,
  inc: HotOp.Inc32,
  dec: HotOp.Dec32,
};
const SHIFT: Readonly<Record<string, number>> = {
  shl: HotOp.ShlRI32,
  shr: HotOp.ShrRI32,
  sar: HotOp.SarRI32,
  rol: HotOp.RolRI32,
  ror: HotOp.RorRI32,
};
const NOPS = new Set(
  "nop endbr64 endbr32 prefetchw prefetchwt1 prefetchnta prefetcht0 prefetcht1 prefetcht2 sfence".split(" "),
);
const CONDITION_OF = new Map<string, number>(
  CONDITIONS.flatMap((cc, i) => [
    [`j${cc}`, i],
    [`set${cc}`, i],
    [`cmov${cc}`, i],
  ]),
);
const RSP = State.Gpr + 8;
const RBP = State.Gpr + 10;

/**
 * Turns entries into ones that the hot loop's switch executes itself, where there is such a form; other entries stay
 * with their handlers. What describes the entry at hand is kept in fields, so that decoding allocates nothing.
 */
export class HotForms {
  private code: Int32Array = new Int32Array(0);
  private at = 0;
  private instruction!: Instruction;
  private key = "";
  private size = 0;
  private variant = 0;
  private ea = 0;
  private offset = 0;
  private modeBits = 0;
  private memoryFirst = false;
  private memorySecond = false;
  private immediate = false;
  private wide = 0;
  private full = false;
  private lowBytes = false;

  /** @param ea {@link EaKind} and scale of the memory operand, if any */
  apply(
    code: Int32Array,
    at: number,
    instruction: Instruction,
    key: string,
    size: number,
    variant: number,
    ea: number,
    offset: number,
    modeBits: number,
  ): void {
    const word = code[at + Entry.Form];
    const memoryFirst = (word & Form.MemoryFirst) !== 0;
    const memorySecond = (word & Form.MemorySecond) !== 0;
    const immediate = (word & Form.ImmediateSecond) !== 0;
    const wide = size === 3 ? 1 : 0;
    const full = size >= 2;
    this.code = code;
    this.at = at;
    this.instruction = instruction;
    this.key = key;
    this.size = size;
    this.variant = variant;
    this.ea = ea;
    this.offset = offset;
    this.modeBits = modeBits;
    this.memoryFirst = memoryFirst;
    this.memorySecond = memorySecond;
    this.immediate = immediate;
    this.wide = wide;
    this.full = full;
    this.lowBytes = code[at + Entry.A] < HIGH_BYTE && code[at + Entry.B] < HIGH_BYTE;

    if (NOPS.has(key) || (key === "xchg" && instruction.opcode === 0x90 && (instruction.rex & 1) === 0)) {
      code[at + Entry.Op] = HotOp.Nop;
      return;
    }
    if (key === "vmcall" || key === "vmmcall") {
      code[at + Entry.Op] = HotOp.Hypercall;
      return;
    }
    const group = GROUP[key];
    if (group !== undefined) {
      this.arithmetic(group);
      return;
    }
    const cc = CONDITION_OF.get(key);
    if (cc !== undefined) {
      this.conditional(cc);
      return;
    }
    switch (key) {
      case "mov":
        this.move();
        break;
      case "lea":
        if (full) this.set(HotOp.Lea32 + wide);
        break;
      case "movzx":
      case "movsx":
      case "movsxd":
        this.extend();
        break;
      case "adc":
      case "sbb":
        if (!full || memoryFirst || memorySecond) break;
        if (!immediate)
          this.set(
            key === "adc" ? (wide ? HotOp.AdcRR64 : HotOp.AdcRR32) : wide ? HotOp.SbbRR64 : HotOp.SbbRR32,
          );
        else if (key === "adc") this.set(HotOp.AdcRI32 + wide);
        break;
      case "neg":
      case "not":
      case "inc":
      case "dec":
        if (full && !memoryFirst) this.set(UNARY[key] + wide);
        break;
      case "shl":
      case "shr":
      case "sar":
      case "rol":
      case "ror":
        this.shift();
        break;
      case "imul":
        this.multiply();
        break;
      case "bswap":
        if (full) this.set(HotOp.Bswap32 + wide);
        break;
      case "xchg":
        if (size === 3 && !memoryFirst) this.set(HotOp.XchgRR64);
        break;
      case "cbw":
        if (size === 3) this.set(HotOp.Cdqe);
        break;
      case "cwd":
        if (full) this.set(HotOp.Cdq + wide);
        break;
      case "push":
      case "pop":
      case "call":
      case "ret":
      case "leave":
        this.stack();
        break;
      case "jmp":
        this.jump();
        break;
    }
  }

  private set(op: number, bytes = 0): void {
    const { code, at, ea } = this;
    code[at + Entry.Op] = op;
    code[at + Entry.Ea] = ea | (bytes << 16);
  }

  private arithmetic(group: number): void {
    const { code, at, key, size, memoryFirst, memorySecond, immediate, wide, full, lowBytes } = this;
    const a = code[at + Entry.A];
    const b = code[at + Entry.B];
    if (full) {
      if (!memoryFirst && !memorySecond) {
        if (immediate) this.set((wide ? HotOp.AddRI64 : HotOp.AddRI32) + group);
        else if ((key === "xor" || key === "sub") && a === b) this.set(HotOp.ClearReg);
        else this.set((wide ? HotOp.AddRR64 : HotOp.AddRR32) + group);
      } else if (memorySecond) this.set((wide ? HotOp.AddRM64 : HotOp.AddRM32) + group, 1 << size);
      else if (key === "cmp") this.set((immediate ? HotOp.CmpMI32 : HotOp.CmpMR32) + wide, 1 << size);
      else if (key === "test") {
        if (immediate) this.set(HotOp.TestMI32 + wide, 1 << size);
        else {
          code[at + Entry.A] = b; // the switch wants the register in A
          this.set(wide ? HotOp.TestMR64 : HotOp.TestMR32, 1 << size);
        }
      } else {
        if (!immediate) code[at + Entry.A] = b;
        code[at + Entry.B] = TO_MEMORY[key];
        this.set((immediate ? HotOp.AluMI32 : HotOp.AluMR32) + wide, 1 << size);
      }
      return;
    }
    if (size !== 0 || !lowBytes || (key !== "cmp" && key !== "test")) return;
    const cmp = key === "cmp";
    if (!memoryFirst && !memorySecond)
      this.set(immediate ? (cmp ? HotOp.CmpRI8 : HotOp.TestRI8) : cmp ? HotOp.CmpRR8 : HotOp.TestRR8);
    else if (immediate) this.set(cmp ? HotOp.CmpMI8 : HotOp.TestMI8, 1);
    else if (cmp && memorySecond) this.set(HotOp.CmpRM8, 1);
    else if (cmp) this.set(HotOp.CmpMR8, 1);
  }

  private conditional(condition: number): void {
    const { code, at, instruction, key, size, offset, memoryFirst, memorySecond, wide, full, lowBytes } =
      this;
    if (key.startsWith("j")) {
      if (instruction.mode === 16 || !full) return;
      this.set(HotOp.Jcc + condition);
      code[at + Entry.ImmediateHi] = offset + instruction.length;
      code[at + Entry.Immediate] = (instruction.immediate + offset + instruction.length) | 0;
    } else if (key.startsWith("set")) {
      if (memoryFirst || !lowBytes) return;
      code[at + Entry.B] = condition;
      this.set(HotOp.Setcc);
    } else if (full) {
      code[at + Entry.Immediate] = condition;
      if (memorySecond) this.set(HotOp.CmovRM32 + wide, 1 << size);
      else this.set(HotOp.CmovRR32 + wide);
    }
  }

  private move(): void {
    const { size, memoryFirst, memorySecond, immediate, wide, full, lowBytes } = this;
    if (memoryFirst) {
      if (size === 0 && !immediate && !lowBytes) return;
      this.set((immediate ? HotOp.MovMI8 : HotOp.MovMR8) + size, 1 << size);
    } else if (memorySecond) {
      if (full) this.set(HotOp.MovRM32 + wide, 1 << size);
      else if (size === 0 && lowBytes) this.set(HotOp.MovRM8, 1);
    } else if (immediate) {
      if (full) this.set(HotOp.MovRI32 + wide);
      else if (size === 0 && lowBytes) this.set(HotOp.MovRI8);
    } else if (full) this.set(HotOp.MovRR32 + wide);
    else if (size === 0 && lowBytes) this.set(HotOp.MovRR8);
  }

  private extend(): void {
    const { key, variant, memorySecond, wide, full, lowBytes } = this;
    if (!full) return;
    const from = variant & 3;
    if (key === "movsxd") {
      if (from !== 2) return;
      if (memorySecond) this.set(wide ? HotOp.MovsxdMem : HotOp.MovRM32, 4);
      else this.set(wide ? HotOp.MovsxdReg : HotOp.MovRR32);
      return;
    }
    if (memorySecond) {
      if (key === "movzx") this.set(HotOp.MovzxByteMem + from, 1 << from);
      else this.set(HotOp.MovsxByteMem32 + 2 * from + wide, 1 << from);
    } else if (lowBytes) {
      if (key === "movzx") this.set(HotOp.MovzxByteReg + from);
      else this.set(HotOp.MovsxByteReg32 + 2 * from + wide);
    }
  }

  private shift(): void {
    const { code, at, key, variant, memoryFirst, immediate, wide, full } = this;
    if (!full || memoryFirst) return;
    if (immediate) {
      const count = code[at + Entry.Immediate] & (wide ? 63 : 31);
      if (count === 0) return;
      code[at + Entry.Immediate] = count;
      this.set(SHIFT[key] + wide);
    } else if (key === "shl" || key === "shr" || key === "sar") {
      code[at + Entry.B] = variant;
      this.set(HotOp.ShiftCl32 + wide);
    }
  }

  private multiply(): void {
    const { size, variant, memorySecond, wide, full } = this;
    if (!full || variant === 1) return;
    if (variant === 3) {
      if (!memorySecond) this.set(HotOp.ImulRRI32 + wide);
    } else if (memorySecond) this.set(HotOp.ImulRM32 + wide, 1 << size);
    else this.set(HotOp.ImulRR32 + wide);
  }

  /** Whether stack operations of this size may go through the switch: 64-bit mode, or 32 bits on a flat stack. */
  private stackIsPlain(): boolean {
    const { instruction, size, modeBits } = this;
    if ((modeBits & ModeBits.Aligned) !== 0) return false;
    if (instruction.mode === 64) return size === 3;
    const flat = ModeBits.BigStack | ModeBits.FlatSs;
    return instruction.mode === 32 && size === 2 && (modeBits & flat) === flat;
  }

  private setStack(op: number, base: number, displacement: number): void {
    const { code, at, size } = this;
    const narrow = size === 2 ? 1 : 0;
    code[at + Entry.Op] = op + narrow;
    code[at + Entry.Base] = base;
    code[at + Entry.Index] = State.ZeroLo;
    code[at + Entry.Displacement] = displacement;
    code[at + Entry.Ea] = (narrow ? EaKind.Flat32 : EaKind.Base64) | ((1 << size) << 16);
  }

  private stack(): void {
    const { code, at, instruction, key, size, variant, offset, memoryFirst, immediate } = this;
    if (memoryFirst || !this.stackIsPlain()) return;
    const bytes = 1 << size;
    // Faults of the access are the stack's.
    code[at + Entry.Form] = (code[at + Entry.Form] & ~(7 << Form.SegmentShift)) | (2 << Form.SegmentShift);
    switch (key) {
      case "push":
        this.setStack(immediate ? HotOp.PushImm64 : HotOp.Push64, RSP, -bytes);
        break;
      case "pop":
        this.setStack(HotOp.Pop64, RSP, 0);
        break;
      case "ret":
        code[at + Entry.Immediate] &= 0xffff;
        this.setStack(HotOp.Ret64, RSP, 0);
        break;
      case "leave":
        this.setStack(HotOp.Leave64, RBP, 0);
        break;
      default:
        code[at + Entry.ImmediateHi] = offset + instruction.length;
        if (variant === 1) {
          code[at + Entry.Immediate] = (instruction.immediate + offset + instruction.length) | 0;
          this.setStack(HotOp.CallRel64, RSP, -bytes);
        } else this.setStack(HotOp.CallReg64, RSP, -bytes);
    }
  }

  private jump(): void {
    const { code, at, instruction, size, variant, offset, memoryFirst } = this;
    const plain = instruction.mode === 64 ? size === 3 : instruction.mode === 32 && size === 2;
    if (!plain) return;
    if (variant === 1) {
      code[at + Entry.Immediate] = (instruction.immediate + offset + instruction.length) | 0;
      this.set(HotOp.Jmp);
    } else if (memoryFirst) this.set(HotOp.JmpMem, 1 << size);
    else this.set(HotOp.JmpReg);
  }
}
