import { encryptedFrame, FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { Flag, State } from "../cpu-state.js";
import { loadHiddenState, saveHiddenState } from "../svm/save-area.js";
import type { SvmGuest } from "../svm/svm-guest.js";
import { CleanBit, VmcbOffset } from "../svm/vmcb-fields.js";

const SAVE_AREA = VmcbOffset.Es >>> 2;
/** Words of the VMSA that lie as in a VMCB's save area: up to SPEC_CTRL. */
const SAVED_WORDS = 0x2e8 >>> 2;
/** RCX of the VMSA (APM vol. 2, table B-4); RAX and RSP are in the save area proper. */
const VMSA_RCX = 0x308 >>> 2;
/** SEV_FEATURES of the VMSA. */
const VMSA_FEATURES = 0x3b0 >>> 2;
const VMSA_POINTER = VmcbOffset.VmsaPointer >>> 2;
const RFLAGS = VmcbOffset.Rflags >>> 2;
const RFLAGS_SET = 2;
/** General registers in the VMSA from RCX on, in encoding order but for RSP. */
const VMSA_REGISTERS: readonly number[] = [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/** Bits of SEV_FEATURES, which a guest's owner sets at its launch and the hypervisor never sees. */
export const SevFeature = { SnpActive: 1 } as const;

/**
 * Register state of an SEV-ES guest (APM vol. 2, 15.35): it lives in the VMSA, a page that is encrypted with the guest's
 * key. While the guest runs the processor has it; the VMCB's save area takes part only as the way in and out, and shows
 * nothing between #VMEXIT and VMRUN, nor do the processor's registers.
 */
export class EncryptedState {
  private readonly guest: SvmGuest;
  private readonly memory: PhysicalMemory;

  constructor(guest: SvmGuest) {
    this.guest = guest;
    this.memory = guest.processor.memory;
  }

  /** Before VMRUN. @returns false when the VMCB names no memory for the VMSA */
  load(): boolean {
    const at = this.locate();
    if (at < 0) return false;
    const { i32, words, vmcb } = this.guest;
    const area = this.guest.at + SAVE_AREA;
    i32.copyWithin(area, at, at + SAVED_WORDS);
    loadHiddenState(i32, this.guest.at, words);
    for (const register of VMSA_REGISTERS) {
      const from = at + VMSA_RCX + 2 * placeOf(register);
      words[State.Gpr + 2 * register] = i32[from];
      words[State.Gpr + 2 * register + 1] = i32[from + 1];
    }
    vmcb.markDirty(CleanBit.All);
    return true;
  }

  /** What LAUNCH_UPDATE leaves in SEV_FEATURES. @param features {@link SevFeature} bits */
  setFeatures(features: number): void {
    const at = this.locate();
    if (at >= 0) this.guest.i32[at + VMSA_FEATURES] = features;
  }

  /** Whether VMRUN may take it for that of an SNP-active guest: it says so, and the reverse map says that it is a VMSA of its. */
  isSecure(): boolean {
    const { processor, i32 } = this.guest;
    const { reverseMap } = processor.mmu;
    const at = this.locate();
    if (at < 0 || reverseMap === null || (i32[at + VMSA_FEATURES] & SevFeature.SnpActive) === 0) return false;
    const { assigned, vmsa, asid } = reverseMap.read(this.frame);
    return assigned && vmsa && asid === this.asid;
  }

  /** After #VMEXIT. */
  save(): void {
    const { i32, words, vmcb } = this.guest;
    const at = this.locate();
    const area = this.guest.at + SAVE_AREA;
    const rflags = i32[this.guest.at + RFLAGS];
    if (at >= 0) {
      saveHiddenState(i32, this.guest.at, words);
      i32.copyWithin(at, area, area + SAVED_WORDS);
      for (const register of VMSA_REGISTERS) {
        const to = at + VMSA_RCX + 2 * placeOf(register);
        i32[to] = words[State.Gpr + 2 * register];
        i32[to + 1] = words[State.Gpr + 2 * register + 1];
      }
    }
    i32.fill(0, area, area + SAVED_WORDS);
    // GUEST_INTERRUPT_MASK of the control area says as much.
    i32[this.guest.at + RFLAGS] = RFLAGS_SET | (rflags & Flag.If);
    vmcb.markDirty(CleanBit.All);
    words.fill(0, State.Gpr, State.Gpr + 32);
    words[State.Cr0] = words[State.Cr4] = 0;
    words[State.Cr2Lo] = words[State.Cr2Hi] = words[State.Cr3Lo] = words[State.Cr3Hi] = 0;
    words[State.RipLo] = words[State.RipHi] = 0;
  }

  /** Index of the VMSA's first word as the guest's key sees it, or -1. */
  private locate(): number {
    const { frame } = this;
    if (!this.memory.isRam(frame)) return -1;
    return this.memory.frameOffset(encryptedFrame(frame, this.asid)) >>> 2;
  }

  private get frame(): number {
    const { i32, at } = this.guest;
    const lo = i32[at + VMSA_POINTER];
    return (lo >>> 12) + (i32[at + VMSA_POINTER + 1] >>> 0) * (0x100000000 / FRAME_BYTES);
  }

  private get asid(): number {
    return this.guest.i32[this.guest.at + (VmcbOffset.Asid >>> 2)];
  }
}

/** Position among the VMSA's registers, RCX first; R8-R15 follow RDI. */
function placeOf(register: number): number {
  return register - 1;
}
