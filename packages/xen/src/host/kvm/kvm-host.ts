import { ExitKind, Flag, Segment, SegmentWord, State, type VmExit, VmxExitReason } from "@hyperwalk/cpu";
import { Cause, ticks } from "@hyperwalk/mmu";
import { DOORBELL_GFN, DOORBELL_PORT, type Doorbell, DoorbellRegister } from "../../devices/doorbell.js";
import type { EmulatorAccess } from "../../guest-access/emulator-access.js";
import type { Monitor } from "../../monitor/monitor.js";
import { RUNSTATE_BLOCKED, RUNSTATE_OFFLINE, RUNSTATE_RUNNING } from "../../operations/descriptors.gen.js";
import { composeStage } from "../../path-cost/compose.js";
import { Phase } from "../../path-cost/phases.js";
import type { Stage } from "../../path-cost/stage.js";
import { KVM_MMIO_FAULT } from "../../path-cost/stages/doorbell.js";
import {
  KVM_BLOCK,
  KVM_CLGI,
  KVM_EMULATE,
  KVM_ENTRY_ASSEMBLY,
  KVM_EXIT_ASSEMBLY,
  KVM_EXIT_HANDLER,
  KVM_HALT,
  KVM_PAGE_FAULT,
  KVM_RETURN_PATH,
  KVM_SKIP,
  KVM_STGI,
  KVM_XSETBV,
} from "../../path-cost/stages/kvm-entry-exit.js";
import {
  KVM_PTI_TO_KERNEL,
  KVM_PTI_TO_USER,
  KVM_RSB_FILL,
  KVM_RSB_LITE,
  KVM_SPEC_CTRL_GUEST,
  KVM_SPEC_CTRL_HOST,
  KVM_VERW,
  KVM_VMSCAPE_IBPB,
} from "../../path-cost/stages/kvm-mitigations.js";
import {
  KVM_EXIT_TO_USER,
  KVM_RUN,
  MONITOR_MMIO,
  MONITOR_PORT_IO,
} from "../../path-cost/stages/kvm-user-space.js";
import { GuestCodeMode } from "../guest-registers.js";
import { FixupVerdict, HYPERCALL_BYTES, type HypercallFixups } from "../hypercall-fixup.js";
import type { RunOutcome } from "../run-outcome.js";
import { SecondStageFault } from "../second-stage-fault.js";
import {
  COMING_UP,
  HLT,
  Request,
  startUpVector,
  VcpuLoop,
  type VcpuLoopOptions,
  type VcpuLoopSnapshot,
} from "../vcpu-loop.js";
import { EVENT_CHECK } from "../vcpu-turns.js";
import type { EmulatedExits } from "../xen/emulated-exits.js";
import type { HypercallEvent } from "../xen/hypercall-handler.js";
import type { MmioExits } from "../xen/mmio-exits.js";
import type { XenKernelHypercalls } from "./kernel-hypercalls.js";
import type { ResolvedKvmConfig } from "./kvm-config.js";
import type { KvmInterrupts } from "./kvm-interrupts.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import type { KvmVm } from "./kvm-vm.js";
import { TdpFault, type TdpMmu } from "./tdp-mmu.js";
import type { XenHypercalls } from "./xen-hypercalls.js";

/** EXITINFO1 of an I/O exit, and the qualification of VMX's: IN and INS. */
const SVM_IO_IN = 1;
const VMX_IO_IN = 8;
const TABLE_LEVELS = 4;
/** A vector of the host's: its local APIC's timer (LOCAL_TIMER_VECTOR). */
const LOCAL_TIMER_VECTOR = 0xec;
/** The one that kicks a vCPU. */
const RESCHEDULE_VECTOR = 0xfd;
const CR4_OSXSAVE = 1 << 18;
const RCX = 1;
const INVALID_OPCODE = 6;
const LONGEST_INSTRUCTION = 15;
const CS_BASE = State.Segments + 8 * Segment.Cs + SegmentWord.BaseLo;
const POLL = "SCHEDOP_poll";
/** The monitor's thread waits for the guest's next event, as SCHEDOP_block asks. */
const MONITOR_BLOCKS = "a blocking hypercall";

