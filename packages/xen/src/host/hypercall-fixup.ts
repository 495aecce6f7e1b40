import { Segment, SegmentWord, State } from "@hyperwalk/cpu";
import type { HypercallFixup } from "../doorbell-config.js";
import type { EmulatorAccess } from "../guest-access/emulator-access.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import { DEBUG_INSTRUCTION_LENGTH } from "../path-cost/stages/dispatch.js";
import { UNDEFINED_INSTRUCTION } from "../path-cost/stages/doorbell.js";
import { GuestCodeMode, type GuestRegisters } from "./guest-registers.js";

const LONGEST_INSTRUCTION = 15;
/** VMCALL and VMMCALL have as many. */
export const HYPERCALL_BYTES = 3;
const CS_BASE = State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo;

/** By this vendor: the hypercall instruction of the other one. */
export const OTHER_HYPERCALL: Readonly<Record<"amd" | "intel", readonly number[]>> = {
  amd: [0x0f, 0x01, 0xc1],
  intel: [0x0f, 0x01, 0xd9],
};

/** What an undefined instruction came to. */
export const FixupVerdict = {
  /** The guest takes its #UD. */
  Undefined: 0,
  /** The instruction is another one now: the guest repeats it. */
  Patched: 1,
  /** It is a hypercall: whoever asked makes it, and RIP moves on by three bytes. */
  Call: 2,
  /** It cannot be written: the guest takes a page fault at {@link HypercallFixups.addressLo}, as for a write at its privilege. */
  WriteFault: 3,
} as const;

export interface HypercallFixupsOptions {
  readonly kind: HypercallFixup;
  readonly registers: GuestRegisters;
  readonly cost: StagePathCost;
  /** By linear address, with the guest's rights. */
  readonly access: EmulatorAccess;
  /** This vendor's hypercall instruction and the other one's. */
  readonly own: readonly number[];
  readonly other: readonly number[];
}

/**
 * What a hypervisor does about #UD where it may have been the other vendor's hypercall instruction: it fetches the
 * instruction through the guest's page tables, decodes it, and rewrites it (`emulator_fix_hypercall` of KVM) or makes the call.
 */
export class HypercallFixups {
  /** Linear address of the instruction, after {@link handle}. */
  addressLo = 0;
  addressHi = 0;
  /** Of the page fault, after a verdict that there is one. */
  errorCode = 0;
  private readonly options: HypercallFixupsOptions;

  constructor(options: HypercallFixupsOptions) {
    this.options = options;
  }

  /** @returns a {@link FixupVerdict} */
  handle(): number {
    const { access, registers } = this.options;
    access.asUser(registers.cpl === 3);
    const verdict = this.fix();
    access.asUser(false);
    return verdict;
  }

  private fix(): number {
    const { kind, registers, cost, access, own, other } = this.options;
    const long = registers.mode === GuestCodeMode.Long;
    this.addressLo = long ? registers.ripLo : (registers.ripLo + registers.words[CS_BASE]) | 0;
    this.addressHi = long ? registers.ripHi : 0;
    const { addressLo: lo, addressHi: hi } = this;
    cost.run(cost.compile(UNDEFINED_INSTRUCTION));
    // Up to the end of its page at first, as the instruction may end there.
    const count = Math.min(LONGEST_INSTRUCTION, 4096 - (lo & 4095));
    if (access.copyFromGuest(lo, hi, count < HYPERCALL_BYTES ? HYPERCALL_BYTES : count) !== 0)
      return FixupVerdict.Undefined;
    cost.run(cost.compile(DEBUG_INSTRUCTION_LENGTH));
    for (let i = 0; i < HYPERCALL_BYTES; i++)
      if (access.buffer.getUint8(i) !== other[i]) return FixupVerdict.Undefined;
    if (kind === "emulate") return FixupVerdict.Call;
    for (let i = 0; i < HYPERCALL_BYTES; i++) access.buffer.setUint8(i, own[i]);
    if (access.copyToGuest(lo, hi, HYPERCALL_BYTES) === 0) return FixupVerdict.Patched;
    this.errorCode = access.errorCode;
    return FixupVerdict.WriteFault;
  }
}
