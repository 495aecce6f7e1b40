import { Cause } from "@hyperwalk/mmu";
import { Flag, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventKind } from "../virtualized-processor.js";
import { EventInfo, SvmExitCode, VIntrBit } from "./exit-code.js";
import { copyInstructionBytes } from "./instruction-bytes.js";
import { SvmFeature, type SvmGuest } from "./svm-guest.js";
import { VmcbOffset } from "./vmcb-fields.js";

const V_INTR = VmcbOffset.VIntr >>> 2;
const SHADOW = VmcbOffset.InterruptShadow >>> 2;
const EXIT_CODE = VmcbOffset.ExitCode >>> 2;
const EXIT_INFO_1 = VmcbOffset.ExitInfo1 >>> 2;
const EXIT_INFO_2 = VmcbOffset.ExitInfo2 >>> 2;
const EXIT_INT_INFO = VmcbOffset.ExitIntInfo >>> 2;
const EVENT_INJ = VmcbOffset.EventInj >>> 2;
const NRIP = VmcbOffset.NRip >>> 2;
const INSTRUCTION = VmcbOffset.GuestInstructionLength >>> 2;
const RFLAGS = VmcbOffset.Rflags >>> 2;
const RIP = VmcbOffset.Rip >>> 2;
const RSP = VmcbOffset.Rsp >>> 2;
const RAX = VmcbOffset.Rax >>> 2;

const GUEST_INTERRUPT_MASK = 2;
const KIND_MASK = 7 << EventInfo.KindShift;

/** #VMEXIT: guest state to the VMCB, host state to the processor. */
export function vmexit(guest: SvmGuest): void {
  const { processor, words, i32, at, exit } = guest;
  const { ledger } = processor;
  ledger.enter(guest.exitPhase);
  ledger.charge(Cause.ExitHardware, guest.exitTicks);
  const rflags = processor.engine.rflags();
  if (guest.hasBytes) saveInstructionBytes(guest);
  else i32[at + INSTRUCTION] = 0;
  guest.leave();
  guest.gif = 0;
  guest.transfer.writeLines();
  guest.transfer.saveChangedState(guest.context.secondStage !== null);
  const ripLo = words[State.RipLo];
  const ripHi = words[State.RipHi];
  i32[at + RIP] = ripLo;
  i32[at + RIP + 1] = ripHi;
  i32[at + RAX] = words[State.Gpr];
  i32[at + RAX + 1] = words[State.Gpr + 1];
  i32[at + RSP] = words[State.Gpr + 8];
  i32[at + RSP + 1] = words[State.Gpr + 9];
  i32[at + RFLAGS] = rflags;
  guest.savedRflags = rflags;
  i32[at + RFLAGS + 1] = 0;
  if ((guest.vIntr & VIntrBit.Masking) !== 0)
    guest.vIntr = (guest.vIntr & ~VIntrBit.TprMask) | (words[State.Cr8] & VIntrBit.PriorityMask);
  i32[at + V_INTR] = guest.vIntr;
  i32[at + SHADOW] =
    (words[State.InterruptShadow] & 1) | ((rflags & Flag.If) !== 0 ? GUEST_INTERRUPT_MASK : 0);
  storeExit(guest, exit.code, exit.code >> 31);
  const event = processor.eventInDelivery;
  if (event.info !== 0) {
    i32[at + EXIT_INT_INFO] = withSvmKind(event.info);
    i32[at + EXIT_INT_INFO + 1] = event.errorCode;
    event.clear();
  } else i32[at + EXIT_INT_INFO] = i32[at + EXIT_INT_INFO + 1] = 0;
  const length = exit.instructionLength;
  if (length !== 0 && (guest.features & SvmFeature.NripSave) !== 0) {
    const next = (ripLo + length) | 0;
    i32[at + NRIP] = next;
    i32[at + NRIP + 1] = next >>> 0 < ripLo >>> 0 ? (ripHi + 1) | 0 : ripHi;
  } else i32[at + NRIP] = i32[at + NRIP + 1] = 0;
  if (guest.hostSave !== undefined) {
    guest.hostSave.restore(words);
    words[State.Cr8] = guest.hostTpr;
  }
  ledger.leave();
}

/** INT3, INTO and INT1 are exceptions like others here (APM vol. 2, table 15-1). */
function withSvmKind(info: number): number {
  const kind = (info & KIND_MASK) >>> EventInfo.KindShift;
  if (kind <= EventKind.SoftwareInterrupt) return info;
  return (info & ~KIND_MASK) | (EventKind.HardwareException << EventInfo.KindShift);
}

/** VMEXIT_INVALID: nothing of the guest was run or saved. */
export function refuse(guest: SvmGuest): void {
  const { ledger } = guest.processor;
  ledger.enter(guest.exitPhase);
  ledger.charge(Cause.ExitHardware, guest.exitTicks);
  guest.leave();
  guest.gif = 0;
  guest.record(ExitKind.InvalidState, SvmExitCode.Invalid, 0, 0, 0, 0, 0);
  guest.lines.write(VmcbOffset.ExitCode);
  storeExit(guest, -1, -1);
  guest.i32[guest.at + EXIT_INT_INFO] = guest.i32[guest.at + EXIT_INT_INFO + 1] = 0;
  guest.hostSave?.restore(guest.words);
  ledger.leave();
}

function storeExit(guest: SvmGuest, codeLo: number, codeHi: number): void {
  const { i32, at, exit } = guest;
  i32[at + EXIT_CODE] = codeLo;
  i32[at + EXIT_CODE + 1] = codeHi;
  i32[at + EXIT_INFO_1] = exit.info1Lo;
  i32[at + EXIT_INFO_1 + 1] = exit.info1Hi;
  i32[at + EXIT_INFO_2] = exit.info2Lo;
  i32[at + EXIT_INFO_2 + 1] = exit.info2Hi;
  i32[at + EVENT_INJ] = i32[at + EVENT_INJ + 1] = 0;
}

function saveInstructionBytes(guest: SvmGuest): void {
  guest.hasBytes = false;
  guest.i32[guest.at + INSTRUCTION] = 0;
  if ((guest.features & SvmFeature.DecodeAssists) === 0) return;
  const { mmu, memory } = guest.processor;
  copyInstructionBytes(mmu, memory, guest.words, guest.u8, 4 * (guest.at + INSTRUCTION));
}
