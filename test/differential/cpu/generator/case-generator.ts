import { Flag } from "../../../../packages/cpu/src/cpu-state.js";
import { OperandKind } from "../../../../packages/cpu/src/decode/operand-codes.js";
import { undefinedFlags } from "../compare/undefined-flags.js";
import { CODE_BASE, CODE_BYTES, type TestCase } from "../layout.js";
import { Random } from "../random.js";
import { Encoder } from "./encoder.js";
import { type ListedForm, listForms } from "./form-list.js";
import { makePhrase } from "./phrases.js";
import { RegisterFile, Role } from "./registers.js";
import { StatePhrases } from "./state-phrases.js";
import { randomImage } from "./vector-image.js";

const INT3 = 0xcc;
const ARITHMETIC = Flag.Cf | Flag.Pf | Flag.Af | Flag.Zf | Flag.Sf | Flag.Of;
/** Longest sequence, its INT3 left out: six instructions of 15 bytes. */
const MAX_SEQUENCE = 100;

export interface GeneratorOptions {
  readonly seed: number;
  readonly mode: 32 | 64;
  /** "GenuineIntel", "AuthenticAMD": of the machine that the cases run on. */
  readonly vendor: string;
  /** Feature names as in /proc/cpuinfo. */
  readonly features: ReadonlySet<string>;
  /** Leave these keys out. */
  readonly without?: ReadonlySet<string>;
  /** Forms with these keys and no others; no phrases. */
  readonly only?: ReadonlySet<string> | undefined;
}

/** Makes test cases from the decoder's opcode tables; the same options give the same cases. */
export class CaseGenerator {
  readonly forms: readonly ListedForm[];
  private readonly common: readonly ListedForm[];
  private readonly privileged: readonly ListedForm[];
  private readonly random: Random;
  private readonly mode: 32 | 64;
  private readonly registers = new RegisterFile();
  private readonly encoder: Encoder;
  private readonly misaligned: boolean;
  private readonly states: StatePhrases;
  private readonly withStates: boolean;
  private readonly withPhrases: boolean;
  private turn = 0;

  constructor(options: GeneratorOptions) {
    this.random = new Random(options.seed);
    this.mode = options.mode;
    this.misaligned = options.features.has("misalignsse");
    this.states = new StatePhrases(this.random, options.mode, this.misaligned);
    this.withPhrases = options.only === undefined;
    this.withStates =
      this.withPhrases && options.features.has("xsavec") && options.without?.has("xsave") !== true;
    this.encoder = new Encoder(this.random, options.mode, options.vendor === "GenuineIntel");
    this.forms = listForms(options.mode, options.features).filter(
      ({ form }) => !options.without?.has(form.key) && options.only?.has(form.key) !== false,
    );
    this.common = this.forms.filter((listed) => !listed.privileged);
    this.privileged = this.forms.filter((listed) => listed.privileged);
  }