/** Where the loops around a vCPU are, the kernel's and the monitor's, as plain data. */
export interface KvmHostSnapshot extends VcpuLoopSnapshot {
  readonly userExits: number;
  readonly freshRun: boolean;
  /** Requests of the kernel's. */
  readonly unblocked: boolean;
  readonly clockUpdate: boolean;
  readonly flushRequested: boolean;
  readonly initReceived: boolean;
  /** Length of the instruction whose hypercall the monitor is in the middle of, or 0. */
  readonly callBytes: number;
  readonly callTexts: readonly string[];
}

export interface KvmHostOptions extends VcpuLoopOptions {
  readonly switches: ResolvedKvmConfig;
  readonly tdp: TdpMmu;
  readonly hypercalls: XenHypercalls;
  readonly monitor: Monitor;
  readonly emulated: EmulatedExits;
  readonly mmio: MmioExits;
  /** Undefined where #UD is the guest's own business. */
  readonly fixups: HypercallFixups | undefined;
  readonly interrupts: KvmInterrupts;
  readonly vm: KvmVm;
  readonly xen: KvmVcpuXen;
  readonly kernel: XenKernelHypercalls;
  /** Guest memory by linear address, as the kernel's emulator reaches it. */
  readonly access: EmulatorAccess;
  /** XCR0 of the host. */
  readonly hostXcr0: number;
}

/**
 * KVM's loop around one vCPU (`vcpu_run`, `vcpu_enter_guest`), and the monitor's around KVM_RUN. Each exit runs the assembly and
 * mitigations, the handler and the exit's own work; what the kernel does not serve returns from the ioctl to the monitor,
 * and with KVM_RUN comes back; then the way to the next entry.
 */
export class KvmHost extends VcpuLoop {
  /** Told about every hypercall while set. */
  onHypercall: ((event: HypercallEvent) => void) | undefined;
  /** Exits that went on to user space so far. */
  userExits = 0;
  private readonly options: KvmHostOptions;
  private readonly fault: SecondStageFault;
  private readonly handlerStage: number;
  private readonly returnStage: number;
  private readonly xsetbvStage: number;
  private readonly faultStage: number;
  private readonly haltStage: number;
  private readonly toUserStage: number;
  private readonly runStage: number;
  private readonly portStage: number;
  private readonly l1dFlushTicks: number;
  /** The next entry follows a KVM_RUN (`l1tf_flush_l1d`). */
  private freshRun = true;
  /** KVM_REQ_UNBLOCK: what a vCPU that blocks waits for has come. */
  private unblocked = false;
  /** KVM_REQ_CLOCK_UPDATE */
  private clockUpdate = false;
  /** KVM_REQ_TLB_FLUSH */
  private flushRequested = false;
  /** KVM_MP_STATE_INIT_RECEIVED: a SIPI starts it. */
  private initReceived = false;
  /** The monitor is in the middle of a hypercall, whose instruction has so many bytes; 0: it is not. */
  private callBytes = 0;
  /** That call's arguments, as the guest gave them. */
  private callTexts: readonly string[] = NO_TEXTS;

  constructor(options: KvmHostOptions) {
    const { cost, switches, processor } = options;
    super(options, { timer: LOCAL_TIMER_VECTOR, check: RESCHEDULE_VECTOR });
    this.options = options;
    const { isAmd } = this;
    this.fault = new SecondStageFault(isAmd);
    const stage = (name: string, parts: readonly Stage[]) => cost.compile(composeStage(name, "", parts));
    const fill =
      switches.rsbFill === "full" ? [KVM_RSB_FILL] : switches.rsbFill === "lite" ? [KVM_RSB_LITE] : [];
    this.handlerStage = stage("KVM: exit", [
      KVM_EXIT_ASSEMBLY,
      ...fill,
      ...(switches.specCtrlWrite ? [KVM_SPEC_CTRL_HOST] : []),
      ...(isAmd ? [KVM_STGI] : []),
      KVM_EXIT_HANDLER,
    ]);
    this.returnStage = stage("KVM: back to the guest", [
      KVM_RETURN_PATH,
      ...(isAmd ? [KVM_CLGI] : []),
      KVM_ENTRY_ASSEMBLY,
      ...(switches.specCtrlWrite ? [KVM_SPEC_CTRL_GUEST] : []),
      ...(switches.verw ? [KVM_VERW] : []),
    ]);
    this.toUserStage = stage("KVM: exit to user space", [
      KVM_EXIT_TO_USER,
      ...(switches.vmscape ? [KVM_VMSCAPE_IBPB] : []),
      ...(switches.pti ? [KVM_PTI_TO_USER] : []),
    ]);
    this.runStage = stage("KVM: KVM_RUN", [...(switches.pti ? [KVM_PTI_TO_KERNEL] : []), KVM_RUN]);
    this.skipStage = cost.compile(KVM_SKIP);
    this.xsetbvStage = cost.compile(KVM_XSETBV);
    this.faultStage = cost.compile(KVM_PAGE_FAULT);
    this.haltStage = cost.compile(KVM_HALT);
    this.portStage = cost.compile(MONITOR_PORT_IO);
    this.l1dFlushTicks = switches.l1dFlush ? ticks(processor.profile.timing.l1dFlush) : 0;
  }

