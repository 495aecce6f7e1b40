import type { LedgerRow } from "@hyperwalk/mmu";
import type { Mitigations } from "../src/result.js";
import type { SimulatedSystem, SystemOutcome, SystemWindow } from "../src/simulated-system.js";

const PERFECT: SystemOutcome = { reason: "shutdown", shutdown: "poweroff", rip: "0x100123" };

/** Ledger rows of 4 calls: 2 563.25 cycles in all. */
export const ROWS: readonly LedgerRow[] = [
  { path: ["guest"], phase: "guest", cause: "issue", ticks: 4 * 25 * 256 },
  { path: ["guest", "exit"], phase: "exit", cause: "exit-hardware", ticks: 4 * 300 * 256 },
  { path: ["guest", "exit"], phase: "exit", cause: "issue", ticks: 4 * 40 * 256 + 64 },
  { path: ["guest", "exit", "copy"], phase: "copy", cause: "l2", ticks: 1000 * 256 },
  // The same phase on another path: one cell in the result.
  { path: ["guest", "copy"], phase: "copy", cause: "l2", ticks: 103 * 256 },
];

const COUNTERS = {
  hypercalls: 4,
  hypervisorInstructions: 4 * 700,
  guestInstructions: 4 * 9,
  p2mLookups: 24,
  p2mTableReads: 96,
  guestPteReads: 16,
  bytesCopied: 192,
};

/** A window over {@link ROWS}. */
export const WINDOW: SystemWindow = {
  cycles: 2563.25,
  tscDifference: 2563.25,
  hypercalls: 4,
  counters: COUNTERS,
  rows: ROWS,
};

const ALL_OFF: Mitigations = {
  ibpbEntry: false,
  rsbOverwrite: false,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
  l1dFlush: false,
  lockHarden: false,
};

/** A system that has already run: it returns what it was made with. */
export function fakeSystem(parts: {
  console?: string;
  window?: SystemWindow | undefined;
  outcome?: SystemOutcome;
}): SimulatedSystem {
  return {
    config: { xen: ALL_OFF, domain: { p2mPage: "2m", mmioHandlers: 1 } },
    run: () => parts.outcome ?? PERFECT,
    fastForward: () => ({ ended: "marker", instructions: 1000, cycles: 500 }),
    console: parts.console ?? "",
    ledger: { rows: () => [...ROWS], snapshot: () => ({ clock: 0, cells: new Float64Array(0) }) },
    window: parts.window,
    counters: () => COUNTERS,
    estimates: () => [
      { key: "timing.issue", value: 0.4, unit: "cycles", range: [0.3, 0.6], source: "a guess" },
      { key: "memory.dram", value: 330, unit: "cycles", range: undefined, source: "another" },
    ],
  };
}
