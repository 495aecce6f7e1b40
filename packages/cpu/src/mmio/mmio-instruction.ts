import { DecodeStatus, Instruction } from "../decode/instruction.js";
import { type OperandCode, OperandKind } from "../decode/operand-codes.js";
import { HIGH_BYTE } from "../interpreter/entry.js";
import { registerOf, widthBytes } from "../interpreter/lowering.js";
import { carryFlag, setAdd, setCarry, setLogic, setSubtract } from "../registers/flags.js";

/** Registers behind a physical address, reached by loads and stores. */
export interface MmioDevice {
  /** @param bytes 1, 2 or 4 @returns the value; bits above it are ignored */
  load(offset: number, bytes: number): number;
  store(offset: number, bytes: number, value: number): void;
}

/**
 * Carries out one instruction whose memory operand is a device's: MOV, MOVZX, MOVSX, MOVSXD, the eight arithmetic
 * operations, TEST, XCHG, INC, DEC, NOT, and BT with its kin. Whoever took the fault knows where the operand is; the registers and flags
 * of the state words change as the instruction says, RIP does not. 64-bit operands are two 32-bit accesses.
 */
export class MmioInstruction {
  /** Bytes of the latest instruction that {@link execute} carried out. */
  length = 0;
  private readonly instruction: Instruction;
  private device!: MmioDevice;
  private offset = 0;
  private lo = 0;
  private hi = 0;

  constructor(amd: boolean) {
    this.instruction = new Instruction(amd);
  }

  /**
   * @param bytes the instruction, as far as it could be fetched @param mode 16, 32 or 64
   * @param offset of the operand in the device
   * @returns false for an instruction it does not know: nothing has changed
   */
  execute(
    bytes: Uint8Array,
    count: number,
    mode: number,
    words: Int32Array,
    device: MmioDevice,
    offset: number,
  ): boolean {
    const { instruction } = this;
    if (instruction.decode(bytes, 0, count, mode) !== DecodeStatus.Ok || !instruction.hasMemory) return false;
    this.device = device;
    this.offset = offset;
    this.length = instruction.length;
    return this.carryOut(words);
  }

  private carryOut(words: Int32Array): boolean {
    const { instruction } = this;
    const form = instruction.form;
    if (form === null) return false;
    const [first, second] = form.operands;
    const size = widthBytes(first.width, instruction);
    switch (form.key) {
      case "mov":
      case "movabs":
        if (isMemory(first)) {
          this.take(words, second, size);
          this.write(size);
        } else {
          this.read(size);
          this.put(words, first, size);
        }
        return true;
      case "movzx":
      case "movsx":
      case "movsxd": {
        const narrow = form.key === "movsxd" ? 2 : widthBytes(second.width, instruction);
        this.read(narrow);
        if (form.key === "movzx") {
          if (narrow < 2) this.lo &= (1 << (8 << narrow)) - 1;
          this.hi = 0;
        } else this.hi = this.lo >> 31;
        this.put(words, first, size);
        return true;
      }
      case "xchg": {
        const register = isMemory(first) ? second : first;
        this.read(size);
        const { lo, hi } = this;
        this.take(words, register, size);
        this.write(size);
        this.lo = lo;
        this.hi = hi;
        this.put(words, register, size);
        return true;
      }
      case "not":
        this.read(size);
        this.lo = ~this.lo;
        this.hi = ~this.hi;
        this.write(size);
        return true;
      case "inc":
      case "dec": {
        const carry = carryFlag(words);
        this.read(size);
        const a = this.lo;
        const aHi = this.hi;
        this.lo = 1;
        this.hi = 0;
        this.combine(words, form.key === "inc" ? "add" : "sub", size, a, aHi);
        setCarry(words, carry);
        this.write(size);
        return true;
      }
      case "bt":
      case "bts":
      case "btr":
      case "btc":
        this.bit(words, form.key, second, size);
        return true;
      default:
        return this.arithmetic(words, form.key, first, second, size);
    }
  }

  /** The access is to the word that holds the bit: whoever found its address has taken the rest of the index in. */
  private bit(words: Int32Array, key: string, index: OperandCode, size: number): void {
    this.take(words, index, size);
    const bit = this.lo & ((8 << size) - 1);
    this.read(size);
    const mask = 1 << (bit & 31);
    const high = bit >= 32;
    setCarry(words, ((high ? this.hi : this.lo) & mask) === 0 ? 0 : 1);
    if (key === "bt") return;
    const word = high ? this.hi : this.lo;
    const changed = key === "bts" ? word | mask : key === "btr" ? word & ~mask : word ^ mask;
    if (high) this.hi = changed;
    else this.lo = changed;
    this.write(size);
  }

