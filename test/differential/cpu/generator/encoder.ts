import { MandatoryPrefix } from "../../../../packages/cpu/src/decode/opcode-map.js";
import { OperandKind, OperandWidth } from "../../../../packages/cpu/src/decode/operand-codes.js";
import { DATA_BASE } from "../layout.js";
import type { Random } from "../random.js";
import { type ListedForm, mandatoryPrefixes } from "./form-list.js";
import { edgeValue, type RegisterFile, Role, windowOffset } from "./registers.js";

/** Opcodes of the string instructions, which take a repeat prefix. */
const STRING_OPCODES = new Set([
  0x6c, 0x6d, 0x6e, 0x6f, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
]);
const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const VEX = 0xc4;
/** VEX.pp by mandatory prefix. */
const VEX_PP: readonly number[] = [0, 0, 1, 2, 3, 0];
const NEAR_BRANCHES = new Set(["call", "jmp", "ret"]);

/** Encodes one random instance of an opcode form at a time. */
export class Encoder {
  readonly bytes: number[] = [];
  /** Where a relative displacement lies in {@link bytes}, or -1; the sequence fills it in. */
  relativeAt = -1;
  relativeBytes = 0;
  /** Immediate shift count, or -1. */
  count = -1;
  bits = 32;
  private readonly random: Random;
  private readonly mode: 32 | 64;
  /** Whether 66 on a near branch in 64-bit mode may be compared: it is ignored by Intel only. */
  private readonly near66: boolean;
  private operandBytes = 4;
  private addressBytes = 8;
  private ripAt = -1;
  /** -16 when the memory operand had better be aligned, else -1. */
  private alignment = -1;

  constructor(random: Random, mode: 32 | 64, near66: boolean) {
    this.random = random;
    this.mode = mode;
    this.near66 = near66;
  }

  /** @param address linear address of the instruction */
  encode(listed: ListedForm, registers: RegisterFile, address: number): void {
    const { form, map, opcode } = listed;
    const { random, mode, bytes } = this;
    bytes.length = 0;
    this.relativeAt = -1;
    this.ripAt = -1;
    this.alignment = -1;
    this.count = -1;
    const isString = map === 0 && STRING_OPCODES.has(opcode);
    const wants66 = this.wantsOperandPrefix(listed);
    const wants67 = random.oneIn(mode === 64 ? 16 : 24);
    this.addressBytes = mode === 64 ? (wants67 ? 4 : 8) : wants67 ? 2 : 4;

    const prefixes = map > 3 ? [] : [...mandatoryPrefixes(form)];
    if (wants66 && !prefixes.includes(0x66)) prefixes.push(0x66);
    if (wants67) prefixes.push(0x67);
    if (random.oneIn(16)) prefixes.push(random.pick(SEGMENT_PREFIXES));
    const mayRepeat = (form.prefix === MandatoryPrefix.Any && map !== 2) || (map > 3 && random.oneIn(100));
    if (mayRepeat && (isString ? random.oneIn(2) : random.oneIn(48)))
      prefixes.push(random.oneIn(2) ? 0xf2 : 0xf3);
    if (form.lockable ? random.oneIn(5) : random.oneIn(200)) prefixes.push(0xf0);
    if (random.oneIn(50) && prefixes.length > 0) prefixes.push(random.pick(prefixes));
    for (let i = prefixes.length; i > 1; i--) {
      const j = random.below(i);
      bytes.push(prefixes.splice(j, 1)[0]);
    }
    bytes.push(...prefixes);

    const rexW = mode === 64 && random.oneIn(2) && !this.avoidRexW(listed);
    const rexAt = bytes.length;
    if (form.forced64 && mode === 64) this.operandBytes = 8;
    else if (rexW) this.operandBytes = 8;
    else if (wants66) this.operandBytes = 2;
    else this.operandBytes = form.default64 && mode === 64 ? 8 : 4;
    this.bits = form.operands[0]?.width === OperandWidth.Byte ? 8 : 8 * this.operandBytes;

    if (map > 3) bytes.push(VEX, 0, 0);
    else if (map > 0) bytes.push(0x0f);
    if (map === 2) bytes.push(0x38);
    if (map === 3) bytes.push(0x3a);
    bytes.push(opcode);
    let rex = rexW ? 8 : 0;
    if (form.needsModrm) rex |= this.modrm(listed, registers);
    else if (mode === 64 && random.oneIn(2)) rex |= 1;
    for (const operand of form.operands) this.trailing(operand, form.key);
    if (map > 3) this.vexPrefix(listed, rexAt, rex);
    else if (mode === 64 && (rex !== 0 || random.oneIn(6))) {
      // Rarely before a legacy prefix, where it is ignored.
      const at = !rexW && random.oneIn(100) ? 0 : rexAt;
      bytes.splice(at, 0, 0x40 | rex);
      if (this.relativeAt >= 0) this.relativeAt++;
      if (this.ripAt >= 0) this.ripAt++;
    }
    if (this.ripAt >= 0) this.put(this.ripAt, 4, this.windowAddress() - address - bytes.length);
  }

