import { FRAME_BYTES } from "@hyperwalk/mmu";
import { Attention, State } from "../cpu-state.js";
import { PrimaryControl } from "./controls.js";
import { VmcsField } from "./vmcs-fields.js";
import type { VmxGuest } from "./vmx-guest.js";

/** Offset of VTPR in the virtual-APIC page (SDM vol. 3, 30.1.1). */
const VTPR = 0x80;
const THRESHOLD_MASK = 15;

/** Byte index of VTPR in the arena, or -1 where no RAM answers. */
function vtprAt(guest: VmxGuest): number {
  const address = guest.address(VmcsField.VirtualApicAddress);
  const at = guest.processor.memory.frameOffset(Math.floor(address / FRAME_BYTES));
  return at < 0 ? -1 : at + VTPR;
}

/** VM entry with "use TPR shadow": CR8 is bits 7:4 of VTPR. @returns false when that is below the threshold already */
export function loadVirtualTpr(guest: VmxGuest): boolean {
  const at = vtprAt(guest);
  const priority = at < 0 ? THRESHOLD_MASK : guest.processor.arena.u8[at] >>> 4;
  guest.words[State.Cr8] = priority;
  return priority >= (guest.vmcs.read(VmcsField.TprThreshold) & THRESHOLD_MASK);
}

/** MOV to CR8 took effect: VTPR follows, and the guest leaves before its next instruction when it is below the threshold. */
export function storeVirtualTpr(guest: VmxGuest): void {
  if ((guest.intercepts.primary & PrimaryControl.TprShadow) === 0) return;
  const { words } = guest;
  const priority = words[State.Cr8];
  const at = vtprAt(guest);
  if (at >= 0) guest.processor.arena.u8[at] = priority << 4;
  if (priority >= (guest.vmcs.read(VmcsField.TprThreshold) & THRESHOLD_MASK)) return;
  guest.belowThreshold = true;
  words[State.Attention] |= Attention.Interrupt;
}
