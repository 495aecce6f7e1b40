import type { ProcessorProfile } from "@hyperwalk/cpu";
import { type OperationName, operationTour } from "@hyperwalk/guest-sdk";
import { createXenSystem, type XenConfig } from "@hyperwalk/xen";
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY_MIB, DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import { estimatesUsed, mergeEstimates } from "../estimates.js";
import { type AbiName, COMPARED_ABIS, type EstimateUsed, type GuestPage, type P2mPage } from "../result.js";
import { TOOL } from "../tool.js";
import { HypercallMeter } from "./hypercall-meter.js";
import type { Recording } from "./recording.js";

/** A mix of hypercalls to be priced. Everything but mix and machine has a default. */
export interface MixRequest {
  readonly recording: Recording;
  readonly machine: ProcessorProfile;
  /** Default {@link COMPARED_ABIS}. */
  readonly abis?: readonly AbiName[] | undefined;
  readonly xen?: XenConfig | undefined;
  /** Default "4k". */
  readonly p2mPage?: P2mPage | undefined;
  /** Default {@link DEFAULT_MMIO_HANDLERS}. */
  readonly mmioHandlers?: number | undefined;
  /** Default "4k". */
  readonly guestPage?: GuestPage | undefined;
}

/** Calls of one kind through one interface. */
export type MixCell =
  | { readonly abi: AbiName; readonly cyclesPerCall: number }
  | { readonly abi: AbiName; readonly cyclesPerCall: null; readonly reason: string };

/** Calls of one kind. */
export interface MixRow {
  readonly domain: number | null;
  readonly number: number;
  /** What is priced; null where nothing stands for calls of that number. */
  readonly operation: string | null;
  /** The trace does not say which sub-operation it was: {@link operation} stands for all of that number. */
  readonly assumed: boolean;
  readonly count: number;
  /** From exit to entry in the trace, time stamp counter; null where it has none. */
  readonly tracedCyclesPerCall: number | null;
  /** In the order of the interfaces. */
  readonly cells: readonly MixCell[];
}

/** A mix through one interface. */
export interface MixRun {
  readonly abi: AbiName;
  /** Of the calls that it carries. */
  readonly calls: number;
  readonly cycles: number;
  /** Saving against linear of the calls that both carry, and of all that linear does; null where there is none. */
  readonly saving: number | null;
  readonly savingOfAll: number | null;
}

/** A priced mix: plain data, the same bytes for the same inputs. */
export interface MixDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly recording: { readonly guest: string; readonly calls: number };
  readonly machine: { readonly id: string; readonly name: string };
  /** Neither arguments nor buffers are in a trace: each call is priced as one with those of the operation matrix, made again and again. */
  readonly representative: true;
  readonly rows: readonly MixRow[];
  readonly runs: readonly MixRun[];
  readonly estimates: readonly EstimateUsed[];
}

/** What stands for calls of which only the number is known. */
export const REPRESENTATIVES: Readonly<Record<number, OperationName>> = {
  7: "platform_op.call",
  12: "memory.add_to_physmap",
  13: "multicall.call",
  15: "set_timer_op.set",
  17: "version.version",
  18: "console_io.write",
  20: "grant_table.copy",
  21: "vm_assist.set",
  24: "vcpu.get_runstate_info",
  29: "sched.yield",
  32: "event_channel.send",
  33: "physdev.map_pirq",
  34: "hvm.get_param",
  35: "sysctl.call",
  36: "domctl.call",
};

