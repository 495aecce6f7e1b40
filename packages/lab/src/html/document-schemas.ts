import { z } from "zod";
import { ABIS, HOSTS } from "../result.js";
import type { ExpectationResult } from "../scenario/expectations.js";
import type { RunDocument } from "../scenario/run-scenario.js";
import { SCENARIO_FIGURES } from "../scenario/scenario.js";
import { SCENARIO_SCHEMA } from "../scenario/scenario-schema.js";
import type { SweepDocument, SweepRow, SweepRun } from "../sweep/sweep-row.js";
import type { CallTimeline, HypercallTimeline } from "../timeline/hypercall-timeline.js";
import {
  compareSchema,
  countersSchema,
  estimateSchema,
  exitSchema,
  guestSchema,
  ledgerCellSchema,
  machineSchema,
  toolSchema,
} from "./compare-schema.js";

const text = z.string();
const number = z.number();

const expectation: z.ZodType<ExpectationResult> = z.looseObject({
  figure: z.enum(SCENARIO_FIGURES),
  interface: z.enum(ABIS),
  host: z.enum(HOSTS).optional(),
  against: z.enum(ABIS).optional(),
  is: number.optional(),
  within: z.union([number, text]).optional(),
  "at-least": number.optional(),
  "at-most": number.optional(),
  source: text.optional(),
  found: number.nullable(),
  isMet: z.boolean(),
});

/** What `run --json` prints. */
export const runSchema: z.ZodType<RunDocument> = z.looseObject({
  tool: toolSchema,
  scenario: SCENARIO_SCHEMA,
  profile: z.looseObject({ id: text, sha256: text }),
  comparison: compareSchema,
  expectations: z.array(expectation),
});

const sweepRun: z.ZodType<SweepRun> = z.looseObject({
  host: z.enum(HOSTS),
  abi: z.enum(ABIS),
  windowHypercalls: number,
  cyclesPerCall: number.nullable(),
  nsPerCall: number.nullable(),
  guestMeasuredCyclesPerCall: number.nullable(),
  saving: number.nullable(),
  counters: countersSchema.nullable(),
  ledger: z.array(ledgerCellSchema),
  exit: exitSchema,
});

/** A line of a sweep's `results.jsonl`. */
export const sweepRowSchema: z.ZodType<SweepRow> = z.looseObject({
  index: number,
  point: z.record(text, z.union([text, number, z.boolean(), z.array(text)])),
  runs: z.array(sweepRun),
  expectations: z.array(expectation),
  estimates: z.array(text),
  skipped: text.exactOptional(),
});

/** A sweep's `sweep.json`. */
export const sweepSchema: z.ZodType<SweepDocument> = z.looseObject({
  tool: toolSchema,
  scenario: SCENARIO_SCHEMA,
  identity: text,
  points: number,
  shard: text.exactOptional(),
  estimates: z.array(estimateSchema),
});

const call: z.ZodType<CallTimeline> = z.looseObject({
  operation: text.nullable(),
  result: number,
  number,
  cycles: number,
  guestCyclesBefore: number,
  spans: z.array(
    z.looseObject({
      name: text,
      phase: text,
      start: number,
      end: number,
      depth: number.min(0).max(1000),
      causes: z.array(z.looseObject({ cause: text, cycles: number })),
    }),
  ),
});

/** Two hypercalls of one guest, function by function. */
export const timelineSchema: z.ZodType<HypercallTimeline> = z.looseObject({
  tool: toolSchema,
  machine: machineSchema,
  guest: guestSchema,
  host: z.enum(HOSTS),
  abi: z.enum(ABIS),
  window: z.enum(["rdtsc", "whole-run"]),
  cold: call,
  warm: call,
});
