import { CHASE_CURVES, type ChaseTable } from "../validation/chase-curves.js";
import type { Predictions } from "../validation/predictions.js";
import type { SavingInputs } from "../validation/saving-inputs.js";
import type { FigureResult, ValidationDocument, ValidationPart } from "../validation/validate.js";
import { type Column, grid } from "./grid.js";
import type { Paint } from "./paint.js";
import {
  errorText,
  figureText,
  isMiss,
  MISS_FROM,
  publishedText,
  type Tally,
  tally,
  worstFirst,
} from "./validation-figures.js";
import { chaseRow } from "./validation-page.js";

/** Worst errors that are listed once more. */
const WORST = 10;

/** The whole validation as text; errors of 25 % and more are set off. */
export function validateReport(document: ValidationDocument, paint: Paint): string {
  const { parts } = document;
  const worst = worstFirst(parts.flatMap(({ figures }) => figures.filter(isFree))).slice(0, WORST);
  const sections = parts.flatMap((part) => [paint.strong(part.title), ...partText(part, paint)]);
  if (parts.some(({ figures }) => figures.length > 0))
    sections.push(paint.strong("How far off"), tallyTable(tally(document), paint));
  if (worst.length > 0)
    sections.push(
      `${paint.strong("The worst")} (of those that nothing was taken from)`,
      figuresTable(worst, paint),
    );
  sections.push(
    `${document.unasked.length} more figures cannot be asked here; --json says which, and why. Errors marked ! are ${100 * MISS_FROM} % and more; "input": the simulator has a number from this very figure.`,
  );
  return `${sections.join("\n\n")}\n`;
}

const isFree = ({ calibrated }: FigureResult): boolean => calibrated.length === 0;

function partText({ figures, inputs, predictions, curves }: ValidationPart, paint: Paint): string[] {
  return [
    ...(figures.length === 0 ? [] : [figuresTable(figures, paint)]),
    ...(inputs === undefined ? [] : [inputsTable(inputs, paint)]),
    ...(predictions === undefined ? [] : [predictionsTable(predictions, paint)]),
    ...(curves ?? []).flatMap((table) => [
      `${table.name}; published: ${table.part}`,
      chaseTable(table, paint),
    ]),
  ];
}

function figuresTable(figures: readonly FigureResult[], paint: Paint): string {
  return grid(
    [
      { title: "what", align: "left", wrapAt: 34 },
      { title: "where", align: "left", wrapAt: 22 },
      { title: "published" },
      { title: "found" },
      { title: "error" },
      { title: "unit", align: "left" },
      { title: "like", align: "left" },
      { title: "", align: "left" },
    ],
    figures.map((figure) => [
      figure.what,
      figure.where,
      publishedText(figure),
      figureText(figure.predicted, figure.unit),
      isMiss(figure) ? paint.warn(`${errorText(figure)} !`) : errorText(figure),
      figure.unit,
      figure.likeness,
      isFree(figure) ? "" : "input",
    ]),
    paint,
  );
}

function tallyTable(lines: readonly Tally[], paint: Paint): string {
  return grid(
    [
      { title: "part", align: "left" },
      { title: "figures" },
      { title: "inputs" },
      { title: "< 5 %" },
      { title: "< 25 %" },
      { title: "beyond" },
    ],
    lines.map(({ title, figures, calibrated, close, near, missed }) => [
      title,
      ...[figures, calibrated, close, near].map(String),
      missed === 0 ? "0" : paint.warn(String(missed)),
    ]),
    paint,
  );
}

function inputsTable({ rows }: SavingInputs, paint: Paint): string {
  const range = (found: readonly [number, number] | null): string =>
    found === null ? "-" : [...new Set(found.map((value) => figureText(value, "share")))].join(" to ");
  return grid(
    [{ title: "changed", align: "left" }, { title: "saving, IBPB off" }, { title: "IBPB on" }],
    rows.map(({ changed, withoutIbpb, withIbpb }) => [
      changed.replaceAll("`", ""),
      range(withoutIbpb),
      range(withIbpb),
    ]),
    paint,
  );
}

function predictionsTable({ calls }: Predictions, paint: Paint): string {
  const number = (title: string): Column => ({ title });
  return grid(
    [
      { title: "call", align: "left" },
      ...["SVM linear", "2 MiB", "physical", "VMX linear", "physical"].map(number),
    ],
    calls.map(({ call, svmLinear, svmLinear2m, svmPhysical, vmxLinear, vmxPhysical }) => [
      call,
      ...[svmLinear, svmLinear2m, svmPhysical, vmxLinear, vmxPhysical].map((value) =>
        figureText(value, "instructions"),
      ),
    ]),
    paint,
  );
}

function chaseTable({ points }: ChaseTable, paint: Paint): string {
  const titles = ["pages", "published", ...CHASE_CURVES.map(([heading]) => heading), "error", "charged"];
  return grid(
    titles.map((title): Column => ({ title })),
    points.map(chaseRow),
    paint,
  );
}
