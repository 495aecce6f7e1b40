import { CHASE_CURVES, type ChasePoint, type ChaseTable } from "../validation/chase-curves.js";
import { FIGURE_MARKS, LIKENESS, type UnaskedFigure } from "../validation/figure.js";
import type { Predictions } from "../validation/predictions.js";
import type { SavingCycles, SavingInputs, SavingRow } from "../validation/saving-inputs.js";
import type { FigureResult, ValidationDocument, ValidationPart } from "../validation/validate.js";
import { LONG_PARTS, VALIDATION_PARTS } from "../validation/validation-parts.js";
import { errorText, figureText, isMiss, publishedText, tally } from "./validation-figures.js";

/** A table of a Markdown page; columns in which nothing stands are left out. */
function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const kept = titles.map((_, at) => rows.some((row) => row[at] !== ""));
  const line = (cells: readonly string[]): string =>
    `| ${cells
      .filter((_, at) => kept[at])
      .map((cell) => cell.replaceAll("|", "\\|"))
      .join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}

/**
 * The generated blocks of `docs/validation.md` that a document can fill, by name: one for each part, `summary` when every part
 * that is not long is there, and `unasked`.
 */
export function validationBlocks(document: ValidationDocument): ReadonlyMap<string, string> {
  const { parts, unasked } = document;
  const isWhole = VALIDATION_PARTS.every(
    (name) => LONG_PARTS.includes(name) || parts.some((part) => part.name === name),
  );
  return new Map<string, string>([
    ...(isWhole ? ([["summary", summary(document)]] as const) : []),
    ...parts.map((part) => [part.name, partMarkdown(part)] as const),
    ["unasked", unaskedTable(unasked)],
  ]);
}

function summary(document: ValidationDocument): string {
  const lines = tally(document);
  const table = markdownTable(
    [
      "part",
      "figures",
      "taken as inputs, in part or whole",
      "the others: within 5 %",
      "within 25 %",
      "beyond",
      "the worst of them",
    ],
    lines.map(({ title, figures, calibrated, close, near, missed, worst }) => [
      title,
      String(figures),
      String(calibrated),
      String(close),
      String(near),
      String(missed),
      worst === undefined ? "" : `${worst.what} (${worst.where}): ${errorText(worst)}`,
    ]),
  );
  return [table, legend()].join("\n\n");
}

function legend(): string {
  const marks = Object.entries(FIGURE_MARKS).map(([mark, meaning]) => `${mark}: ${meaning}`);
  const likeness = Object.entries(LIKENESS).map(([name, meaning]) => `*${name}*: ${meaning}`);
  return [
    `How a published figure is known: ${marks.join("; ")}.`,
    `How like what was measured the question is that was asked here: ${likeness.join("; ")}.`,
    "Errors are shares of what was published, of the nearer end where a range was, and differences in points where the figure is a share itself; those of 25 % and more are bold.",
  ].join("\n\n");
}

function partMarkdown(part: ValidationPart): string {
  const { figures, inputs, predictions, curves } = part;
  return [
    ...(figures.length === 0 ? [] : [figuresMarkdown(figures)]),
    ...(inputs === undefined ? [] : [savingMarkdown(inputs)]),
    ...(predictions === undefined ? [] : [predictionsMarkdown(predictions)]),
    ...(curves === undefined ? [] : [chaseMarkdown(curves)]),
  ].join("\n\n");
}

/** Figures in the order of their first appearance get one number for each source, one letter for each set of estimates. */
function figuresMarkdown(figures: readonly FigureResult[]): string {
  const sources = distinct(figures.map(sourceOf));
  const sets = distinct(figures.map(estimatesOf).filter((set) => set !== ""));
  const units = distinct(figures.map(({ unit }) => unit));
  const withUnit = (text: string, unit: string): string =>
    units.length === 1 || unit === "share" ? text : `${text} ${unit === "ratio" ? "" : unit}`.trim();
  const rows = figures.map((figure) => {
    const { what, where, asked, unit, predicted, likeness, calibrated } = figure;
    const error = errorText(figure);
    const set = sets.indexOf(estimatesOf(figure));
    return [
      what,
      where,
      withUnit(publishedText(figure), unit),
      withUnit(figureText(predicted, unit), unit),
      isMiss(figure) ? `**${error}**` : error,
      likeness === "same" ? asked : `${asked} (*${likeness}*)`,
      calibrated.join("; "),
      set === -1 ? "" : letterOf(set),
      String(sources.indexOf(sourceOf(figure)) + 1),
    ];
  });
  const [unit] = units;
  const inUnit = units.length === 1 && unit !== "share" && unit !== "ratio" ? `, ${unit}` : "";
  const table = markdownTable(
    [
      "what",
      "where",
      `published${inUnit}`,
      "found",
      "error",
      "asked here",
      "taken from it as an input",
      "rests on",
      "source",
    ],
    rows,
  );
  const sourceList = sources.map((source, i) => `${i + 1}. ${source}`).join("\n");
  return [table, `Sources:\n\n${sourceList}`, ...(sets.length === 0 ? [] : [estimateSets(sets)])].join(
    "\n\n",
  );
}

function sourceOf({ mark, source, unknown }: FigureResult): string {
  return `[${mark}] ${source}${unknown === undefined ? "" : `. Not said: ${unknown}`}`;
}

function estimatesOf({ estimates }: FigureResult): string {
  return estimates.map((key) => `\`${key}\``).join(", ");
}

