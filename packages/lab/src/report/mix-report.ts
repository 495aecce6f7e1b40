import type { ImportDocument } from "../recording/import-xentrace.js";
import type { MixDocument } from "../recording/price-mix.js";
import { figure, percent } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";

const LEFT = { align: "left" } as const;

/** What an imported trace has. @param path of the record that was made of it */
export function importReport({ recording, trace }: ImportDocument, path: string, paint: Paint): string {
  const { mixes, end } = recording;
  const calls = mixes.reduce((sum, { count }) => sum + count, 0);
  const rows: Row[] = mixes.map(({ domain, number, operation, count, timed, cycles, interval }) => [
    domain === null ? "?" : String(domain),
    operation ?? `hypercall ${number}`,
    figure(count),
    figure(timed),
    figure(timed === 0 ? null : cycles / timed),
    figure(interval),
  ]);
  const columns: Column[] = [
    { title: "domain" },
    { title: "hypercall", ...LEFT },
    { title: "calls" },
    { title: "timed" },
    { title: "cycles a call" },
    { title: "interval" },
  ];
  const parts = [
    `${figure(trace.records)} records of ${trace.cpus} physical CPUs over ${figure(end.runCycles)} cycles: ${figure(trace.exits)} VM exits, ${figure(calls)} hypercalls` +
      (trace.lost > 0 ? `\n${figure(trace.lost)} records were lost when the trace was made` : ""),
    rows.length === 0 ? "No hypercall is in it." : grid(columns, rows, paint),
    `Written to ${path}. Cycles are of the time stamp counter, from VM exit to VM entry.`,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** What a mix takes through each interface. */
export function mixReport({ recording, machine, rows, runs, estimates }: MixDocument, paint: Paint): string {
  const table = grid(
    [
      { title: "domain" },
      { title: "priced as", ...LEFT },
      { title: "calls" },
      { title: "traced" },
      ...runs.map(({ abi }): Column => ({ title: abi })),
    ],
    rows.map(({ domain, number, operation, assumed, count, tracedCyclesPerCall, cells }) => [
      domain === null ? "?" : String(domain),
      operation === null ? `hypercall ${number}` : `${operation}${assumed ? " *" : ""}`,
      figure(count),
      figure(tracedCyclesPerCall),
      ...cells.map(({ cyclesPerCall }) => figure(cyclesPerCall)),
    ]),
    paint,
  );
  const summary = grid(
    [
      { title: "interface", ...LEFT },
      { title: "calls" },
      { title: "cycles" },
      { title: "saving" },
      { title: "of all" },
    ],
    runs.map(({ abi, calls, cycles, saving, savingOfAll }) => [
      abi,
      figure(calls),
      figure(cycles),
      percent(saving),
      percent(savingOfAll),
    ]),
    paint,
  );
  const notes = [
    "Arguments and buffers are not in a trace: each call is priced as a warm one with those of the operation matrix.",
    ...(rows.some(({ assumed }) => assumed)
      ? ["* The trace does not say which sub-operation: this one stands for all of that number."]
      : []),
    ...new Set(
      rows.flatMap(({ operation, number, cells }) =>
        cells.flatMap((cell) =>
          cell.cyclesPerCall === null
            ? [`- ${operation ?? `hypercall ${number}`} through ${cell.abi}: ${cell.reason}`]
            : [],
        ),
      ),
    ),
  ];
  const parts = [
    `${paint.strong(recording.guest)}: ${figure(recording.calls)} hypercalls of a trace, priced on ${machine.name}; cycles per call from VM exit to VM entry`,
    table,
    summary,
    notes.join("\n"),
    `Estimates that these figures rest on: ${estimates.length}, listed by --json`,
  ];
  return `${parts.join("\n\n")}\n`;
}
