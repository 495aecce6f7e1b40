import type { ConfidentialKind, MonitorName } from "@hyperwalk/xen";
import type { GuestOperation } from "../guest.js";
import type { AbiName, GuestPage, HostName, P2mPage } from "../result.js";

/** Which guest a scenario runs; exactly one of the first four is there. */
export interface ScenarioGuest {
  /** One that is built in. */
  readonly name?: string | undefined;
  /** Path of a PVH ELF image, relative to the scenario's folder. */
  readonly elf?: string | undefined;
  /** Path of a JavaScript module that exports a guest, or a function that makes one of the guest SDK. */
  readonly module?: string | undefined;
  /** Name of an operation, as `vcpu.is_up`, that a guest made for it calls in a loop. */
  readonly "operation-loop"?: string | undefined;
  /** What a benchmark guest is asked to call. */
  readonly operation: GuestOperation;
  /** Hypercalls in the measured loop. */
  readonly iterations: number;
  /** Calls before the measured loop; operation loops only, other guests warm up as they like. */
  readonly "warm-up"?: number | undefined;
  /** Leaf size of the guest's page tables. */
  readonly page: GuestPage;
  /** Appended to the guest's command line. */
  readonly cmdline: string;
}

/** A figure that a run should give: `is` with `within`, or bounds. */
export interface ScenarioExpectation {
  readonly figure: ScenarioFigure;
  readonly interface: AbiName;
  readonly host?: HostName | undefined;
  /** For savings: the interface that it is a saving against. */
  readonly against?: AbiName | undefined;
  readonly is?: number | undefined;
  /** Allowed distance from `is`: in the figure's own unit, or as a share of `is` with a per cent sign. */
  readonly within?: number | string | undefined;
  readonly "at-least"?: number | undefined;
  readonly "at-most"?: number | undefined;
  /** Where the expected number is from. */
  readonly source?: string | undefined;
}

/** What can be expected of a run: figures of its result. */
export const SCENARIO_FIGURES = [
  "cycles-per-call",
  "ns-per-call",
  "guest-measured-cycles-per-call",
  "saving",
  "hypervisor-instructions-per-call",
  "p2m-lookups-per-call",
  "p2m-table-reads-per-call",
  "guest-pte-reads-per-call",
  "guest-instructions-per-call",
  "bytes-copied-per-call",
] as const;
export type ScenarioFigure = (typeof SCENARIO_FIGURES)[number];

/** Values of one axis of a sweep. */
export type SweepValue = string | number | boolean | readonly string[];

/** Axes of a sweep by the key that they change. */
export interface ScenarioSweep {
  /** `cross`: every combination, the last axis fastest; `zip`: the first values together, then the second ones. */
  readonly combine: "cross" | "zip";
  /** What a combination that cannot be run does: stops the sweep before it begins, or is left out with its reason. */
  readonly unsupported: "refuse" | "skip";
  readonly axes: Readonly<Record<string, readonly SweepValue[]>>;
}

/**
 * One experiment with every default written out; itself a valid scenario file. Keys are those of the file, and of axes.
 */
export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly machine: {
    /** Id of a profile, or path of a profile file. */
    readonly profile: string;
    /** Numbers to replace, by the key that `profiles show` and the list of estimates give them. */
    readonly set: Readonly<Record<string, number>>;
  };
  readonly host: {
    readonly kind: readonly HostName[];
    /** In the words of Xen's command line; empty: as Xen chooses. */
    readonly "spec-ctrl": string;
    readonly ept: string;
    /** IBPB on each exit (KVM: to user space); `default`: as the hypervisor chooses on the machine. */
    readonly ibpb: "default" | "on" | "off";
    /** KVM's. */
    readonly monitor: MonitorName;
  };
  readonly domain: {
    /** MiB. */
    readonly memory: number;
    readonly "p2m-page": P2mPage;
    readonly "mmio-handlers": number;
    readonly confidential: "none" | ConfidentialKind;
  };
  readonly guest: ScenarioGuest;
  /** `all`: those that the guest can be run through. */
  readonly interfaces: readonly AbiName[] | "all";
  readonly measure: {
    /** `auto`: between the guest's time stamps where it reads any; `whole-run`: everything. */
    readonly window: "auto" | "whole-run";
    /** `no`, `marker`, an address with 0x, or a number of guest instructions: what runs with timing off first. */
    readonly "fast-forward": string;
    /** Guest instructions after which a run is stopped. */
    readonly "max-instructions": number;
  };
  /** Of pseudo-random choices: caches and TLBs whose profile says `random`. */
  readonly seed: number;
  readonly expect: readonly ScenarioExpectation[];
  /** Absent: one point. */
  readonly sweep?: ScenarioSweep | undefined;
}
