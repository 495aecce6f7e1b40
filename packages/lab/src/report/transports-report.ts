import { comparePhases } from "../phase-order.js";
import {
  MARK_MEANING,
  PUBLISHED_STATEMENT,
  PUBLISHED_TRANSPORTS,
  type PublishedMark,
  type PublishedNotification,
} from "../published-transports.js";
import type { LedgerCell } from "../result.js";
import type { TransportHost } from "../transport-names.js";
import type { TransportResult, TransportsDocument } from "../transports.js";
import { estimatesTable } from "./estimates.js";
import { figure } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";

/** A line is to fit 100 columns: words for the transports as titles of columns. */
const TITLES: Readonly<Record<string, string>> = {
  "hypercall-inline": "inline",
  "hypercall-page": "page",
  "hypercall-patched": "patched",
  "hypercall-emulated": "emulated",
  pio: "pio",
  mmio: "mmio",
  "mmio-fast": "mmio-fast",
  "mmio-over-hypercall": "mmio-hc",
};

/** The whole experiment as text. */
export function transportsReport(document: TransportsDocument, paint: Paint): string {
  const { machine, results } = document;
  const settings = [...new Set(results.map(({ host, handler }) => `${host} ${handler}`))];
  const parts = [
    `Notifying a device on ${paint.strong(machine.name)}, ${machine.ghz} GHz`,
    costTable(document, paint),
    `${paint.strong("What changes what was measured at launch")} (SHA-256 before and after the run)`,
    attestationTable(document, paint),
    ...settings.flatMap((name) => {
      const own = results.filter(({ host, handler }) => `${host} ${handler}` === name);
      return [
        `${paint.strong("Where the cycles go")} (${own[0].host}, handler: ${own[0].handler}; cycles per notification)`,
        ledgerTable(own, paint),
      ];
    }),
    ...(document.batches.length === 0
      ? []
      : [
          `${paint.strong("A shared ring")} (cycles per message, by messages for each doorbell)`,
          batchTable(document, paint),
        ]),
    `${paint.strong("Published")} (ratios beside those here; nothing was fitted to them)`,
    publishedTable(document, paint),
    marks(),
    `${paint.strong("Estimates that these figures rest on")} (${document.estimates.length})`,
    estimatesTable(document.estimates, paint),
  ];
  return `${parts.join("\n\n")}\n`;
}

function costTable({ results }: TransportsDocument, paint: Paint): string {
  const rows = results.flatMap((result, i): Row[] => {
    const before = results[i - 1];
    const begins = before !== undefined && (before.host !== result.host || before.handler !== result.handler);
    return [
      ...(begins ? (["rule"] as const) : []),
      [
        result.host,
        result.handler,
        result.transport,
        figure(result.cyclesPerNotification, 1),
        figure(result.nsPerNotification, 1),
        result.ratio === null ? "-" : result.ratio.toFixed(2),
        figure(result.firstCycles),
      ],
    ];
  });
  return grid(
    [
      { title: "host", align: "left" },
      { title: "handler", align: "left" },
      { title: "transport", align: "left" },
      { title: "cycles" },
      { title: "ns" },
      { title: "ratio" },
      { title: "first, cycles" },
    ],
    rows,
    paint,
  );
}

function attestationTable({ results }: TransportsDocument, paint: Paint): string {
  const first = results[0];
  const rows = results
    .filter(({ host, handler }) => host === first.host && handler === first.handler)
    .map(({ transport, text, hypercallPage }) => [
      transport,
      text.launch.slice(0, 16),
      text.changed ? text.after.slice(0, 16) : "unchanged",
      hypercallPage.changed ? "filled by the hypervisor" : "unchanged",
    ]);
  return grid(
    [
      { title: "transport", align: "left" },
      { title: "text at launch", align: "left" },
      { title: "text after", align: "left" },
      { title: "hypercall page", align: "left" },
    ],
    rows,
    paint,
  );
}

