import { ExitKind, Flag, type Processor, StopReason, type VmExit, VmxExitReason } from "@hyperwalk/cpu";
import {
  Cause,
  EptQualification,
  FRAME_BYTES,
  NPF_ENCRYPTED,
  NPF_SIZE_MISMATCH,
  PageFaultCode,
  TICKS_PER_CYCLE,
} from "@hyperwalk/mmu";
import { DOORBELL_GFN, type Doorbell, DoorbellRegister } from "../../devices/doorbell.js";
import type { Domain } from "../../domain.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import type { HypervisorCounters } from "../../hypervisor-counters.js";
import {
  RUNSTATE_BLOCKED,
  RUNSTATE_OFFLINE,
  RUNSTATE_RUNNING,
  SHUTDOWN_POWEROFF,
} from "../../operations/descriptors.gen.js";
import { P2mType } from "../../p2m-type.js";
import { FaultVerdict } from "../../page-conditions.js";
import { composeStage } from "../../path-cost/compose.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { HLT_EXIT, SECOND_STAGE_FAULT, TASK_SWITCH } from "../../path-cost/stages/dispatch.js";
import {
  ENTRY_ASSEMBLY,
  EXIT_ASSEMBLY,
  EXIT_HANDLER,
  RETURN_PATH,
  SVM_CLGI_STI,
  SVM_STGI,
  UPDATE_GUEST_EIP,
} from "../../path-cost/stages/entry-exit.js";
import { EVENT_CHECK_INTERRUPT } from "../../path-cost/stages/inter-processor.js";
import { IDLE_SWITCH } from "../../path-cost/stages/interrupts.js";
import { FLUSH_PML_ENTRY } from "../../path-cost/stages/p2m-conditions.js";
import type { Vcpu } from "../../vcpu.js";
import type { ResolvedXenConfig } from "../../xen-config.js";
import { engineStop, ripInProcessor } from "../engine-stop.js";
import { exitName } from "../exit-name.js";
import type { GuestRegisters } from "../guest-registers.js";
import { FixupVerdict, HYPERCALL_BYTES, type HypercallFixups } from "../hypercall-fixup.js";
import type { Hypervisor } from "../hypervisor.js";
import { type RunOutcome, SHUTDOWN_REASONS } from "../run-outcome.js";
import type { GhcbRequests } from "../svm/ghcb-requests.js";
import { PageChange, type PageStateChange } from "../svm/page-state-change.js";
import type { VcpuControl } from "../vcpu-control.js";
import { DiscardingMemory } from "./discarding-memory.js";
import type { EmulatedExits } from "./emulated-exits.js";
import type { HypercallHandler } from "./hypercall-handler.js";
import type { InstructionLength } from "./instruction-length.js";
import { entryMitigations, exitBarrier, exitMitigations } from "./mitigations.js";
import type { MmioExits } from "./mmio-exits.js";
import type { ShadowExits } from "./shadow-exits.js";
import type { VirtualInterrupts } from "./virtual-interrupts.js";

const GENERAL_PROTECTION = 13;
/** EXITINFO1 of a nested page fault: instruction fetch; high word: while the guest's tables were walked. */
const NPF_FETCH = 0x10;
const NPF_IN_GUEST_TABLES = 2;
/** The same of an EPT violation's qualification. */
const EPT_FETCH = 4;
const FINAL_WRITE = EptQualification.Write | EptQualification.Final;
const INVALID_OPCODE = 6;
/** Error code of a supervisor's write to a page that is there and read-only. */
const PROTECTED_WRITE = 3;
const MACHINE_CHECK = 18;
const FIRST_USABLE_VECTOR = 16;
/** Vectors of Xen's own: the physical local APIC's timer, and `smp_send_event_check_mask`. */
const LOCAL_APIC_TIMER_VECTOR = 0xfa;
const EVENT_CHECK_VECTOR = 0xfc;
const HLT = "HLT";
/** What a vCPU waits for that is down. */
const COMING_UP = "VCPUOP_up or SIPI";

/** What others ask of a vCPU; it is done when the vCPU is out of its guest. A SIPI's vector is in bits 15:8. */
export const Request = { EventCheck: 1, Flush: 2, FlushSecondStage: 4, Init: 8, StartUp: 16 } as const;
const VECTOR_SHIFT = 8;

/** Why a turn ended, when not for good: a budget, or because the vCPU sleeps until another one wakes it. */
export type TurnEnd = NonNullable<RunOutcome["budget"]> | "asleep";

/** What a vCPU does when INIT and SIPI come. */
export interface VcpuReset {
  reset(): void;
  startUp(vector: number): void;
}

