import {
  Arena,
  Cause,
  CycleLedger,
  type LedgerState,
  Mmu,
  type MmuSnapshot,
  PhysicalMemory,
  type TranslationContext,
} from "@hyperwalk/mmu";
import type { LocalApic, LocalApicSnapshot } from "./apic/local-apic.js";
import { createProcessorApic } from "./apic/processor-apic.js";
import { Cr4, followRegisters } from "./control-registers.js";
import { Attention, CpuState, State } from "./cpu-state.js";
import { type CpuidSource, ProfileCpuid } from "./cpuid.js";
import { EventInDelivery } from "./event-in-delivery.js";
import type { EngineSnapshot, ExecutionEngine } from "./execution-engine.js";
import { type GuestContextSnapshot, restoreContext, snapshotContext } from "./guest-context.js";
import type { GuestMode } from "./guest-mode.js";
import { Interpreter } from "./interpreter/interpreter.js";
import { ArchitecturalMsrs, type ArchitecturalMsrsSnapshot, type MsrSource } from "./msr.js";
import { NO_PORTS, type PortSource } from "./port-source.js";
import type { ProcessorStorage } from "./processor-storage.js";
import type { ProcessorProfile, ResolvedProfile } from "./profile.js";
import { definedCr4 } from "./registers/defined-cr4.js";
import { resetState } from "./reset-state.js";
import { resolveProfile } from "./resolve-profile.js";
import { StopPoint } from "./stop-point.js";
import { scaleTimestamp, unscale, wide } from "./timestamp.js";
import { BranchPredictor, type BranchPredictorSnapshot } from "./timing/branch-predictor.js";
import type { VirtualizedProcessor } from "./virtualized-processor.js";

/** Ledger phase, directly below the root, of what ran while timing was off. */
export const FAST_FORWARD_PHASE = "fast-forward";

/** Observers of a processor; a missing one costs nothing. */
export interface ProcessorProbes {
  /** A timestamp was read. @param cycles what the reader saw, exact */
  onTimestamp?: ((cycles: number) => void) | undefined;
}

/** What a processor is made of. */
export interface ProcessorOptions {
  /** Default: one of its own. */
  readonly arena?: Arena;
  /** Used again in place of a new arena and new decoded code; default none. Not together with `arena` or `memory`. */
  readonly storage?: ProcessorStorage | undefined;
  /** Default: none but what the caller adds with `memory.addRam`. */
  readonly memory?: PhysicalMemory;
  readonly profile: ProcessorProfile | ResolvedProfile;
  /** Initial APIC ID; default 0. */
  readonly apicId?: number;
  /** Starts by itself, not by SIPI; default: the one with APIC ID 0. */
  readonly bootstrap?: boolean;
  /** Of pseudo-random replacement, where the profile has any; default 1. */
  readonly seed?: number | undefined;
}

/** One logical processor as plain data, memory excepted: processors may share that. */
export interface ProcessorSnapshot {
  /** `CpuState.words`. */
  readonly words: Int32Array;
  readonly ledger: LedgerState;
  readonly mmu: MmuSnapshot;
  readonly predictor: BranchPredictorSnapshot;
  readonly apic: LocalApicSnapshot;
  readonly msrs: ArchitecturalMsrsSnapshot;
  readonly engine: EngineSnapshot;
  readonly context: GuestContextSnapshot;
}

/**
 * One logical x86 processor: state, memory side, predictor, ledger, and the engine that executes.
 *
 * Life cycle: construct, fill memory and `state`, call {@link syncTranslation}, then `engine.run`. A hypervisor model
 * sets {@link guestMode} and {@link guestContext} while its guest runs.
 */
export class Processor implements VirtualizedProcessor {
  readonly arena: Arena;
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: Mmu;
  readonly state: CpuState;
  readonly profile: ResolvedProfile;
  readonly predictor: BranchPredictor;
  readonly engine: ExecutionEngine;
  /** Follows this processor's control registers while no guest runs. */
  readonly context: TranslationContext;
  guestMode: GuestMode | null = null;
  guestContext: TranslationContext | null = null;
  /** Outside guest mode, or not intercepted. */
  cpuid: CpuidSource;
  msrs: MsrSource;
  ports: PortSource = NO_PORTS;
  /** Local APIC; its page is reached outside guest mode only, where no RAM lies under it. */
  readonly apic: LocalApic;
  probes: ProcessorProbes = {};
  interceptAddressLo = 0;
  interceptAddressHi = 0;
  interceptOperands = 0;
  readonly eventInDelivery: EventInDelivery = new EventInDelivery();
  /** Where the engine stops by itself; see {@link stopAt}. */
  readonly stopPoint: StopPoint = new StopPoint();
  private readonly interpreter: Interpreter;
  private readonly registers: ArchitecturalMsrs;
  /** Bits of an address's high word below its sign. */
  private readonly baseShift: number;

