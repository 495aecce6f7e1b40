import type { CompareDocument, RunResult } from "./result.js";

/** A figure that somebody else measured on real hardware. */
export interface PublishedFigure {
  readonly machine: string;
  /** Guests that do what was measured. */
  readonly guests: readonly string[];
  readonly operation: string;
  readonly abi: string;
  readonly against: string;
  /** Share by which `abi` was cheaper than `against`. */
  readonly saving: number;
  readonly statement: string;
  readonly unknown: string;
  readonly source: string;
}

/** The only published figure for these interfaces. */
export const PUBLISHED: readonly PublishedFigure[] = [
  {
    machine: "epyc-9124",
    guests: ["hypercall-bench", "runstate-loop"],
    operation: "get_runstate_info",
    abi: "physaddr",
    against: "linear",
    saving: 0.3,
    statement: '"broadly a 30% overhead reduction", XTF loop of VCPUOP_get_runstate_info on an AMD EPYC 9124',
    unknown: "whether IBPB ran on each exit, and the build of Xen",
    source: "xen-devel, cover letter of the HVMv2 series, 2025-04-18",
  },
];

/** The published figure for what a document ran, if there is one. */
export function publishedFigure({ machine, guest, host }: CompareDocument): PublishedFigure | undefined {
  // None is of an encrypted domain.
  if (host.confidential !== undefined) return undefined;
  return PUBLISHED.find(
    (each) =>
      each.machine === machine.id && each.operation === guest.operation && each.guests.includes(guest.name),
  );
}

/** Share of cycles that a run saves against another, or `undefined` when either has none. */
export function saving(run: RunResult, against: RunResult | undefined): number | undefined {
  if (run.cyclesPerCall === null || !against || against.cyclesPerCall === null) return undefined;
  if (against.cyclesPerCall === 0) return undefined;
  return 1 - run.cyclesPerCall / against.cyclesPerCall;
}
