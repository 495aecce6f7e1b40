import type { AbiName, CompareDocument, RunResult } from "../src/result.js";

function run(abi: AbiName, copy: number, lookups: number): RunResult {
  const cells = [
    { phase: "guest", cause: "issue", cyclesPerCall: 9.5 },
    { phase: "vm-exit", cause: "exit-hardware", cyclesPerCall: 650 },
    { phase: "copy", cause: "issue", cyclesPerCall: copy },
    { phase: "copy", cause: "l2", cyclesPerCall: copy / 4 },
    { phase: "zz-unknown", cause: "walk", cyclesPerCall: 1.25 },
  ].filter((cell) => cell.cyclesPerCall > 0);
  const cyclesPerCall = cells.reduce((sum, cell) => sum + cell.cyclesPerCall, 0);
  return {
    abi,
    iterations: 16384,
    window: "rdtsc",
    windowCycles: cyclesPerCall * 16384,
    windowHypercalls: 16384,
    cyclesPerCall,
    nsPerCall: cyclesPerCall / 3,
    guestMeasuredCyclesPerCall: cyclesPerCall,
    guestMeasuredBy: "console",
    counters: {
      hypervisorInstructionsPerCall: 1234.5,
      p2mLookupsPerCall: lookups,
      p2mTableReadsPerCall: 4 * lookups,
      guestPteReadsPerCall: abi === "linear" ? 4 : 0,
      guestInstructionsPerCall: 8,
      bytesCopiedPerCall: abi === "fastabi" ? 0 : 48,
    },
    ledger: cells,
    console: `hypercall-bench: abi=${abi}\r\n`,
    exit: { ok: true, reason: "shutdown", shutdown: "poweroff", rip: "0x100000" },
  };
}

/** A document with made-up figures. */
export const CANNED: CompareDocument = {
  tool: { name: "hyperwalk", version: "0.0.0" },
  machine: { id: "epyc-9124", name: "AMD EPYC 9124", vendor: "amd", ghz: 3 },
  host: {
    kind: "xen",
    mitigations: {
      ibpbEntry: true,
      rsbOverwrite: false,
      specCtrlWrite: false,
      verw: false,
      bhbClear: false,
      l1dFlush: false,
      lockHarden: true,
    },
    p2mPage: "4k",
    guestPage: "4k",
    memoryMiB: 64,
    mmioHandlers: 3,
  },
  guest: { name: "hypercall-bench", operation: "get_runstate_info", cmdline: "iterations=16384" },
  runs: [run("linear", 2000, 6), run("physaddr", 400, 1), run("fastabi", 0, 0)],
  estimates: [
    { key: "memory.overlap.load", value: 0.5, unit: "ratio", range: [0.3, 0.7], source: "judgement" },
    { key: "timing.ibpb", value: 1500, unit: "cycles", range: null, source: "no sourced figure" },
  ],
};

/** The canned document after a guest that ended badly. */
export function endedBadly(): CompareDocument {
  const exit = {
    ok: false,
    reason: "budget",
    budget: "instructions",
    rip: "0xffffffff80101234",
    detail: "jmp 0xffffffff80101234",
  };
  const [first] = CANNED.runs;
  const nothing = { window: "whole-run", cyclesPerCall: null, nsPerCall: null, counters: null } as const;
  const silent = {
    guestMeasuredCyclesPerCall: null,
    guestMeasuredBy: null,
    console: "",
    windowHypercalls: 0,
  } as const;
  return { ...CANNED, runs: [{ ...first, ...nothing, ...silent, exit }] };
}
