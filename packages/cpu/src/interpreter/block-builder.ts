import type { Mmu } from "@hyperwalk/mmu";
import { DecodeStatus, Instruction, MAX_INSTRUCTION_BYTES } from "../decode/instruction.js";
import type { StopPoint } from "../stop-point.js";
import type { InstructionCosts } from "../timing/instruction-costs.js";
import { type BlockStore, MAX_BLOCK_INSTRUCTIONS } from "./block-store.js";
import { markDeadFlags } from "./dead-flags.js";
import { Entry, Form, pack } from "./entry.js";
import { BLOCK_ENDS, handlerOf } from "./handlers.js";
import { HotForms } from "./hot-forms.js";
import { HotOp } from "./hot-op.js";
import { lower } from "./lowering.js";
import { codeBits, ModeBits } from "./mode-bits.js";

const PAGE = 4096;

/** Decodes blocks into a {@link BlockStore}. */
export class BlockBuilder {
  private readonly mmu: Mmu;
  private readonly store: BlockStore;
  private readonly costs: InstructionCosts;
  private readonly instruction: Instruction;
  private readonly hotForms: HotForms = new HotForms();
  private readonly stopPoint: StopPoint;
  private readonly joined: Uint8Array = new Uint8Array(2 * MAX_INSTRUCTION_BYTES);

  constructor(mmu: Mmu, store: BlockStore, costs: InstructionCosts, amd: boolean, stopPoint: StopPoint) {
    this.mmu = mmu;
    this.store = store;
    this.costs = costs;
    this.instruction = new Instruction(amd);
    this.stopPoint = stopPoint;
  }

  /**
   * Decodes the block at an arena offset.
   * @param u8 the arena @param lo,hi linear address of its first byte, to reach the page after it
   * @returns block number, or -1 when that page faults (`mmu.fault`)
   */
  build(u8: Uint8Array, offset: number, mode: number, lo: number, hi: number): number {
    const { store, instruction, stopPoint } = this;
    if (!store.hasRoom) store.clear();
    const bits = codeBits(mode);
    const first = store.nextEntry;
    const room = PAGE - (offset & (PAGE - 1));
    const limit = (mode & ModeBits.Single) !== 0 ? 1 : MAX_BLOCK_INSTRUCTIONS;
    let at = first;
    let bytes = 0;
    let cost = 0;
    let count = 0;
    let secondPage = 0;
    while (count < limit && bytes < room) {
      if (count > 0 && stopPoint.mayBeAt(offset + bytes)) break;
      let status = instruction.decode(u8, offset + bytes, room - bytes, bits);
      if (status === DecodeStatus.Truncated) {
        // An instruction that goes on in the next page is a block of its own.
        if (count > 0) break;
        const nextLo = ((lo | (PAGE - 1)) + 1) | 0;
        const second = this.mmu.fetch(nextLo, nextLo === 0 && bits === 64 ? (hi + 1) | 0 : hi);
        if (second < 0) return -1;
        secondPage = second;
        this.joined.set(u8.subarray(offset, offset + room));
        this.joined.set(u8.subarray(second, second + MAX_INSTRUCTION_BYTES), room);
        status = instruction.decode(this.joined, 0, room + MAX_INSTRUCTION_BYTES, bits);
      }
      const ends =
        status === DecodeStatus.Ok
          ? this.append(at, bytes, cost, mode)
          : this.special(at, bytes, cost, status);
      pack(store.code, at);
      if (status === DecodeStatus.Ok) cost += this.costs.of(instruction.form!, instruction.operandSize);
      at += Entry.Stride;
      count++;
      bytes += instruction.length;
      if (ends || secondPage !== 0) break;
    }
    this.leave(at, bytes, cost);
    markDeadFlags(store.code, first, count);
    const lines = ((offset & 63) + Math.min(bytes, room) + 63) >> 6;
    this.mmu.noteCode(offset & -PAGE);
    if (secondPage !== 0) this.mmu.noteCode(secondPage);
    return store.add(offset, mode, count, cost, lines, secondPage, stopPoint.mayBeAt(offset));
  }

  private append(at: number, offset: number, cost: number, mode: number): boolean {
    return BLOCK_ENDS.has(lower(this.store.code, at, this.instruction, offset, cost, mode, this.hotForms));
  }

  /** Undefined, over-long and VEX instructions. */
  private special(at: number, offset: number, cost: number, status: number): true {
    const { code } = this.store;
    const key = status === DecodeStatus.TooLong ? "#long" : status === DecodeStatus.Extended ? "#vex" : "#ud";
    code.fill(0, at, at + Entry.Stride);
    code[at + Entry.Op] = HotOp.Handler;
    code[at + Entry.Where] = offset | (1 << 16);
    code[at + Entry.Cost] = cost;
    code[at + Entry.Form] = (handlerOf(key)?.handler ?? 0) << Form.HandlerShift;
    this.instruction.length = 1;
    return true;
  }

  private leave(at: number, offset: number, cost: number): void {
    const { code } = this.store;
    code.fill(0, at, at + Entry.Stride);
    code[at + Entry.Op] = HotOp.Leave;
    code[at + Entry.Where] = offset;
    code[at + Entry.Cost] = cost;
  }
}
