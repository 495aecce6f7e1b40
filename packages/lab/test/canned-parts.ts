import type { SensitivityInputs } from "../src/html/sensitivity-inputs.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import type { RunDocument } from "../src/scenario/run-scenario.js";
import type { PointValues } from "../src/scenario/sweep-points.js";
import type { SweepRow } from "../src/sweep/sweep-row.js";
import type { CallSpan, HypercallTimeline } from "../src/timeline/hypercall-timeline.js";
import { CANNED } from "./canned-document.js";

const { tool, machine, guest } = CANNED;

function span(name: string, phase: string, start: number, end: number, depth: number): CallSpan {
  return { name, phase, start, end, depth, causes: [{ cause: "issue", cycles: end - start }] };
}

/** A hypercall with made-up spans, more of them than a chart has rows. */
export const CANNED_TIMELINE: HypercallTimeline = {
  tool,
  machine,
  guest,
  host: "xen",
  abi: "linear",
  window: "rdtsc",
  cold: { operation: null, result: -38, number: 1, cycles: 900, guestCyclesBefore: 5, spans: [] },
  warm: {
    operation: "vcpu.get_runstate_info",
    result: 0,
    number: 3,
    cycles: 700,
    guestCyclesBefore: 12.5,
    spans: [
      span("vcpu.get_runstate_info", "guest", 0, 700, 0),
      span("vm-exit", "vm-exit", 0, 100, 1),
      span("operation", "operation", 100, 600, 1),
      ...Array.from({ length: 60 }, (_, at) => span(`step ${at}`, "copy", 100 + 8 * at, 108 + 8 * at, 2)),
      span("vm-entry", "vm-entry", 600, 700, 1),
    ],
  },
};

const base = [
  { cyclesPerCall: 3160, saving: null },
  { cyclesPerCall: 1160, saving: 0.633 },
];
const ends = (low: number, high: number) => ({
  low: {
    value: 1,
    figures: [
      { cyclesPerCall: 3160 - low, saving: null },
      { cyclesPerCall: 1160, saving: 0.633 - low / 1e4 },
    ],
  },
  high: {
    value: 9,
    figures: [
      { cyclesPerCall: 3160 + high, saving: null },
      { cyclesPerCall: 1160, saving: 0.633 + high / 1e4 },
    ],
  },
  swing: [
    { cyclesPerCall: low + high, saving: null },
    { cyclesPerCall: 0, saving: (low + high) / 1e4 },
  ],
});

/** The canned comparison as that of a scenario, which expected something else. */
export const CANNED_RUN: RunDocument = {
  tool,
  scenario: parseScenario("name: mine\nguest: { name: hypercall-bench }\n", "mine.yaml").scenario,
  profile: { id: "epyc-9124", sha256: "abc123" },
  comparison: CANNED,
  expectations: [
    {
      figure: "saving",
      interface: "physaddr",
      against: "linear",
      is: 0.41,
      within: 0.05,
      found: 0.633,
      isMet: false,
    },
  ],
};

/** An analysis of made-up estimates, the last of which moves nothing. */
export const CANNED_SENSITIVITY: SensitivityInputs = {
  tool,
  machine,
  guest,
  iterations: 8,
  runs: [{ abi: "linear" }, { abi: "physaddr" }],
  baseline: base,
  inputs: [
    { key: "timing.small", unit: "cycles", value: 5, range: [1, 9], source: "judgement", ...ends(10, 20) },
    { key: "timing.large", unit: "cycles", value: 5, range: [1, 9], source: "judgement", ...ends(300, 500) },
    { key: "timing.none", unit: "cycles", value: 5, range: [1, 9], source: "judgement", ...ends(0, 0) },
  ],
  notVaried: [{ key: "timing.fixed", value: 1, why: "its range is one number" }],
  joint: [
    { of: "cyclesPerCall", low: 2000, high: 4000, leftOut: [] },
    { of: "saving", low: 0.5, high: 0.7, leftOut: [] },
  ],
  jointNote: "all at once",
};

/** A row for each point of a cross product, with made-up figures. */
export function cannedSweep(axes: Readonly<Record<string, readonly (string | number)[]>>): SweepRow[] {
  let points: PointValues[] = [{}];
  for (const [key, values] of Object.entries(axes))
    points = points.flatMap((point) => values.map((value) => ({ ...point, [key]: value })));
  return points.map((point, index) => ({
    index,
    point,
    runs: CANNED.runs.map(
      ({ iterations: _i, window: _w, windowCycles: _c, guestMeasuredBy: _b, console: _o, ...run }, at) => ({
        ...run,
        host: "xen",
        cyclesPerCall: (run.cyclesPerCall ?? 0) + 10 * index,
        saving: at === 0 ? null : 0.1 * at,
      }),
    ),
    expectations: [],
    estimates: [],
  }));
}
