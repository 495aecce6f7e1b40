import { Segment, State } from "../cpu-state.js";
import { ExitControl } from "./controls.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";

const CODE_64 = 0xa09b;
const DATA = 0xc093;
const BUSY_TSS = 0x8b;
const UNUSABLE = 0x10000;
const DR7_DISABLED = 0x400;
const EFER_LONG = 0x500;

/**
 * Loads the host-state area of a VM exit into the processor (SDM vol. 3, 28.5), for a host whose code this processor
 * executes. General registers, CR2 and DR0-DR3 stay the guest's.
 */
export function loadHostState(vmcs: Vmcs, words: Int32Array): void {
  words[State.Cr0] = vmcs.read(VmcsField.HostCr0);
  words[State.Cr3Lo] = vmcs.read(VmcsField.HostCr3);
  words[State.Cr3Hi] = vmcs.readHi(VmcsField.HostCr3);
  words[State.Cr4] = vmcs.read(VmcsField.HostCr4);
  words[State.Dr7] = DR7_DISABLED;
  const exit = vmcs.read(VmcsField.ExitControls);
  if ((exit & ExitControl.LoadEfer) !== 0) words[State.EferLo] = vmcs.read(VmcsField.HostEfer);
  else words[State.EferLo] |= EFER_LONG;
  if ((exit & ExitControl.LoadPat) !== 0) pair(vmcs, VmcsField.HostPat, words, State.PatLo);
  words[State.SysenterCs] = vmcs.read(VmcsField.HostSysenterCs);
  pair(vmcs, VmcsField.HostSysenterEsp, words, State.SysenterEspLo);
  pair(vmcs, VmcsField.HostSysenterEip, words, State.SysenterEipLo);
  words[State.GdtrLimit] = words[State.IdtrLimit] = 0xffff;
  pair(vmcs, VmcsField.HostGdtrBase, words, State.GdtrBaseLo);
  pair(vmcs, VmcsField.HostIdtrBase, words, State.IdtrBaseLo);
  segment(words, Segment.Cs, vmcs.read(VmcsField.HostCsSelector), CODE_64, -1);
  segment(words, Segment.Ss, vmcs.read(VmcsField.HostSsSelector), DATA, -1);
  segment(words, Segment.Ds, vmcs.read(VmcsField.HostDsSelector), DATA, -1);
  segment(words, Segment.Es, vmcs.read(VmcsField.HostEsSelector), DATA, -1);
  segment(words, Segment.Fs, vmcs.read(VmcsField.HostFsSelector), DATA, -1);
  segment(words, Segment.Gs, vmcs.read(VmcsField.HostGsSelector), DATA, -1);
  segment(words, Segment.Tr, vmcs.read(VmcsField.HostTrSelector), BUSY_TSS, 0x67);
  segment(words, Segment.Ldtr, 0, UNUSABLE, 0);
  pair(vmcs, VmcsField.HostFsBase, words, State.Segments + 8 * Segment.Fs + 3);
  pair(vmcs, VmcsField.HostGsBase, words, State.Segments + 8 * Segment.Gs + 3);
  pair(vmcs, VmcsField.HostTrBase, words, State.Segments + 8 * Segment.Tr + 3);
  pair(vmcs, VmcsField.HostRsp, words, State.Gpr + 8);
  pair(vmcs, VmcsField.HostRip, words, State.RipLo);
  words[State.Cpl] = 0;
  words[State.InterruptShadow] = 0;
}

function pair(vmcs: Vmcs, field: number, words: Int32Array, to: number): void {
  words[to] = vmcs.read(field);
  words[to + 1] = vmcs.readHi(field);
}

/** Selectors of zero make data segments unusable; bases are zero but for FS, GS and TR. */
function segment(words: Int32Array, which: number, selector: number, rights: number, limit: number): void {
  const to = State.Segments + 8 * which;
  words[to] = selector;
  words[to + 1] = selector === 0 && rights === DATA ? rights | UNUSABLE : rights;
  words[to + 2] = limit;
  words[to + 3] = words[to + 4] = 0;
}