/** One VM exit as listeners see it; valid only during the call. */
export interface VmExitEvent {
  readonly exit: Readonly<VmExit>;
  /** The reason in the words of the vendor's manual. */
  readonly name: string;
  /** Guest's cycle count when it left off. */
  readonly cycle: number;
  /** Guest RIP as a hexadecimal number. */
  readonly rip: string;
  /** Number of the vCPU. */
  readonly vcpu: number;
}

/** Where the loop around a vCPU is, as plain data. */
export interface XenHostSnapshot {
  /** The guest is on hold inside the processor, or about to be entered. */
  readonly ready: boolean;
  readonly ended: RunOutcome | undefined;
  /** What the vCPU sleeps in; empty while it does not. */
  readonly waitsFor: string;
  /** The guest is to leave once it can take an interrupt. */
  readonly windowWanted: boolean;
  /** It is to leave again after one instruction. */
  readonly stepsOverIret: boolean;
  /** Bits of `Request`. */
  readonly requests: number;
}

export interface XenHostOptions {
  readonly processor: Processor;
  readonly domain: Domain;
  readonly vcpu: Vcpu;
  readonly control: VcpuControl;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  /** Which mitigations run. */
  readonly switches: ResolvedXenConfig;
  readonly hypercalls: HypercallHandler;
  readonly emulated: EmulatedExits;
  readonly mmio: MmioExits;
  /** Undefined where #UD is the guest's own business. */
  readonly fixups: HypercallFixups | undefined;
  /** Undefined where the guest's registers are not encrypted. */
  readonly requests: GhcbRequests | undefined;
  /** Undefined where every page is Xen's to change. */
  readonly pageState: PageStateChange | undefined;
  readonly interrupts: VirtualInterrupts;
  /** Where Xen finds out an instruction's length by itself. */
  readonly instructionLength: InstructionLength | undefined;
  /** Undefined under nested paging. */
  readonly shadow: ShadowExits | undefined;
  /** Undefined for the only vCPU, which nobody wakes. */
  readonly others: VcpuReset | undefined;
}

/**
 * Xen's loop around one vCPU: `svm_asm_do_resume` and `svm_vmexit_handler`, or `vmx_asm_vmexit_handler` and
 * `vmx_vmexit_handler`. Each exit runs entry assembly and mitigations, the handler, the exit's own work, and on the way
 * back the interrupt assist, the VM-entry helper and the exit assembly.
 */
export class XenHost implements Hypervisor {
  /** Told about every exit while set. */
  onExit: ((event: VmExitEvent) => void) | undefined;
  /** Told about every exit while set. */
  accounting: ExitAccounting | undefined;
  /** Another vCPU may have something to do before this one's turn would end. */
  turnIsOver = false;
  /** There are other domains, which may have events for it between two runs. */
  hasPeers = false;
  private readonly processor: Processor;
  private readonly domain: Domain;
  private readonly vcpu: Vcpu;
  private readonly control: VcpuControl;
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly hypercalls: HypercallHandler;
  private readonly emulated: EmulatedExits;
  private readonly mmio: MmioExits;
  private readonly interrupts: VirtualInterrupts;
  private readonly ibpbOnExit: boolean;
  private readonly overwritesReturnStack: boolean;
  private readonly isAmd: boolean;
  /** Up to and including the IBPB. */
  private readonly barrierStage: number;
  /** From there, or from the exit, to the switch over the exit reason. */
  private readonly handlerStage: number;
  private readonly eipStage: number;
  /** From the end of the exit's own work to VM entry. */
  private readonly returnStage: number;
  private readonly hltStage: number;
  private readonly faultStage: number;
  /** The guest is on hold inside the processor, or about to be entered: nothing of Xen's is left to run. */
  private ready = false;
  private ended: RunOutcome | undefined;
  /** The guest leaves again after one instruction, for an NMI that waits: what virtual NMIs do without. */
  private stepsOverIret = false;
  /** RIP with which the domain crashes, or empty. */
  private badRip = "";
  /** What the vCPU sleeps in; empty while it does not. */
  private waitsFor = "";
  /** Bits of {@link Request}. */
  private requests = 0;
  private readonly others: VcpuReset | undefined;
  private readonly instructionLength: InstructionLength | undefined;
  private readonly fixups: HypercallFixups | undefined;
  private readonly shadow: ShadowExits | undefined;
  private readonly guestRequests: GhcbRequests | undefined;
  private readonly pageState: PageStateChange | undefined;

