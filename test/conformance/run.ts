import { epyc9124, type ProcessorProfile } from "@hyperwalk/cpu";
import {
  createXenSystem,
  type DomainConfig,
  type HypercallAbiName,
  type SystemCounters,
  type XenSystem,
} from "@hyperwalk/xen";
import { PAGE_ADDRESSES, RESULT_BYTES, RESULTS, ROW_AT, resultAt, savedPlaces, UNWRITTEN } from "./guest.js";
import { PAGES, type Row, type RowResult, type World } from "./row.js";

/** What came of one row. */
export interface RowOutcome {
  readonly result: RowResult;
  /** By output, in the order of the operation's outputs. */
  readonly outputs: readonly bigint[];
  readonly seen: unknown;
  /** What was counted for the call, from the end of the one before. */
  readonly counters: SystemCounters;
}

export interface ConformanceRun {
  readonly system: XenSystem;
  readonly outcomes: ReadonlyMap<Row, RowOutcome>;
  readonly end: ReturnType<XenSystem["run"]>;
}

export interface ConformanceOptions {
  readonly image: Uint8Array;
  readonly abi: HypercallAbiName;
  /** Bytes of the guest's `unsigned long`; default 8. */
  readonly longBytes?: 4 | 8;
  readonly profile?: ProcessorProfile;
  readonly domain?: Partial<DomainConfig>;
  /** Before the guest runs. */
  readonly prepare?: (system: XenSystem) => void;
}

/** Runs a guest that makes the calls of a table, and looks at each. */
export function runRows(rows: readonly Row[], options: ConformanceOptions): ConformanceRun {
  const { image, abi, longBytes = 8, profile = epyc9124, domain } = options;
  const system = createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi, vcpus: 2, p2mPage: "4k", ...domain },
  });
  options.prepare?.(system);
  const { guestMemory } = system.domain;
  guestMemory.writeBytes(RESULTS, new Uint8Array(RESULT_BYTES * rows.length).fill(UNWRITTEN));
  const places = savedPlaces(rows);
  const world: World = {
    system,
    longBytes,
    address: (page) => guestMemory.readU32(PAGE_ADDRESSES + 8 * PAGES.indexOf(page)) * 4096,
    saved: (name) => guestMemory.readU32(places.get(name) ?? -1),
  };
  const looks = new Map<number, { seen: unknown; counters: SystemCounters }>();
  let before = system.counters();
  system.on("hypercall", () => {
    const at = guestMemory.readU32(ROW_AT) - 1;
    const now = system.counters();
    const known = looks.get(at);
    if (at >= 0)
      looks.set(at, {
        seen: rows[at].look?.(world),
        // A call that goes on later is seen several times.
        counters: combine(known?.counters, now, before),
      });
    before = now;
  });
  const end = system.run({ maxInstructions: 10_000_000 });
  const outcomes = new Map<Row, RowOutcome>();
  rows.forEach((row, index) => {
    const look = looks.get(index);
    if (look === undefined) return;
    const bytes = guestMemory.readBytes(resultAt(index), RESULT_BYTES);
    const view = new DataView(bytes.buffer);
    const outputs = Array.from({ length: RESULT_BYTES / 8 - 1 }, (_, i) =>
      view.getBigUint64(8 + 8 * i, true),
    );
    const returned = bytes.subarray(0, 8).some((byte) => byte !== UNWRITTEN);
    const result = returned ? Number(view.getBigInt64(0, true)) : "does not return";
    outcomes.set(row, { result, outputs, ...look });
  });
  return { system, outcomes, end };
}

function combine(
  known: SystemCounters | undefined,
  now: SystemCounters,
  before: SystemCounters,
): SystemCounters {
  const keys = Object.keys(now) as (keyof SystemCounters)[];
  return Object.fromEntries(
    keys.map((key) => [key, (known?.[key] ?? 0) + now[key] - before[key]]),
  ) as unknown as SystemCounters;
}
