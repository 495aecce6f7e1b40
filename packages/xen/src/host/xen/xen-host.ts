import { ExitKind, Flag, type VmExit, VmxExitReason } from "@hyperwalk/cpu";
import { EptQualification, NPF_ENCRYPTED, NPF_SIZE_MISMATCH, PageFaultCode } from "@hyperwalk/mmu";
import { DOORBELL_GFN, type Doorbell, DoorbellRegister } from "../../devices/doorbell.js";
import {
  RUNSTATE_BLOCKED,
  RUNSTATE_OFFLINE,
  RUNSTATE_RUNNING,
  SHUTDOWN_POWEROFF,
} from "../../operations/descriptors.gen.js";
import { P2mType } from "../../p2m-type.js";
import { FaultVerdict } from "../../page-conditions.js";
import { composeStage } from "../../path-cost/compose.js";
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
import type { ResolvedXenConfig } from "../../xen-config.js";
import { FixupVerdict, HYPERCALL_BYTES, type HypercallFixups } from "../hypercall-fixup.js";
import type { RunOutcome } from "../run-outcome.js";
import { SecondStageFault } from "../second-stage-fault.js";
import type { GhcbRequests } from "../svm/ghcb-requests.js";
import { PageChange, type PageStateChange } from "../svm/page-state-change.js";
import { COMING_UP, HLT, Request, startUpVector, VcpuLoop, type VcpuLoopOptions } from "../vcpu-loop.js";
import { DiscardingMemory } from "./discarding-memory.js";
import type { EmulatedExits } from "./emulated-exits.js";
import type { HypercallHandler } from "./hypercall-handler.js";
import type { InstructionLength } from "./instruction-length.js";
import { entryMitigations, exitBarrier, exitMitigations } from "./mitigations.js";
import type { MmioExits } from "./mmio-exits.js";
import type { ShadowExits } from "./shadow-exits.js";

const GENERAL_PROTECTION = 13;
const FINAL_WRITE = EptQualification.Write | EptQualification.Final;
const INVALID_OPCODE = 6;
const MACHINE_CHECK = 18;
const FIRST_USABLE_VECTOR = 16;
/** Vectors of Xen's own: the physical local APIC's timer, and `smp_send_event_check_mask`. */
const LOCAL_APIC_TIMER_VECTOR = 0xfa;
const EVENT_CHECK_VECTOR = 0xfc;

export interface XenHostOptions extends VcpuLoopOptions {
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
  /** Where Xen finds out an instruction's length by itself. */
  readonly instructionLength: InstructionLength | undefined;
  /** Undefined under nested paging. */
  readonly shadow: ShadowExits | undefined;
}

/**
 * Xen's loop around one vCPU: `svm_asm_do_resume` and `svm_vmexit_handler`, or `vmx_asm_vmexit_handler` and
 * `vmx_vmexit_handler`. Each exit runs entry assembly and mitigations, the handler, the exit's own work, and on the way
 * back the interrupt assist, the VM-entry helper and the exit assembly.
 */
export class XenHost extends VcpuLoop {
  /** There are other domains, which may have events for it between two runs. */
  hasPeers = false;
  private readonly hypercalls: HypercallHandler;
  private readonly emulated: EmulatedExits;
  private readonly mmio: MmioExits;
  private readonly ibpbOnExit: boolean;
  private readonly overwritesReturnStack: boolean;
  /** Up to and including the IBPB. */
  private readonly barrierStage: number;
  /** From there, or from the exit, to the switch over the exit reason. */
  private readonly handlerStage: number;
  /** From the end of the exit's own work to VM entry. */
  private readonly returnStage: number;
  private readonly hltStage: number;
  private readonly faultStage: number;
  /** RIP with which the domain crashes, or empty. */
  private badRip = "";
  private readonly fault: SecondStageFault;
  private readonly instructionLength: InstructionLength | undefined;
  private readonly fixups: HypercallFixups | undefined;
  private readonly shadow: ShadowExits | undefined;
  private readonly guestRequests: GhcbRequests | undefined;
  private readonly pageState: PageStateChange | undefined;