  /** KVM_REQ_UNBLOCK and `kvm_vcpu_kick`, where nobody else runs meanwhile. */
  kick(): void {
    this.interrupt(EVENT_CHECK);
  }

  /** The rescheduling interrupt arrives, or what made the vCPU's thread runnable. */
  override interrupt(mode?: number): void {
    this.requests |= Request.EventCheck;
    if (mode === EVENT_CHECK) this.unblocked = true;
    if (this.ready) this.control.interruptGuest(RESCHEDULE_VECTOR);
  }

  /** KVM_REQ_TLB_FLUSH, done before the next entry. */
  requestFlush(): void {
    this.flushRequested = true;
  }

  /** Does it run guest code, or is about to? */
  get inGuest(): boolean {
    return this.ready;
  }

  /** KVM_REQ_CLOCK_UPDATE */
  requestClockUpdate(): void {
    this.clockUpdate = true;
  }

  override snapshot(): KvmHostSnapshot {
    const { userExits, freshRun, unblocked, clockUpdate, flushRequested, initReceived, callBytes } = this;
    return {
      ...super.snapshot(),
      ...{ userExits, freshRun, unblocked, clockUpdate, flushRequested, initReceived, callBytes },
      callTexts: [...this.callTexts],
    };
  }

  /** @throws RangeError for an instruction of such a length */
  override restore(snapshot: KvmHostSnapshot): void {
    const { userExits, freshRun, unblocked, clockUpdate, flushRequested, initReceived, callBytes } = snapshot;
    if (!Number.isInteger(callBytes) || callBytes < 0 || callBytes > 15)
      throw new RangeError(`a hypercall of ${callBytes} bytes`);
    super.restore(snapshot);
    Object.assign(this, { userExits, freshRun, unblocked, clockUpdate, flushRequested, initReceived });
    this.callBytes = callBytes;
    this.inCall = callBytes > 0;
    this.callTexts = [...snapshot.callTexts];
  }

  /** Vector of Xen's upcall that waits, or -1. */
  private get eventVector(): number {
    const { vm, xen } = this.options;
    return vm.upcallVector !== 0 && xen.hasInterrupt() ? vm.upcallVector : -1;
  }

  protected override returnToGuest(): void {
    const { cost, interrupts, processor, registers, control } = this;
    const { ledger, mmu } = processor;
    const { vm, xen } = this.options;
    if (interrupts.timerRuns) interrupts.expire(ledger.clock[0]);
    this.switchXcr0();
    cost.run(this.returnStage);
    this.unblocked = false;
    if (this.flushRequested) {
      this.flushRequested = false;
      control.flushSecondStage();
    }
    if (this.clockUpdate) {
      this.clockUpdate = false;
      xen.updateTime();
    }
    // KVM_REQ_STEAL_UPDATE of vcpu_load: for Xen's guests it is their run state.
    if (this.freshRun && vm.config.msr !== 0) xen.runstate.update(RUNSTATE_RUNNING);
    // A worker that has a processor of its own elsewhere has had its turn by now.
    if (vm.irqfds.hasWork) vm.irqfds.runWork();
    if (xen.hasPendingEvents) xen.beforeEntry();
    const vector = this.eventVector;
    const isTaken = vector >= 0 && registers.canTakeInterrupt;
    if (isTaken) registers.injectInterrupt(vector); // again until the guest clears it
    interrupts.assist(vector >= 0 && !isTaken);
    if (this.freshRun && this.l1dFlushTicks > 0) {
      ledger.charge(Cause.L1dFlush, this.l1dFlushTicks);
      mmu.caches.l1d.removeAll();
    }
    this.freshRun = false;
    this.ready = true;
  }