  constructor(options: XenHostOptions) {
    const { cost, control, switches } = options;
    const { vendor } = control.hardware;
    this.processor = options.processor;
    this.domain = options.domain;
    this.vcpu = options.vcpu;
    this.control = control;
    this.registers = control.registers;
    this.cost = cost;
    this.counters = options.counters;
    this.hypercalls = options.hypercalls;
    this.emulated = options.emulated;
    this.mmio = options.mmio;
    this.fixups = options.fixups;
    this.interrupts = options.interrupts;
    this.others = options.others;
    this.instructionLength = options.instructionLength;
    this.shadow = options.shadow;
    this.guestRequests = options.requests;
    this.pageState = options.pageState;
    if (options.vcpu.down) this.waitsFor = COMING_UP;
    this.ibpbOnExit = switches.ibpbEntry;
    this.overwritesReturnStack = switches.rsbOverwrite;
    this.isAmd = vendor === "amd";
    const saved = this.isAmd ? [ENTRY_ASSEMBLY, SVM_STGI] : [ENTRY_ASSEMBLY];
    const handled = [...exitMitigations(switches), EXIT_HANDLER];
    const barrier = exitBarrier(switches);
    this.barrierStage = cost.compile(composeStage("VM exit to IBPB", "", [...saved, ...barrier]));
    this.handlerStage = cost.compile(
      composeStage("to the exit handler", "", barrier.length > 0 ? handled : [...saved, ...handled]),
    );
    this.eipStage = cost.compile(UPDATE_GUEST_EIP);
    this.returnStage = cost.compile(
      composeStage("back to the guest", "", [
        RETURN_PATH,
        EXIT_ASSEMBLY,
        ...(this.isAmd ? [SVM_CLGI_STI] : []),
        ...entryMitigations(switches, vendor),
      ]),
    );
    this.hltStage = cost.compile(HLT_EXIT);
    this.faultStage = cost.compile(SECOND_STAGE_FAULT);
  }

  run(maxInstructions: number, untilTicks: number): RunOutcome {
    const end = this.turn(maxInstructions, untilTicks);
    if (typeof end === "object") return end;
    return end === "asleep" ? this.halted(this.waitsFor) : this.outOfBudget(end);
  }

  /**
   * One vCPU's turn among several: {@link run} without a report on how it came to its end.
   * @returns how the guest ended, or why it goes on later
   */
  turn(maxInstructions: number, untilTicks: number): RunOutcome | TurnEnd {
    if (this.ended !== undefined) return this.ended;
    const { processor, control } = this;
    const { engine, memory, ledger } = processor;
    const limit = engine.instructions + maxInstructions;
    for (;;) {
      if (ledger.clock[0] >= untilTicks || this.turnIsOver) return "cycles";
      const left = limit - engine.instructions;
      if (left <= 0) return "instructions";
      if (this.requests !== 0 && !this.ready) {
        this.attend();
        if (this.domain.shutdownReason >= 0) return this.end(this.shutdown());
      }
      if (this.waitsFor !== "" && !this.wait(untilTicks)) {
        if (this.ended !== undefined) return this.ended;
        if (this.others !== undefined && !this.canBeWoken(this.waitsFor)) return "asleep";
        continue;
      }
      if (!this.ready) this.returnToGuest();
      if (memory.arena.free < memory.headroom * FRAME_BYTES) memory.grow();
      // Without a timer nothing asks for the number, which V8 would allocate to pass it on.
      const due = this.interrupts.timerRuns ? this.interrupts.due : untilTicks;
      // biome-ignore lint/complexity/useMathMinMax: its result is a new number, which V8 would allocate to pass it on
      const exit = control.hardware.enter(this.stepsOverIret ? 1 : left, due < untilTicks ? due : untilTicks);
      const stopped = exit.kind === ExitKind.EngineStop;
      if (stopped && exit.stop === StopReason.Budget) {
        if (this.stepsOverIret) {
          this.stepsOverIret = false;
          control.interruptGuest(LOCAL_APIC_TIMER_VECTOR);
          continue;
        }
        if (ledger.clock[0] < due || ledger.clock[0] >= untilTicks)
          return ledger.clock[0] >= untilTicks ? "cycles" : "instructions";
        control.interruptGuest(LOCAL_APIC_TIMER_VECTOR);
        continue;
      }
      if (stopped && exit.stop === StopReason.Requested && processor.stopPoint.reached !== undefined)
        return "stop-point";
      const outcome = stopped ? engineStop(exit.stop, processor, this.runningRip()) : this.vmExit(exit);
      if (outcome !== undefined) return this.end(outcome);
    }
  }

  /** A run ended because nothing could wake the vCPU: other domains may have woken it since. */
  revive(): void {
    if (this.ended?.reason === "halted" && this.waitsFor !== "") this.ended = undefined;
  }

