import { MandatoryPrefix, OPCODE_MAPS, type OpcodeForm } from "./opcode-map.js";
import { OperandKind, OperandWidth } from "./operand-codes.js";

/** Longest instruction in bytes (SDM vol. 2, 2.3.11). */
export const MAX_INSTRUCTION_BYTES = 15;

/** What {@link Instruction.decode} answers. */
export const DecodeStatus = {
  Ok: 0,
  /** The bytes end inside the instruction. */
  Truncated: 1,
  /** Undefined: #UD. */
  Invalid: 2,
  /** Longer than 15 bytes: #GP(0). */
  TooLong: 3,
  /** A VEX or EVEX instruction on vector registers: defined, but not in these maps. */
  Extended: 4,
} as const;

/** Base register number that stands for RIP. */
export const RIP_BASE = 16;

/**
 * One decoded instruction, reused by the next `decode`. Register numbers are 0-15; sizes are log2 of bytes
 * (0: byte ... 3: 64 bits).
 */
export class Instruction {
  form: OpcodeForm | null = null;
  /** Bytes, prefixes included. */
  length = 0;
  opcode = 0;
  /** 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A, 4 and 5: those two with a VEX prefix. */
  map = 0;
  /** 16, 32 or 64: bits of the code segment. */
  mode = 64;
  rex = 0;
  lock = false;
  /** Last of F2 and F3, else 0. */
  repeat = 0;
  operandSizePrefix = false;
  addressSizePrefix = false;
  /** Segment-override register 0-5, or -1. */
  segmentOverride = -1;
  /** log2 bytes of the operand size: 1, 2 or 3. */
  operandSize = 2;
  /** log2 bytes of the address size: 1, 2 or 3. */
  addressSize = 3;
  modrm = 0;
  mod = 0;
  /** ModRM.reg with REX.R. */
  reg = 0;
  /** ModRM.rm with REX.B; meaningful when `mod` is 3. */
  rm = 0;
  /** VEX.vvvv; meaningful in the VEX maps. */
  vvvv = 0;
  hasMemory = false;
  /** 0-15, `RIP_BASE`, or -1. */
  base = -1;
  /** 0-15 or -1. */
  index = -1;
  /** log2 of the scale. */
  scale = 0;
  /** Sign-extended displacement or low word of an absolute offset. */
  displacement = 0;
  displacementHi = 0;
  /** First immediate, sign-extended to 64 bits; relative targets as displacement. */
  immediate = 0;
  immediateHi = 0;
  /** ENTER's level, a far pointer's selector. */
  immediate2 = 0;
  /** Bytes of the opcode and its prefixes that were read; where an immediate begins is `length` minus its bytes. */
  private at = 0;
  private end = 0;
  private limit = 0;
  private bytes: Uint8Array = new Uint8Array(0);
  private readonly amd: boolean;

  /** @param amd decode as AMD processors do where they differ from Intel's */
  constructor(amd = false) {
    this.amd = amd;
  }

  /**
   * Decodes the instruction at `start`.
   * @param available bytes that may be read
   * @param mode 16, 32 or 64
   * @returns a {@link DecodeStatus} number; `form` is set for `Ok` only
   */
  decode(bytes: Uint8Array, start: number, available: number, mode: number): number {
    this.bytes = bytes;
    this.at = start;
    this.limit = start + MAX_INSTRUCTION_BYTES;
    this.end = Math.min(start + available, this.limit);
    this.mode = mode;
    this.form = null;
    this.rex = 0;
    this.lock = false;
    this.repeat = 0;
    this.operandSizePrefix = false;
    this.addressSizePrefix = false;
    this.segmentOverride = -1;
    this.hasMemory = false;
    this.base = -1;
    this.index = -1;
    this.scale = 0;
    this.displacement = 0;
    this.displacementHi = 0;
    this.immediate = 0;
    this.immediateHi = 0;
    this.immediate2 = 0;
    this.modrm = 0;
    this.mod = 0;
    this.reg = 0;
    this.rm = 0;
    if (!this.prefixes()) return this.cut();
    if (!this.opcodeBytes()) return this.cut();
    if (this.isExtended()) return this.extended(start);
    return this.rest(start);
  }

  private cut(): number {
    return this.end === this.limit ? DecodeStatus.TooLong : DecodeStatus.Truncated;
  }

