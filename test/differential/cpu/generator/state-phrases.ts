import { DATA_BASE, DATA_BYTES } from "../layout.js";
import type { Random } from "../random.js";
import { randomMxcsr } from "./vector-image.js";

const MXCSR = 24;
const HEADER = 512;
const HEADER_DWORDS = [0, 4, 8, 12, 16, 20];

/** Saves and restores extended state with areas that are valid, or nearly so, which random memory never is. */
export class StatePhrases {
  private readonly random: Random;
  private readonly mode: 32 | 64;
  private readonly misaligned: boolean;
  private bytes: number[] = [];

  /** @param misaligned whether MXCSR has AMD's bit 17 */
  constructor(random: Random, mode: 32 | 64, misaligned: boolean) {
    this.random = random;
    this.mode = mode;
    this.misaligned = misaligned;
  }

  next(): { readonly key: string; readonly bytes: number[] } {
    const { random } = this;
    this.bytes = [];
    return { key: random.oneIn(2) ? this.legacy() : this.extended(), bytes: this.bytes };
  }

  /** LDMXCSR, FXSAVE, FXRSTOR. */
  private legacy(): string {
    const { random, misaligned } = this;
    const at = this.place(16, 512);
    if (random.oneIn(3)) {
      this.store(at, randomMxcsr(random, misaligned) | (random.oneIn(16) ? 0x10000 : 0));
      this.operate([0x0f, 0xae], 2, at, false);
      return "ldmxcsr";
    }
    if (random.oneIn(2)) this.operate([0x0f, 0xae], 0, at, true);
    else this.store(at + MXCSR, randomMxcsr(random, misaligned));
    // Any control and status words, so that exceptions may wait.
    if (random.oneIn(2)) this.store(at, random.word());
    this.operate([0x0f, 0xae], 1, at, true);
    return "fxrstor";
  }

  /** XSAVE, XSAVEOPT or XSAVEC over a cleared header, then XRSTOR; the components are x87 and SSE. */
  private extended(): string {
    const { random } = this;
    const at = this.place(64, 576);
    this.clearHeader(at);
    this.components();
    const kind = random.below(3);
    if (kind === 2) this.operate([0x0f, 0xc7], 4, at, true);
    else this.operate([0x0f, 0xae], kind === 0 ? 4 : 6, at, true);
    if (random.oneIn(3)) return "xsave";
    // The standard form always has MXCSR, which XSAVE with fewer components may not have written.
    this.store(at + MXCSR, randomMxcsr(random, this.misaligned));
    this.components();
    this.operate([0x0f, 0xae], 5, at, true);
    return "xrstor";
  }

  private clearHeader(at: number): void {
    const { random } = this;
    const state = random.oneIn(3) ? random.below(4) : 0;
    const reserved = random.oneIn(12) ? 1 : 0;
    for (const offset of HEADER_DWORDS) {
      const value = offset === 0 ? state : offset === 16 ? reserved : 0;
      if (this.mode === 32) this.store(at + HEADER + offset, value);
      else if ((offset & 4) === 0) {
        this.bytes.push(0x48);
        this.store(at + HEADER + offset, value);
      }
    }
  }

  /** MOV EAX, components. */
  private components(): void {
    this.bytes.push(0xb8, this.random.oneIn(2) ? 3 : this.random.below(4), 0, 0, 0);
  }

  /** An aligned address, mostly well inside the window. */
  private place(alignment: number, size: number): number {
    const { random } = this;
    const dice = random.below(12);
    let offset = random.below(DATA_BYTES - size) & -alignment;
    if (dice === 0) offset = DATA_BYTES - alignment * random.below(size / alignment);
    else if (dice === 1) offset = 0x1000 - alignment * random.below(size / alignment);
    else if (dice === 2 && random.oneIn(2)) offset += 1 << random.below(6);
    return DATA_BASE + offset;
  }

  /** MOV dword [at], value. */
  private store(at: number, value: number): void {
    this.operate([0xc7], 0, at, false);
    this.word(value);
  }

  /** An instruction with an absolute memory operand; `wide` instructions may have REX.W. */
  private operate(opcode: readonly number[], reg: number, at: number, wide: boolean): void {
    const { bytes, mode, random } = this;
    if (wide && mode === 64 && random.oneIn(2)) bytes.push(0x48);
    bytes.push(...opcode);
    if (mode === 64) bytes.push((reg << 3) | 4, 0x25);
    else bytes.push((reg << 3) | 5);
    this.word(at);
  }

  private word(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.bytes.push((value >> shift) & 0xff);
  }
}