  next(): TestCase {
    const { random, mode, registers, encoder } = this;
    registers.fill(random, mode);
    const codeOffset = this.placeCode();
    const wanted = random.oneIn(2) ? 1 : random.between(2, 6);
    const code: number[] = [];
    const keys: string[] = [];
    const boundaries: number[] = [];
    const relatives: { at: number; bytes: number; end: number; key: string }[] = [];
    const undefinedAt = new Map<number, number>();
    let mask = 0;
    while (keys.length < wanted && code.length < MAX_SEQUENCE - 25) {
      if (mask !== 0) {
        // CMP AL, imm8 defines all six flags again.
        code.push(0x3c, random.below(256));
        mask = 0;
      }
      if (this.withStates && code.length === 0 && random.oneIn(32)) {
        const phrase = this.states.next();
        boundaries.push(0);
        code.push(...phrase.bytes);
        keys.push(phrase.key);
        continue;
      }
      if (this.withPhrases && random.oneIn(16)) {
        const phrase = makePhrase(random, mode, CODE_BASE + codeOffset + code.length);
        boundaries.push(code.length);
        for (const end of phrase.shifted) undefinedAt.set(code.length + end, undefinedFlags("shr", -1, 32));
        code.push(...phrase.bytes);
        keys.push(phrase.key);
        mask = undefinedFlags(phrase.key, -1, 32);
        if (mask !== 0) undefinedAt.set(code.length, mask);
        continue;
      }
      const listed = this.pickForm();
      encoder.encode(listed, registers, CODE_BASE + codeOffset + code.length);
      boundaries.push(code.length);
      if (encoder.relativeAt >= 0) {
        const at = code.length + encoder.relativeAt;
        const end = code.length + encoder.bytes.length;
        relatives.push({ at, bytes: encoder.relativeBytes, end, key: listed.form.key });
      }
      code.push(...encoder.bytes);
      mask = undefinedFlags(listed.form.key, this.shiftCount(listed, keys.length === 0), encoder.bits);
      if (mask !== 0) undefinedAt.set(code.length, mask);
      this.forgetDestination(listed);
      keys.push(listed.form.key);
    }
    boundaries.push(code.length);
    code.push(INT3);
    for (const relative of relatives) this.aim(code, relative, boundaries);
    return {
      mode,
      codeOffset,
      code: Uint8Array.from(code.slice(0, CODE_BYTES - codeOffset)),
      seed: random.word(),
      gpr: registers.words.slice(),
      flags: this.startFlags(),
      fsBase: random.below(0x100),
      gsBase: random.below(0x100),
      image: randomImage(random, this.misaligned),
      undefinedFlags: undefinedAt,
      keys,
    };
  }

  /** The forms in turn, so that each comes as often as any other, and a privileged one now and then. */
  private pickForm(): ListedForm {
    const { random } = this;
    if (this.privileged.length > 0 && random.oneIn(40)) return random.pick(this.privileged);
    if (random.oneIn(2)) return random.pick(this.common);
    this.turn = (this.turn + 1) % this.common.length;
    return this.common[this.turn];
  }

  /** Mostly in the first page; sometimes across the two, or cut off by the unmapped page behind them. */
  private placeCode(): number {
    const { random } = this;
    const dice = random.below(24);
    if (dice === 0) return 0x1000 - random.between(1, 24);
    if (dice === 1) return CODE_BYTES - random.between(1, 32);
    // The second page is writable: sequences there may change themselves.
    if (dice < 5) return 0x1000 + random.below(0xf00);
    return random.below(0xf00);
  }

  private startFlags(): number {
    const { random } = this;
    let flags = 0x202 | (random.word() & ARITHMETIC);
    if (random.oneIn(6)) flags |= Flag.Df;
    if (random.oneIn(32)) flags |= Flag.Id;
    if (random.oneIn(16)) flags |= Flag.Ac;
    if (random.oneIn(64)) flags |= Flag.Tf;
    if (random.oneIn(64)) flags |= Flag.Nt;
    return flags;
  }

  /** The masked count of a shift where it is known. */
  private shiftCount({ form }: ListedForm, first: boolean): number {
    const { encoder, registers } = this;
    const limit = encoder.bits === 64 ? 63 : 31;
    const byCl = form.operands.some((o) => o.kind === OperandKind.FixedRegister && o.register === 1);
    if (byCl) return first ? registers.words[2] & limit : -1;
    return encoder.count < 0 ? -1 : encoder.count & limit;
  }

  /** After an instruction its destination register hardly points into the window any more. */
  private forgetDestination({ form }: ListedForm): void {
    const destination = form.operands[0];
    if (destination?.kind !== OperandKind.Register) return;
    const modrm = this.encoder.bytes;
    // The encoder does not say which register it chose; forget one that is likely.
    this.registers.roles[(modrm[modrm.length - 1] >> 3) & 7] = Role.Value;
    this.registers.roles[4] = Role.Pointer;
  }

  /** Aims a branch at a later instruction of the sequence, or now and then out of it. */
  private aim(
    code: number[],
    relative: { at: number; bytes: number; end: number; key: string },
    boundaries: readonly number[],
  ): void {
    const { random } = this;
    const later = boundaries.filter((boundary) => boundary >= relative.end);
    let displacement = random.pick(later) - relative.end;
    if (relative.bytes > 1 && random.oneIn(12)) displacement = random.word() | 0x4000;
    for (let i = 0; i < relative.bytes; i++) code[relative.at + i] = (displacement >> (8 * i)) & 0xff;
  }
}