  /** Brings the vCPU out of its guest, as a physical interrupt does: its registers are Xen's to see. */
  pause(): void {
    if (!this.ready) return;
    const { control } = this;
    control.interruptGuest(EVENT_CHECK_VECTOR);
    const outcome = this.vmExit(control.hardware.enter(1, Number.POSITIVE_INFINITY));
    if (outcome !== undefined) this.end(outcome);
  }

  /** Whether the vCPU waits, up or down. */
  get asleep(): boolean {
    return this.waitsFor !== "";
  }

  /** Ledger clock at which a vCPU that waits wakes by itself; infinity when only others can wake it. */
  get wakesAt(): number {
    return this.canBeWoken(this.waitsFor) ? this.interrupts.due : Number.POSITIVE_INFINITY;
  }

  /**
   * `hypercall_preempt_check`: a physical interrupt or request has come, or a scheduling decision is due, or the guest
   * would take an event if it were entered.
   */
  get preempts(): boolean {
    const { domain, vcpu, interrupts, requests, registers } = this;
    if (requests !== 0 || vcpu.yielded || vcpu.down || domain.shutdownReason >= 0) return true;
    if (vcpu.runstate.state === RUNSTATE_BLOCKED) return true;
    const now = this.processor.ledger.clock[0];
    if (interrupts.due <= now) return true;
    return interrupts.deliverable || (this.eventVector >= 0 && registers.canTakeInterrupt);
  }

  /** Vector of an event that waits, or -1. */
  private get eventVector(): number {
    const { eventChannels } = this.domain;
    const { id } = this.vcpu;
    const vector = eventChannels.upcallVectors[id] || eventChannels.callbackVector;
    return vector >= FIRST_USABLE_VECTOR && eventChannels.events.hasUpcall(id) ? vector : -1;
  }

  /** Asks something of the vCPU. @param request bits of `Request` */
  request(request: number): void {
    this.requests |= request;
    // What INIT resets has no start-up to follow any more.
    if ((request & Request.Init) !== 0) this.requests &= ~Request.StartUp;
  }

  /** A SIPI has come. */
  requestStartUp(vector: number): void {
    this.requests = (this.requests & 0xff) | Request.StartUp | (vector << VECTOR_SHIFT);
  }

  /** EVENT_CHECK_VECTOR arrives at the vCPU's processor: it leaves its guest and sees what it was asked. */
  interrupt(): void {
    this.requests |= Request.EventCheck;
    if (this.ready) this.control.interruptGuest(EVENT_CHECK_VECTOR);
  }

  /** Between two calls of {@link run}. */
  snapshot(): XenHostSnapshot {
    const { ready, ended, waitsFor, interrupts, stepsOverIret, requests } = this;
    return { ready, ended, waitsFor, windowWanted: interrupts.windowWanted, stepsOverIret, requests };
  }

  restore(snapshot: XenHostSnapshot): void {
    this.ready = snapshot.ready;
    this.ended = snapshot.ended;
    this.waitsFor = snapshot.waitsFor;
    this.interrupts.windowWanted = snapshot.windowWanted;
    this.stepsOverIret = snapshot.stepsOverIret;
    this.requests = snapshot.requests;
  }

  private end(outcome: RunOutcome): RunOutcome {
    this.ended = outcome;
    return outcome;
  }

  /** Does what others have asked for. */
  private attend(): void {
    const { requests, cost, control, vcpu, others } = this;
    this.requests = 0;
    // What wakes a sleeper is part of the way back from idle.
    if (this.waitsFor === "" && (requests & Request.EventCheck) !== 0)
      cost.run(cost.compile(EVENT_CHECK_INTERRUPT));
    if ((requests & Request.Flush) !== 0) control.flushTlb();
    if ((requests & Request.FlushSecondStage) !== 0) control.flushSecondStage();
    if ((requests & Request.Init) !== 0 && vcpu.initialised) {
      this.goDown();
      others?.reset();
      vcpu.initialised = false;
      if (this.domain.vcpus.every(({ down }) => down)) this.domain.shutdownReason = SHUTDOWN_POWEROFF;
    }
    if ((requests & Request.StartUp) !== 0 && !vcpu.initialised)
      others?.startUp((requests >>> VECTOR_SHIFT) & 0xff);
    if (vcpu.down) this.goDown();
    else if (this.waitsFor === COMING_UP) this.comeUp();
  }

  /** `hvm_vcpu_down` */
  private goDown(): void {
    const { cost, vcpu } = this;
    vcpu.down = true;
    if (this.waitsFor === COMING_UP) return;
    if (this.waitsFor === "") cost.run(cost.compile(IDLE_SWITCH));
    const wasRunning = this.waitsFor === "";
    this.waitsFor = COMING_UP;
    vcpu.changeRunstate(RUNSTATE_OFFLINE);
    if (wasRunning) this.leaveProcessor();
  }