  /** XCR0 changes hands where the guest has turned XSAVE on and uses other states than the host. */
  private switchXcr0(): void {
    const { words } = this.registers;
    if ((words[State.Cr4] & CR4_OSXSAVE) === 0 || words[State.XcrLo] === this.options.hostXcr0) return;
    this.options.cost.run(this.xsetbvStage);
  }

  protected override vmExit(exit: VmExit): RunOutcome | undefined {
    const { cost, control, processor } = this;
    const { switches } = this.options;
    this.noteExit(exit);
    cost.afterGuest();
    cost.run(this.handlerStage);
    if (switches.rsbFill === "full") processor.predictor.overwriteReturnStack();
    this.switchXcr0();
    control.acknowledgeExit();
    return this.dispatch(exit);
  }

  private dispatch(exit: VmExit): RunOutcome | undefined {
    const { emulated, cost, control } = this.options;
    switch (exit.kind) {
      case ExitKind.Hypercall:
        return this.hypercall(exit);
      case ExitKind.Cpuid:
        return this.emulatedBy(exit, emulated.cpuid());
      case ExitKind.Rdmsr:
        return this.emulatedBy(exit, emulated.rdmsr());
      case ExitKind.Wrmsr:
        return this.wrmsr(exit);
      case ExitKind.Io:
        return this.portIo(exit);
      case ExitKind.CrAccess:
      case ExitKind.Other:
        if (!this.isAmd && exit.code === VmxExitReason.TaskSwitch) {
          control.switchTask(exit);
          return undefined;
        }
        if (control.isInterruptWindow(exit)) return this.windowOpen(exit);
        return this.emulatedBy(exit, emulated.other(exit));
      case ExitKind.Hlt:
        cost.run(this.haltStage);
        this.skip(exit);
        if ((this.registers.rflags & Flag.Tf) !== 0) return undefined; // the single step wakes it
        return this.block(HLT);
      case ExitKind.SecondStageFault:
        return this.secondStageFault(exit);
      case ExitKind.ExternalInterrupt:
        return control.isInterruptWindow(exit) ? this.windowOpen(exit) : undefined;
      case ExitKind.Exception:
        if (this.options.fixups !== undefined && control.exceptionVector(exit) === INVALID_OPCODE)
          return this.undefinedInstruction(exit, this.options.fixups);
        return {
          reason: "invalid-state",
          rip: this.rip,
          detail: `exception ${control.exceptionVector(exit)} in the guest`,
        };
      case ExitKind.Shutdown:
        return {
          reason: "triple-fault",
          rip: this.rip,
          detail: "KVM_EXIT_SHUTDOWN: a fault while the guest's double-fault handler was called",
        };
      default:
        return {
          reason: "invalid-state",
          rip: this.rip,
          detail: `KVM_EXIT_FAIL_ENTRY: VM entry refused the guest's state (exit code ${exit.code})`,
        };
    }
  }

  /** What fills the hypercall page latches the caller's mode, in the kernel too. */
  private wrmsr(exit: VmExit): undefined {
    const { emulated, vm, domain } = this.options;
    const isPage = vm.config.msr !== 0 && this.registers.lo(RCX) === (vm.config.msr | 0);
    const done = emulated.wrmsr();
    if (done && isPage) vm.latchLongMode(!domain.eventChannels.events.is32Bit);
    return this.emulatedBy(exit, done);
  }

  private hypercall(exit: VmExit): RunOutcome | undefined {
    const { hypercalls, counters, kernel, vm } = this.options;
    counters.hypercalls++;
    kernel.forget();
    if (!vm.interceptsHypercalls) {
      hypercalls.refuse();
      this.accounting?.name(hypercalls.operation);
      this.report("kernel", hypercalls.operation);
      this.skip(exit);
      return undefined;
    }
    if (hypercalls.enter()) {
      this.accounting?.name(hypercalls.operation);
      this.report("kernel", hypercalls.operation);
      this.skip(exit);
      return kernel.blocks ? this.block(POLL) : undefined;
    }
    this.callBytes = exit.instructionLength;
    this.inCall = true;
    this.callTexts = this.onHypercall === undefined ? NO_TEXTS : hypercalls.texts;
    this.exitToUser();
    return this.monitorCall(true);
  }