/** Prices a mix of hypercalls: each kind by one call of it, warm, from exit to entry. */
export function priceMix(request: MixRequest): MixDocument {
  const { recording, machine, abis = COMPARED_ABIS } = request;
  const all: readonly AbiName[] = abis.includes("linear") ? abis : ["linear", ...abis];
  const estimates: EstimateUsed[][] = [];
  const priced = new Map<string, MixCell>();
  const cellOf = (operation: OperationName, abi: AbiName): MixCell => {
    const key = `${operation} ${abi}`;
    let cell = priced.get(key);
    if (cell === undefined) {
      const price = priceOne(operation, abi, request);
      cell = price.cell;
      estimates.push(price.estimates);
      priced.set(key, cell);
    }
    return cell;
  };
  const rows = recording.mixes.map((mix) => {
    const operation = mix.operation ?? REPRESENTATIVES[mix.number] ?? null;
    const cells = all.map(
      (abi): MixCell =>
        operation === null
          ? { abi, cyclesPerCall: null, reason: "no operation stands for that number" }
          : cellOf(operation as OperationName, abi),
    );
    return {
      domain: mix.domain,
      number: mix.number,
      operation,
      assumed: mix.operation === null && operation !== null,
      count: mix.count,
      tracedCyclesPerCall: mix.timed === 0 ? null : mix.cycles / mix.timed,
      cells,
    };
  });
  const linear = all.indexOf("linear");
  return {
    tool: TOOL,
    recording: {
      guest: recording.header.guest.name,
      calls: recording.mixes.reduce((sum, { count }) => sum + count, 0),
    },
    machine: { id: machine.id, name: machine.name },
    representative: true,
    rows: rows.map((row) => ({ ...row, cells: row.cells.filter(({ abi }) => abis.includes(abi)) })),
    runs: abis.map((abi) => runOf(rows, abi, all.indexOf(abi), linear)),
    estimates: mergeEstimates(estimates),
  };
}

function runOf(rows: readonly MixRow[], abi: AbiName, own: number, linear: number): MixRun {
  const sums = { calls: 0, cycles: 0, both: 0, theirs: 0, all: 0 };
  for (const { count, cells } of rows) {
    const here = cells[own].cyclesPerCall;
    const there = cells[linear].cyclesPerCall;
    if (there !== null) sums.all += count * there;
    if (here === null) continue;
    sums.calls += count;
    sums.cycles += count * here;
    if (there === null) continue;
    sums.both += count * here;
    sums.theirs += count * there;
  }
  return {
    abi,
    calls: sums.calls,
    cycles: sums.cycles,
    saving: sums.theirs > 0 ? 1 - sums.both / sums.theirs : null,
    savingOfAll: sums.all > 0 ? (sums.theirs - sums.both) / sums.all : null,
  };
}

/** The last call of an operation's tour. */
function priceOne(
  operation: OperationName,
  abi: AbiName,
  { machine, xen, p2mPage, mmioHandlers, guestPage }: MixRequest,
): { readonly cell: MixCell; readonly estimates: EstimateUsed[] } {
  const tour = operationTour({
    abi,
    vendor: machine.vendor,
    leaf: guestPage ?? "4k",
    operations: [operation],
  });
  const left = tour.left.get(operation);
  if (left !== undefined) return { cell: { abi, cyclesPerCall: null, reason: left }, estimates: [] };
  const system = createXenSystem({
    profile: machine,
    xen: xen ?? {},
    domain: {
      image: tour.image,
      memoryBytes: DEFAULT_MEMORY_MIB * 2 ** 20,
      abi,
      p2mPage: p2mPage ?? "4k",
      mmioHandlers: mmioHandlers ?? DEFAULT_MMIO_HANDLERS,
    },
    measureWindow: false,
  });
  let cycles: number | undefined;
  const meter = new HypercallMeter(system, {
    onCall: (call) => {
      if (call.event.operation === operation) cycles = call.cycles;
    },
  });
  system.run({ maxInstructions: DEFAULT_MAX_INSTRUCTIONS });
  meter.finish();
  const estimates = estimatesUsed(system);
  return cycles === undefined
    ? { cell: { abi, cyclesPerCall: null, reason: "the guest did not come to it" }, estimates }
    : { cell: { abi, cyclesPerCall: cycles }, estimates };
}