  private prefixes(): boolean {
    for (;;) {
      if (this.at >= this.end) return false;
      const byte = this.bytes[this.at];
      if ((byte & 0xf0) === 0x40 && this.mode === 64) {
        this.at++;
        this.rex = byte;
        continue;
      }
      switch (byte) {
        case 0x66:
          this.operandSizePrefix = true;
          break;
        case 0x67:
          this.addressSizePrefix = true;
          break;
        case 0xf0:
          this.lock = true;
          break;
        case 0xf2:
        case 0xf3:
          this.repeat = byte;
          break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          // Ignored in 64-bit mode, and there they do not cancel an earlier FS or GS override.
          if (this.mode !== 64) this.segmentOverride = (byte >> 3) & 3;
          break;
        case 0x64:
        case 0x65:
          this.segmentOverride = byte & 7;
          break;
        default:
          return true;
      }
      this.rex = 0; // a REX prefix counts only right before the opcode
      this.at++;
    }
  }

  private opcodeBytes(): boolean {
    this.map = 0;
    let byte = this.bytes[this.at++];
    if (byte === 0x0f) {
      if (this.at >= this.end) return false;
      this.map = 1;
      byte = this.bytes[this.at++];
      if (byte === 0x38 || byte === 0x3a) {
        if (this.at >= this.end) return false;
        this.map = byte === 0x38 ? 2 : 3;
        byte = this.bytes[this.at++];
      }
    }
    this.opcode = byte;
    return true;
  }

  /** VEX (C4, C5), EVEX (62) and XOP (8F with map 8 and up). */
  private isExtended(): boolean {
    if (this.map !== 0) return false;
    const { opcode } = this;
    if (opcode !== 0xc4 && opcode !== 0xc5 && opcode !== 0x62) return false;
    if (this.mode === 64) return true;
    return this.at < this.end && this.bytes[this.at] >= 0xc0;
  }

  /** VEX instructions on general registers; of others the length, so that they can be shown: nothing executes them. */
  private extended(start: number): number {
    const { opcode } = this;
    const payload = opcode === 0xc5 ? 1 : opcode === 0xc4 ? 2 : 3;
    if (this.at + payload >= this.end) return this.cut();
    const map = opcode === 0xc5 ? 1 : this.bytes[this.at] & (opcode === 0x62 ? 7 : 31);
    if (opcode === 0xc4 && (map === 2 || map === 3)) {
      const vex = map + 2;
      if (OPCODE_MAPS[vex].forms(this.bytes[this.at + 2]).length !== 0) return this.vex(start, vex);
    }
    this.at += payload;
    this.opcode = this.bytes[this.at++];
    this.addressSize = this.sizeOfAddress();
    if (this.map !== 1 || this.opcode !== 0x77) {
      if (!this.modrmByte()) return this.cut();
    }
    const hasImmediate =
      map === 3 ||
      (map === 1 && (this.opcode === 0xc2 || (this.opcode & 0xfc) === 0x70 || (this.opcode & 0xfd) === 0xc4));
    if (hasImmediate) this.at++;
    if (this.at > this.end) return this.cut();
    this.length = this.at - (this.limit - MAX_INSTRUCTION_BYTES);
    return DecodeStatus.Extended;
  }

  /** The three-byte VEX prefix says what REX and the mandatory prefixes say elsewhere (SDM vol. 2, 2.3.5). */
  private vex(start: number, map: number): number {
    const first = this.bytes[this.at++];
    const second = this.bytes[this.at++];
    const legacy = this.lock || this.repeat !== 0 || this.operandSizePrefix || this.rex !== 0;
    this.map = map;
    this.opcode = this.bytes[this.at++];
    this.rex = this.mode === 64 ? 0x40 | (~(first >> 5) & 7) | ((second >> 4) & 8) : 0;
    this.vvvv = ~(second >> 3) & 15 & (this.mode === 64 ? 15 : 7);
    this.operandSizePrefix = (second & 3) === 1;
    this.repeat = VEX_REPEAT[second & 3];
    const status = this.rest(start);
    if (status !== DecodeStatus.Ok) return status;
    const named = this.form!.operands.some((o) => o.kind === OperandKind.VexRegister);
    if (!legacy && (second & 4) === 0 && (named || (second & 0x78) === 0x78)) return DecodeStatus.Ok;
    this.form = null;
    return DecodeStatus.Invalid;
  }

  private sizeOfAddress(): number {
    if (this.mode === 64) return this.addressSizePrefix ? 2 : 3;
    return (this.mode === 32) !== this.addressSizePrefix ? 2 : 1;
  }

