import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { TimelineStretch } from "@hyperwalk/xen";
import { TOOL } from "../tool.js";

/** A function that time is spent in; `file` is the ledger phase. */
export interface SpeedscopeFrame {
  readonly name: string;
  readonly file: string;
}

/** A frame is opened or closed. */
export interface SpeedscopeEvent {
  readonly type: "O" | "C";
  /** Number of the frame. */
  readonly frame: number;
  /** Cycles. */
  readonly at: number;
}

/** What one vCPU did, in the order of its time. */
export interface SpeedscopeProfile {
  readonly type: "evented";
  readonly name: string;
  /** Cycles: none of the format's units. */
  readonly unit: "none";
  readonly startValue: number;
  readonly endValue: number;
  readonly events: readonly SpeedscopeEvent[];
}

/** A file in speedscope's own format. */
export interface SpeedscopeFile {
  readonly $schema: "https://www.speedscope.app/file-format-schema.json";
  readonly shared: { readonly frames: readonly SpeedscopeFrame[] };
  readonly profiles: readonly SpeedscopeProfile[];
  readonly name: string;
  readonly activeProfileIndex: 0;
  readonly exporter: string;
}

/** A timeline in speedscope's format: a profile for each vCPU, values in cycles of simulated time. */
export function speedscopeFile(stretches: readonly TimelineStretch[], title: string): SpeedscopeFile {
  const frames: SpeedscopeFrame[] = [];
  const numbers = new Map<string, number>();
  const frameOf = (name: string, file: string): number => {
    const key = `${file}\n${name}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = frames.push({ name, file }) - 1;
      numbers.set(key, number);
    }
    return number;
  };
  const vcpus = [...new Set(stretches.map(({ vcpu }) => vcpu))].sort((a, b) => a - b);
  const profiles = vcpus.map((vcpu): SpeedscopeProfile => {
    const own = stretches.filter((stretch) => stretch.vcpu === vcpu);
    return {
      type: "evented",
      name: `${title}: vCPU ${vcpu}, cycles`,
      unit: "none",
      startValue: (own[0]?.start ?? 0) / TICKS_PER_CYCLE,
      endValue: (own.at(-1)?.end ?? 0) / TICKS_PER_CYCLE,
      events: own.flatMap((stretch) => eventsOf(stretch, frameOf)),
    };
  });
  return {
    $schema: "https://www.speedscope.app/file-format-schema.json",
    shared: { frames },
    profiles,
    name: title,
    activeProfileIndex: 0,
    exporter: `${TOOL.name} ${TOOL.version}`,
  };
}

function eventsOf(
  { spans }: TimelineStretch,
  frameOf: (name: string, file: string) => number,
): SpeedscopeEvent[] {
  const events: SpeedscopeEvent[] = [];
  const open: { readonly frame: number; readonly end: number }[] = [];
  const closeTo = (depth: number) => {
    while (open.length > depth) {
      const { frame, end } = open.pop() as (typeof open)[number];
      events.push({ type: "C", frame, at: end / TICKS_PER_CYCLE });
    }
  };
  for (const { name, phase, start, end, depth } of spans) {
    closeTo(depth);
    const frame = frameOf(name, phase);
    events.push({ type: "O", frame, at: start / TICKS_PER_CYCLE });
    open.push({ frame, end });
  }
  closeTo(0);
  return events;
}
