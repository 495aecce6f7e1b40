import { saving } from "../published.js";
import type { CompareDocument } from "../result.js";
import { figure, percent } from "./figures.js";
import { grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** One line for each interface: cycles, nanoseconds, saving against linear, and what was counted. */
export function summaryTable(document: CompareDocument, paint: Paint): string {
  const linear = document.runs.find((run) => run.abi === "linear");
  const rows = document.runs.map((run) => [
    run.abi,
    figure(run.cyclesPerCall, 1),
    figure(run.nsPerCall, 1),
    run === linear || !linear ? "-" : percent(saving(run, linear)),
    figure(run.counters?.hypervisorInstructionsPerCall, 1),
    figure(run.counters?.p2mLookupsPerCall, 2),
    figure(run.counters?.guestPteReadsPerCall, 2),
    figure(run.counters?.guestInstructionsPerCall, 1),
  ]);
  return grid(
    [
      { title: "interface", align: "left" },
      { title: "cycles/call" },
      { title: "ns/call" },
      { title: "saving vs linear" },
      { title: "Xen instr." },
      { title: "p2m lookups" },
      { title: "guest PTE reads" },
      { title: "guest instr." },
    ],
    rows,
    paint,
  );
}

/** What was run on what, in two lines. */
export function setting(document: CompareDocument, paint: Paint): string {
  const { machine, host, guest, runs } = document;
  const on = Object.entries(host.mitigations)
    .filter(([, value]) => value)
    .map(([name]) => name);
  const iterations = runs.length > 0 ? `, ${figure(runs[0].iterations)} iterations` : "";
  return [
    `${paint.strong(guest.name)} (${guest.operation}${iterations}) on ${paint.strong(machine.name)}, ${machine.ghz} GHz, under Xen`,
    paint.faint(
      `guest pages ${host.guestPage}, p2m pages up to ${host.p2mPage}, ${host.memoryMiB} MiB; on: ${on.join(", ") || "no mitigation"}`,
    ),
  ].join("\n");
}
