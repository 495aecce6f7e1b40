import type { VmExit } from "@hyperwalk/cpu";
import type { ShadowHardware, ShadowPaging } from "../shadow/shadow-paging.js";
import type { VcpuControl } from "./vcpu-control.js";

/** What an exit that shadow paging asked for is about. */
export const ShadowExitKind = {
  /** Not one of those. */
  None: 0,
  PageFault: 1,
  Invlpg: 2,
  /** MOV from a control register. */
  Read: 3,
  /** MOV to a control register. */
  Write: 4,
  Clts: 5,
  Lmsw: 6,
  /** CLTS, LMSW or SMSW: only the instruction's bytes tell which. */
  Undecoded: 7,
  TaskSwitch: 8,
} as const;

/** One such exit. */
export class ShadowExit {
  /** A {@link ShadowExitKind} number. */
  kind = 0;
  /** Of a control-register access: 0, 3 or 4, and the general register by its encoding. */
  register = 0;
  gpr = 0;
  /** LMSW: the 16 bits that it loads. */
  source = 0;
  /** Page fault: its error code. */
  errorCode = 0;
  /** Page fault and INVLPG: the linear address. */
  lo = 0;
  hi = 0;
}

/** A vCPU's control structure that can do without nested paging. */
export interface ShadowControl extends VcpuControl, ShadowHardware {
  /** Whether the hardware runs real mode on shadow page tables. */
  readonly runsRealMode: boolean;
  /** From now on the guest leaves for its control registers, INVLPG, task switches and page faults. */
  useShadow(shadow: ShadowPaging): void;
  /** Reads an exit into `into`; of kind None where shadow paging did not ask for it. */
  describeShadowExit(exit: VmExit, into: ShadowExit): void;
  /**
   * The event that was being delivered when the guest left (EXITINTINFO, IDT-vectoring information): negative when there was
   * one, with its kind in bits 10:8 and its vector in bits 7:0.
   */
  readonly eventInDelivery: number;
  /** Delivers such an event again; INT n, INT3 and INTO execute again by themselves. */
  repeatEvent(event: number): void;
}