  /** Fills in the two bytes behind C4; now and then with a VEX.L or VEX.vvvv that is undefined. */
  private vexPrefix({ form, map }: ListedForm, at: number, rex: number): void {
    const { random, bytes } = this;
    const named = form.operands.some((operand) => operand.kind === OperandKind.VexRegister);
    const vvvv = named || random.oneIn(64) ? random.below(16) : 15;
    const wide = (rex & 8) << 4;
    bytes[at + 1] = ((~rex & 7) << 5) | (map - 2);
    bytes[at + 2] = wide | (vvvv << 3) | (random.oneIn(64) ? 4 : 0) | VEX_PP[form.prefix];
  }

  /** Writes `count` little-endian bytes of an int32. */
  put(at: number, count: number, value: number): void {
    for (let i = 0; i < count; i++) this.bytes[at + i] = (i < 4 ? value >> (8 * i) : value >> 31) & 0xff;
  }

  private wantsOperandPrefix({ form, map }: ListedForm): boolean {
    if (map > 3) return this.random.oneIn(100);
    if (form.prefix === MandatoryPrefix.P66) return true;
    if (form.prefix === MandatoryPrefix.None) return false;
    if (form.forced64 && this.mode === 64 && !this.near66) return false;
    // BSWAP of 16 bits is undefined, and so is SHLD by more than 16.
    if (form.key === "bswap" || form.key === "shld" || form.key === "shrd") return false;
    if (NEAR_BRANCHES.has(form.key) || form.forced64) return this.random.oneIn(24);
    return this.random.oneIn(4);
  }

  /** Far branches with REX.W exist on Intel only. */
  private avoidRexW({ form }: ListedForm): boolean {
    return form.operands.some((operand) => operand.width === OperandWidth.Far);
  }

  /** Appends ModRM, SIB and displacement. @returns REX bits R, X and B */
  private modrm({ form }: ListedForm, registers: RegisterFile): number {
    const { random, mode, bytes } = this;
    const wide = mode === 64 && random.oneIn(2);
    const limit = wide ? 16 : 8;
    if (form.modrm >= 0) {
      bytes.push(form.modrm);
      return 0;
    }
    const segment = form.operands.some((operand) => operand.kind === OperandKind.SegmentFromReg);
    let reg = form.reg >= 0 ? form.reg : random.below(segment ? 8 : limit);
    // FS and GS would lose their bases; Intel and AMD differ in when.
    if (segment && (reg === 4 || reg === 5)) reg = 3;
    if (form.key === "bt" && random.oneIn(2) && form.reg < 0)
      reg = registers.withRole(random, Role.Small, limit);
    const rexR = reg >= 8 ? 4 : 0;
    const registerOnly = form.operands.some((operand) => operand.kind === OperandKind.RegisterFromRm);
    const asRegister = form.rm === 2 || (form.rm === 0 && (registerOnly || random.oneIn(2)));
    if (asRegister) {
      const rm = random.below(limit);
      const mod = registerOnly ? random.below(4) : 3;
      bytes.push((mod << 6) | ((reg & 7) << 3) | (rm & 7));
      return rexR | (rm >= 8 ? 1 : 0);
    }
    const vector = form.operands.some(({ width }) => width === OperandWidth.Vector);
    this.alignment = vector && !random.oneIn(4) ? -16 : -1;
    return rexR | (this.addressBytes === 2 ? this.memory16(reg & 7) : this.memory(reg & 7, registers, limit));
  }

