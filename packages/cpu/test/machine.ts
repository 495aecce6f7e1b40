import { epyc9124, Processor, type ProcessorProfile, Segment, State } from "@hyperwalk/cpu";
import { FRAME_BYTES } from "@hyperwalk/mmu";

/** Attributes of flat segments. */
export const CODE_64 = 0xa09b;
export const CODE_32 = 0xc09b;
export const DATA = 0xc093;
const EFER_LMA_LME_NXE_SCE = 0xd01;

/** A processor with 16 MiB of RAM at 0 and helpers to put code there. */
export class Machine {
  readonly processor: Processor;
  readonly words: Int32Array;

  constructor(profile: ProcessorProfile = epyc9124 as ProcessorProfile, megabytes = 16) {
    this.processor = new Processor({ profile });
    this.processor.memory.addRam(0, (megabytes << 20) / FRAME_BYTES);
    this.words = this.processor.state.words;
  }

  write(address: number, bytes: ArrayLike<number>): void {
    this.processor.memory.writeBytes(address, Uint8Array.from(bytes));
  }

  gpr(register: number): bigint {
    const { words } = this.processor.state;
    return (BigInt(words[2 * register + 1] >>> 0) << 32n) | BigInt(words[2 * register] >>> 0);
  }

  setGpr(register: number, value: bigint): void {
    const { words } = this.processor.state;
    words[2 * register] = Number(value & 0xffffffffn) | 0;
    words[2 * register + 1] = Number((value >> 32n) & 0xffffffffn) | 0;
  }

  get rip(): bigint {
    const { words } = this.processor.state;
    return (BigInt(words[State.RipHi] >>> 0) << 32n) | BigInt(words[State.RipLo] >>> 0);
  }

  set rip(value: bigint) {
    const { words } = this.processor.state;
    words[State.RipLo] = Number(value & 0xffffffffn) | 0;
    words[State.RipHi] = Number((value >> 32n) & 0xffffffffn) | 0;
  }

  segment(segment: number, selector: number, attributes: number, base: number = 0, limit: number = -1): void {
    this.processor.state.words.set([selector, attributes, limit, base, 0], State.Segments + 8 * segment);
  }

  /** 32-bit flat protected mode at CPL `cpl`, paging off. */
  flat32(rip: number, cpl = 0): this {
    const { words } = this.processor.state;
    words[State.Cr0] = 0x60000011;
    words[State.Cpl] = cpl;
    this.flatSegments(CODE_32, cpl);
    this.rip = BigInt(rip);
    this.processor.syncTranslation();
    return this;
  }

  /**
   * 64-bit mode with 2 MiB identity pages over all RAM, user-accessible.
   * @param tables address of three table pages
   */
  long(rip: number, cpl = 0, tables = 0x1000): this {
    const { memory, state } = this.processor;
    const { words } = state;
    memory.writeU64(tables, BigInt(tables + 0x1000) | 7n);
    memory.writeU64(tables + 0x1000, BigInt(tables + 0x2000) | 7n);
    for (let i = 0; i < 512; i++) memory.writeU64(tables + 0x2000 + 8 * i, (BigInt(i) << 21n) | 0x87n);
    words[State.Cr3Lo] = tables;
    words[State.Cr4] = 0x20;
    words[State.EferLo] = EFER_LMA_LME_NXE_SCE;
    words[State.Cr0] = 0x80050033 | 0;
    words[State.Cpl] = cpl;
    this.flatSegments(CODE_64, cpl);
    this.rip = BigInt(rip);
    this.processor.syncTranslation();
    return this;
  }

  run(maxInstructions: number = 1_000_000, maxTicks: number = Number.POSITIVE_INFINITY): number {
    return this.processor.engine.run(maxInstructions, maxTicks);
  }

  private flatSegments(code: number, cpl: number): void {
    const dpl = cpl << 5;
    this.segment(Segment.Cs, cpl === 0 ? 0x08 : 0x1b, code | dpl);
    for (const s of [Segment.Ss, Segment.Ds, Segment.Es, Segment.Fs, Segment.Gs])
      this.segment(s, cpl === 0 ? 0x10 : 0x23, DATA | dpl);
    this.segment(Segment.Tr, 0x28, 0x8b, 0, 0x67);
    this.segment(Segment.Ldtr, 0, 0x10000, 0, 0);
  }
}
