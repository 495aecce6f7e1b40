import { DATA_BASE, DATA_BYTES, ImageField, MAX_CODE, type TestCase } from "../layout.js";
import { Random } from "../random.js";
import { startImage } from "./vector-image.js";
import { binary32, binary64, decimalValue, extendedValue, integerValue } from "./x87-values.js";

const INT3 = 0xcc;
const RBX = 3;
const WAIT = 0x9b;
/** Second bytes under D9 of instructions whose last bit the architecture leaves open. */
const TRANSCENDENTAL = new Set([0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff]);

/** What a memory form reads, so that it can be laid out before. */
const Operand = { None: 0, Real32: 1, Real64: 2, Extended: 3, Integer: 4, Decimal: 5, Control: 6 } as const;

/** Sequences of one to five x87 instructions over registers, memory and control words of every kind. */
export class X87Generator {
  private readonly random: Random;
  private readonly mode: 32 | 64;

  constructor(seed: number, mode: 32 | 64) {
    this.random = new Random(seed);
    this.mode = mode;
  }

  next(): TestCase {
    const { random, mode } = this;
    const gpr = new Int32Array(32);
    for (let r = 0; r < 16; r++) gpr[2 * r] = random.word();
    gpr[2 * RBX] = DATA_BASE + this.operandOffset();
    gpr[8] = DATA_BASE + 0x1800;
    const code: number[] = [];
    const keys: string[] = [];
    const wanted = random.between(1, 5);
    while (keys.length < wanted && code.length < MAX_CODE - 36) this.instruction(code, keys);
    code.push(INT3);
    return {
      mode,
      codeOffset: random.below(0xf00),
      code: Uint8Array.from(code),
      seed: random.word(),
      gpr,
      flags: 0x202 | (random.word() & 0x8d5),
      fsBase: random.below(0x100),
      gsBase: random.below(0x100),
      image: this.image(),
      undefinedFlags: new Map(),
      keys,
    };
  }

  private operandOffset(): number {
    const { random } = this;
    const dice = random.below(16);
    if (dice === 0) return DATA_BYTES - random.below(120);
    if (dice === 1) return 0x1000 - random.below(120);
    return random.between(0x100, DATA_BYTES - 0x100);
  }

  private image(): Uint8Array {
    const { random } = this;
    const image = startImage();
    const view = new DataView(image.buffer);
    const masks = random.oneIn(2)
      ? 0x3f
      : random.oneIn(3)
        ? random.below(64)
        : 0x3f & ~(1 << random.below(6));
    const control =
      0x40 | masks | (random.below(4) << 8) | (random.below(4) << 10) | (random.oneIn(8) ? 0x1000 : 0);
    const precise = random.oneIn(2) ? control | 0x300 : control;
    const flags = random.oneIn(4) ? random.below(128) : 0;
    let status = (random.below(8) << 11) | (random.word() & 0x4700) | flags;
    // Rarely pending from the start: everything but control instructions then ends with #MF.
    if (!random.oneIn(8)) status &= ~(~masks & 0x3f);
    if ((status & ~masks & 0x3f) !== 0) status |= 0x8080;
    view.setUint16(ImageField.ControlWord, precise, true);
    view.setUint16(ImageField.StatusWord, status, true);
    view.setUint8(ImageField.InUse, random.pick([0xff, 0xff, 0x7f, 0xfe, 0x0f, random.below(256), 0]));
    // AMD's processors load and store the pointers only while an exception is pending.
    if ((status & 0x80) !== 0) {
      view.setUint16(ImageField.Opcode, random.below(0x800), true);
      view.setInt32(ImageField.InstructionPointer, random.word(), true);
      view.setInt32(ImageField.DataPointer, random.word(), true);
    }
    for (let i = 0; i < 8; i++) {
      const [lo, hi, se] = extendedValue(random);
      const at = ImageField.Stack + 16 * i;
      view.setInt32(at, lo, true);
      view.setInt32(at + 4, hi, true);
      view.setUint16(at + 8, se, true);
      // Pairs that nearly cancel.
      if (i > 0 && random.oneIn(6)) {
        image.copyWithin(at, at - 16, at - 6);
        view.setInt32(at, view.getInt32(at, true) + random.between(-2, 2), true);
        view.setUint16(at + 8, view.getUint16(at + 8, true) ^ (random.oneIn(2) ? 0x8000 : 0), true);
        if (random.oneIn(2)) view.setUint16(at + 8, view.getUint16(at + 8, true) ^ random.below(4), true);
      }
    }
    return image;
  }

