import { EVENT_SENDERS, type EventDuringUpdate, type MemslotUpdate } from "@hyperwalk/xen";
import type { MemslotsDocument, MemslotsSetting } from "../memslots.js";
import { estimatesTable } from "./estimates.js";
import { figure } from "./figures.js";
import { grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";

const UPDATES: Readonly<Record<MemslotUpdate, string>> = {
  move: "move: shared_info's slot moves to another guest frame (XENMEM_add_to_physmap)",
  replace: "replace: shared_info's slot is deleted and made anew at the same guest frame",
  another: "another: a slot is added that has nothing to do with shared_info",
};

const LEGEND = `fast: the sender, at once        slow: the sender, after a refresh of the cache
worker: the irqfd's work queue   vCPU: the vCPU itself, when the monitor lets it run again
error: the ioctl fails, EFAULT   monitor: the hypercall is left to the monitor, in user space
LOST: nobody delivers it and nobody knows; worker and vCPU are delayed
The vCPU is paused until the update is over; under gfn a vCPU that runs meanwhile loses its
timer's event where an irqfd's is LOST`;

/** The whole experiment as text. */
export function memslotsReport({ machine, settings, estimates }: MemslotsDocument, paint: Paint): string {
  const updates = [...new Set(settings.map(({ update }) => update))];
  const parts = [
    `Events at every point of an update of KVM's memory slots\non ${paint.strong(machine.name)}, ${machine.ghz} GHz`,
    "shared_info, and vcpu_info in it, known to the kernel by guest frame (gfn) or host address (hva);\none event an update",
    ...updates.flatMap((update) => [
      paint.strong(UPDATES[update]),
      pointsTable(
        settings.filter((setting) => setting.update === update),
        paint,
      ),
    ]),
    LEGEND,
    paint.strong("All events together"),
    summaryTable(settings, paint),
    paint.strong("Where the cycles go (events, not updates: cycles an event, by phase)"),
    phasesTable(settings, paint),
    `${paint.strong("Estimates that these figures rest on")} (${estimates.length})`,
    estimatesTable(estimates, paint),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Who delivered it, by point and sender. */
function pointsTable(settings: readonly MemslotsSetting[], paint: Paint): string {
  const points = settings.reduce<readonly string[]>(
    (longest, setting) => (setting.points.length > longest.length ? setting.points : longest),
    [],
  );
  const columns = settings.flatMap((setting) => EVENT_SENDERS.map((sender) => ({ setting, sender })));
  return grid(
    [
      { title: "after", align: "left", wrapAt: 24 },
      ...columns.map(({ setting, sender }) => ({
        title: `${setting.key} ${sender === "hypercall" ? "hcall" : sender}`,
        align: "left" as const,
        wrapAt: 7,
      })),
    ],
    points.map((point) => [
      point,
      ...columns.map(({ setting, sender }) =>
        word(setting.events.find((event) => event.point === point && event.sender === sender)),
      ),
    ]),
    paint,
  );
}

function word(event: EventDuringUpdate | undefined): string {
  if (event === undefined) return "-";
  const { path, outcome, sender } = event;
  if (outcome === "lost") return "LOST";
  if (outcome === "refused") return sender === "ioctl" ? "error" : "monitor";
  return path === "vcpu" ? "vCPU" : path;
}

function summaryTable(settings: readonly MemslotsSetting[], paint: Paint): string {
  const rows = settings.flatMap((setting, i): Row[] => {
    const { update, key, paths, outcomes, counters } = setting;
    const { cachesOutdated, cachesInvalidated, cacheRefreshes, cacheRefreshFailures } = counters;
    const begins = i > 0 && settings[i - 1].update !== update;
    return [
      ...(begins ? (["rule"] as const) : []),
      [
        update,
        key,
        ...[paths.fast, paths.slow, paths.worker, paths.vcpu].map(String),
        ...[outcomes.delayed, outcomes.refused, outcomes.lost].map(String),
        String(cachesOutdated),
        String(cachesInvalidated),
        String(cacheRefreshes + cacheRefreshFailures),
        figure(setting.cyclesPerEvent),
        figure(setting.cyclesPerUpdate),
      ],
    ];
  });
  const titles = ["fast", "slow", "worker", "vCPU"];
  return grid(
    [
      { title: "update", align: "left" },
      { title: "key", align: "left" },
      ...titles.map((title) => ({ title })),
      { title: "de- layed", wrapAt: 5 },
      { title: "re- fused", wrapAt: 5 },
      { title: "lost" },
      { title: "out- dated", wrapAt: 5 },
      { title: "invali- dated", wrapAt: 7 },
      { title: "re- fresh", wrapAt: 5 },
      { title: "cycles/ event", wrapAt: 7 },
      { title: "cycles/ update", wrapAt: 7 },
    ],
    rows,
    paint,
  );
}

function phasesTable(settings: readonly MemslotsSetting[], paint: Paint): string {
  const own = (setting: MemslotsSetting) => setting.ledger.filter(({ who }) => who !== "monitor");
  const phases = [...new Set(settings.flatMap((setting) => own(setting).map(({ phase }) => phase)))].sort();
  return grid(
    [
      { title: "phase", align: "left" },
      ...settings.map(({ update, key }) => ({ title: `${update} ${key}` })),
    ],
    phases.map((phase) => [
      phase,
      ...settings.map((setting) => {
        const cells = own(setting).filter((cell) => cell.phase === phase);
        if (cells.length === 0) return "-";
        return figure(cells.reduce((sum, { cycles }) => sum + cycles, 0) / setting.events.length, 1);
      }),
    ]),
    paint,
  );
}
