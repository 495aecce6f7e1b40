import { FRAME_BYTES, type TranslationContext } from "@hyperwalk/mmu";
import { State } from "../cpu-state.js";
import { HostLines } from "../host-lines.js";
import { VirtualizationError, type VirtualizedProcessor } from "../virtualized-processor.js";
import { loadGuestState, saveGuestState } from "./save-area.js";
import { VmcbOffset } from "./vmcb-fields.js";

const RFLAGS = VmcbOffset.Rflags >>> 2;
const RIP = VmcbOffset.Rip >>> 2;
const RSP = VmcbOffset.Rsp >>> 2;
const RAX = VmcbOffset.Rax >>> 2;
const DR7_DISABLED = 0x400;

/**
 * The host state-save area at VM_HSAVE_PA (APM vol. 2, 15.30.4), in the layout of a VMCB's save area. Used when the
 * host's own code runs on this processor; a modelled host has no registers to save.
 */
export class HostSaveArea {
  private readonly processor: VirtualizedProcessor;
  private readonly lines: HostLines;
  private readonly at: number;
  private i32!: Int32Array;

  constructor(processor: VirtualizedProcessor, frame: number, host: TranslationContext) {
    const offset = processor.memory.frameOffset(frame);
    if (offset < 0)
      throw new VirtualizationError("NO_RAM", frame * FRAME_BYTES, "no RAM for the host state-save area");
    this.processor = processor;
    this.at = offset >>> 2;
    this.lines = new HostLines(processor.mmu, frame, host);
    processor.arena.adopt(() => {
      this.i32 = processor.arena.i32;
    });
  }

  /** VMRUN: host registers to memory. */
  save(words: Int32Array, rflags: number): void {
    const { i32, at, lines } = this;
    for (let offset = 0x400; offset <= 0x4c0; offset += 64) lines.write(offset);
    lines.write(0x540);
    lines.write(0x5c0);
    saveGuestState(i32, at, words);
    i32[at + RIP] = words[State.RipLo];
    i32[at + RIP + 1] = words[State.RipHi];
    i32[at + RAX] = words[State.Gpr];
    i32[at + RAX + 1] = words[State.Gpr + 1];
    i32[at + RSP] = words[State.Gpr + 8];
    i32[at + RSP + 1] = words[State.Gpr + 9];
    i32[at + RFLAGS] = rflags;
    i32[at + RFLAGS + 1] = 0;
  }

  /** #VMEXIT: host registers from memory; CPL 0, breakpoints off. */
  restore(words: Int32Array): void {
    const { i32, at, lines } = this;
    for (let offset = 0x400; offset <= 0x4c0; offset += 64) lines.read(offset);
    lines.read(0x540);
    lines.read(0x5c0);
    const cr2Lo = words[State.Cr2Lo];
    const cr2Hi = words[State.Cr2Hi];
    loadGuestState(i32, at, words, 0);
    words[State.Cr2Lo] = cr2Lo; // CR2 is not host state: the guest's stays
    words[State.Cr2Hi] = cr2Hi;
    words[State.RipLo] = i32[at + RIP];
    words[State.RipHi] = i32[at + RIP + 1];
    words[State.Gpr] = i32[at + RAX];
    words[State.Gpr + 1] = i32[at + RAX + 1];
    words[State.Gpr + 8] = i32[at + RSP];
    words[State.Gpr + 9] = i32[at + RSP + 1];
    this.processor.engine.setRflags(i32[at + RFLAGS]);
    words[State.InterruptShadow] = 0;
    words[State.Dr7] = DR7_DISABLED;
    words[State.Cpl] = 0;
    words[State.ResidentGuest] = 0;
    this.processor.syncTranslation();
  }
}