  constructor(options: XenHostOptions) {
    const { cost, control, switches } = options;
    const vectors = { timer: LOCAL_APIC_TIMER_VECTOR, check: EVENT_CHECK_VECTOR };
    super(options, vectors);
    const { vendor } = control.hardware;
    this.fault = new SecondStageFault(this.isAmd);
    this.hypercalls = options.hypercalls;
    this.emulated = options.emulated;
    this.mmio = options.mmio;
    this.fixups = options.fixups;
    this.instructionLength = options.instructionLength;
    this.shadow = options.shadow;
    this.guestRequests = options.requests;
    this.pageState = options.pageState;
    this.ibpbOnExit = switches.ibpbEntry;
    this.overwritesReturnStack = switches.rsbOverwrite;
    const saved = this.isAmd ? [ENTRY_ASSEMBLY, SVM_STGI] : [ENTRY_ASSEMBLY];
    const handled = [...exitMitigations(switches), EXIT_HANDLER];
    const barrier = exitBarrier(switches);
    this.barrierStage = cost.compile(composeStage("VM exit to IBPB", "", [...saved, ...barrier]));
    this.handlerStage = cost.compile(
      composeStage("to the exit handler", "", barrier.length > 0 ? handled : [...saved, ...handled]),
    );
    this.skipStage = cost.compile(UPDATE_GUEST_EIP);
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

  /** EVENT_CHECK_VECTOR arrives at the vCPU's processor: it leaves its guest and sees what it was asked. */
  override interrupt(): void {
    this.requests |= Request.EventCheck;
    if (this.ready) this.control.interruptGuest(EVENT_CHECK_VECTOR);
  }

  /** Does what others have asked for. */
  protected override attend(): void {
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
    if ((requests & Request.StartUp) !== 0 && !vcpu.initialised) others?.startUp(startUpVector(requests));
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
  protected override returnToGuest(): void {
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

  protected override vmExit(exit: VmExit): RunOutcome | undefined {
    const { cost, control, processor } = this;
    this.noteExit(exit);
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
        return this.crash(exceptionText(this.control.exceptionVector(exit)));
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
        control.injectPageFault(fixups.errorCode, fixups.addressLo, fixups.addressHi);
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

  private emulatedBy(exit: VmExit, done: boolean): undefined {
    if (done) this.skip(exit);
    return undefined;
  }

  private skip(exit: VmExit): void {
    if (exit.kind !== ExitKind.Io) this.instructionLength?.decode();
    this.moveOn(exit.instructionLength);
  }

  /** Xen on VMX: user code that ends at the edge of the address space is #GP, a kernel that does crashes its domain. */
  protected override refuseRip(): void {
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

  /** Other domains' events come between two runs. */
  private peersCanWake(what: string): boolean {
    return this.hasPeers && (what !== HLT || (this.registers.rflags & Flag.If) !== 0);
  }

  /** Something has come that a vCPU which waits is told of. */
  protected override get hasNews(): boolean {
    const { vcpu, interrupts, domain } = this;
    return vcpu.unblocked || interrupts.deliverable || domain.eventChannels.events.hasUpcall(vcpu.id);
  }

  protected override wakeUp(): void {
    const { vcpu } = this;
    vcpu.pollPort = 0;
    vcpu.unblocked = false;
    this.enterProcessor();
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
    const { fault } = this;
    fault.read(exit);
    const { gfn, offset, write, fetch } = fault;
    if (this.isAmd && (exit.info1Lo & PageFaultCode.Rmp) !== 0) return this.reverseMapFault(exit);
    if (domain.p2m.typeAt(gfn) === P2mType.Invalid) {
      // Of an encrypted guest neither the instruction nor its registers are there to be read.
      const isData = !fetch && !fault.inGuestTables && this.guestRequests === undefined;
      if (isData && domain.doorbell !== undefined && gfn === DOORBELL_GFN) {
        const { linearLo, linearHi } = this.processor.mmu.fault;
        if (mmio.emulate(domain.doorbell, offset, linearLo, linearHi, write)) this.moveOn(mmio.length);
        else registers.injectException(GENERAL_PROTECTION, 0);
      } else if (isData && mmio.carryOut(gfn, offset)) this.moveOn(mmio.length);
      else registers.injectException(GENERAL_PROTECTION, 0);
      return undefined;
    }
    switch (domain.conditions.fault(gfn, write, fetch, this.cost)) {
      case FaultVerdict.Retry:
        this.repeatEvent();
        return undefined;
      case FaultVerdict.Wait:
        this.repeatEvent();
        domain.conditions.paging.wait(this.processor.ledger);
        return undefined;
      case FaultVerdict.Discard:
        if (this.guestRequests === undefined && mmio.carryOut(gfn, offset, new DiscardingMemory(domain, gfn)))
          this.moveOn(mmio.length);
        else registers.injectException(GENERAL_PROTECTION, 0);
        return undefined;
    }
    const access = accessName(write, fetch);
    return this.crash(`${access} of guest-physical address ${fault.address}: the p2m forbids it`);
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
  private reverseMapFault(exit: VmExit): RunOutcome | undefined {
    const { gfn, write, fetch } = this.fault;
    const isSplit =
      (exit.info1Hi & NPF_SIZE_MISMATCH) !== 0 && this.pageState?.split(gfn) === PageChange.Done;
    if (isSplit) return undefined;
    const what = accessName(write, fetch);
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

  /** `domain_crash` */
  private crash(detail: string): RunOutcome {
    return { reason: "shutdown", shutdown: "crash", rip: this.rip, detail };
  }
}

function exceptionText(vector: number): string {
  return `exception ${vector}${vector === MACHINE_CHECK ? " (machine check)" : ""} in the guest`;
}

function accessName(write: boolean, fetch: boolean): string {
  return fetch ? "instruction fetch" : write ? "write" : "read";
}
