import { createKvmSystem, createXenSystem, type GuestSystem, type TimelineListener } from "@hyperwalk/xen";
import { type CompareRequest, compare } from "../compare.js";
import type { AbiName, CompareDocument, HostName } from "../result.js";
import { DEFAULT_TIMELINE_ITERATIONS } from "./timeline-defaults.js";

/** A run of a guest through one interface whose timeline is wanted: as for `compare`, with other iterations by default. */
export interface TimelineRequest extends Omit<CompareRequest, "abis" | "hosts"> {
  /** Default linear. */
  readonly abi?: AbiName;
  /** Default Xen. */
  readonly host?: HostName;
}

/** A run, as `compare` has it, and its simulated clock at the end. */
export interface TimelineRun {
  readonly document: CompareDocument;
  /** Ledger ticks of vCPU 0: what the spans of all its stretches sum to. */
  readonly ticks: number;
}

/**
 * Runs a guest once, the way `compare` does, and has every stretch of its time told. Figures are the same as without.
 * @throws what `compare` does
 */
export function runWithTimeline(request: TimelineRequest, timeline: TimelineListener): TimelineRun {
  const { abi = "linear", host = "xen", iterations = DEFAULT_TIMELINE_ITERATIONS, ...rest } = request;
  const systems: GuestSystem[] = [];
  const kept = <T extends GuestSystem>(system: T): T => {
    systems.push(system);
    return system;
  };
  const document = compare(
    { ...rest, iterations, abis: [abi], hosts: [host] },
    (options) => kept(createXenSystem({ ...options, timeline })),
    (options) => kept(createKvmSystem({ ...options, timeline })),
  );
  const [system] = systems;
  system.endTimeline();
  return { document, ticks: system.ledger.clock[0] };
}