  private instruction(code: number[], keys: string[]): void {
    const { random } = this;
    if (random.oneIn(24)) {
      if (random.oneIn(3)) code.push(0x0f, 0x77);
      else code.push(WAIT);
      keys.push("wait");
      return;
    }
    let group = random.below(8);
    let modrm = random.below(256);
    // Control words and environments are a few forms of many; comparisons and moves too.
    if (random.oneIn(3)) {
      group = random.pick([0, 4, 1, 1, 1]);
      modrm = group === 1 ? random.pick([0xf4, 0xf5, 0xf8, 0xfa, 0xfc, 0xfd, 0xc0]) : random.below(256);
    }
    if (group === 1 && TRANSCENDENTAL.has(modrm)) modrm = 0xfa;
    const memory = modrm < 0xc0;
    const bytes: number[] = [];
    if (random.oneIn(12)) bytes.push(0x66);
    if (this.mode === 64 && random.oneIn(12)) bytes.push(0x48);
    if (memory) {
      const register = (modrm >> 3) & 7;
      const displacement = random.oneIn(3) ? random.below(16) : 0;
      if (!random.oneIn(4)) this.layOut(code, operandOf(group, register), displacement);
      bytes.push(0xd8 + group, 0x40 | (register << 3) | RBX, displacement);
      keys.push(`${(0xd8 + group).toString(16)}/${register}`);
    } else {
      bytes.push(0xd8 + group, modrm);
      keys.push(`${(0xd8 + group).toString(16)}${modrm.toString(16)}`);
    }
    code.push(...bytes);
  }

  /** MOVs that put an operand at RBX + displacement. */
  private layOut(code: number[], operand: number, displacement: number): void {
    const { random } = this;
    const words: number[] = [];
    let top = -1;
    if (operand === Operand.Real32) words.push(binary32(random));
    else if (operand === Operand.Real64) words.push(...binary64(random));
    else if (operand === Operand.Integer) words.push(...integerValue(random));
    else if (operand === Operand.Extended || operand === Operand.Decimal) {
      const [lo, hi, high] = operand === Operand.Extended ? extendedValue(random) : decimalValue(random);
      words.push(lo, hi);
      top = high;
    } else if (operand === Operand.Control)
      top = random.oneIn(2) ? 0x33f | random.below(0x1000) : random.below(0x10000);
    words.forEach((word, i) => {
      code.push(0xc7, 0x43, displacement + 4 * i, ...little(word, 4));
    });
    if (top >= 0) code.push(0x66, 0xc7, 0x43, displacement + 4 * words.length, ...little(top, 2));
  }
}

function little(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => (value >> (8 * i)) & 0xff);
}

function operandOf(group: number, register: number): number {
  if (group === 0) return Operand.Real32;
  if (group === 4) return Operand.Real64;
  if (group === 2 || group === 6) return Operand.Integer;
  if (group === 1) return register === 0 ? Operand.Real32 : register === 5 ? Operand.Control : Operand.None;
  if (group === 5) return register === 0 ? Operand.Real64 : Operand.None;
  if (group === 3) return register === 0 ? Operand.Integer : register === 5 ? Operand.Extended : Operand.None;
  return register === 4 ? Operand.Decimal : register === 0 || register === 5 ? Operand.Integer : Operand.None;
}
