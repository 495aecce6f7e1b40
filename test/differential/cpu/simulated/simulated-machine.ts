import { Segment, SegmentWord, State } from "../../../../packages/cpu/src/cpu-state.js";
import { StopReason, type UnsupportedInstruction } from "../../../../packages/cpu/src/execution-engine.js";
import { Processor } from "../../../../packages/cpu/src/processor.js";
import type { ProcessorProfile } from "../../../../packages/cpu/src/profile.js";
import { fillWindow, HASH_START, hashWindow, windowState } from "../data-window.js";
import {
  CODE_BASE,
  CODE_BYTES,
  DATA_BYTES,
  Outcome,
  ResultField,
  type TestCase,
  USER_CS,
  USER_CS32,
  USER_DS,
} from "../layout.js";
import {
  buildSystem,
  Frame,
  GDT_LIMIT,
  HANDLER_STRIDE,
  KERNEL_HI,
  KERNEL_LO,
  KernelPage,
  TSS_SELECTOR,
} from "./system-tables.js";
import { loadImage, storeImage } from "./vector-state.js";

/** More instructions than any sequence runs; what needs more is taken for a loop. */
const BUDGET = 20_000;
const CR0 = 0x80050033 | 0; // PG, AM, WP, NE, ET, MP, PE
const CR4 = 0x000506b0; // OSXSAVE, FSGSBASE, OSXMMEXCPT, OSFXSR, PGE, PAE, PSE
const EFER = 0xd01; // NXE, LMA, LME, SCE
const UNUSABLE = 0x10000;
/** Vectors that push an error code. */
const WITH_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

/** Runs cases on a bare processor at CPL 3, every exception through the IDT to a handler that halts. */
export class SimulatedMachine {
  readonly processor: Processor;
  /** The instruction that the engine could not execute in the latest case. */
  unsupported: UnsupportedInstruction | undefined;
  private readonly codeFill: Uint8Array = new Uint8Array(CODE_BYTES).fill(0xcc);

  constructor(profile: ProcessorProfile) {
    this.processor = new Processor({ profile });
    const root = buildSystem(this.processor.memory);
    const { words } = this.processor.state;
    words[State.Cr0] = CR0;
    words[State.Cr4] = CR4;
    words[State.XcrLo] = 3; // x87 and SSE
    words[State.EferLo] = EFER;
    words[State.Cr3Lo] = root << 12;
    words[State.GdtrLimit] = GDT_LIMIT;
    words[State.GdtrBaseLo] = KERNEL_LO + 4096 * KernelPage.Gdt;
    words[State.GdtrBaseHi] = KERNEL_HI;
    words[State.IdtrLimit] = 0xfff;
    words[State.IdtrBaseLo] = KERNEL_LO + 4096 * KernelPage.Idt;
    words[State.IdtrBaseHi] = KERNEL_HI;
    this.setSegment(Segment.Tr, TSS_SELECTOR, 0x8b, 0x67, KERNEL_LO + 4096 * KernelPage.Tss, KERNEL_HI);
    this.setSegment(Segment.Ldtr, 0, UNUSABLE, 0, 0, 0);
  }

  /** Runs one case and writes its result record. */
  run(test: TestCase, into: DataView, at: number): void {
    const { processor } = this;
    const { memory, engine } = processor;
    memory.writeBytes(Frame.Code * 4096 + test.codeOffset, test.code);
    let state = windowState(test.seed);
    this.eachDataPage((words, index) => {
      state = fillWindow(words, index, 1024, state);
    });
    this.load(test);
    const reason = engine.run(BUDGET, Number.POSITIVE_INFINITY);
    this.unsupported = reason === StopReason.Unsupported ? engine.lastUnsupported : undefined;
    this.store(reason, into, at);
    memory.writeBytes(Frame.Code * 4096, this.codeFill);
    memory.grow();
  }

  /** Bytes of the data window. */
  window(): Uint8Array {
    return this.processor.memory.readBytes(Frame.Data * 4096, DATA_BYTES);
  }