  private memory16(reg: number): number {
    const { random, bytes } = this;
    const mod = random.below(3);
    const rm = random.below(8);
    bytes.push((mod << 6) | (reg << 3) | rm);
    const size = mod === 0 ? (rm === 6 ? 2 : 0) : mod;
    if (size > 0) this.append(size, edgeValue(random, size));
    return 0;
  }

  private memory(reg: number, registers: RegisterFile, limit: number): number {
    const { random, bytes, mode } = this;
    const base = registers.withRole(random, random.oneIn(20) ? Role.Value : Role.Pointer, limit);
    const index = registers.withRole(random, random.oneIn(10) ? Role.Value : Role.Small, limit);
    const dice = random.below(20);
    if (dice === 0) {
      bytes.push((reg << 3) | 5);
      if (mode === 64 && this.addressBytes === 8) this.ripAt = bytes.length;
      this.append(4, this.windowAddress());
      return 0;
    }
    if (dice === 1) {
      // No base: an absolute address, perhaps with a scaled index.
      const scaled = random.oneIn(2) && index !== 4;
      bytes.push((reg << 3) | 4, (random.below(4) << 6) | ((scaled ? index & 7 : 4) << 3) | 5);
      this.append(4, this.windowAddress());
      return scaled && index >= 8 ? 2 : 0;
    }
    const aligned = this.alignment === -16;
    const displacement = random.below(3);
    const mod = aligned ? 2 : displacement === 0 && (base & 7) === 5 ? 1 : displacement;
    const withIndex = dice < 7 && index !== 4 && !aligned;
    if (withIndex || (base & 7) === 4 || random.oneIn(16)) {
      bytes.push((mod << 6) | (reg << 3) | 4);
      bytes.push((random.below(4) << 6) | ((withIndex ? index & 7 : 4) << 3) | (base & 7));
    } else bytes.push((mod << 6) | (reg << 3) | (base & 7));
    if (mod === 1) this.append(1, random.between(-128, 127));
    else if (aligned) {
      const near = random.between(-0x300, 0x300);
      this.append(4, near - ((near + registers.words[2 * base]) & 15));
    } else if (mod === 2)
      this.append(4, random.oneIn(16) ? edgeValue(random, 4) : random.between(-0x300, 0x300));
    return (withIndex && index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0);
  }

  /** Somewhere in the data window. */
  private windowAddress(): number {
    return DATA_BASE + (windowOffset(this.random) & this.alignment);
  }

  private trailing(operand: { readonly kind: number; readonly width: number }, key: string): void {
    const { random } = this;
    if (operand.kind === OperandKind.Immediate) {
      const size = this.immediateBytes(operand.width);
      let value = edgeValue(random, size);
      if (key === "enter")
        value =
          size === 2 ? random.below(random.oneIn(8) ? 0x10000 : 64) : random.below(random.oneIn(8) ? 256 : 4);
      if (key === "int" && (value & 0xff) === 0x80) value = 4;
      if (key === "ret" || key === "retf") value = random.below(64);
      if (size === 1) this.count = value & 0xff;
      this.append(size, value);
      if (size === 8) this.put(this.bytes.length - 4, 4, random.oneIn(2) ? value >> 31 : random.word());
    } else if (operand.kind === OperandKind.Relative) {
      this.relativeBytes = operand.width === OperandWidth.Byte ? 1 : this.operandBytes === 2 ? 2 : 4;
      this.relativeAt = this.bytes.length;
      this.append(this.relativeBytes, 0);
    } else if (operand.kind === OperandKind.Offset) {
      this.append(this.addressBytes, DATA_BASE + windowOffset(random));
      if (this.addressBytes === 8 && random.oneIn(8)) this.put(this.bytes.length - 4, 4, random.word());
    } else if (operand.kind === OperandKind.FarPointer) {
      this.append(this.operandBytes === 2 ? 2 : 4, random.word());
      this.append(2, random.oneIn(2) ? random.pick([0, 3, 0x23, 0x2b, 0x28]) : random.word() | 4);
    } else if (operand.kind === OperandKind.One) this.count = 1;
  }

  private immediateBytes(width: number): number {
    if (width === OperandWidth.Byte) return 1;
    if (width === OperandWidth.Word) return 2;
    if (width === OperandWidth.ByOperandSize) return this.operandBytes;
    return this.operandBytes === 2 ? 2 : 4;
  }

  private append(count: number, value: number): void {
    const at = this.bytes.length;
    this.put(at, count, value);
  }
}