  protected override goOnWithCall(): RunOutcome | undefined {
    const { interrupts } = this;
    if (interrupts.timerRuns) interrupts.expire(this.processor.ledger.clock[0]);
    return this.monitorCall(false);
  }

  /** One round of the monitor's, after each of which the loop looks at budgets and timers; after the last one back to KVM. */
  private monitorCall(isFirst: boolean): RunOutcome | undefined {
    const { hypercalls, monitor, vcpu, domain } = this.options;
    const { exit } = hypercalls;
    const isDone = isFirst ? monitor.hypercall(exit, vcpu.call) : monitor.goOn(exit, vcpu.call);
    if (isDone) this.report("monitor", monitor.operation, this.callTexts);
    if (domain.shutdownReason >= 0) return this.shutdown();
    if (!isDone) return undefined;
    const length = this.callBytes;
    this.callBytes = 0;
    this.inCall = false;
    this.backToKernel();
    if (hypercalls.complete()) this.moveOn(length);
    return this.afterHypercall();
  }

  private report(
    by: string,
    operation?: string,
    texts: readonly string[] = this.options.hypercalls.texts,
  ): void {
    if (this.onHypercall === undefined) return;
    const { exit } = this.options.hypercalls;
    this.onHypercall({
      number: exit.inputLo >>> 0,
      operation,
      abi: by,
      arguments: texts,
      result: exit.resultLo,
    });
  }

  /** KVM_RUN returns to the monitor. */
  private exitToUser(): void {
    const { cost, switches, processor, monitor } = this.options;
    this.userExits++;
    cost.run(this.toUserStage);
    if (switches.vmscape) processor.predictor.flush();
    monitor.dispatch();
  }

  private backToKernel(): void {
    this.options.cost.run(this.runStage);
    this.freshRun = true;
  }

  /** #UD, which may have been the other vendor's hypercall instruction (`KVM_X86_QUIRK_FIX_HYPERCALL_INSN`). */
  private undefinedInstruction(exit: VmExit, fixups: HypercallFixups): RunOutcome | undefined {
    const { control } = this.options;
    switch (fixups.handle()) {
      case FixupVerdict.Patched:
        return undefined;
      case FixupVerdict.Call:
        exit.instructionLength = HYPERCALL_BYTES;
        return this.hypercall(exit);
      case FixupVerdict.WriteFault:
        control.injectPageFault(fixups.errorCode, fixups.addressLo, fixups.addressHi);
        return undefined;
      default:
        this.registers.injectException(INVALID_OPCODE, -1);
        return undefined;
    }
  }

  /** No device of the kernel's has ports but the doorbell, if its handler is there: all others are the monitor's. */
  private portIo(exit: VmExit): RunOutcome | undefined {
    const { emulated, domain, cost } = this.options;
    const port = (exit.info1Lo >>> 16) - DOORBELL_PORT;
    const bound = port >= 0 && port < (domain.doorbell?.count ?? 0);
    const write = (exit.info1Lo & (this.isAmd ? SVM_IO_IN : VMX_IO_IN)) === 0;
    if (bound && this.inKernel(port, write)) return this.emulatedBy(exit, emulated.io(exit));
    const done = emulated.io(exit, () => {
      this.exitToUser();
      cost.run(this.portStage);
    });
    const ended = this.afterPort();
    if (ended !== undefined) return ended;
    this.backToKernel();
    return this.emulatedBy(exit, done);
  }

  /** The kernel has all of a device of its own; for an eventfd it takes notifications, and the registers are the monitor's. */
  private inKernel(register: number, write: boolean): boolean {
    const handler = this.options.domain.config.doorbell?.handler;
    return handler === "ioeventfd" ? write && register === DoorbellRegister.Notify : handler !== "user-space";
  }

  private emulatedBy(exit: VmExit, done: boolean): undefined {
    if (done) this.skip(exit);
    return undefined;
  }

  private skip(exit: VmExit): void {
    this.moveOn(exit.instructionLength);
  }

