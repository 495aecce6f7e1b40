import type { ProcessorProfile } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import {
  type DeliveryOutcome,
  type DeliveryPath,
  type EventDuringUpdate,
  eventsDuringMemslotUpdate,
  type KvmXenCountersSnapshot,
  type MemslotEventsResult,
  type MemslotUpdate,
  SHARED_INFO_KEYS,
  type SharedInfoKey,
} from "@hyperwalk/xen";
import { estimatesUsed, mergeEstimates } from "./estimates.js";
import { DEFAULT_MEMSLOT_UPDATES } from "./memslot-names.js";
import type { EstimateUsed } from "./result.js";
import { TOOL } from "./tool.js";

/** What {@link compareSharedInfoKeys} asks for. */
export interface MemslotsRequest {
  readonly machine: ProcessorProfile;
  /** Default all. */
  readonly updates?: readonly MemslotUpdate[];
  readonly keys?: readonly SharedInfoKey[];
}

/** Cycles of one phase, for one cause, of all events and updates of a setting. */
export interface MemslotsCell {
  /** `monitor`: it updates the slots; `sender`: it sends, or a worker does for it; `vcpu`: what it does before it runs. */
  readonly who: string;
  readonly phase: string;
  readonly cause: string;
  readonly cycles: number;
}

/** One kind of update with shared_info known in one way. */
export interface MemslotsSetting {
  readonly update: MemslotUpdate;
  readonly key: SharedInfoKey;
  readonly points: readonly string[];
  /** One for each sender at each point, each in an update of its own. */
  readonly events: readonly EventDuringUpdate[];
  /** Events by path, and by outcome. */
  readonly paths: Readonly<Record<DeliveryPath, number>>;
  readonly outcomes: Readonly<Record<DeliveryOutcome, number>>;
  readonly counters: KvmXenCountersSnapshot;
  /** Cycles of the monitor, per update; of everybody else, per event. */
  readonly cyclesPerUpdate: number;
  readonly cyclesPerEvent: number;
  readonly ledger: readonly MemslotsCell[];
}

/** Plain data, the same bytes for the same inputs. */
export interface MemslotsDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly machine: {
    readonly id: string;
    readonly name: string;
    readonly vendor: string;
    readonly ghz: number;
  };
  readonly settings: readonly MemslotsSetting[];
  readonly estimates: readonly EstimateUsed[];
}

/** Delivers events at every point of updates of KVM's memory slots, with shared_info known by its guest frame and by its host address. */
export function compareSharedInfoKeys(request: MemslotsRequest): MemslotsDocument {
  const { machine, updates = DEFAULT_MEMSLOT_UPDATES, keys = SHARED_INFO_KEYS } = request;
  const results = updates.flatMap((update) =>
    keys.map((key) => eventsDuringMemslotUpdate({ profile: machine, update, key })),
  );
  return {
    tool: TOOL,
    machine: { id: machine.id, name: machine.name, vendor: machine.vendor, ghz: machine.frequency.value },
    settings: results.map(settingOf),
    estimates: mergeEstimates(
      results.map(({ estimates }) => estimatesUsed({ estimates: () => [...estimates] })),
    ),
  };
}

function settingOf({ update, key, points, events, counters, ledger }: MemslotEventsResult): MemslotsSetting {
  const cells = ledger.map(({ path, phase, cause, ticks }) => ({
    who: path[1],
    phase,
    cause,
    cycles: ticks / TICKS_PER_CYCLE,
  }));
  const sum = (wanted: (cell: MemslotsCell) => boolean) =>
    cells.filter(wanted).reduce((total, { cycles }) => total + cycles, 0);
  const paths: Record<DeliveryPath, number> = { fast: 0, slow: 0, worker: 0, vcpu: 0, none: 0 };
  const outcomes: Record<DeliveryOutcome, number> = { delivered: 0, delayed: 0, refused: 0, lost: 0 };
  for (const { path, outcome } of events) {
    paths[path]++;
    outcomes[outcome]++;
  }
  return {
    update,
    key,
    points,
    events,
    paths,
    outcomes,
    counters,
    cyclesPerUpdate: sum(({ who }) => who === "monitor") / events.length,
    cyclesPerEvent: sum(({ who }) => who !== "monitor") / events.length,
    ledger: cells,
  };
}
