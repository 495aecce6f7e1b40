import { PagingMode, type TranslationContext } from "@hyperwalk/mmu";
import { Dirty, Segment, State } from "../cpu-state.js";
import type { HostLines } from "../host-lines.js";
import type { VirtualizedProcessor } from "../virtualized-processor.js";
import { EntryControl, ExitControl } from "./controls.js";
import {
  loadControlRegisters,
  loadDescriptorTables,
  loadDr7,
  loadEfer,
  loadPat,
  loadSegments,
  loadSysenter,
  saveControlRegisters,
  saveDescriptorTables,
  saveDr7,
  saveEfer,
  savePat,
  saveSegments,
  saveSysenter,
} from "./guest-state.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";
import { FieldGroup, REGION_WORDS, wordOf } from "./vmcs-layout.js";

const ENTRY_CONTROLS = wordOf(VmcsField.EntryControls);
const PAT = wordOf(VmcsField.GuestPat);
const PDPTE = wordOf(VmcsField.GuestPdpte0);
const S_SS_RIGHTS = State.Segments + 8 * Segment.Ss + 1;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const REGION_BYTES = Math.ceil((4 * REGION_WORDS) / 64) * 64;
const HOT_BYTES = 128;

/** Which parts of the VMCS region VM entry reads and a VM exit writes: cache lines, and groups of guest state. */
export class StateTransfer {
  private readonly lines: HostLines;
  private readonly at: number;
  private i32!: Int32Array;
  private words!: Int32Array;

  constructor(processor: VirtualizedProcessor, vmcs: Vmcs, lines: HostLines) {
    const { arena } = processor;
    this.lines = lines;
    this.at = vmcs.at;
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.words = processor.state.words;
    });
  }

  /** Loads the groups that VMWRITE changed. */
  load(written: number, entryControls: number): void {
    if (written === 0) return;
    const { i32, at, words } = this;
    if ((written & (FieldGroup.ControlRegisters | FieldGroup.Controls)) !== 0) {
      loadControlRegisters(i32, at, words);
      if ((entryControls & EntryControl.LoadEfer) !== 0) loadEfer(i32, at, words);
      else {
        const long = (entryControls & EntryControl.Ia32eModeGuest) !== 0;
        words[State.EferLo] = long
          ? words[State.EferLo] | EFER_LMA | EFER_LME
          : words[State.EferLo] & ~(EFER_LMA | (words[State.Cr0] < 0 ? EFER_LME : 0));
      }
    }
    if ((written & FieldGroup.Debug) !== 0 && (entryControls & EntryControl.LoadDebugControls) !== 0)
      loadDr7(i32, at, words);
    if ((written & FieldGroup.DescriptorTables) !== 0) loadDescriptorTables(i32, at, words);
    if ((written & FieldGroup.Segments) !== 0) loadSegments(i32, at, words);
    if ((written & FieldGroup.Sysenter) !== 0) loadSysenter(i32, at, words);
    if ((written & FieldGroup.Pat) !== 0 && (entryControls & EntryControl.LoadPat) !== 0)
      loadPat(i32, at, words);
  }

  /**
   * Saves the groups that the guest changed since VM entry. The region holds the others as VM entry loaded them: only
   * VMWRITE changes it in between, and what it writes is loaded.
   */
  saveChangedState(exitControls: number, context: TranslationContext): void {
    const { i32, at, words } = this;
    const dirty = words[State.Dirty];
    if ((words[S_SS_RIGHTS] >>> 5) % 4 !== words[State.Cpl] || (dirty & Dirty.Segments) !== 0) {
      this.touchCold(true);
      saveSegments(i32, at, words);
    }
    if (i32[at + PAT] !== words[State.PatLo] || i32[at + PAT + 1] !== words[State.PatHi])
      if ((exitControls & ExitControl.SavePat) !== 0) savePat(i32, at, words);
    if (dirty === 0) return;
    this.touchCold(true);
    if ((dirty & Dirty.Control) !== 0) this.saveControlRegisters(exitControls, context);
    if ((dirty & Dirty.Debug) !== 0 && (exitControls & ExitControl.SaveDebugControls) !== 0)
      saveDr7(i32, at, words);
    if ((dirty & Dirty.DescriptorTables) !== 0) saveDescriptorTables(i32, at, words);
    if ((dirty & Dirty.SyscallMsrs) !== 0) saveSysenter(i32, at, words);
  }

  private saveControlRegisters(exitControls: number, context: TranslationContext): void {
    const { i32, at, words } = this;
    saveControlRegisters(i32, at, words);
    if ((exitControls & ExitControl.SaveEfer) !== 0) saveEfer(i32, at, words);
    const long = (words[State.EferLo] & EFER_LMA) !== 0 ? EntryControl.Ia32eModeGuest : 0;
    i32[at + ENTRY_CONTROLS] = (i32[at + ENTRY_CONTROLS] & ~EntryControl.Ia32eModeGuest) | long;
    if (context.secondStage === null || context.paging !== PagingMode.Pae) return;
    for (let i = 0; i < 4; i++) {
      i32[at + PDPTE + 2 * i] = (context.pdpte[i] % 0x100000000) | 0;
      i32[at + PDPTE + 2 * i + 1] = Math.floor(context.pdpte[i] / 0x100000000);
    }
  }

  readLines(changed: boolean): void {
    this.lines.read(0);
    this.lines.read(64);
    if (changed) this.touchCold(false);
  }

  /** The rest of the region, when something beyond the hot fields is read or written. */
  private touchCold(write: boolean): void {
    for (let offset = HOT_BYTES; offset < REGION_BYTES; offset += 64) {
      if (write) this.lines.write(offset);
      else this.lines.read(offset);
    }
  }
}
