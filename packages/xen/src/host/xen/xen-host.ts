import { ExitKind, type Processor, State, StopReason, type VmExit } from "@hyperwalk/cpu";
import { FRAME_BYTES, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { Domain } from "../../domain.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import type { HypervisorCounters } from "../../hypervisor-counters.js";
import { RUNSTATE_BLOCKED, RUNSTATE_RUNNING } from "../../operations/descriptors.gen.js";
import { composeStage } from "../../path-cost/compose.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { HLT_EXIT, SECOND_STAGE_FAULT } from "../../path-cost/stages/dispatch.js";
import {
  ENTRY_ASSEMBLY,
  EXIT_ASSEMBLY,
  EXIT_HANDLER,
  RETURN_PATH,
  SVM_CLGI_STI,
  SVM_STGI,
  UPDATE_GUEST_EIP,
} from "../../path-cost/stages/entry-exit.js";
import type { Vcpu } from "../../vcpu.js";
import type { ResolvedXenConfig } from "../../xen-config.js";
import { exitName } from "../exit-name.js";
import type { GuestRegisters } from "../guest-registers.js";
import type { Hypervisor } from "../hypervisor.js";
import { type RunOutcome, SHUTDOWN_REASONS } from "../run-outcome.js";
import type { VcpuControl } from "../vcpu-control.js";
import type { EmulatedExits } from "./emulated-exits.js";
import type { HypercallHandler } from "./hypercall-handler.js";
import { entryMitigations, exitBarrier, exitMitigations } from "./mitigations.js";

const MACHINE_CHECK = 18;
const FIRST_USABLE_VECTOR = 16;

/** One VM exit as listeners see it; valid only during the call. */
export interface VmExitEvent {
  readonly exit: Readonly<VmExit>;
  /** The reason in the words of the vendor's manual. */
  readonly name: string;
  /** Guest's cycle count when it left off. */
  readonly cycle: number;
  /** Guest RIP as a hexadecimal number. */
  readonly rip: string;
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
  private readonly processor: Processor;
  private readonly domain: Domain;
  private readonly vcpu: Vcpu;
  private readonly control: VcpuControl;
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly hypercalls: HypercallHandler;
  private readonly emulated: EmulatedExits;
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
    if (this.ended !== undefined) return this.ended;
    const { processor, control } = this;
    const { engine, memory, ledger } = processor;
    const limit = engine.instructions + maxInstructions;
    for (;;) {
      if (ledger.clock[0] >= untilTicks) return this.outOfBudget("cycles");
      const left = limit - engine.instructions;
      if (left <= 0) return this.outOfBudget("instructions");
      if (!this.ready) this.returnToGuest();
      if (memory.arena.free < memory.headroom * FRAME_BYTES) memory.grow();
      const exit = control.hardware.enter(left, untilTicks);
      const stopped = exit.kind === ExitKind.EngineStop;
      if (stopped && exit.stop === StopReason.Budget)
        return this.outOfBudget(ledger.clock[0] >= untilTicks ? "cycles" : "instructions");
      const outcome = stopped ? this.engineStop(exit.stop) : this.vmExit(exit);
      if (outcome === undefined) continue;
      this.ended = outcome;
      return outcome;
    }
  }

  /** From the end of the exit's handling to just before VMRUN. */
  private returnToGuest(): void {
    const { cost, domain, vcpu, registers } = this;
    cost.run(this.returnStage);
    const { eventChannels } = domain;
    const vector = eventChannels.upcallVectors[vcpu.id] || eventChannels.callbackVector;
    if (
      vector >= FIRST_USABLE_VECTOR &&
      eventChannels.events.hasUpcall(vcpu.id) &&
      registers.canTakeInterrupt
    )
      registers.injectInterrupt(vector); // hvm_intsrc_vector: no EOI, again until the guest clears it
    this.ready = true;
  }

  private engineStop(stop: number): RunOutcome | undefined {
    const { engine } = this.processor;
    switch (stop) {
      case StopReason.ArenaLow: // the loop grows it
      case StopReason.Requested:
        return undefined;
      case StopReason.Unsupported: {
        const unsupported = engine.lastUnsupported;
        return {
          reason: "unsupported-instruction",
          rip: unsupported?.rip ?? this.runningRip(),
          detail: unsupported?.disassembly ?? "unknown instruction",
          ...(unsupported === undefined ? {} : { bytes: hexBytes(unsupported.bytes) }),
        };
      }
      case StopReason.Halted:
        return { reason: "halted", rip: this.runningRip(), detail: "HLT that did not leave the guest" };
      default:
        return { reason: "triple-fault", rip: this.runningRip() };
    }
  }

  private vmExit(exit: VmExit): RunOutcome | undefined {
    const { cost, counters, control, processor } = this;
    this.ready = false;
    counters.vmExits++;
    this.accounting?.begin(exit.code, exit.enteredAt, exit.leftAt);
    if (this.onExit !== undefined)
      this.onExit({
        exit,
        name: exitName(control.hardware.vendor, exit.code),
        cycle: Math.floor(exit.leftAt / TICKS_PER_CYCLE),
        rip: this.rip,
      });
    cost.afterGuest();
    if (this.ibpbOnExit) {
      cost.run(this.barrierStage);
      processor.predictor.flush();
    }
    cost.run(this.handlerStage);
    if (this.overwritesReturnStack) processor.predictor.overwriteReturnStack();
    control.acknowledgeExit();
    return this.dispatch(exit);
  }

  private dispatch(exit: VmExit): RunOutcome | undefined {
    const { hypercalls, vcpu, emulated, cost } = this;
    switch (exit.kind) {
      case ExitKind.Hypercall:
        hypercalls.handle(vcpu.call);
        this.skip(exit);
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
        return this.emulatedBy(exit, emulated.other(exit));
      case ExitKind.Hlt:
        cost.run(this.hltStage);
        this.skip(exit);
        return this.block("HLT");
      case ExitKind.SecondStageFault:
        cost.run(this.faultStage);
        return this.secondStageFault(exit);
      case ExitKind.ExternalInterrupt:
        return undefined;
      case ExitKind.Exception:
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

  /** A write to an exit port ends the domain. */
  private afterPort(): RunOutcome | undefined {
    const { exitCode } = this.domain;
    return exitCode < 0 ? undefined : { reason: "exit-port", exitCode, rip: this.rip };
  }

  private emulatedBy(exit: VmExit, done: boolean): undefined {
    if (done) this.skip(exit);
    return undefined;
  }

  /** `__update_guest_eip` */
  private skip(exit: VmExit): void {
    this.cost.run(this.eipStage);
    this.registers.skip(exit.instructionLength);
  }

  private afterHypercall(): RunOutcome | undefined {
    const { domain, vcpu } = this;
    const { shutdownReason } = domain;
    if (shutdownReason >= 0) {
      const name = SHUTDOWN_REASONS[shutdownReason];
      return {
        reason: "shutdown",
        shutdown: name ?? "crash",
        rip: this.rip,
        ...(name === undefined ? { detail: `unknown shutdown reason ${shutdownReason}` } : {}),
      };
    }
    return vcpu.runstate.state === RUNSTATE_BLOCKED ? this.block("a blocking hypercall") : undefined;
  }

  /** A vCPU that waits goes on if an event is pending; nothing in the simulated host could raise one later. */
  private block(what: string): RunOutcome | undefined {
    const { domain, vcpu } = this;
    if (!domain.eventChannels.events.hasUpcall(vcpu.id))
      return {
        reason: "halted",
        rip: this.rip,
        detail: `${what} with no event pending and no source of one`,
      };
    if (vcpu.runstate.state === RUNSTATE_BLOCKED) {
      vcpu.systemTimeNs();
      vcpu.runstate.change(RUNSTATE_RUNNING, vcpu.timeLo, vcpu.timeHi);
    }
    return undefined;
  }

  /** A hole, or an access that the p2m forbids: no device model is there to answer. */
  private secondStageFault(exit: VmExit): RunOutcome {
    const { domain } = this;
    const address = (BigInt(exit.info2Hi >>> 0) << 32n) | BigInt(exit.info2Lo >>> 0);
    const gfn = Number(address >> 12n);
    const where = domain.p2m.translate(gfn) < 0 ? "nothing is mapped there" : "the p2m forbids it";
    const access = this.isAmd
      ? accessName((exit.info1Lo & 2) !== 0, (exit.info1Lo & 16) !== 0)
      : accessName((exit.info1Lo & 2) !== 0, (exit.info1Lo & 4) !== 0);
    return this.crash(`${access} of guest-physical address 0x${address.toString(16)}: ${where}`);
  }

  /** `domain_crash` */
  private crash(detail: string): RunOutcome {
    return { reason: "shutdown", shutdown: "crash", rip: this.rip, detail };
  }

  private outOfBudget(budget: "instructions" | "cycles"): RunOutcome {
    return { reason: "budget", budget, rip: this.runningRip() };
  }

  private get rip(): string {
    return this.registers.rip;
  }

  /** RIP of a guest that stopped without an exit: the control structure does not have it yet. */
  private runningRip(): string {
    if (!this.ready) return this.rip;
    const { words } = this.processor.state;
    return `0x${((BigInt(words[State.RipHi] >>> 0) << 32n) | BigInt(words[State.RipLo] >>> 0)).toString(16)}`;
  }
}

function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function accessName(write: boolean, fetch: boolean): string {
  return fetch ? "instruction fetch" : write ? "write" : "read";
}
