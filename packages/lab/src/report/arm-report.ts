import { ARM_PHASES } from "@hyperwalk/xen";
import type { ArmCell, ArmDocument, ArmRow } from "../arm-experiment.js";
import type { ArmHazard, ArmOutcome } from "../arm-hazards.js";
import { estimatesTable } from "./estimates.js";
import { figure } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";

/** The whole Arm experiment as text. */
export function armReport(document: ArmDocument, paint: Paint): string {
  const { hazards, estimates } = document;
  const parts = [
    setting(document, paint),
    priceTable(document, paint),
    verdict(document),
    ...(document.rows.length === 0
      ? []
      : [
          `${paint.strong("Where the cycles go")}: ${breakdownTitle(document.rows[0])}`,
          breakdownTable(document, paint),
        ]),
    ...[hazards.stage1, hazards.stage2].flatMap((hazard) => [
      `${paint.strong("Break before make")}: ${hazard.change}, while another vCPU's hypercall is made`,
      hazardTable(hazard, paint),
      interleavings(hazard),
    ]),
    `${paint.strong("Valid bits cleared")} (Xen tracks accesses for set/way operations): VA ${outcome(hazards.tracking.va)}; PA ${outcome(hazards.tracking.pa)}`,
    `${paint.strong("Estimates that these figures rest on")} (${estimates.length})`,
    estimatesTable(estimates, paint),
  ];
  return `${parts.join("\n\n")}\n`;
}

function setting({ machine, geometry, copy }: ArmDocument, paint: Paint): string {
  const { vaBits, ipaBits, stage2StartLevel, stage2RootTables } = geometry;
  const roots = stage2RootTables === 1 ? "one root table" : `${stage2RootTables} root tables`;
  return [
    `A hypercall that copies ${copy.bytes} bytes ${copy.direction === "in" ? "from" : "to"} the guest, by virtual address (${copy.instruction}) and by physical address (software walk of the p2m), under Xen on ${paint.strong(machine.name)}, ${machine.ghz} GHz`,
    `stage 1: ${vaBits} bits; stage 2: ${ipaBits} bits from level ${stage2StartLevel}, ${roots}; granule 4 KiB`,
    "cycles from HVC to the guest's next instruction; the guest's own code is not executed; walk: descriptors that the hardware read for the guest's translation; reads: those that Xen read",
  ].join("\n");
}

function priceTable({ rows }: ArmDocument, paint: Paint): string {
  const columns: Column[] = [
    { title: "stage 1", align: "left" },
    { title: "stage 2", align: "left" },
    { title: "state", align: "left" },
    { title: "pages" },
    { title: "walk" },
    { title: "VA" },
    { title: "reads" },
    { title: "PA" },
    { title: "VA - PA" },
    { title: "range" },
    { title: "wins", align: "left" },
  ];
  return grid(
    columns,
    rows.map((row) => [
      row.stage1,
      row.stage2,
      row.state,
      String(row.pages),
      String(row.va.guestWalkReferences),
      figure(row.va.cycles),
      String(row.pa.softwareReads),
      figure(row.pa.cycles),
      signed(row.difference),
      `${signed(row.range[0])} to ${signed(row.range[1])}`,
      row.certain ? paint.strong(winner(row)) : `${winner(row)}?`,
    ]),
    paint,
  );
}

function winner({ winner: form }: ArmRow): string {
  return form === "neither" ? "-" : form.toUpperCase();
}

function signed(cycles: number): string {
  return cycles < 0 ? `-${figure(-cycles)}` : figure(cycles);
}

/** In how many settings each side wins, by state. */
function verdict({ rows }: ArmDocument): string {
  const states = [...new Set(rows.map(({ state }) => state))];
  const lines = states.map((state) => {
    const of = rows.filter((row) => row.state === state);
    const count = (form: string, certain: boolean) =>
      of.filter((row) => row.winner === form && row.certain === certain).length;
    return `${state}: of ${of.length} settings VA wins ${count("va", true)}, PA ${count("pa", true)}; open, VA ahead ${count("va", false)}, PA ahead ${count("pa", false)}`;
  });
  const [first] = rows;
  const draws = rows
    .filter(
      ({ stage1, stage2, pages }) =>
        stage1 === first.stage1 && stage2 === first.stage2 && pages === first.pages,
    )
    .map(({ state, breakEven }) => `${state} ${breakEven === null ? "none" : figure(breakEven)}`);
  return [
    "range: VA - PA with what only one form pays (AT, ISB, system registers, instructions of its own code, cycles an instruction) at the ends that favour VA, and PA; ?: the sign depends on them",
    ...lines,
    ...(rows.length === 0
      ? []
      : [
          `Draw, ${breakdownTitle(first)}: cycles for AT, ISB and PAR_EL1 together at which both cost the same: ${draws.join(", ")} (none: VA loses even if they are free)`,
        ]),
  ].join("\n");
}

