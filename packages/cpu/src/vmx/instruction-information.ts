import { DescriptorTableAccess, Intercept, IoInfo, RegisterAccess } from "../guest-mode.js";
import type { VmxGuest } from "./vmx-guest.js";

const IDENTITY_SHIFT = 28;
/** Operand size of LGDT and its kin: 32 bits. */
const OPERAND_32 = 0x800;
/** Everything but the second register, where the identity goes. */
const WITHOUT_SECOND = 0xfffffff;

/** Identities by {@link DescriptorTableAccess} number (SDM vol. 3, tables 28-10 and 28-11). */
const IDENTITY: Int32Array = new Int32Array(8);
IDENTITY[DescriptorTableAccess.Sgdt] = 0;
IDENTITY[DescriptorTableAccess.Sidt] = 1;
IDENTITY[DescriptorTableAccess.Lgdt] = 2;
IDENTITY[DescriptorTableAccess.Lidt] = 3;
IDENTITY[DescriptorTableAccess.Sldt] = 0;
IDENTITY[DescriptorTableAccess.Str] = 1;
IDENTITY[DescriptorTableAccess.Lldt] = 2;
IDENTITY[DescriptorTableAccess.Ltr] = 3;

/**
 * What an exit by instruction reports of its operands: exit qualification, guest-linear address and VM-exit instruction
 * information (SDM vol. 3, 28.2.1 and 28.2.5). The intercepts have filled in the rest.
 */
export function describeOperands(guest: VmxGuest, event: number, info: number): void {
  const { processor, intercepts } = guest;
  const { interceptAddressLo: lo, interceptAddressHi: hi, interceptOperands: operands } = processor;
  switch (event) {
    case Intercept.Invlpg:
    case Intercept.VmxInstruction:
    case Intercept.Invpcid:
      intercepts.qualificationLo = lo;
      intercepts.qualificationHi = hi;
      if (event !== Intercept.Invlpg) guest.instructionInfo = operands & ~OPERAND_32;
      return;
    case Intercept.DescriptorTable: {
      intercepts.qualificationLo = lo;
      intercepts.qualificationHi = hi;
      const fields = (info & 2) === 0 ? WITHOUT_SECOND : WITHOUT_SECOND & ~OPERAND_32;
      guest.instructionInfo = (operands & fields) | (IDENTITY[info] << IDENTITY_SHIFT);
      return;
    }
    case Intercept.IoRead:
    case Intercept.IoWrite:
      if ((info & IoInfo.String) === 0) return;
      guest.linearLo = lo;
      guest.linearHi = hi;
      guest.instructionInfo =
        ((((info >>> IoInfo.AddressShift) & 3) - 1) << 7) | (((info >>> IoInfo.SegmentShift) & 7) << 15);
      return;
    case Intercept.CrWrite:
      if (((info >>> 8) & 0xff) !== RegisterAccess.Lmsw) return;
      guest.linearLo = lo;
      guest.linearHi = hi;
      return;
    default:
  }
}