  /** The switch back from idle was paid for when it went there. */
  private comeUp(): void {
    this.waitsFor = "";
    this.enterProcessor();
  }

  /** `sched_switch_units`, `context_switch`: what they do about time for a vCPU that makes room for idle. */
  private leaveProcessor(): void {
    const { vcpu } = this;
    vcpu.timers.suspendPeriodic();
    vcpu.areas.updateRunstate();
  }

  /** The same for one that comes back. */
  private enterProcessor(): void {
    const { vcpu, cost } = this;
    vcpu.changeRunstate(RUNSTATE_RUNNING);
    if (vcpu.timers.resumePeriodic(vcpu.nowNs)) vcpu.sendTimerEvent(cost);
    vcpu.areas.updateRunstate();
    vcpu.areas.updateTime(vcpu, false);
  }

  /** From the end of the exit's handling to just before VMRUN. */
  private returnToGuest(): void {
    const { cost, registers, interrupts } = this;
    if (interrupts.timerRuns) {
      interrupts.expire(this.processor.ledger.clock[0]);
      if (this.domain.shutdownReason >= 0) this.leaveForGood();
    }
    cost.run(this.returnStage);
    const vector = this.eventVector;
    const isTaken = vector >= 0 && registers.canTakeInterrupt;
    if (isTaken) registers.injectInterrupt(vector); // hvm_intsrc_vector: no EOI, again until the guest clears it
    interrupts.assist(vector >= 0 && !isTaken);
    this.ready = true;
  }

  /** A watchdog has shut the domain down: the guest is entered once more, and left before its next instruction. */
  private leaveForGood(): void {
    this.requests |= Request.EventCheck;
    this.control.interruptGuest(EVENT_CHECK_VECTOR);
  }

  private vmExit(exit: VmExit): RunOutcome | undefined {
    const { cost, counters, control, processor } = this;
    this.ready = false;
    this.stepsOverIret = false;
    counters.vmExits++;
    this.accounting?.begin(exit.code, exit.enteredAt, exit.leftAt);
    if (this.onExit !== undefined)
      this.onExit({
        exit,
        name: exitName(control.hardware.vendor, exit.code),
        cycle: Math.floor(exit.leftAt / TICKS_PER_CYCLE),
        rip: this.rip,
        vcpu: this.vcpu.id,
      });
    cost.afterGuest();
    if (this.ibpbOnExit) {
      cost.run(this.barrierStage);
      processor.predictor.flush();
    }
    cost.run(this.handlerStage);
    if (this.overwritesReturnStack) processor.predictor.overwriteReturnStack();
    control.acknowledgeExit();
    const outcome = this.dispatch(exit);
    if (this.badRip === "") return outcome;
    return this.crash(`the guest goes on at ${this.badRip}, which VM entry refuses`);
  }

  private dispatch(exit: VmExit): RunOutcome | undefined {
    const { hypercalls, vcpu, emulated, cost } = this;
    switch (exit.kind) {
      case ExitKind.Hypercall:
        if (hypercalls.handle(vcpu.call)) this.skip(exit);
        else this.instructionLength?.decode();
        return this.afterHypercall();
      case ExitKind.Cpuid:
        return this.emulatedBy(exit, emulated.cpuid());
      case ExitKind.Rdmsr:
        return this.emulatedBy(exit, emulated.rdmsr());
      case ExitKind.Wrmsr:
        return this.emulatedBy(exit, emulated.wrmsr());
      case ExitKind.Io:
        return this.emulatedBy(exit, emulated.io(exit)) ?? this.afterPort();
      case ExitKind.CrAccess:
      case ExitKind.Other:
        if (this.shadow?.owns(exit)) return this.shadowed(exit, this.shadow);
        if (!this.isAmd && exit.code === VmxExitReason.TaskSwitch) {
          cost.run(cost.compile(TASK_SWITCH));
          this.control.switchTask(exit);
          return undefined;
        }
        if (this.control.isInterruptWindow(exit)) return this.windowOpen(exit);
        if (!this.isAmd && exit.code === VmxExitReason.PageModificationLogFull) {
          this.flushModificationLog();
          return undefined;
        }
        return this.emulatedBy(exit, emulated.other(exit));
      case ExitKind.Hlt:
        cost.run(this.hltStage);
        this.skip(exit);
        if ((this.registers.rflags & Flag.Tf) !== 0) return undefined; // the single step wakes it
        return this.block(HLT);
      case ExitKind.SecondStageFault:
        if (this.domain.doorbell !== undefined && this.matchDoorbell(exit, this.domain.doorbell))
          return undefined;
        cost.run(this.faultStage);
        return this.secondStageFault(exit);
      case ExitKind.ExternalInterrupt:
        return this.control.isInterruptWindow(exit) ? this.windowOpen(exit) : undefined;
      case ExitKind.GuestRequest:
        return this.guestRequest();
      case ExitKind.Exception:
        if (this.shadow?.owns(exit)) return this.shadowed(exit, this.shadow);
        if (this.fixups !== undefined && this.control.exceptionVector(exit) === INVALID_OPCODE)
          return this.undefinedInstruction(this.fixups);
        return this.crash(
          `exception ${exit.code & 31}${(exit.code & 31) === MACHINE_CHECK ? " (machine check)" : ""} in the guest`,
        );
      case ExitKind.Shutdown:
        return {
          reason: "triple-fault",
          rip: this.rip,
          detail: "a fault while the guest's double-fault handler was called",
        };
      default:
        return {
          reason: "invalid-state",
          rip: this.rip,
          detail: `VM entry refused the guest's state (exit code ${exit.code})`,
        };
    }
  }