  private rest(start: number): number {
    const forms = OPCODE_MAPS[this.map].forms(this.opcode);
    this.addressSize = this.sizeOfAddress();
    if (forms.length === 0) return DecodeStatus.Invalid;
    // UD0 and UD1 have a ModRM byte on Intel only (SDM vol. 2, UD): AMD does not even fetch one.
    if (this.amd && this.map === 1 && (this.opcode === 0xff || this.opcode === 0xb9))
      return DecodeStatus.Invalid;
    const needsModrm = forms[0].needsModrm || forms[forms.length - 1].needsModrm;
    if (needsModrm) {
      if (this.at >= this.end) return this.cut();
      this.modrm = this.bytes[this.at];
      this.mod = this.modrm >> 6;
    }
    const form = this.select(forms);
    if (form === null) {
      // Processors fetch an undefined instruction's operands all the same.
      if (needsModrm && !this.modrmByte()) return this.cut();
      return DecodeStatus.Invalid;
    }
    this.setOperandSize(form);
    if (form.needsModrm) {
      const registerOnly = form.operands.some((o) => o.kind === OperandKind.RegisterFromRm);
      if (registerOnly) {
        this.mod = 3;
        this.at++;
        this.reg = ((this.modrm >> 3) & 7) | ((this.rex & 4) << 1);
        this.rm = (this.modrm & 7) | ((this.rex & 1) << 3);
      } else if (!this.modrmByte()) return this.cut();
    }
    if (!this.trailing(form)) return this.cut();
    this.length = this.at - start;
    // LOCK MOV CR0 is another way to write MOV CR8 (APM vol. 3, MOV (CRn): AltMovCr8).
    if (this.lock && this.amd && this.map === 1 && (this.opcode & 0xfd) === 0x20 && this.reg === 0) {
      this.reg = 8;
      this.lock = false;
    }
    if (this.lock && !(form.lockable && this.lockedDestination(form))) return DecodeStatus.Invalid;
    if (!this.registersExist(form)) return DecodeStatus.Invalid;
    this.form = form;
    return DecodeStatus.Ok;
  }

  private select(forms: readonly OpcodeForm[]): OpcodeForm | null {
    const { modrm, mod, mode, repeat, operandSizePrefix } = this;
    const reg = (modrm >> 3) & 7;
    for (let i = 0; i < forms.length; i++) {
      const form = forms[i];
      if (form.reg >= 0 && form.reg !== reg) continue;
      if (form.modrm >= 0 && form.modrm !== modrm) continue;
      if (form.rm === 1 && mod === 3) continue;
      if (form.rm === 2 && mod !== 3) continue;
      if (mode === 64 ? form.invalidIn64 : form.onlyIn64) continue;
      if (this.amd && this.intelOnly(form)) continue;
      switch (form.prefix) {
        case MandatoryPrefix.None:
          if (repeat !== 0 || operandSizePrefix) continue;
          break;
        case MandatoryPrefix.P66:
          if (repeat !== 0 || !operandSizePrefix) continue;
          break;
        case MandatoryPrefix.F3:
          if (repeat !== 0xf3) continue;
          break;
        case MandatoryPrefix.F2:
          if (repeat !== 0xf2) continue;
          break;
        case MandatoryPrefix.NoRepeat:
          if (repeat !== 0) continue;
          break;
      }
      return form;
    }
    return null;
  }

  /** Forms that AMD does not have. */
  private intelOnly(form: OpcodeForm): boolean {
    // PREFETCH with a register is undefined (APM vol. 3, PREFETCHlevel and PREFETCHW: mem8 only).
    if (this.map === 1) return this.opcode === 0x0d && this.mod === 3;
    // F3 90 with REX.B is XCHG r8, rAX (APM vol. 3, XCHG: 90 is NOP for rAX alone); Intel pauses.
    return form.key === "pause" && (this.rex & 1) !== 0;
  }

  private setOperandSize(form: OpcodeForm): void {
    const { mode, rex, operandSizePrefix } = this;
    if (this.map > 3) this.operandSize = (rex & 8) !== 0 ? 3 : 2;
    else if (mode === 64) {
      if (form.forced64 || (rex & 8) !== 0) this.operandSize = 3;
      else if (operandSizePrefix && form.prefix !== MandatoryPrefix.P66) this.operandSize = 1;
      else this.operandSize = form.default64 ? 3 : 2;
    } else
      this.operandSize = (mode === 32) !== (operandSizePrefix && form.prefix !== MandatoryPrefix.P66) ? 2 : 1;
  }

  private modrmByte(): boolean {
    if (this.at >= this.end) return false;
    const modrm = this.bytes[this.at++];
    this.modrm = modrm;
    this.mod = modrm >> 6;
    this.reg = ((modrm >> 3) & 7) | ((this.rex & 4) << 1);
    this.rm = (modrm & 7) | ((this.rex & 1) << 3);
    if (this.mod === 3) return true;
    this.hasMemory = true;
    return this.addressSize === 1 ? this.memory16() : this.memory32();
  }