  /** VM entry refuses such a RIP: KVM's has been cut to what the mode has (`kvm_rip_write`). */
  protected override refuseRip(): void {
    this.registers.correctRip();
  }

  private afterHypercall(): RunOutcome | undefined {
    const { domain, vcpu } = this.options;
    if (domain.shutdownReason >= 0) return this.shutdown();
    if (vcpu.down) this.goDown();
    return vcpu.runstate.state === RUNSTATE_BLOCKED ? this.block(MONITOR_BLOCKS) : undefined;
  }

  /** Fills the second stage; without a slot the access is a device's, and all of those are the monitor's but the local APIC. */
  private secondStageFault(exit: VmExit): RunOutcome | undefined {
    const { cost, tdp } = this.options;
    const { fault } = this;
    fault.read(exit);
    const { gfn, write, fetch } = fault;
    const { doorbell } = this.options.domain;
    if (doorbell !== undefined && gfn === DOORBELL_GFN && !fetch && fault.final)
      return this.doorbellAccess(doorbell, write);
    cost.run(this.faultStage);
    const verdict = tdp.fault(gfn, write, fetch);
    switch (verdict) {
      case TdpFault.Fixed:
        this.repeatEvent(); // `{vmx,svm}_complete_interrupts`
        cost.enter(cost.phase(Phase.PageFault));
        for (let level = TABLE_LEVELS; level >= tdp.level; level--) {
          const { frame, offset } = tdp.entryAt(level);
          cost.access(frame, offset, 8, level === tdp.level);
        }
        cost.leave();
        return undefined;
      case TdpFault.Retry:
        this.repeatEvent();
        return undefined;
      case TdpFault.NoMemory:
        return {
          reason: "invalid-state",
          rip: this.rip,
          detail: `KVM_RUN: -EFAULT, guest frame 0x${gfn.toString(16)} has a slot whose memory is not mapped`,
        };
      default:
        return this.device();
    }
  }

  /**
   * The doorbell's page: matched by its address alone, where the exit tells the instruction's length and an eventfd or a device
   * of the kernel's is bound so (KVM_FAST_MMIO_BUS); else carried out, in the kernel or, after an exit, by the monitor.
   */
  private doorbellAccess(doorbell: Doorbell, write: boolean): RunOutcome | undefined {
    const { mmio, cost, domain } = this.options;
    const { offset } = this.fault;
    const outside = !this.inKernel(offset, write);
    const fast = domain.config.doorbell?.fastMmio === true && !this.isAmd && !outside;
    if (fast && write && offset === DoorbellRegister.Notify && mmio.match(doorbell, offset)) {
      this.moveOn(mmio.length);
      return undefined;
    }
    cost.run(cost.compile(KVM_MMIO_FAULT));
    cost.run(cost.compile(KVM_EMULATE));
    this.fetchInstruction();
    if (outside) {
      this.exitToUser();
      cost.run(cost.compile(MONITOR_MMIO));
    }
    const done = mmio.carryOutOn(doorbell, offset);
    if (outside) this.backToKernel();
    if (done) {
      this.moveOn(mmio.length);
      return undefined;
    }
    return {
      reason: "invalid-state",
      rip: this.rip,
      detail: "KVM_EXIT_INTERNAL_ERROR: emulation failure, access to the doorbell's registers",
    };
  }

  private device(): RunOutcome | undefined {
    const { mmio, cost } = this.options;
    const { gfn, offset, fetch, address } = this.fault;
    if (!fetch) this.fetchInstruction();
    if (!fetch && mmio.carryOut(gfn, offset)) {
      if (!mmio.wasApic) {
        this.exitToUser();
        cost.run(cost.compile(MONITOR_MMIO));
        this.backToKernel();
      }
      this.moveOn(mmio.length);
      return undefined;
    }
    return {
      reason: "invalid-state",
      rip: this.rip,
      detail: `KVM_EXIT_INTERNAL_ERROR: emulation failure, access to guest-physical address ${address}`,
    };
  }

