import { type LedgerRow, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { FastForwardTarget } from "@hyperwalk/xen";
import { countResults, failsAlways, sorted } from "./call-results.js";
import { estimatesUsed } from "./estimates.js";
import { fastForwardResult } from "./fast-forward.js";
import { guestFigure } from "./guest-figure.js";
import { comparePhases } from "./phase-order.js";
import type {
  AbiName,
  CountersPerCall,
  EstimateUsed,
  HostName,
  LedgerCell,
  RunExit,
  RunResult,
} from "./result.js";
import type { SimulatedSystem, SystemCounters, SystemOutcome } from "./simulated-system.js";

/** What one run is measured by, beside the system itself. */
export interface RunOptions {
  readonly abi: AbiName;
  /** Named in the result; default it is not. */
  readonly host?: HostName | undefined;
  readonly iterations: number;
  readonly ghz: number;
  readonly maxInstructions: number;
  /** Count what this operation returns. An interface that fails every time leaves a guest no way to be powered off. */
  readonly resultsOf?: string | undefined;
  /** Run with timing off up to here first. */
  readonly fastForward?: FastForwardTarget | undefined;
}

/** A run's result and the estimates that its figures rest on. */
export interface GuestRun {
  readonly result: RunResult;
  readonly estimates: readonly EstimateUsed[];
}

/**
 * Runs a system to its end and divides what its ledger and counters hold by the number of hypercalls. Nothing about
 * cost is computed here: every figure is a quotient of the system's own.
 */
export function runGuest(system: SimulatedSystem, options: RunOptions): GuestRun {
  const { fastForward, maxInstructions } = options;
  const results = options.resultsOf === undefined ? undefined : countResults(system, options.resultsOf);
  const forwarded =
    fastForward === undefined ? undefined : system.fastForward(fastForward, { maxInstructions });
  // What is timed begins here.
  const before =
    forwarded === undefined ? undefined : { ledger: system.ledger.snapshot(), ...system.counters() };
  const outcome =
    forwarded?.outcome ?? system.run({ maxInstructions: maxInstructions - (forwarded?.instructions ?? 0) });
  const found = system.window;
  const window = found !== undefined && found.hypercalls > 0 ? found : undefined;
  const rows = window ? window.rows : system.ledger.rows(before?.ledger);
  const counters = window ? window.counters : since(system.counters(), before);
  const calls = window ? window.hypercalls : counters.hypercalls;
  const cycles = window ? window.cycles : sumTicks(rows) / TICKS_PER_CYCLE;
  const cyclesPerCall = calls > 0 ? cycles / calls : null;
  const printed = guestFigure(system.console);
  const guestMeasured = !window ? null : (printed ?? window.tscDifference / calls);
  const result: RunResult = {
    ...(options.host === undefined ? {} : { host: options.host }),
    abi: options.abi,
    iterations: options.iterations,
    window: window ? "rdtsc" : "whole-run",
    windowCycles: cycles,
    windowHypercalls: calls,
    cyclesPerCall,
    nsPerCall: cyclesPerCall === null ? null : cyclesPerCall / options.ghz,
    guestMeasuredCyclesPerCall: guestMeasured,
    guestMeasuredBy: !window ? null : printed !== undefined ? "console" : "tsc",
    counters: calls > 0 ? countersPerCall(counters, calls) : null,
    ledger: cellsPerCall(rows, Math.max(calls, 1)),
    console: system.console,
    exit: runExit(outcome, results !== undefined && failsAlways(results)),
    ...(results === undefined ? {} : { results: sorted(results) }),
    ...(fastForward === undefined || forwarded === undefined
      ? {}
      : { fastForward: fastForwardResult(fastForward, forwarded) }),
  };
  return { result, estimates: estimatesUsed(system) };
}

/** What was counted after `before`; everything when that is undefined. */
function since(now: SystemCounters, before: SystemCounters | undefined): SystemCounters {
  if (before === undefined) return now;
  return {
    hypercalls: now.hypercalls - before.hypercalls,
    hypervisorInstructions: now.hypervisorInstructions - before.hypervisorInstructions,
    guestInstructions: now.guestInstructions - before.guestInstructions,
    p2mLookups: now.p2mLookups - before.p2mLookups,
    p2mTableReads: now.p2mTableReads - before.p2mTableReads,
    guestPteReads: now.guestPteReads - before.guestPteReads,
    bytesCopied: now.bytesCopied - before.bytesCopied,
  };
}

function sumTicks(rows: readonly LedgerRow[]): number {
  let sum = 0;
  for (const row of rows) sum += row.ticks;
  return sum;
}

function countersPerCall(counters: SystemCounters, calls: number): CountersPerCall {
  return {
    hypervisorInstructionsPerCall: counters.hypervisorInstructions / calls,
    p2mLookupsPerCall: counters.p2mLookups / calls,
    p2mTableReadsPerCall: counters.p2mTableReads / calls,
    guestPteReadsPerCall: counters.guestPteReads / calls,
    guestInstructionsPerCall: counters.guestInstructions / calls,
    bytesCopiedPerCall: counters.bytesCopied / calls,
  };
}

/** One cell for each phase and cause, whatever path of phases led there; phases in the order of a hypercall's path. */
export function cellsPerCall(rows: readonly LedgerRow[], calls: number): LedgerCell[] {
  const sums = new Map<string, { phase: string; cause: string; ticks: number }>();
  for (const { phase, cause, ticks } of rows) {
    const key = `${phase} ${cause}`;
    const known = sums.get(key);
    if (known) known.ticks += ticks;
    else sums.set(key, { phase, cause, ticks });
  }
  return [...sums.values()]
    .sort(comparePhases)
    .map(({ phase, cause, ticks }) => ({ phase, cause, cyclesPerCall: ticks / TICKS_PER_CYCLE / calls }));
}

const GOOD_SHUTDOWNS: readonly string[] = ["poweroff", "reboot", "suspend"];

/** How a run ended, as results say it. @param stranded no hypercall works: halting is as far as the guest gets */
export function runExit(outcome: SystemOutcome, stranded = false): RunExit {
  const { reason, shutdown, budget, rip, detail } = outcome;
  return {
    ok:
      (reason === "shutdown" && shutdown !== undefined && GOOD_SHUTDOWNS.includes(shutdown)) ||
      (stranded && reason === "halted"),
    reason,
    ...(shutdown === undefined ? {} : { shutdown }),
    ...(budget === undefined ? {} : { budget }),
    rip,
    ...(detail === undefined ? {} : { detail }),
  };
}