  /** #UD, which may have been the other vendor's hypercall instruction. */
  private undefinedInstruction(fixups: HypercallFixups): RunOutcome | undefined {
    const { registers, control, hypercalls, vcpu } = this;
    switch (fixups.handle()) {
      case FixupVerdict.Patched:
        return undefined;
      case FixupVerdict.Call:
        if (hypercalls.handle(vcpu.call)) this.moveOn(HYPERCALL_BYTES);
        return this.afterHypercall();
      case FixupVerdict.WriteFault:
        control.injectPageFault(PROTECTED_WRITE, fixups.addressLo, fixups.addressHi);
        return undefined;
      default:
        registers.injectException(INVALID_OPCODE, -1);
        return undefined;
    }
  }

  /** VMGEXIT: the guest has put into its GHCB what it wants done, and finds the results there. */
  private guestRequest(): RunOutcome | undefined {
    const { guestRequests, vcpu } = this;
    const exit = guestRequests?.open();
    if (guestRequests === undefined || exit === undefined)
      return guestRequests?.fatal ? this.crash(guestRequests.fatal) : undefined;
    let outcome = this.dispatch(exit);
    // The guest's instruction has retired: what is left of a call goes on here.
    while (exit.kind === ExitKind.Hypercall && vcpu.call.continuation.pending && outcome === undefined) {
      if (this.interrupts.timerRuns) this.interrupts.expire(this.processor.ledger.clock[0]);
      outcome = this.dispatch(exit);
    }
    guestRequests.close();
    return outcome;
  }

  /** What shadow paging asked for. */
  private shadowed(exit: VmExit, shadow: ShadowExits): RunOutcome | undefined {
    const length = shadow.handle(exit);
    if (shadow.problem !== "") return this.crash(shadow.problem);
    if (length > 0) this.moveOn(length);
    return undefined;
  }

  /** A write to an exit port ends the domain. */
  private afterPort(): RunOutcome | undefined {
    const { exitCode } = this.domain;
    return exitCode < 0 ? undefined : { reason: "exit-port", exitCode, rip: this.rip };
  }

  private emulatedBy(exit: VmExit, done: boolean): undefined {
    if (done) this.skip(exit);
    return undefined;
  }

  private skip(exit: VmExit): void {
    if (exit.kind !== ExitKind.Io) this.instructionLength?.decode();
    this.moveOn(exit.instructionLength);
  }

  /** `__update_guest_eip`: an instruction done for the guest single-steps as one that it did itself. */
  private moveOn(length: number): void {
    const { registers } = this;
    this.cost.run(this.eipStage);
    registers.skip(length);
    if ((registers.rflags & Flag.Tf) !== 0) registers.injectDebugTrap();
    if (registers.ripRefused) this.refuseRip();
  }

  /** Xen on VMX: user code that ends at the edge of the address space is #GP, a kernel that does crashes its domain. */
  private refuseRip(): void {
    const { registers } = this;
    if (registers.cpl !== 0) registers.injectException(GENERAL_PROTECTION, 0);
    else this.badRip = registers.rip;
    registers.correctRip();
  }

  private afterHypercall(): RunOutcome | undefined {
    const { domain, vcpu } = this;
    if (domain.shutdownReason >= 0) return this.shutdown();
    if (vcpu.down) this.goDown();
    if (domain.conditions.paging.holds) domain.conditions.paging.wait(this.processor.ledger);
    return vcpu.runstate.state === RUNSTATE_BLOCKED ? this.block("a blocking hypercall") : undefined;
  }

  private shutdown(): RunOutcome {
    const { shutdownReason } = this.domain;
    const name = SHUTDOWN_REASONS[shutdownReason];
    return {
      reason: "shutdown",
      shutdown: name ?? "crash",
      rip: this.rip,
      ...(name === undefined ? { detail: `unknown shutdown reason ${shutdownReason}` } : {}),
    };
  }