  /**
   * `__do_insn_fetch_bytes`: VMX has the emulator read the instruction through the guest's tables, up to its page's end; SVM has
   * it in the VMCB.
   */
  private fetchInstruction(): void {
    if (this.isAmd) return;
    const { registers } = this;
    const { access } = this.options;
    const isLong = registers.mode === GuestCodeMode.Long;
    const lo = isLong ? registers.ripLo : (registers.ripLo + registers.words[CS_BASE]) | 0;
    access.asUser(registers.cpl === 3);
    access.copyFromGuest(lo, isLong ? registers.ripHi : 0, Math.min(LONGEST_INSTRUCTION, 4096 - (lo & 4095)));
    access.asUser(false);
  }

  /** A vCPU that waits goes on if an event is pending; otherwise it sleeps until somebody or a timer of its own has one. */
  private block(what: string): RunOutcome | undefined {
    const { vcpu, interrupts, cost } = this;
    const { vm } = this.options;
    // A worker that has a processor of its own elsewhere does not wait for this vCPU.
    if (vm.irqfds.hasWork) vm.irqfds.runWork();
    this.waitsFor = what;
    if (this.hasNews) {
      this.waitsFor = "";
      this.wakeUp();
      return undefined;
    }
    vcpu.timers.suspendPeriodic();
    if (this.others === undefined && !this.canBeWoken(what)) {
      this.waitsFor = "";
      return this.halted(what);
    }
    cost.run(cost.compile(KVM_BLOCK));
    if (interrupts.windowWanted) interrupts.closeWindow();
    return undefined;
  }

  /**
   * `kvm_vcpu_check_block`: an interrupt that the guest would take, something of Xen's that the vCPU has to do itself, and for
   * all but HLT KVM_REQ_UNBLOCK. A monitor that blocks in a hypercall of the guest's looks at its own mapping.
   */
  protected override get hasNews(): boolean {
    const { vcpu, interrupts, domain, registers, waitsFor } = this;
    const { xen } = this.options;
    if (xen.hasPendingEvents || interrupts.deliverable) return true;
    if (waitsFor !== HLT && (this.unblocked || vcpu.unblocked)) return true;
    if (waitsFor === MONITOR_BLOCKS) return domain.eventChannels.events.hasUpcall(vcpu.id);
    return registers.canTakeInterrupt && xen.hasInterrupt();
  }

  protected override wakeUp(): void {
    const { vcpu, cost } = this;
    this.unblocked = false;
    vcpu.pollPort = 0;
    vcpu.unblocked = false;
    this.options.xen.endPoll();
    if (vcpu.runstate.state === RUNSTATE_BLOCKED) vcpu.changeRunstate(RUNSTATE_RUNNING);
    if (vcpu.timers.resumePeriodic(vcpu.nowNs)) vcpu.sendTimerEvent(cost);
  }

  /** `kvm_apic_accept_events`, and what the monitor has asked of the vCPU's thread. */
  protected override attend(): void {
    const { requests, control, vcpu, others } = this;
    this.requests = 0;
    if ((requests & Request.Flush) !== 0) control.flushTlb();
    if ((requests & Request.Init) !== 0) this.init();
    // Without an INIT before it, it is lost.
    if ((requests & Request.StartUp) !== 0 && this.initReceived) {
      this.initReceived = false;
      others?.startUp(startUpVector(requests));
    }
    if (vcpu.down) this.goDown();
    else if (this.waitsFor === COMING_UP) this.comeUp();
  }

  /** INIT: the bootstrap processor goes on at its reset vector, others wait for a SIPI (KVM_MP_STATE_INIT_RECEIVED). */
  private init(): void {
    const { vcpu, others } = this;
    others?.reset();
    if (vcpu.id === 0) {
      this.waitsFor = "";
      return;
    }
    this.initReceived = true;
    vcpu.initialised = false;
    this.goDown();
  }

  /** Its thread waits to be started, in KVM_RUN or in the monitor. */
  private goDown(): void {
    const { cost, vcpu } = this;
    vcpu.down = true;
    if (this.waitsFor === COMING_UP) return;
    if (this.waitsFor === "") {
      cost.run(cost.compile(KVM_BLOCK));
      vcpu.timers.suspendPeriodic();
    }
    this.waitsFor = COMING_UP;
    vcpu.changeRunstate(RUNSTATE_OFFLINE);
  }

  private comeUp(): void {
    this.waitsFor = "";
    this.initReceived = false;
    this.wakeUp();
    this.vcpu.changeRunstate(RUNSTATE_RUNNING);
  }
}

const NO_TEXTS: readonly string[] = [];