function ledgerTable(results: readonly TransportResult[], paint: Paint): string {
  const cells = results.flatMap(({ ledger }) => [...ledger]).sort(comparePhases);
  const byPhase = new Map<string, Set<string>>();
  for (const { phase, cause } of cells) byPhase.set(phase, (byPhase.get(phase) ?? new Set()).add(cause));
  const sums = (wanted: (cell: LedgerCell) => boolean): string[] =>
    results.map(({ ledger }) => {
      const found = ledger.filter(wanted);
      return found.length === 0 ? "" : figure(found.reduce((sum, cell) => sum + cell.cyclesPerCall, 0));
    });
  const rows: Row[] = [];
  for (const [phase, causes] of byPhase) {
    const whole = sums((cell) => cell.phase === phase).map(paint.strong);
    const [only] = causes;
    rows.push([paint.strong(phase), causes.size === 1 ? only : "", ...whole]);
    if (causes.size > 1)
      for (const cause of causes) {
        const own = sums((cell) => cell.phase === phase && cell.cause === cause);
        if (own.some((text) => /[1-9]/.test(text))) rows.push(["", cause, ...own]);
      }
  }
  rows.push("rule", [paint.strong("sum"), "", ...sums(() => true).map(paint.strong)]);
  const columns: Column[] = [
    { title: "phase", align: "left" },
    { title: "cause", align: "left" },
    ...results.map(({ transport }): Column => ({ title: TITLES[transport] })),
  ];
  return grid(columns, rows, paint);
}

function batchTable({ batches }: TransportsDocument, paint: Paint): string {
  const sizes = [...new Set(batches.map(({ batch }) => batch))];
  const names = [...new Set(batches.map(({ host, transport }) => `${host} ${transport}`))];
  return grid(
    [{ title: "doorbell", align: "left" }, ...sizes.map((size): Column => ({ title: String(size) }))],
    names.map((name) => [
      name,
      ...sizes.map((size) => {
        const found = batches.find(
          (each) => `${each.host} ${each.transport}` === name && each.batch === size,
        );
        return figure(found?.cyclesPerMessage, 1);
      }),
    ]),
    paint,
  );
}

function publishedTable({ results }: TransportsDocument, paint: Paint): string {
  const hosts = [...new Set(results.map(({ host }) => host))];
  const rows = PUBLISHED_TRANSPORTS.flatMap(
    ({ machine, hypervisor, host: theirs, unit, figures, mark, source }, i): Row[] => {
      const [base] = figures;
      return [
        ...(i === 0 ? [] : (["rule"] as const)),
        ...figures.map((each, n) => [
          n === 0 ? `${machine}; ${hypervisor}` : "",
          each.what,
          `${each.value} ${unit}`,
          (each.value / base.value).toFixed(2),
          ...hosts.map((host) => (host === theirs ? ratio(results, host, each, base) : "-")),
          n === 0 ? `[${mark}] ${source}` : "",
        ]),
      ];
    },
  );
  return grid(
    [
      { title: "where", align: "left", wrapAt: 22 },
      { title: "what", align: "left", wrapAt: 26 },
      { title: "published" },
      { title: "ratio" },
      ...hosts.map((host): Column => ({ title: `${host} here` })),
      { title: "source", align: "left", wrapAt: 40 },
    ],
    rows,
    paint,
  );
}

function ratio(
  results: readonly TransportResult[],
  host: TransportHost,
  of: PublishedNotification,
  to: PublishedNotification,
): string {
  const cyclesOf = ({ like }: PublishedNotification) =>
    results.find(
      (each) => each.host === host && each.handler === like?.handler && each.transport === like.transport,
    )?.cyclesPerNotification;
  const cycles = cyclesOf(of);
  const base = cyclesOf(to);
  return cycles === undefined || base === undefined ? "-" : (cycles / base).toFixed(2);
}

function marks(): string {
  const { statement, mark, source } = PUBLISHED_STATEMENT;
  const meanings = (Object.keys(MARK_MEANING) as PublishedMark[]).map(
    (each) => `[${each}] ${MARK_MEANING[each]}`,
  );
  return [`And: ${statement} [${mark}] ${source}.`, `${meanings.join("; ")}.`].join("\n");
}