/** a, b, … z, aa, … */
function letterOf(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letterOf(Math.floor(index / 26) - 1) + letter;
}

function estimateSets(sets: readonly string[]): string {
  const items = sets.map((set, i) => `- ${letterOf(i)} (${set.split("`, `").length}): ${set}`);
  return `<details><summary>Estimates that these predictions rest on, by key</summary>\n\n${items.join("\n")}\n\n</details>`;
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

function savingMarkdown({ cycles, rows }: SavingInputs): string {
  return [savingCycles(cycles), savingRows(rows), missingText(cycles)].join("\n\n");
}

function savingCycles(cycles: readonly SavingCycles[]): string {
  const saving = (part: number, whole: number): string => figureText(1 - part / whole, "share");
  return markdownTable(
    [
      "cycles per call",
      "linear",
      "physaddr",
      "saving",
      "FastABI",
      "saving",
      "of linear: branches mispredicted",
    ],
    cycles.map(({ ibpb, linear, physaddr, fastabi, branches }) => [
      ibpb ? "IBPB on exit on (Xen's default on updated microcode)" : "IBPB on exit off",
      figureText(linear, "cycles"),
      figureText(physaddr, "cycles"),
      `**${saving(physaddr, linear)}**`,
      figureText(fastabi, "cycles"),
      saving(fastabi, linear),
      figureText(Math.round(branches), "cycles"),
    ]),
  );
}

function savingRows(rows: readonly SavingRow[]): string {
  const range = (found: SavingRow["withIbpb"]): string => {
    if (found === null) return "";
    const [least, most] = found.map((value) => figureText(value, "share"));
    return least === most ? least : `${least.replace(" %", "")} to ${most}`;
  };
  return markdownTable(
    ["changed", "saving of physaddr, IBPB off", "IBPB on"],
    rows.map(({ changed, withoutIbpb, withIbpb }) => [changed, range(withoutIbpb), range(withIbpb)]),
  );
}

function missingText(cycles: readonly SavingCycles[]): string {
  const [off, on] = [false, true].map((ibpb) => cycles.find((each) => each.ibpb === ibpb));
  const missing = (each: SavingCycles | undefined): string =>
    figureText(Math.round(each?.missing ?? 0), "cycles");
  return `For the saving to be 30 %, both interfaces would have to cost ${missing(off)} cycles a call more than here without IBPB, and ${missing(on)} with it.`;
}

function predictionsMarkdown({ calls, faults, exits }: Predictions): string {
  const number = (value: number): string => figureText(value, "instructions");
  const signed = (value: number): string => `${value >= 0 ? "+" : ""}${number(value)}`;
  return [
    markdownTable(
      [
        "call",
        "SVM linear",
        "linear, 2 MiB guest leaves",
        "SVM physical",
        "VMX linear",
        "VMX physical",
        "own part",
      ],
      calls.map(({ call, svmLinear, svmLinear2m, svmPhysical, vmxLinear, vmxPhysical, ownPart }) => [
        call,
        ...[svmLinear, svmLinear2m, svmPhysical, vmxLinear, vmxPhysical].map(number),
        ownPart,
      ]),
    ),
    markdownTable(
      [
        "evtchn_send with its struct at such an address, SVM",
        "look-ups",
        "instructions, over an unknown hypercall",
      ],
      faults.map(({ where, lookups, instructions }) => [where, number(lookups), signed(instructions)]),
    ),
    markdownTable(
      ["exit", "SVM", "VMX"],
      exits.map(({ exit, svm, vmx }) => [exit, number(svm), number(vmx)]),
    ),
  ].join("\n\n");
}

/** Curves of a pointer chase as tables, one for each machine. */
export function chaseMarkdown(tables: readonly ChaseTable[]): string {
  return tables
    .map(({ name, part, source, points }) =>
      [
        `${name}; published: ${part} (${source})`,
        markdownTable(
          ["pages", "published", ...CHASE_CURVES.map(([heading]) => heading), "error", "charged"],
          points.map(chaseRow),
        ),
      ].join("\n\n"),
    )
    .join("\n\n");
}

/** One row of such a table. */
export function chaseRow({ pages, published, latencies, charged }: ChasePoint): string[] {
  const error = (found: number): string =>
    published === null
      ? ""
      : `${found >= published ? "+" : ""}${Math.round((100 * (found - published)) / published)} %`;
  return [
    String(pages),
    published === null ? "" : String(published),
    ...latencies.map((latency) => latency.toFixed(0)),
    published === null ? "" : `${error(latencies[0])}; ${error(latencies[1])}`,
    charged.toFixed(0),
  ];
}

function unaskedTable(unasked: readonly UnaskedFigure[]): string {
  return markdownTable(
    ["what", "published", "why it is not asked", "source"],
    unasked.map(({ what, published, why, mark, source }) => [what, published, why, `[${mark}] ${source}`]),
  );
}