  private memory16(): boolean {
    const rm = this.modrm & 7;
    this.base = BASE_16[rm];
    this.index = INDEX_16[rm];
    if (this.mod === 0 && rm === 6) {
      this.base = -1;
      return this.displacementOf(2);
    }
    return this.mod === 0 || this.displacementOf(this.mod);
  }

  private memory32(): boolean {
    const rm = this.modrm & 7;
    this.base = this.rm;
    if (rm === 4) {
      if (this.at >= this.end) return false;
      const sib = this.bytes[this.at++];
      this.scale = sib >> 6;
      this.index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
      if (this.index === 4) {
        this.index = -1;
        this.scale = 0;
      }
      this.base = (sib & 7) | ((this.rex & 1) << 3);
      if ((sib & 7) === 5 && this.mod === 0) {
        this.base = -1;
        return this.displacementOf(4);
      }
    } else if (rm === 5 && this.mod === 0) {
      this.base = this.mode === 64 ? RIP_BASE : -1;
      return this.displacementOf(4);
    }
    if (this.mod === 0) return true;
    return this.displacementOf(this.mod === 1 ? 1 : 4);
  }

  private displacementOf(bytes: number): boolean {
    if (this.at + bytes > this.end) {
      this.at = this.end;
      return false;
    }
    this.displacement = this.signed(bytes);
    return true;
  }

  /** Reads a little-endian signed integer of 1, 2 or 4 bytes. */
  private signed(bytes: number): number {
    const { bytes: b, at } = this;
    this.at += bytes;
    if (bytes === 1) return (b[at] << 24) >> 24;
    if (bytes === 2) return ((b[at] | (b[at + 1] << 8)) << 16) >> 16;
    return b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24);
  }

  /** Immediates, relative displacements, absolute offsets and far pointers. */
  private trailing(form: OpcodeForm): boolean {
    let first = true;
    for (let i = 0; i < form.operands.length; i++) {
      const { kind, width } = form.operands[i];
      if (kind === OperandKind.Offset) {
        const bytes = 1 << this.addressSize;
        if (this.at + bytes > this.end) return false;
        this.hasMemory = true;
        if (bytes === 2) this.displacement = this.signed(2) & 0xffff;
        else this.displacement = this.signed(4);
        if (bytes === 8) this.displacementHi = this.signed(4);
      } else if (kind === OperandKind.FarPointer) {
        const bytes = this.operandSize === 1 ? 2 : 4;
        if (this.at + bytes + 2 > this.end) return false;
        this.immediate = this.signed(bytes);
        if (bytes === 2) this.immediate &= 0xffff;
        this.immediate2 = this.signed(2) & 0xffff;
      } else if (kind === OperandKind.Immediate || kind === OperandKind.Relative) {
        const bytes = this.immediateBytes(width);
        if (this.at + bytes > this.end) return false;
        if (!first) {
          this.immediate2 = this.signed(bytes) & 0xff;
          continue;
        }
        first = false;
        if (bytes === 8) {
          this.immediate = this.signed(4);
          this.immediateHi = this.signed(4);
        } else {
          this.immediate = this.signed(bytes);
          this.immediateHi = this.immediate >> 31;
        }
      }
    }
    return true;
  }

  private immediateBytes(width: number): number {
    if (width === OperandWidth.Byte) return 1;
    if (width === OperandWidth.Word) return 2;
    if (width === OperandWidth.ByOperandSize) return 1 << this.operandSize;
    return this.operandSize === 1 ? 2 : 4;
  }

  /** LOCK wants a memory destination. */
  private lockedDestination(form: OpcodeForm): boolean {
    return (
      this.mod !== 3 &&
      form.operands.length > 0 &&
      form.operands[0].kind <= OperandKind.Memory &&
      this.hasMemory
    );
  }

  /** Segment and control registers that do not exist, and MOV to CS. */
  private registersExist(form: OpcodeForm): boolean {
    const { operands } = form;
    for (let i = 0; i < operands.length; i++) {
      const { kind } = operands[i];
      if (kind === OperandKind.SegmentFromReg) {
        const segment = this.reg & 7;
        if (segment > 5 || (i === 0 && segment === 1)) return false;
      } else if (kind === OperandKind.Control) {
        const cr = this.reg;
        if (cr !== 0 && cr !== 2 && cr !== 3 && cr !== 4 && cr !== 8) return false;
      } else if (kind === OperandKind.Debug && this.reg > 7) return false;
    }
    return true;
  }
}

/** F3 and F2 by VEX.pp. */
const VEX_REPEAT: readonly number[] = [0, 0, 0xf3, 0xf2];
/** BX, BX, BP, BP, SI, DI, BP, BX. */
const BASE_16: readonly number[] = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX_16: readonly number[] = [6, 7, 6, 7, -1, -1, -1, -1];