function breakdownTitle({ stage1, stage2, pages }: ArmRow): string {
  return `stage 1 ${stage1}, stage 2 ${stage2}, ${pages === 1 ? "one page" : `${pages} pages`}`;
}

/** Phases and causes of the first setting, every state beside the others. */
function breakdownTable({ rows }: ArmDocument, paint: Paint): string {
  const [first] = rows;
  const shown = rows.filter(
    ({ stage1, stage2, pages }) =>
      stage1 === first.stage1 && stage2 === first.stage2 && pages === first.pages,
  );
  const ledgers = shown.flatMap(({ va, pa }) => [va.ledger, pa.ledger]);
  const sums = (chosen: (cell: ArmCell) => boolean) =>
    ledgers.map((cells) => {
      const found = cells.filter(chosen);
      return found.length === 0
        ? ""
        : figure(
            found.reduce((sum, { cycles }) => sum + cycles, 0),
            1,
          );
    });
  const lines: Row[] = [];
  for (const phase of ARM_PHASES) {
    const causes = [...new Set(ledgers.flat().flatMap((cell) => (cell.phase === phase ? [cell.cause] : [])))];
    if (causes.length === 0) continue;
    const whole = sums((cell) => cell.phase === phase).map(paint.strong);
    lines.push([paint.strong(phase), causes.length === 1 ? causes[0] : "", ...whole]);
    if (causes.length === 1) continue;
    for (const cause of causes)
      lines.push(["", cause, ...sums((cell) => cell.phase === phase && cell.cause === cause)]);
  }
  lines.push("rule", [paint.strong("sum"), "", ...sums(() => true).map(paint.strong)]);
  const columns: Column[] = [
    { title: "phase", align: "left" },
    { title: "cause", align: "left" },
    ...shown.flatMap(({ state }): Column[] => [{ title: `VA ${state}` }, { title: `PA ${state}` }]),
  ];
  return grid(columns, lines, paint);
}

function hazardTable({ points }: ArmHazard, paint: Paint): string {
  const tell = (one: ArmOutcome) => (one.result === 0 ? outcome(one) : paint.warn(outcome(one)));
  return grid(
    [
      { title: "steps", align: "right" },
      { title: "the other side's last step", align: "left" },
      { title: "VA, in the TLB", align: "left", wrapAt: 44 },
      { title: "VA, not in the TLB", align: "left", wrapAt: 44 },
      { title: "PA", align: "left", wrapAt: 30 },
    ],
    points.map(({ steps, after, vaCached, vaUncached, pa }) => [
      String(steps),
      after,
      tell(vaCached),
      tell(vaUncached),
      tell(pa),
    ]),
    paint,
  );
}

/** What became of a call, with its cycles. */
function outcome({ result, by, fault, waitedFor, cycles }: ArmOutcome): string {
  const how =
    result !== 0
      ? `-EFAULT (${fault ?? "no page"})`
      : waitedFor > 0
        ? `0, waits for ${waitedFor} ${waitedFor === 1 ? "step" : "steps"}`
        : by === "second attempt"
          ? `0 at the second attempt (${fault})`
          : "0";
  return `${how}, ${figure(cycles)}`;
}

function interleavings({ interleavings: all }: ArmHazard): string {
  return all
    .map(({ form, cached, total, failed, rescued }) => {
      const which = form === "pa" ? "PA" : cached ? "VA, in the TLB" : "VA, not in the TLB";
      const second = rescued > 0 ? `, ${rescued} saved by the second attempt` : "";
      return `${which}: ${failed} of ${total} interleavings of single steps end in -EFAULT${second}`;
    })
    .join("\n");
}
