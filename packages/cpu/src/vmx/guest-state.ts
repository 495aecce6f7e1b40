import { State } from "../cpu-state.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";

const SEGMENTS = 8;
const SELECTOR = Int32Array.from({ length: SEGMENTS }, (_, i) => wordOf(VmcsField.GuestEsSelector + 2 * i));
const LIMIT = Int32Array.from({ length: SEGMENTS }, (_, i) => wordOf(VmcsField.GuestEsLimit + 2 * i));
const RIGHTS = Int32Array.from({ length: SEGMENTS }, (_, i) => wordOf(VmcsField.GuestEsAccessRights + 2 * i));
const BASE = Int32Array.from({ length: SEGMENTS }, (_, i) => wordOf(VmcsField.GuestEsBase + 2 * i));
const SS_RIGHTS = RIGHTS[2];
const CR0 = wordOf(VmcsField.GuestCr0);
const CR3 = wordOf(VmcsField.GuestCr3);
const CR4 = wordOf(VmcsField.GuestCr4);
const CR0_MASK = wordOf(VmcsField.Cr0Mask);
const CR4_MASK = wordOf(VmcsField.Cr4Mask);
const CR0_SHADOW = wordOf(VmcsField.Cr0ReadShadow);
const CR4_SHADOW = wordOf(VmcsField.Cr4ReadShadow);
const EFER = wordOf(VmcsField.GuestEfer);
const DR7 = wordOf(VmcsField.GuestDr7);
const GDTR_BASE = wordOf(VmcsField.GuestGdtrBase);
const GDTR_LIMIT = wordOf(VmcsField.GuestGdtrLimit);
const IDTR_BASE = wordOf(VmcsField.GuestIdtrBase);
const IDTR_LIMIT = wordOf(VmcsField.GuestIdtrLimit);
const SYSENTER_CS = wordOf(VmcsField.GuestSysenterCs);
const SYSENTER_ESP = wordOf(VmcsField.GuestSysenterEsp);
const SYSENTER_EIP = wordOf(VmcsField.GuestSysenterEip);
const PAT = wordOf(VmcsField.GuestPat);
const CR0_NE = 0x20;
const CR4_VMXE = 0x2000;

/*
 * Moves guest state between a VMCS region in the arena (`memory[at]` is its first word) and the processor's state words,
 * one pair of functions a group; none allocates. CR0 and CR4 are in the processor as they act, but for NE and VMXE, which VMX
 * operation fixes: those are as the guest reads them. What else its masks and read shadows hide is put in when it reads.
 */

export function loadControlRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  const mask0 = memory[at + CR0_MASK] & CR0_NE;
  const mask4 = memory[at + CR4_MASK] & CR4_VMXE;
  words[State.Cr0] = (memory[at + CR0] & ~mask0) | (memory[at + CR0_SHADOW] & mask0);
  words[State.Cr4] = (memory[at + CR4] & ~mask4) | (memory[at + CR4_SHADOW] & mask4);
  words[State.Cr3Lo] = memory[at + CR3];
  words[State.Cr3Hi] = memory[at + CR3 + 1];
}

export function saveControlRegisters(memory: Int32Array, at: number, words: Int32Array): void {
  const mask0 = memory[at + CR0_MASK];
  const mask4 = memory[at + CR4_MASK];
  memory[at + CR0] = (words[State.Cr0] & ~mask0) | (memory[at + CR0] & mask0);
  memory[at + CR4] = (words[State.Cr4] & ~mask4) | (memory[at + CR4] & mask4);
  memory[at + CR3] = words[State.Cr3Lo];
  memory[at + CR3 + 1] = words[State.Cr3Hi];
}

export function loadEfer(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.EferLo] = memory[at + EFER];
}

export function saveEfer(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + EFER] = words[State.EferLo];
  memory[at + EFER + 1] = 0;
}

export function loadDr7(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.Dr7] = memory[at + DR7];
}

export function saveDr7(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + DR7] = words[State.Dr7];
  memory[at + DR7 + 1] = 0;
}

export function loadPat(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.PatLo] = memory[at + PAT];
  words[State.PatHi] = memory[at + PAT + 1];
}

export function savePat(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + PAT] = words[State.PatLo];
  memory[at + PAT + 1] = words[State.PatHi];
}

export function loadDescriptorTables(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.GdtrLimit] = memory[at + GDTR_LIMIT];
  words[State.GdtrBaseLo] = memory[at + GDTR_BASE];
  words[State.GdtrBaseHi] = memory[at + GDTR_BASE + 1];
  words[State.IdtrLimit] = memory[at + IDTR_LIMIT];
  words[State.IdtrBaseLo] = memory[at + IDTR_BASE];
  words[State.IdtrBaseHi] = memory[at + IDTR_BASE + 1];
}

export function saveDescriptorTables(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + GDTR_LIMIT] = words[State.GdtrLimit];
  memory[at + GDTR_BASE] = words[State.GdtrBaseLo];
  memory[at + GDTR_BASE + 1] = words[State.GdtrBaseHi];
  memory[at + IDTR_LIMIT] = words[State.IdtrLimit];
  memory[at + IDTR_BASE] = words[State.IdtrBaseLo];
  memory[at + IDTR_BASE + 1] = words[State.IdtrBaseHi];
}

/** All eight segments; the CPL is the DPL of SS. */
export function loadSegments(memory: Int32Array, at: number, words: Int32Array): void {
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const to = State.Segments + 8 * segment;
    words[to] = memory[at + SELECTOR[segment]];
    words[to + 1] = memory[at + RIGHTS[segment]];
    words[to + 2] = memory[at + LIMIT[segment]];
    words[to + 3] = memory[at + BASE[segment]];
    words[to + 4] = memory[at + BASE[segment] + 1];
  }
  words[State.Cpl] = (memory[at + SS_RIGHTS] >>> 5) & 3;
}

export function saveSegments(memory: Int32Array, at: number, words: Int32Array): void {
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const from = State.Segments + 8 * segment;
    memory[at + SELECTOR[segment]] = words[from];
    memory[at + RIGHTS[segment]] = words[from + 1];
    memory[at + LIMIT[segment]] = words[from + 2];
    memory[at + BASE[segment]] = words[from + 3];
    memory[at + BASE[segment] + 1] = words[from + 4];
  }
  // In virtual-8086 and 64-bit mode SS may lack the privilege level, but VM entry takes it from there.
  memory[at + SS_RIGHTS] = (memory[at + SS_RIGHTS] & ~0x60) | (words[State.Cpl] << 5);
}

export function loadSysenter(memory: Int32Array, at: number, words: Int32Array): void {
  words[State.SysenterCs] = memory[at + SYSENTER_CS];
  words[State.SysenterEspLo] = memory[at + SYSENTER_ESP];
  words[State.SysenterEspHi] = memory[at + SYSENTER_ESP + 1];
  words[State.SysenterEipLo] = memory[at + SYSENTER_EIP];
  words[State.SysenterEipHi] = memory[at + SYSENTER_EIP + 1];
}

export function saveSysenter(memory: Int32Array, at: number, words: Int32Array): void {
  memory[at + SYSENTER_CS] = words[State.SysenterCs];
  memory[at + SYSENTER_ESP] = words[State.SysenterEspLo];
  memory[at + SYSENTER_ESP + 1] = words[State.SysenterEspHi];
  memory[at + SYSENTER_EIP] = words[State.SysenterEipLo];
  memory[at + SYSENTER_EIP + 1] = words[State.SysenterEipHi];
}
