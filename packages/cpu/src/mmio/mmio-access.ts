import { Cause, FaultKind } from "@hyperwalk/mmu";
import { Flag, Segment, SegmentWord, State } from "../cpu-state.js";
import { MAX_INSTRUCTION_BYTES } from "../decode/instruction.js";
import type { ExecutionCore } from "../interpreter/core.js";
import type { Processor } from "../processor.js";
import { MmioInstruction } from "./mmio-instruction.js";

/** Instructions outside guest mode whose memory operand is the processor's local APIC page. */
export class MmioAccess {
  private readonly processor: Processor;
  private readonly core: ExecutionCore;
  private readonly emulated: MmioInstruction;
  private readonly bytes: Uint8Array = new Uint8Array(MAX_INSTRUCTION_BYTES);

  constructor(processor: Processor, core: ExecutionCore) {
    this.processor = processor;
    this.core = core;
    this.emulated = new MmioInstruction(core.amd);
  }

  /**
   * Carries out the instruction at RIP after its data access found no RAM, and moves RIP on.
   * @returns false when nothing answers at that address, or the instruction is another one; nothing has changed then
   */
  carryOut(): boolean {
    const { processor, core, emulated } = this;
    const { fault } = core.mmu;
    if (processor.guestMode !== null || fault.kind !== FaultKind.NoRam) return false;
    const { apic } = processor;
    if (fault.gfn !== apic.pageFrame) return false;
    const { words } = core;
    const count = this.fetch();
    if (!emulated.execute(this.bytes, count, core.mode, words, apic, fault.gfnOffset)) return false;
    core.faultIsExit = false;
    const lo = words[State.RipLo];
    const next = (lo + emulated.length) | 0;
    words[State.RipLo] = next;
    if (core.mode === 64 && next >>> 0 < lo >>> 0) words[State.RipHi] = (words[State.RipHi] + 1) | 0;
    words[State.InterruptShadow] = 0;
    words[State.Flags] &= ~Flag.Rf;
    core.charge(Cause.Serialise, core.timing.wrmsr);
    return true;
  }

  /** The instruction's bytes, as far as they are mapped. */
  private fetch(): number {
    const { core, processor } = this;
    const { words, mmu, u8 } = core;
    const base = core.mode === 64 ? 0 : words[State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo];
    for (let i = 0; i < MAX_INSTRUCTION_BYTES; i++) {
      const lo = (words[State.RipLo] + base + i) | 0;
      const hi = core.mode === 64 ? words[State.RipHi] + (lo >>> 0 < i ? 1 : 0) : 0;
      const frame = mmu.probe(lo, hi);
      const at = frame < 0 ? -1 : processor.memory.frameOffset(frame);
      if (at < 0) return i;
      this.bytes[i] = u8[at + (lo & 4095)];
    }
    return MAX_INSTRUCTION_BYTES;
  }
}
