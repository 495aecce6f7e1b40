/** Why an engine returned. */
export const StopReason = {
  /** A VM exit was recorded by `GuestMode`. */
  VmExit: 0,
  /** The instruction or cycle budget is used up. */
  Budget: 1,
  /** A fault during delivery of a double fault, outside guest mode or not intercepted. */
  TripleFault: 2,
  /** The engine cannot execute the instruction at RIP; see `lastUnsupported`. */
  Unsupported: 3,
  /** HLT with nothing left that could wake the processor, outside guest mode. */
  Halted: 4,
  /** The arena needs room: the caller runs `memory.grow()` and calls `run` again. */
  ArenaLow: 5,
  /** Somebody asked through `Attention.Stop`. */
  Requested: 6,
} as const;

/** An instruction the engine cannot execute. */
export interface UnsupportedInstruction {
  /** RIP as a hexadecimal number with 0x. */
  readonly rip: string;
  readonly bytes: Uint8Array;
  readonly disassembly: string;
}

/** What an engine knows between two runs that is nowhere else, as plain data. */
export interface EngineSnapshot {
  /** Instructions retired so far. */
  readonly instructions: number;
  /** A `StopReason` that the next run answers with at once; -1: none. */
  readonly pendingStop: number;
  /** The instruction at RIP is a repeated string that has begun: its start-up cost is charged. */
  readonly resuming: boolean;
}

/**
 * Executes instructions of one logical processor on a shared `CpuState` and `Mmu`, charging the ledger.
 *
 * Life cycle: constructed over a processor; `run` is called again and again. Between calls the state words, memory and
 * translation context may be changed by others. Two engines over the same state must agree instruction for
 * instruction and tick for tick.
 */
export interface ExecutionEngine {
  /** Instructions retired so far; to whoever is asked by one (a timestamp probe) those before it. */
  readonly instructions: number;
  readonly lastUnsupported: UnsupportedInstruction | undefined;
  /**
   * @param maxInstructions stop after at least this many more instructions (checked between blocks)
   * @param maxTicks stop once the ledger clock has reached this many ticks (checked between blocks)
   * @returns a {@link StopReason} number
   */
  run(maxInstructions: number, maxTicks: number): number;
  /** Full RFLAGS with the arithmetic bits materialised. */
  rflags(): number;
  setRflags(value: number): void;
  snapshot(): EngineSnapshot;
  /** Puts it back; whatever was decoded is forgotten. */
  restore(snapshot: EngineSnapshot): void;
}
