import { Segment, State } from "../cpu-state.js";
import { CleanBit, VmcbOffset } from "./vmcb-fields.js";

// Words of the VMCB, counted from its first one.
const ES = VmcbOffset.Es >>> 2;
const FS = VmcbOffset.Fs >>> 2;
const GS = VmcbOffset.Gs >>> 2;
const GDTR = VmcbOffset.Gdtr >>> 2;
const LDTR = VmcbOffset.Ldtr >>> 2;
const IDTR = VmcbOffset.Idtr >>> 2;
const TR = VmcbOffset.Tr >>> 2;
const CPL = VmcbOffset.Cpl >>> 2; // the byte is the top one of this word
const EFER = VmcbOffset.Efer >>> 2;
const CR4 = VmcbOffset.Cr4 >>> 2;
const CR3 = VmcbOffset.Cr3 >>> 2;
const CR0 = VmcbOffset.Cr0 >>> 2;
const DR7 = VmcbOffset.Dr7 >>> 2;
const DR6 = VmcbOffset.Dr6 >>> 2;
const CR2 = VmcbOffset.Cr2 >>> 2;

/*
 * Moves guest state between a save area in the arena (`memory[at]` is the VMCB's first word) and the processor's state
 * words. One pair of functions a clean-bit group; none allocates.
 */

/** CR0, CR3, CR4, EFER. */
export function loadControlRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.Cr0] = memory[at + CR0];
  words[State.Cr3Lo] = memory[at + CR3];
  words[State.Cr3Hi] = memory[at + CR3 + 1];
  words[State.Cr4] = memory[at + CR4];
  words[State.EferLo] = memory[at + EFER];
}

export function saveControlRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + CR0] = words[State.Cr0];
  memory[at + CR0 + 1] = 0;
  memory[at + CR3] = words[State.Cr3Lo];
  memory[at + CR3 + 1] = words[State.Cr3Hi];
  memory[at + CR4] = words[State.Cr4];
  memory[at + CR4 + 1] = 0;
  memory[at + EFER] = words[State.EferLo];
  memory[at + EFER + 1] = 0;
}

/** DR6, DR7; DR0-DR3 are the hypervisor's to switch. */
function loadDebugRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.Dr6] = memory[at + DR6];
  words[State.Dr7] = memory[at + DR7];
}

export function saveDebugRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + DR6] = words[State.Dr6];
  memory[at + DR6 + 1] = 0;
  memory[at + DR7] = words[State.Dr7];
  memory[at + DR7 + 1] = 0;
}

/** GDTR, IDTR. */
export function loadDescriptorTables(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.GdtrLimit] = memory[at + GDTR + 1] & 0xffff;
  words[State.GdtrBaseLo] = memory[at + GDTR + 2];
  words[State.GdtrBaseHi] = memory[at + GDTR + 3];
  words[State.IdtrLimit] = memory[at + IDTR + 1] & 0xffff;
  words[State.IdtrBaseLo] = memory[at + IDTR + 2];
  words[State.IdtrBaseHi] = memory[at + IDTR + 3];
}

export function saveDescriptorTables(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + GDTR + 1] = words[State.GdtrLimit];
  memory[at + GDTR + 2] = words[State.GdtrBaseLo];
  memory[at + GDTR + 3] = words[State.GdtrBaseHi];
  memory[at + IDTR + 1] = words[State.IdtrLimit];
  memory[at + IDTR + 2] = words[State.IdtrBaseLo];
  memory[at + IDTR + 3] = words[State.IdtrBaseHi];
}

/** ES, CS, SS, DS and the CPL. */
export function loadSegments(memory: Int32Array, at: number, words: Int32Array): void {
  for (let segment = 0; segment < 4; segment++) loadSegment(memory, at + ES + 4 * segment, words, segment);
  words[State.Cpl] = memory[at + CPL] >>> 24;
}

export function saveSegments(memory: Int32Array, at: number, words: Int32Array): void {
  for (let segment = 0; segment < 4; segment++) saveSegment(memory, at + ES + 4 * segment, words, segment);
  memory[at + CPL] = (memory[at + CPL] & 0xffffff) | (words[State.Cpl] << 24);
}

/** What VMLOAD loads: FS, GS, TR, LDTR, KernelGSbase and the SYSCALL and SYSENTER MSRs (APM vol. 2, 15.5.2). */
export function loadHiddenState(memory: Int32Array, at: number, words: Int32Array): void {
  loadSegment(memory, at + FS, words, Segment.Fs);
  loadSegment(memory, at + GS, words, Segment.Gs);
  loadSegment(memory, at + TR, words, Segment.Tr);
  loadSegment(memory, at + LDTR, words, Segment.Ldtr);
  for (let i = 0; i < HIDDEN.length; i += 2) words[HIDDEN[i + 1]] = memory[at + HIDDEN[i]];
}