  private load(test: TestCase): void {
    const { processor } = this;
    const { words } = processor.state;
    words.set(test.gpr, State.Gpr);
    words[State.RipLo] = CODE_BASE + test.codeOffset;
    words[State.RipHi] = 0;
    words[State.Cr2Lo] = 0;
    words[State.Cr2Hi] = 0;
    words[State.Dr6] = 0xffff0ff0 | 0;
    words[State.Cpl] = 3;
    words[State.InterruptShadow] = 0;
    const long = test.mode === 64;
    this.setSegment(Segment.Cs, long ? USER_CS : USER_CS32, long ? 0xa0fb : 0xc0fb, -1, 0, 0);
    for (const segment of [Segment.Es, Segment.Ss, Segment.Ds])
      this.setSegment(segment, USER_DS, 0xc0f3, -1, 0, 0);
    this.setSegment(Segment.Fs, 0, UNUSABLE, 0, test.fsBase, 0);
    this.setSegment(Segment.Gs, 0, UNUSABLE, 0, test.gsBase, 0);
    loadImage(words, test.image);
    processor.engine.setRflags(test.flags);
    processor.syncTranslation();
  }

  private store(reason: number, into: DataView, at: number): void {
    const { words } = this.processor.state;
    for (let i = 0; i < 32; i++) into.setInt32(at + ResultField.Gpr + 4 * i, words[State.Gpr + i], true);
    let trap: number = reason === StopReason.Unsupported ? Outcome.Unsupported : Outcome.Timeout;
    if (reason === StopReason.TripleFault) trap = Outcome.TripleFault;
    if (reason === StopReason.Halted) {
      const offset = words[State.RipLo] - (KERNEL_LO + 4096 * KernelPage.Handlers);
      trap = Math.floor(offset / HANDLER_STRIDE);
      this.storeFrame(WITH_CODE.has(trap), into, at);
    }
    into.setUint32(at + ResultField.Trap, trap, true);
    into.setInt32(at + ResultField.Cr2, trap === 14 ? words[State.Cr2Lo] : 0, true);
    into.setInt32(at + ResultField.Cr2 + 4, trap === 14 ? words[State.Cr2Hi] : 0, true);
    const fs = State.Segments + 8 * Segment.Fs;
    const gs = State.Segments + 8 * Segment.Gs;
    into.setInt32(at + ResultField.FsBase, words[fs + SegmentWord.BaseLo], true);
    into.setInt32(at + ResultField.FsBase + 4, words[fs + SegmentWord.BaseHi], true);
    into.setInt32(at + ResultField.GsBase, words[gs + SegmentWord.BaseLo], true);
    into.setInt32(at + ResultField.GsBase + 4, words[gs + SegmentWord.BaseHi], true);
    into.setUint16(at + ResultField.Ds, words[State.Segments + 8 * Segment.Ds], true);
    into.setUint16(at + ResultField.Es, words[State.Segments + 8 * Segment.Es], true);
    into.setUint16(at + ResultField.Fs, words[fs], true);
    into.setUint16(at + ResultField.Gs, words[gs], true);
    let hash = HASH_START;
    this.eachDataPage((page, index) => {
      hash = hashWindow(page, index, 1024, hash);
    });
    into.setInt32(at + ResultField.Hash, hash, true);
    storeImage(words, into, at + ResultField.Image);
  }

  /** The exception frame that delivery pushed: error code, RIP, CS, RFLAGS, RSP, SS. */
  private storeFrame(hasCode: boolean, into: DataView, at: number): void {
    const { memory } = this.processor;
    const top = (Frame.Kernel + KernelPage.Stack + 1) * 4096;
    const copy = (slot: number, field: number) => {
      into.setUint32(at + field, memory.readU32(top - 8 * slot), true);
      into.setUint32(at + field + 4, memory.readU32(top - 8 * slot + 4), true);
    };
    copy(5, ResultField.Rip);
    copy(3, ResultField.Flags);
    copy(2, ResultField.Gpr + 32);
    into.setUint16(at + ResultField.Cs, memory.readU32(top - 32), true);
    into.setUint16(at + ResultField.Ss, memory.readU32(top - 8), true);
    into.setUint32(at + ResultField.Error, hasCode ? memory.readU32(top - 48) : 0, true);
  }

  private eachDataPage(visit: (words: Int32Array, index: number) => void): void {
    const { memory, arena } = this.processor;
    for (let page = 0; page < DATA_BYTES / 4096; page++)
      visit(arena.i32, memory.frameOffset(Frame.Data + page) >> 2);
  }

  private setSegment(
    segment: number,
    selector: number,
    attributes: number,
    limit: number,
    baseLo: number,
    baseHi: number,
  ): void {
    const at = State.Segments + 8 * segment;
    this.processor.state.words.set([selector, attributes, limit, baseLo, baseHi], at);
  }
}