  private windowOpen(exit: VmExit): undefined {
    this.stepsOverIret = this.control.windowOpened(exit) && this.interrupts.nmiPending;
    this.interrupts.closeWindow();
    return undefined;
  }

  /** A vCPU that waits goes on if an event is pending; otherwise it sleeps until a timer of its own has one. */
  private block(what: string): RunOutcome | undefined {
    const { domain, vcpu, interrupts, cost } = this;
    if (!domain.eventChannels.events.hasUpcall(vcpu.id) && !interrupts.deliverable) {
      vcpu.timers.suspendPeriodic();
      if (this.others === undefined) {
        if (!this.canBeWoken(what) && !this.peersCanWake(what)) return this.halted(what);
      } else if (what === HLT && (this.registers.rflags & Flag.If) === 0) {
        this.goDown(); // hvm_hlt: whoever halts like this wants to stop
        return undefined;
      }
      cost.run(cost.compile(IDLE_SWITCH));
      this.waitsFor = what;
      vcpu.changeRunstate(RUNSTATE_BLOCKED);
      this.leaveProcessor();
      return undefined;
    }
    this.wake();
    return undefined;
  }

  /** Only timers come by themselves: the local APIC's as a maskable interrupt, the others as events. */
  private canBeWoken(what: string): boolean {
    if (what === COMING_UP) return this.vcpu.timers.hasWatchdogs;
    const interruptible = (this.registers.rflags & Flag.If) !== 0;
    // Events end a HLT with interrupts off no more than they do on a real processor (`hvm_hlt`).
    if ((interruptible || what !== HLT) && this.vcpu.timers.running) return true;
    return interruptible && this.interrupts.timerCanWake;
  }

  /** Other domains' events come between two runs. */
  private peersCanWake(what: string): boolean {
    return this.hasPeers && (what !== HLT || (this.registers.rflags & Flag.If) !== 0);
  }

  /** Something has come that a vCPU which waits is told of. */
  private get hasNews(): boolean {
    const { vcpu, interrupts, domain } = this;
    return vcpu.unblocked || interrupts.deliverable || domain.eventChannels.events.hasUpcall(vcpu.id);
  }

  private halted(what: string): RunOutcome {
    return {
      reason: "halted",
      rip: this.rip,
      detail: `${what} with no event pending and no source of one`,
    };
  }

  /** Lets time pass up to the next timer expiry, or the end of the budget. @returns whether the vCPU goes on */
  private wait(untilTicks: number): boolean {
    const { interrupts, vcpu } = this;
    const { ledger } = this.processor;
    if (this.canBeWoken(this.waitsFor)) {
      const until = Math.min(untilTicks, interrupts.due);
      if (until > ledger.clock[0]) ledger.charge(Cause.Idle, until - ledger.clock[0]);
      interrupts.expire(ledger.clock[0]);
      if (this.domain.shutdownReason >= 0) {
        this.end(this.shutdown());
        return false;
      }
    } else if (this.others === undefined && (this.waitsFor === COMING_UP || !this.hasNews)) {
      this.ended = this.halted(this.waitsFor);
      return false;
    }
    if (this.waitsFor === COMING_UP || !this.hasNews) return false;
    this.waitsFor = "";
    vcpu.pollPort = 0;
    vcpu.unblocked = false;
    this.enterProcessor();
    return true;
  }

  private wake(): void {
    const { vcpu } = this;
    vcpu.pollPort = 0;
    vcpu.unblocked = false;
    if (vcpu.runstate.state === RUNSTATE_BLOCKED) vcpu.changeRunstate(RUNSTATE_RUNNING);
  }