  constructor(options: ProcessorOptions) {
    this.profile = isResolved(options.profile) ? options.profile : resolveProfile(options.profile);
    this.baseShift = (definedCr4(this.profile.cpuid) & Cr4.La57) !== 0 ? 24 : 15;
    if (options.storage !== undefined && (options.arena ?? options.memory) !== undefined)
      throw new RangeError("a processor with a storage brings its own arena and memory");
    const storage = options.storage?.take();
    this.arena = storage?.arena ?? options.memory?.arena ?? options.arena ?? new Arena();
    this.memory = options.memory ?? new PhysicalMemory(this.arena);
    this.ledger = new CycleLedger(this.arena);
    this.mmu = new Mmu(this.arena, this.memory, this.ledger, this.profile.memory, {
      seed: options.seed ?? 1,
    });
    this.state = new CpuState(this.arena);
    this.predictor = new BranchPredictor(this.arena, this.profile.predictor, this.profile.timing);
    this.context = this.mmu.createContext();
    this.context.physicalAddressBits = this.profile.memory.physicalAddressBits;
    const id = options.apicId ?? 0;
    resetState(this.state.words);
    unscale(this.state.words, this.profile.vendor === "amd");
    this.apic = createProcessorApic(this, id, options.bootstrap ?? id === 0);
    this.cpuid = new ProfileCpuid(this.profile.cpuid, () => this.state.words, this.apic);
    this.registers = new ArchitecturalMsrs(this);
    this.msrs = this.registers;
    this.interpreter = new Interpreter(this, storage?.blocks);
    this.engine = this.interpreter;
    const others = this.memory.onLowHeadroom;
    this.memory.onLowHeadroom = () => {
      others?.();
      this.state.words[State.Attention] |= Attention.ArenaLow;
    };
    this.state.words[State.Attention] = 0; // what the APIC's reset raised
    this.syncTranslation();
  }

  /** Recomputes the active context from CR0, CR3, CR4, EFER, CPL and AC. */
  syncTranslation(): void {
    const context = this.guestMode === null ? this.context : (this.guestContext ?? this.context);
    followRegisters(context, this.state.words);
    if (this.mmu.context === context) this.mmu.reload();
    else this.mmu.activate(context);
  }

  /** Whether caches, TLBs and the branch predictor are modelled; see {@link setTimed}. */
  get timed(): boolean {
    return this.predictor.timed;
  }

  /**
   * Switches timing off or on again, between two runs of the engine. While it is off the architectural state comes out the
   * same, every access costs what a first-level hit does, every branch is predicted, and caches, TLBs and the predictor
   * stay as they are, but for what empties them. Time passes by the fixed costs of instructions and VM exits alone; it is
   * charged below a ledger phase of its own, {@link FAST_FORWARD_PHASE}.
   */
  setTimed(on: boolean): void {
    if (on === this.timed) return;
    this.mmu.setTimed(on);
    this.predictor.timed = on;
    if (on) this.ledger.leave();
    else this.ledger.enter(this.ledger.registerPhase(FAST_FORWARD_PHASE));
  }

  /**
   * From now on the engine stops with `StopReason.Requested` after a marker or before the instruction at a linear address,
   * and {@link stopPoint} says at which.
   */
  stopAt(marker: boolean, address: bigint | undefined): void {
    this.stopPoint.arm(marker, address);
    this.interpreter.dropBlocks();
  }

  /** Ends {@link stopAt}. */
  stopNowhere(): void {
    this.stopPoint.disarm();
    this.interpreter.dropBlocks();
  }

  /** Reads the time stamp: the ledger moves to a whole cycle first. @returns cycles, exact */
  readTimestamp(): number {
    this.ledger.alignToCycle(Cause.Issue);
    const { words, tscOffset } = this.state;
    let cycles = this.ledger.cycles + wide(words, State.TscBaseLo);
    if (words[State.GuestMode] !== 0) {
      cycles = scaleTimestamp(words, this.profile.vendor === "amd", cycles) + tscOffset;
    }
    this.probes.onTimestamp?.(cycles);
    return cycles;
  }

  /** What writes of the time stamp have added to the cycle count. */
  get timestampBase(): number {
    return wide(this.state.words, State.TscBaseLo);
  }

  /** An NMI arrives from outside. */
  raiseNmi(): void {
    this.state.words[State.NmiPending] = 1;
    this.state.words[State.Attention] |= Attention.Interrupt;
  }

  /** State between two runs of the engine, with no guest running (`guestMode` is null). */
  snapshot(): ProcessorSnapshot {
    return {
      words: this.state.words.slice(),
      ledger: this.ledger.state(),
      mmu: this.mmu.snapshot(),
      predictor: this.predictor.snapshot(),
      apic: this.apic.snapshot(),
      msrs: this.registers.snapshot(),
      engine: this.engine.snapshot(),
      context: snapshotContext(this.context),
    };
  }

  /**
   * Puts it back, after memory; what virtualizes the processor comes next, then whoever owns a context activates it.
   * @throws RangeError for a processor of another shape
   */
  restore(snapshot: ProcessorSnapshot): void {
    this.ledger.restore(snapshot.ledger);
    this.mmu.restore(snapshot.mmu);
    this.predictor.restore(snapshot.predictor);
    this.apic.restore(snapshot.apic);
    this.registers.restore(snapshot.msrs);
    this.engine.restore(snapshot.engine);
    restoreContext(this.context, snapshot.context);
    // The APIC's restore asks for attention: whether there is any to pay is in the words.
    this.state.words.set(snapshot.words);
  }

  deliverEvent(
    kind: number,
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    length: number,
  ): boolean {
    return this.interpreter.deliverEvent(kind, vector, errorCode, hasErrorCode, length);
  }

  /**
   * The canonical form for a register that holds a linear address (bases of segments and tables, targets in MSRs): as
   * wide as this processor could have it, whatever CR4.LA57 (Intel's 5-level paging white paper, 2.2).
   * @param hi high word of the address
   */
  canonicalBase(hi: number): boolean {
    const top = hi >> this.baseShift;
    return top === 0 || top === -1;
  }
}

function isResolved(profile: ProcessorProfile | ResolvedProfile): profile is ResolvedProfile {
  return "ghz" in profile;
}
