import { Segment, SegmentWord, State } from "@hyperwalk/cpu";
import { ArgumentRegisters } from "../../abi/argument-registers.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  KVM_OWN_HYPERCALL,
  KVM_XEN_HCALL_EXIT,
  KVM_XEN_HYPERCALL,
  KVM_XEN_HYPERCALL_RESULT,
} from "../../path-cost/stages/kvm-hypercall.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";
import { XenHcallExit, type XenHcallExitSnapshot } from "./xen-hcall-exit.js";

const RAX = 0;
/** `linux/kvm_para.h`: the one hypercall that every guest has, and errors of the interface's own. */
const KVM_HC_VAPIC_POLL_IRQ = 1;
const KVM_EPERM = 1;
const KVM_ENOSYS = 1000;
const CS_BASE = State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo;

/** What KVM does by itself with a hypercall at CPL 0. */
export interface KernelHypercalls {
  /** @returns the operation's name when it is done, its result then in `exit` */
  handle(exit: XenHcallExit): string | undefined;
}

/** Hyper-V's hypercalls, which have bit 31 of the number. */
export interface HypervHypercalls {
  /** The guest has turned them on; else bit 31 is part of Xen's number. */
  readonly enabled: boolean;
  /** Leaves the status in RAX. */
  handle(): void;
}

/** A call that has left, as plain data. */
export interface XenHypercallsSnapshot {
  readonly exit: XenHcallExitSnapshot;
  /** Low and high word of its linear RIP. */
  readonly rip: readonly [number, number];
}

/** `kvm_xen_hypercall` up to the decision who serves a call, and what is done with the result. */
export class XenHypercalls {
  /** The present call, as the monitor finds it. */
  readonly exit: XenHcallExit = new XenHcallExit();
  /** What the kernel serves; until it is set, everything leaves. */
  kernel: KernelHypercalls | undefined;
  /** Undefined where the guest has no Hyper-V interface. */
  hyperv: HypervHypercalls | undefined;
  /** What the kernel did, by name, after a call that did not leave. */
  operation = "";
  private readonly registers: GuestRegisters;
  private readonly argumentRegisters: ArgumentRegisters;
  private readonly cost: StagePathCost;
  private readonly stage: number;
  private readonly exitStage: number;
  private readonly resultStage: number;
  /** Linear RIP of the call that left (`hypercall_rip`). */
  private ripLo = 0;
  private ripHi = 0;

  constructor(registers: GuestRegisters, cost: StagePathCost) {
    this.registers = registers;
    this.argumentRegisters = new ArgumentRegisters(registers);
    this.cost = cost;
    this.stage = cost.compile(KVM_XEN_HYPERCALL);
    this.exitStage = cost.compile(KVM_XEN_HCALL_EXIT);
    this.resultStage = cost.compile(KVM_XEN_HYPERCALL_RESULT);
  }

  /** Takes the call in the registers. @returns false when it leaves for user space */
  enter(): boolean {
    const { registers, argumentRegisters, exit, cost } = this;
    argumentRegisters.latch();
    const lo = registers.lo(RAX);
    if (lo < 0 && this.hyperv?.enabled === true) {
      this.callHyperv(this.hyperv);
      return true;
    }
    cost.run(this.stage);
    // Real mode has no privilege levels, VM86 only the lowest.
    const cpl = registers.mode === GuestCodeMode.Vm86 ? 3 : registers.cpl;
    exit.load(argumentRegisters, lo, registers.hi(RAX), cpl);
    const served = cpl === 0 ? this.kernel?.handle(exit) : undefined;
    if (served !== undefined) {
      this.operation = served;
      this.setResult();
      return true;
    }
    cost.run(this.exitStage);
    this.latchRip();
    return false;
  }

  /**
   * Takes the call in the registers where user space does not have Xen's intercepted: it is Hyper-V's, if the guest has
   * those, or one of KVM's own, none of which is offered here (`____kvm_emulate_hypercall`).
   */
  refuse(): void {
    const { registers, argumentRegisters, exit, cost } = this;
    argumentRegisters.latch();
    if (this.hyperv?.enabled === true) {
      this.callHyperv(this.hyperv);
      return;
    }
    cost.run(cost.compile(KVM_OWN_HYPERCALL));
    exit.load(argumentRegisters, registers.lo(RAX), registers.hi(RAX), registers.cpl);
    const number = exit.inputHi === 0 ? exit.inputLo : -1;
    const answer = exit.cpl !== 0 ? -KVM_EPERM : number === KVM_HC_VAPIC_POLL_IRQ ? 0 : -KVM_ENOSYS;
    exit.setResult(answer, exit.longmode ? answer >> 31 : 0);
    this.operation = "kvm";
    this.setResult();
  }

  /**
   * `kvm_xen_hypercall_complete_userspace`: the result goes to RAX.
   * @returns false where the monitor has moved the guest meanwhile: nothing is written or skipped then
   */
  complete(): boolean {
    const [lo, hi] = [this.ripLo, this.ripHi];
    this.latchRip();
    if (this.ripLo !== lo || this.ripHi !== hi) {
      this.cost.run(this.resultStage);
      return false;
    }
    this.setResult();
    return true;
  }

  /** The register arguments as tools are shown them. */
  get texts(): readonly string[] {
    return this.argumentRegisters.texts;
  }

  snapshot(): XenHypercallsSnapshot {
    return { exit: this.exit.snapshot(), rip: [this.ripLo, this.ripHi] };
  }

  restore({ exit, rip }: XenHypercallsSnapshot): void {
    this.exit.restore(exit);
    [this.ripLo, this.ripHi] = rip;
  }

  private callHyperv(hyperv: HypervHypercalls): void {
    const { registers, exit } = this;
    exit.load(this.argumentRegisters, registers.lo(RAX), registers.hi(RAX), registers.cpl);
    hyperv.handle();
    exit.setResult(registers.lo(RAX), registers.hi(RAX));
    this.operation = "hyper-v";
  }

  private setResult(): void {
    this.cost.run(this.resultStage);
    this.registers.set(RAX, this.exit.resultLo, this.exit.resultHi);
  }

  private latchRip(): void {
    const { registers } = this;
    const base = registers.mode === GuestCodeMode.Long ? 0 : registers.words[CS_BASE];
    this.ripLo = (registers.ripLo + base) | 0;
    this.ripHi = registers.ripHi;
  }
}
