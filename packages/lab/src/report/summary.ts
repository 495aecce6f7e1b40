import { saving } from "../published.js";
import type { CompareDocument, RunResult } from "../result.js";
import { figure, percent } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import { kvmSwitches } from "./kvm-switches.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** A document with the name of the setting that tells it from the others. */
export interface Labelled {
  readonly label: string;
  readonly document: CompareDocument;
}

const COLUMNS: readonly Column[] = [
  { title: "interface", align: "left" },
  { title: "cycles/call" },
  { title: "ns/call" },
  { title: "saving vs linear" },
  { title: "Xen instr." },
  { title: "p2m lookups" },
  { title: "guest PTE reads" },
  { title: "guest instr." },
];

/** One line for each interface: cycles, nanoseconds, saving against linear, and what was counted per call. */
export function summaryTable(document: CompareDocument, paint: Paint): string {
  const hasResults = document.runs.some(({ results }) => results !== undefined);
  return grid(
    hasResults ? [...COLUMNS, { title: "returned" }] : COLUMNS,
    document.runs.map((run) =>
      hasResults ? [...cells(run, document), returned(run)] : cells(run, document),
    ),
    paint,
  );
}

function alwaysFailed({ results }: RunResult): boolean {
  return results?.every(({ result }) => result.startsWith("-")) === true;
}

/** What calls returned: one result, or each with its number. */
function returned({ results = [] }: RunResult): string {
  if (results.length === 1) return results[0].result;
  return results.map(({ result, calls }) => `${result} (${figure(calls)})`).join(", ");
}

/** The same for several settings in one table; the saving is against linear in the same setting. */
export function settingsTable(title: string, settings: readonly Labelled[], paint: Paint): string {
  const rows = settings.flatMap(({ label, document }, at): Row[] => [
    ...(at === 0 ? [] : (["rule"] as const)),
    ...document.runs.map((run) => [label, ...cells(run, document)]),
  ]);
  return grid([{ title, align: "left" }, ...COLUMNS], rows, paint);
}

function cells(run: RunResult, { runs }: CompareDocument): string[] {
  // What always fails is no measure of what works.
  const linear = runs.find((each) => each.abi === "linear" && !alwaysFailed(each));
  return [
    runName(run),
    figure(run.cyclesPerCall, 1),
    figure(run.nsPerCall, 1),
    run === linear || linear === undefined ? "-" : percent(saving(run, linear)),
    figure(run.counters?.hypervisorInstructionsPerCall, 1),
    figure(run.counters?.p2mLookupsPerCall, 2),
    figure(run.counters?.guestPteReadsPerCall, 2),
    figure(run.counters?.guestInstructionsPerCall, 1),
  ];
}

/** Numbers that are not those of the package. */
function ownNumbers({ machine }: CompareDocument): string[] {
  const set = Object.entries(machine.set ?? {}).map(([key, value]) => `${key}=${value}`);
  const profile = machine.sha256 === undefined ? [] : [`profile: ${machine.id}, SHA-256 ${machine.sha256}`];
  return [...profile, ...(set.length === 0 ? [] : [`numbers set: ${set.join(", ")}`])];
}

/** What was run on what, in a few words a line. */
export function setting(document: CompareDocument, paint: Paint): string {
  const { machine, host, guest } = document;
  const on = Object.entries(host.mitigations)
    .filter(([, value]) => value)
    .map(([name]) => name);
  const under = host.kind === "xen" ? "Xen" : host.kind === "kvm" ? "KVM" : "Xen and KVM";
  const domain = host.confidential === undefined ? "" : `; domain: ${host.confidential}`;
  return [
    `${paint.strong(guest.name)} on ${paint.strong(machine.name)}, ${machine.ghz} GHz, under ${under}`,
    `guest: ${guest.cmdline}; ${host.memoryMiB} MiB, p2m pages up to ${host.p2mPage}, ${host.mmioHandlers} MMIO handlers`,
    ...(host.kind === "kvm" ? [] : [`Xen: ${on.join(", ") || "no mitigation"}${domain}`]),
    ...ownNumbers(document),
    ...(host.kvm === undefined ? [] : [`KVM: ${kvmSwitches(host.kvm)}`]),
  ].join("\n");
}