  private arithmetic(
    words: Int32Array,
    key: string,
    first: OperandCode,
    second: OperandCode | undefined,
    size: number,
  ): boolean {
    if (second === undefined || !ARITHMETIC.has(key)) return false;
    const destination = isMemory(first);
    if (destination) this.read(size);
    else this.take(words, first, size);
    const a = this.lo;
    const aHi = this.hi;
    if (isMemory(second)) this.read(size);
    else this.take(words, second, size);
    this.combine(words, key, size, a, aHi);
    if (key === "cmp" || key === "test") return true;
    if (destination) this.write(size);
    else this.put(words, first, size);
    return true;
  }

  /** Flags and result of `a` operation `lo, hi`, to lo, hi. */
  private combine(words: Int32Array, key: string, size: number, a: number, aHi: number): void {
    const b = this.lo;
    const bHi = this.hi;
    const carryIn = key === "adc" || key === "sbb" ? carryFlag(words) : 0;
    let lo = 0;
    let hi = 0;
    switch (key) {
      case "add":
      case "adc":
        lo = (a + b + carryIn) | 0;
        hi = (aHi + bHi + Math.floor(((a >>> 0) + (b >>> 0) + carryIn) / 0x100000000)) | 0;
        setAdd(words, size, a, aHi, b, bHi, lo, hi);
        break;
      case "sub":
      case "sbb":
      case "cmp":
        lo = (a - b - carryIn) | 0;
        hi = (aHi - bHi + Math.floor(((a >>> 0) - (b >>> 0) - carryIn) / 0x100000000)) | 0;
        setSubtract(words, size, a, aHi, b, bHi, lo, hi);
        break;
      default:
        lo = key === "or" ? a | b : key === "xor" ? a ^ b : a & b;
        hi = key === "or" ? aHi | bHi : key === "xor" ? aHi ^ bHi : aHi & bHi;
        setLogic(words, size, lo, hi);
    }
    this.lo = lo;
    this.hi = hi;
  }

  /** The device's value to lo, hi; narrow ones sign-extended, as operands are elsewhere. */
  private read(size: number): void {
    const { device, offset } = this;
    this.hi = 0;
    if (size < 2) {
      const shift = 32 - (8 << size);
      this.lo = (device.load(offset, 1 << size) << shift) >> shift;
    } else this.lo = device.load(offset, 4) | 0;
    if (size === 3) this.hi = device.load(offset + 4, 4) | 0;
  }

  private write(size: number): void {
    const { device, offset } = this;
    device.store(offset, size > 2 ? 4 : 1 << size, this.lo);
    if (size === 3) device.store(offset + 4, 4, this.hi);
  }

  /** A register or immediate operand to lo, hi. */
  private take(words: Int32Array, operand: OperandCode, size: number): void {
    const { instruction } = this;
    if (operand.kind === OperandKind.Immediate) {
      this.lo = instruction.immediate;
      this.hi = instruction.immediateHi;
      return;
    }
    const code = registerOf(operand, instruction);
    const shift = size < 2 ? 32 - (8 << size) : 0;
    const value = code >= HIGH_BYTE ? words[code & 0xff] >> 8 : words[code];
    this.lo = (value << shift) >> shift;
    this.hi = size === 3 ? words[code + 1] : 0;
  }

  private put(words: Int32Array, operand: OperandCode, size: number): void {
    const code = registerOf(operand, this.instruction);
    const { lo } = this;
    if (size >= 2) {
      words[code] = lo;
      words[code + 1] = size === 3 ? this.hi : 0;
    } else if (size === 1) words[code] = (words[code] & ~0xffff) | (lo & 0xffff);
    else if (code >= HIGH_BYTE) words[code & 0xff] = (words[code & 0xff] & ~0xff00) | ((lo & 0xff) << 8);
    else words[code] = (words[code] & ~0xff) | (lo & 0xff);
  }
}

const ARITHMETIC: ReadonlySet<string> = new Set("add or adc sbb and sub xor cmp test".split(" "));

function isMemory({ kind }: OperandCode): boolean {
  return kind === OperandKind.RegisterOrMemory || kind === OperandKind.Memory || kind === OperandKind.Offset;
}