export function saveHiddenState(memory: Int32Array, at: number, words: Int32Array): void {
  saveSegment(memory, at + FS, words, Segment.Fs);
  saveSegment(memory, at + GS, words, Segment.Gs);
  saveSegment(memory, at + TR, words, Segment.Tr);
  saveSegment(memory, at + LDTR, words, Segment.Ldtr);
  for (let i = 0; i < HIDDEN.length; i += 2) memory[at + HIDDEN[i]] = words[HIDDEN[i + 1]];
  memory[at + (VmcbOffset.Sfmask >>> 2) + 1] = 0;
  memory[at + (VmcbOffset.SysenterCs >>> 2) + 1] = 0;
}

/** Pairs: word of the VMCB, state word. */
const HIDDEN: readonly number[] = [
  [VmcbOffset.Star, State.StarLo],
  [VmcbOffset.Star + 4, State.StarHi],
  [VmcbOffset.Lstar, State.LstarLo],
  [VmcbOffset.Lstar + 4, State.LstarHi],
  [VmcbOffset.Cstar, State.CstarLo],
  [VmcbOffset.Cstar + 4, State.CstarHi],
  [VmcbOffset.Sfmask, State.FmaskLo],
  [VmcbOffset.KernelGsBase, State.KernelGsBaseLo],
  [VmcbOffset.KernelGsBase + 4, State.KernelGsBaseHi],
  [VmcbOffset.SysenterCs, State.SysenterCs],
  [VmcbOffset.SysenterEsp, State.SysenterEspLo],
  [VmcbOffset.SysenterEsp + 4, State.SysenterEspHi],
  [VmcbOffset.SysenterEip, State.SysenterEipLo],
  [VmcbOffset.SysenterEip + 4, State.SysenterEipHi],
].flatMap(([offset, word]) => [offset >>> 2, word]);

/** VMCB attributes pack descriptor bits 55:52 down to 11:8; a segment that is not present there is unusable. */
function loadSegment(memory: Int32Array, from: number, words: Int32Array, segment: number): void {
  const to = State.Segments + 8 * segment;
  const first = memory[from];
  const packed = first >>> 16;
  words[to] = first & 0xffff;
  words[to + 1] = (packed & 0xff) | ((packed & 0xf00) << 4) | ((packed & 0x80) === 0 ? 0x10000 : 0);
  words[to + 2] = memory[from + 1];
  words[to + 3] = memory[from + 2];
  words[to + 4] = memory[from + 3];
}

function saveSegment(memory: Int32Array, to: number, words: Int32Array, segment: number): void {
  const from = State.Segments + 8 * segment;
  const attributes = words[from + 1];
  const present = (attributes & 0x10000) === 0 ? 0xff : 0x7f;
  memory[to] = (words[from] & 0xffff) | (((attributes & present) | ((attributes >>> 4) & 0xf00)) << 16);
  memory[to + 1] = words[from + 2];
  memory[to + 2] = words[from + 3];
  memory[to + 3] = words[from + 4];
}

/** All groups that VMRUN loads, except those whose clean bit says that the processor has them. */
export function loadGuestState(memory: Int32Array, at: number, words: Int32Array, clean: number): void {
  if ((clean & CleanBit.ControlRegisters) === 0) loadControlRegisters(memory, at, words);
  if ((clean & CleanBit.DebugRegisters) === 0) loadDebugRegisters(memory, at, words);
  if ((clean & CleanBit.DescriptorTables) === 0) loadDescriptorTables(memory, at, words);
  if ((clean & CleanBit.Segments) === 0) loadSegments(memory, at, words);
  if ((clean & CleanBit.Cr2) === 0) {
    words[State.Cr2Lo] = memory[at + CR2];
    words[State.Cr2Hi] = memory[at + CR2 + 1];
  }
}

/** All groups, as #VMEXIT saves them. */
export function saveGuestState(memory: Int32Array, at: number, words: Int32Array): void {
  saveControlRegisters(memory, at, words);
  saveDebugRegisters(memory, at, words);
  saveDescriptorTables(memory, at, words);
  saveSegments(memory, at, words);
  memory[at + CR2] = words[State.Cr2Lo];
  memory[at + CR2 + 1] = words[State.Cr2Hi];
}
