import { Dirty, State } from "../cpu-state.js";
import type { HostLines, LineGroup } from "../host-lines.js";
import type { VirtualizedProcessor } from "../virtualized-processor.js";
import { saveControlRegisters, saveDebugRegisters, saveDescriptorTables, saveSegments } from "./save-area.js";
import type { Vmcb } from "./vmcb.js";
import { CleanBit, VmcbOffset } from "./vmcb-fields.js";

const G_PAT = VmcbOffset.GPat >>> 2;
const CPL = VmcbOffset.Cpl >>> 2; // the byte is the top one of this word
const CR2 = VmcbOffset.Cr2 >>> 2;
const TRANSLATION_GROUPS = CleanBit.ControlRegisters | CleanBit.Segments;

/** Which parts of the VMCB VMRUN reads and #VMEXIT writes: cache lines, and groups of the save area. */
export class StateTransfer {
  private readonly vmcb: Vmcb;
  private readonly lines: HostLines;
  private readonly at: number;
  /** What VMRUN reads whatever is clean, and what #VMEXIT always writes. */
  private readonly readAlways: LineGroup;
  private readonly writtenAlways: LineGroup;
  private i32!: Int32Array;
  private words!: Int32Array;

  constructor(processor: VirtualizedProcessor, vmcb: Vmcb, lines: HostLines) {
    const { arena } = processor;
    this.vmcb = vmcb;
    this.lines = lines;
    this.at = vmcb.at;
    this.readAlways = lines.group([0x040, 0x080, 0x0c0, 0x540, 0x5c0], false);
    this.writtenAlways = lines.group([0x040, 0x080, 0x0c0, 0x540, 0x5c0], true);
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.words = processor.state.words;
    });
  }

  /** The lines of the VMCB that VMRUN reads: those of groups in the processor's copy are left alone. */
  readLines(clean: number): void {
    const { lines } = this;
    if (clean === CleanBit.All) {
      lines.touchGroup(this.readAlways);
      return;
    }
    if ((clean & CleanBit.Intercepts) === 0) lines.read(0x000);
    lines.read(0x040);
    lines.read(0x080);
    lines.read(0x0c0);
    if ((clean & CleanBit.Segments) === 0) lines.read(0x400);
    if ((clean & CleanBit.DescriptorTables) === 0) {
      lines.read(0x440);
      lines.read(0x480);
    }
    if ((clean & TRANSLATION_GROUPS) !== TRANSLATION_GROUPS) lines.read(0x4c0);
    lines.read(0x540);
    lines.read(0x5c0);
    if ((clean & (CleanBit.Cr2 | CleanBit.NestedPaging)) !== (CleanBit.Cr2 | CleanBit.NestedPaging))
      lines.read(0x640);
  }

  /** The lines that every #VMEXIT writes. */
  writeLines(): void {
    this.lines.touchGroup(this.writtenAlways);
  }

  /**
   * Writes the groups that the guest changed since VMRUN, and those where memory may differ from what VMRUN loaded;
   * the rest of the save area already holds the guest's state, so memory is as if all had been written.
   * @param nested with nested paging the guest's PAT is the VMCB's
   */
  saveChangedState(nested: boolean): void {
    const { i32, at, words, lines, vmcb } = this;
    const dirty = words[State.Dirty];
    const stale = vmcb.overwritten;
    vmcb.overwritten = 0;
    if ((dirty & Dirty.Control) !== 0 || (stale & CleanBit.ControlRegisters) !== 0) {
      lines.write(0x4c0);
      saveControlRegisters(i32, at, words);
    }
    if ((dirty & Dirty.Debug) !== 0 || (stale & CleanBit.DebugRegisters) !== 0)
      saveDebugRegisters(i32, at, words);
    if ((dirty & Dirty.DescriptorTables) !== 0 || (stale & CleanBit.DescriptorTables) !== 0) {
      lines.write(0x440);
      lines.write(0x480);
      saveDescriptorTables(i32, at, words);
    }
    if ((dirty & Dirty.Segments) !== 0 || (stale & CleanBit.Segments) !== 0) {
      lines.write(0x400);
      saveSegments(i32, at, words);
    }
    if (i32[at + CPL] >>> 24 !== words[State.Cpl]) {
      lines.write(0x4c0);
      i32[at + CPL] = (i32[at + CPL] & 0xffffff) | (words[State.Cpl] << 24);
    }
    if (i32[at + CR2] !== words[State.Cr2Lo] || i32[at + CR2 + 1] !== words[State.Cr2Hi]) {
      lines.write(0x640);
      i32[at + CR2] = words[State.Cr2Lo];
      i32[at + CR2 + 1] = words[State.Cr2Hi];
    }
    if (nested && (i32[at + G_PAT] !== words[State.PatLo] || i32[at + G_PAT + 1] !== words[State.PatHi])) {
      lines.write(0x640);
      i32[at + G_PAT] = words[State.PatLo];
      i32[at + G_PAT + 1] = words[State.PatHi];
    }
  }
}