  /**
   * Data accesses to a hole are emulated; what cannot be, is #GP(0), fetches and the guest's page walk among it. An
   * access that the p2m forbids ends the domain.
   */
  private secondStageFault(exit: VmExit): RunOutcome | undefined {
    const { domain, mmio, registers } = this;
    const gfn = (exit.info2Lo >>> 12) + (exit.info2Hi >>> 0) * 0x100000;
    const isFetch = (exit.info1Lo & (this.isAmd ? NPF_FETCH : EPT_FETCH)) !== 0;
    const write = (exit.info1Lo & 2) !== 0;
    if (this.isAmd && (exit.info1Lo & PageFaultCode.Rmp) !== 0) return this.reverseMapFault(exit, gfn);
    if (domain.p2m.typeAt(gfn) === P2mType.Invalid) {
      // Of an encrypted guest neither the instruction nor its registers are there to be read.
      const isData = !isFetch && !this.inGuestTables(exit) && this.guestRequests === undefined;
      if (isData && domain.doorbell !== undefined && gfn === DOORBELL_GFN) {
        const { linearLo, linearHi } = this.processor.mmu.fault;
        if (mmio.emulate(domain.doorbell, exit.info2Lo & 4095, linearLo, linearHi, write))
          this.moveOn(mmio.length);
        else registers.injectException(GENERAL_PROTECTION, 0);
      } else if (isData && mmio.carryOut(gfn, exit.info2Lo & 4095)) this.moveOn(mmio.length);
      else registers.injectException(GENERAL_PROTECTION, 0);
      return undefined;
    }
    switch (domain.conditions.fault(gfn, write, isFetch, this.cost)) {
      case FaultVerdict.Retry:
        return undefined;
      case FaultVerdict.Wait:
        domain.conditions.paging.wait(this.processor.ledger);
        return undefined;
      case FaultVerdict.Discard:
        if (
          this.guestRequests === undefined &&
          mmio.carryOut(gfn, exit.info2Lo & 4095, new DiscardingMemory(domain, gfn))
        )
          this.moveOn(mmio.length);
        else registers.injectException(GENERAL_PROTECTION, 0);
        return undefined;
    }
    const address = (BigInt(exit.info2Hi >>> 0) << 32n) | BigInt(exit.info2Lo >>> 0);
    const access = accessName(write, isFetch);
    return this.crash(`${access} of guest-physical address 0x${address.toString(16)}: the p2m forbids it`);
  }

  /** A write to the doorbell's page where its address alone is looked at, and the exit tells how long the instruction is. */
  private matchDoorbell(exit: VmExit, doorbell: Doorbell): boolean {
    const { domain, mmio } = this;
    if (this.isAmd || domain.config.doorbell?.fastMmio !== true) return false;
    const isWrite = (exit.info1Lo & (EptQualification.Write | EptQualification.Final)) === FINAL_WRITE;
    if (!isWrite || exit.info2Lo >>> 12 !== DOORBELL_GFN || exit.info2Hi !== 0) return false;
    const offset = exit.info2Lo & 4095;
    if (offset !== DoorbellRegister.Notify || !mmio.match(doorbell, offset)) return false;
    this.moveOn(mmio.length);
    return true;
  }

  /**
   * The reverse map forbids an access of the guest's. A 2 MiB page of which it wanted a part is split; anything else, a page
   * of another address or one that is not as private as the guest takes it for, ends the domain.
   */
  private reverseMapFault(exit: VmExit, gfn: number): RunOutcome | undefined {
    const isSplit =
      (exit.info1Hi & NPF_SIZE_MISMATCH) !== 0 && this.pageState?.split(gfn) === PageChange.Done;
    if (isSplit) return undefined;
    const what = accessName((exit.info1Lo & 2) !== 0, (exit.info1Lo & NPF_FETCH) !== 0);
    const kind = (exit.info1Hi & NPF_ENCRYPTED) !== 0 ? "private" : "shared";
    return this.crash(`${kind} ${what} of guest frame 0x${gfn.toString(16)}: the reverse map forbids it`);
  }

  /** `vmx_vcpu_flush_pml_buffer`: what the processor noted goes to the bitmap. */
  private flushModificationLog(): void {
    const { control, cost, domain } = this;
    control.flushModificationLog((gfn) => {
      cost.run(cost.compile(FLUSH_PML_ENTRY));
      domain.conditions.noteLogged(gfn, cost);
    });
  }

  /** Was it the walk of the guest's page tables that faulted? */
  private inGuestTables(exit: VmExit): boolean {
    if (this.isAmd) return (exit.info1Hi & NPF_IN_GUEST_TABLES) !== 0;
    const { LinearAddressValid, Final } = EptQualification;
    return (exit.info1Lo & LinearAddressValid) !== 0 && (exit.info1Lo & Final) === 0;
  }

  /** `domain_crash` */
  private crash(detail: string): RunOutcome {
    return { reason: "shutdown", shutdown: "crash", rip: this.rip, detail };
  }

  /** What a run reports that a budget ended. */
  outOfBudget(budget: NonNullable<RunOutcome["budget"]>): RunOutcome {
    return { reason: "budget", budget, rip: this.runningRip() };
  }

  /** RIP of a vCPU that is out of its guest, as a hexadecimal number. */
  get rip(): string {
    return this.registers.rip;
  }

  /** RIP of a guest that stopped without an exit: the control structure does not have it yet. */
  private runningRip(): string {
    return this.ready ? ripInProcessor(this.processor) : this.rip;
  }
}

function accessName(write: boolean, fetch: boolean): string {
  return fetch ? "instruction fetch" : write ? "write" : "read";
}
