import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { KVM_HV_HYPERCALL } from "../../path-cost/stages/kvm-hypercall.js";
import type { Viridian } from "../../viridian/viridian.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";
import type { HypervHypercalls } from "./xen-hypercalls.js";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const HVCALL_NOTIFY_LONG_SPIN_WAIT = 0x8;
const HVCALL_SIGNAL_EVENT = 0x5d;
const FAST = 1 << 16;
const REP_COUNT = 0xfff;
/** Bytes of what a slow HVCALL_SIGNAL_EVENT points to, which also have to be aligned to themselves and in one page. */
const SIGNAL_BYTES = 8;
const PAGE = 4096;

/** HV_STATUS_* */
const HvStatus = {
  Success: 0,
  InvalidHypercallCode: 2,
  InvalidHypercallInput: 3,
  InvalidAlignment: 4,
  InvalidPortId: 0x11,
};

/** The part of `kvm_hv_hypercall` that needs no SynIC and no other vCPU; what is beyond it gets INVALID_HYPERCALL_CODE. */
export class KvmHypervHypercalls implements HypervHypercalls {
  private readonly viridian: Viridian;
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;

  constructor(viridian: Viridian, registers: GuestRegisters, cost: StagePathCost) {
    this.viridian = viridian;
    this.registers = registers;
    this.cost = cost;
  }

  get enabled(): boolean {
    const { viridian } = this;
    return (viridian.hypercallLo & 1) !== 0 && (viridian.guestOsIdLo | viridian.guestOsIdHi) !== 0;
  }

  handle(): void {
    const { registers, cost } = this;
    cost.run(cost.compile(KVM_HV_HYPERCALL));
    const long = registers.mode === GuestCodeMode.Long;
    // EDX:EAX and EBX:ECX in other modes.
    const inputLo = long ? registers.lo(RCX) : registers.lo(RAX);
    const inputHi = long ? registers.hi(RCX) : registers.lo(RDX);
    const address = long ? registers.lo(RDX) : registers.lo(RCX);
    const status = this.statusOf(inputLo, inputHi, address);
    registers.set(RAX, status, 0);
    if (!long) registers.set(RDX, 0, 0);
  }

  /** @param address low word of the input's guest-physical address */
  private statusOf(inputLo: number, inputHi: number, address: number): number {
    const code = inputLo & 0xffff;
    const repeats = (inputHi & REP_COUNT) !== 0;
    switch (code) {
      case HVCALL_NOTIFY_LONG_SPIN_WAIT:
        return repeats ? HvStatus.InvalidHypercallInput : HvStatus.Success;
      case HVCALL_SIGNAL_EVENT: {
        if (repeats) return HvStatus.InvalidHypercallInput;
        if ((inputLo & FAST) !== 0) return HvStatus.InvalidPortId;
        const fits = (address & (PAGE - 1)) + SIGNAL_BYTES <= PAGE;
        return address % SIGNAL_BYTES !== 0 || !fits ? HvStatus.InvalidAlignment : HvStatus.InvalidPortId;
      }
      default:
        return HvStatus.InvalidHypercallCode;
    }
  }
}
