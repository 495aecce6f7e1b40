import type { TranslationContext } from "@hyperwalk/mmu";
import { GuestRun, State } from "./cpu-state.js";
import { StopReason } from "./execution-engine.js";
import type { GuestMode } from "./guest-mode.js";
import { ExitKind, emptyVmExit, type VmExit } from "./hardware-virtualization.js";
import type { VirtualizedProcessor } from "./virtualized-processor.js";

/** Of a guest between two runs: clock of its latest entry and exit, and whether the monitor trap flag is about to act. */
export interface HeldGuest {
  readonly enteredAt: number;
  readonly leftAt: number;
  readonly monitorTrapDue: number;
}

/**
 * What SVM and VMX have in common on one logical processor: which context is active, whether the guest is on hold, and
 * the exit that is on record. The vendors' own parts extend it with their control structure.
 */
export class HardwareGuest {
  readonly processor: VirtualizedProcessor;
  /** Active while no guest runs. */
  readonly host: TranslationContext;
  /** The guest's address space. */
  readonly context: TranslationContext;
  readonly entryPhase: number;
  readonly exitPhase: number;
  readonly exit: VmExit = emptyVmExit();
  i32!: Int32Array;
  words!: Int32Array;
  /** The processor has copies of the control structure's state. */
  loaded = false;
  /** The engine stopped without a VM exit: the next `enter` goes on without an entry. */
  suspended = false;
  /** A VM exit is on record. */
  recorded = false;
  /** RFLAGS as the latest exit saved them: the registers still hold those. */
  savedRflags = 0;
  tscOffset = 0;
  /** `GuestRun` bits of the running guest. */
  run: number = GuestRun.Running;
  /** `GuestRun.MonitorTrapDue` of a guest on hold. */
  private monitorTrapDue = 0;

  constructor(processor: VirtualizedProcessor, host: TranslationContext) {
    const { arena, ledger, mmu } = processor;
    this.processor = processor;
    this.host = host;
    this.context = mmu.createContext();
    this.entryPhase = ledger.registerPhase("vm-entry");
    this.exitPhase = ledger.registerPhase("vm-exit");
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.words = processor.state.words;
    });
  }

  /** Puts a VM exit on record. @returns true */
  record(
    kind: number,
    code: number,
    info1Lo: number,
    info1Hi: number,
    info2Lo: number,
    info2Hi: number,
    length: number,
  ): true {
    const { exit } = this;
    exit.kind = kind;
    exit.code = code;
    exit.info1Lo = info1Lo;
    exit.info1Hi = info1Hi;
    exit.info2Lo = info2Lo;
    exit.info2Hi = info2Hi;
    exit.instructionLength = length;
    exit.stop = StopReason.VmExit;
    this.recorded = true;
    return true;
  }

  /** The guest context becomes the active one. @param hooks who the engine asks before it acts */
  resume(hooks: GuestMode): void {
    const { processor } = this;
    this.suspended = false;
    this.words[State.GuestMode] = this.run | this.monitorTrapDue;
    this.monitorTrapDue = 0;
    processor.guestMode = hooks;
    processor.guestContext = this.context;
    processor.state.tscOffset = this.tscOffset;
    processor.mmu.activate(this.context);
  }

  /** The engine stopped without a VM exit: the guest is on hold in the processor, the host context active. */
  suspend(stop: number): void {
    this.monitorTrapDue = this.words[State.GuestMode] & GuestRun.MonitorTrapDue;
    this.leave();
    this.suspended = true;
    const { exit } = this;
    exit.kind = ExitKind.EngineStop;
    exit.code = 0;
    exit.info1Lo = exit.info1Hi = exit.info2Lo = exit.info2Hi = 0;
    exit.instructionLength = 0;
    exit.stop = stop;
  }

  /** What else is known of a guest on hold, as plain data. */
  held(): HeldGuest {
    return { enteredAt: this.exit.enteredAt, leftAt: this.exit.leftAt, monitorTrapDue: this.monitorTrapDue };
  }

  restoreHeld(held: HeldGuest): void {
    this.exit.enteredAt = held.enteredAt;
    this.exit.leftAt = held.leftAt;
    this.monitorTrapDue = held.monitorTrapDue;
    this.recorded = false;
  }

  /** The host context becomes the active one. */
  leave(): void {
    const { processor } = this;
    this.words[State.GuestMode] = 0;
    processor.guestMode = null;
    processor.guestContext = null;
    processor.state.tscOffset = 0;
    processor.mmu.activate(this.host);
  }
}
