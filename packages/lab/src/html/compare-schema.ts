import { BHB_SEQUENCES, CONFIDENTIAL_KINDS, MONITORS, RSB_FILLS, SHARED_INFO_KEYS } from "@hyperwalk/xen";
import { z } from "zod";
import {
  ABIS,
  type CompareDocument,
  type CountersPerCall,
  GUEST_PAGES,
  HOSTS,
  type LedgerCell,
  P2M_PAGES,
  type RunExit,
} from "../result.js";

const text = z.string();
const cycles = z.number();
const count = z.number();
const flag = z.boolean();

/** Cycles of one cause in one phase. */
export const ledgerCellSchema: z.ZodType<LedgerCell> = z.looseObject({
  phase: text,
  cause: text,
  cyclesPerCall: cycles,
});

/** What was counted, per call. */
export const countersSchema: z.ZodType<CountersPerCall> = z.looseObject({
  hypervisorInstructionsPerCall: count,
  p2mLookupsPerCall: count,
  p2mTableReadsPerCall: count,
  guestPteReadsPerCall: count,
  guestInstructionsPerCall: count,
  bytesCopiedPerCall: count,
});

/** How a guest's run ended. */
export const exitSchema: z.ZodType<RunExit> = z.looseObject({
  ok: flag,
  reason: text,
  shutdown: text.exactOptional(),
  budget: text.exactOptional(),
  rip: text,
  detail: text.exactOptional(),
});

const run = z.looseObject({
  host: z.enum(HOSTS).exactOptional(),
  abi: z.enum(ABIS),
  iterations: count,
  window: z.enum(["rdtsc", "whole-run"]),
  windowCycles: cycles,
  windowHypercalls: count,
  cyclesPerCall: cycles.nullable(),
  nsPerCall: z.number().nullable(),
  guestMeasuredCyclesPerCall: cycles.nullable(),
  guestMeasuredBy: z.enum(["console", "tsc"]).nullable(),
  counters: countersSchema.nullable(),
  ledger: z.array(ledgerCellSchema),
  console: text,
  exit: exitSchema,
  results: z.array(z.looseObject({ result: text, calls: count })).exactOptional(),
  fastForward: z
    .looseObject({
      mode: z.literal("functional"),
      until: text,
      reached: flag,
      instructions: count,
      cycles,
    })
    .exactOptional(),
});

const mitigations = z.looseObject({
  ibpbEntry: flag,
  rsbOverwrite: flag,
  specCtrlWrite: flag,
  verw: flag,
  bhbClear: flag,
  bhbSeq: z.enum(BHB_SEQUENCES).exactOptional(),
  l1dFlush: flag,
  lockHarden: flag,
});

const kvm = z.looseObject({
  specCtrlWrite: flag,
  verw: flag,
  l1dFlush: flag,
  vmscape: flag,
  pti: flag,
  execHugePages: flag,
  slotZapAll: flag,
  rsbFill: z.enum(RSB_FILLS),
  sharedInfo: z.enum(SHARED_INFO_KEYS),
  monitor: z.enum(MONITORS).default("all"),
});

/** What made a document. */
export const toolSchema: z.ZodType<CompareDocument["tool"]> = z.looseObject({ name: text, version: text });
/** The processor that was simulated. */
export const machineSchema: z.ZodType<CompareDocument["machine"]> = z.looseObject({
  id: text,
  name: text,
  vendor: text,
  ghz: z.number(),
  sha256: text.exactOptional(),
  set: z.record(text, z.number()).exactOptional(),
});
/** The guest that ran. */
export const guestSchema: z.ZodType<CompareDocument["guest"]> = z.looseObject({
  name: text,
  operation: text,
  cmdline: text,
});

/** An estimate that figures rest on. */
export const estimateSchema: z.ZodType<CompareDocument["estimates"][number]> = z.looseObject({
  key: text,
  value: z.number(),
  unit: text,
  range: z.tuple([z.number(), z.number()]).nullable(),
  source: text,
});

/** What `compare --json` prints: everything that a report reads of it, with keys of later versions let through. */
export const compareSchema: z.ZodType<CompareDocument> = z.looseObject({
  tool: toolSchema,
  machine: machineSchema,
  host: z.looseObject({
    kind: z.enum(["xen", "kvm", "xen,kvm"]),
    mitigations,
    kvm: kvm.exactOptional(),
    execSp: z.literal(false).exactOptional(),
    p2mPage: z.enum(P2M_PAGES),
    guestPage: z.enum(GUEST_PAGES),
    memoryMiB: z.number(),
    confidential: z.enum(CONFIDENTIAL_KINDS).exactOptional(),
    mmioHandlers: count,
    fastForward: text.exactOptional(),
  }),
  guest: guestSchema,
  runs: z.array(run).min(1),
  estimates: z.array(estimateSchema),
});
