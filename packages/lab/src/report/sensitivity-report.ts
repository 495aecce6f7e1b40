import type {
  JointInterval,
  SensitivityDocument,
  SensitivityEnd,
  SensitivityInput,
} from "../sensitivity/sensitivity-document.js";
import { NOT_ASKED } from "../sensitivity/sensitivity-plan.js";
import { figure, percent } from "./figures.js";
import { type Column, grid } from "./grid.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** A whole analysis as text: estimates by importance, then all of them together. */
export function sensitivityReport(document: SensitivityDocument, paint: Paint): string {
  const { machine, guest, iterations, inputs } = document;
  const moving = inputs.filter(moves);
  const still = inputs.filter((input) => !moves(input)).map(({ key }) => key);
  const moved = moving.flatMap(({ key, low, high }) =>
    [low, high].flatMap((end) => (end.moved === undefined ? [] : [`* ${key} = ${end.value}: ${end.moved}`])),
  );
  const parts = [
    `${paint.strong(guest.name)} on ${paint.strong(machine.name)}, ${guest.operation}, ${iterations} calls a run; savings against ${runName(document.runs[0])}`,
    inputsTable(document, moving, paint),
    moved.join("\n"),
    still.length === 0
      ? ""
      : `${paint.faint(`${still.length} others change no figure:`)} ${still.join("; ")}`,
    rest(document),
    `${paint.strong("All estimates together")}\n${jointTable(document, paint)}`,
    document.jointNote,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** What was not varied, by the reason. */
function rest({ notVaried }: SensitivityDocument): string {
  const reasons = [...new Set(notVaried.map(({ why }) => why))];
  const lines = reasons.map((why) => {
    const keys = notVaried.filter((each) => each.why === why).map(({ key }) => key);
    return `Not varied, as ${why}: ${why === NOT_ASKED ? `${keys.length} estimates` : keys.join("; ")}`;
  });
  return lines.join("\n");
}

function moves({ swing }: SensitivityInput): boolean {
  return swing.some(({ cyclesPerCall }) => cyclesPerCall === null || cyclesPerCall > 0);
}

function inputsTable(
  { runs, baseline }: SensitivityDocument,
  inputs: readonly SensitivityInput[],
  paint: Paint,
): string {
  const columns: Column[] = [
    { title: "estimate", align: "left", wrapAt: 48 },
    { title: "value" },
    { title: "low" },
    { title: "high" },
    ...runs.map((run, at) => ({ title: at === 0 ? `${runName(run)}, cycles` : `${runName(run)}, saving` })),
  ];
  const rows = inputs.map((input) => [
    input.key,
    String(input.value),
    ending(input.low),
    ending(input.high),
    ...runs.map((_, at) => `${shown(input.low, at)} to ${shown(input.high, at)}`),
  ]);
  const start = ["(as they are)", "", "", "", ...runs.map((_, at) => shown({ figures: baseline }, at))];
  return grid(columns, [start, "rule", ...rows], paint);
}

function ending({ value, moved }: SensitivityEnd): string {
  return moved === undefined ? String(value) : `${value}*`;
}

function shown({ figures }: Pick<SensitivityEnd, "figures">, at: number): string {
  return at === 0 ? figure(figures[0].cyclesPerCall, 1) : percent(figures[at].saving);
}

function jointTable({ runs, baseline, joint }: SensitivityDocument, paint: Paint): string {
  const shownJoint = ({ of }: JointInterval, value: number | null) =>
    of === "saving" ? percent(value) : figure(value, 1);
  return grid(
    [
      { title: "interface", align: "left" },
      { title: "figure", align: "left" },
      { title: "as they are" },
      { title: "lowest" },
      { title: "highest" },
    ],
    joint.map((each, at) => [
      runName(runs[at]),
      each.of === "saving" ? "saving" : "cycles/call",
      shownJoint(each, baseline[at][each.of]),
      shownJoint(each, each.low),
      shownJoint(each, each.high),
    ]),
    paint,
  );
}
