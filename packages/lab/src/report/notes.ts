import type { FastForwardResult } from "../fast-forward.js";
import { publishedFigure, saving } from "../published.js";
import type { CompareDocument } from "../result.js";
import { figure, percent } from "./figures.js";
import { runName } from "./run-name.js";
import type { Labelled } from "./summary.js";

/** How to read the figures of a document: where they were taken and whether the guest saw the same. */
export function measurementNotes(document: CompareDocument): string[] {
  const notes: string[] = [];
  const compared = document.runs.filter((run) => run.guestMeasuredCyclesPerCall !== null);
  const differing = compared.filter((run) => run.guestMeasuredCyclesPerCall !== run.cyclesPerCall);
  if (compared.length > 0 && differing.length === 0)
    notes.push("The guests' own timestamp readings give the same cycles per call as the ledger.");
  for (const run of differing)
    notes.push(
      `Under ${runName(run)} the guest measured ${run.guestMeasuredCyclesPerCall} cycles per call, the ledger ${run.cyclesPerCall}: its loop made ${run.windowHypercalls} hypercalls.`,
    );
  const whole = document.runs.filter((run) => run.window === "whole-run").map(runName);
  if (whole.length > 0)
    notes.push(
      `No window between two timestamp reads held a hypercall under ${whole.join(", ")}: whole runs are shown.`,
    );
  for (const run of document.runs)
    if (run.fastForward !== undefined)
      notes.push(`Under ${runName(run)}: ${fastForwardNote(run.fastForward)}`);
  return notes;
}

/** What ran with timing off, and that no other figure has it in it. */
export function fastForwardNote({ until, reached, instructions, cycles }: FastForwardResult): string {
  const what = `functional fast-forward of ${figure(instructions)} guest instructions (${figure(cycles)} cycles of fixed costs, in no other figure)`;
  return reached
    ? `${what} until ${until}; timed from there on`
    : `${what}; ${until} was not reached: nothing was timed`;
}

/** The published figure beside what came out, for settings of the same comparison; empty when nothing was published. */
export function publishedNote(settings: readonly Labelled[]): string {
  const published = settings.length > 0 ? publishedFigure(settings[0].document) : undefined;
  if (!published) return "";
  const results = settings.flatMap(({ label, document: { runs } }) => {
    const run = runs.find((each) => each.abi === published.abi);
    const against = runs.find((each) => each.abi === published.against);
    return run && against ? [`${percent(saving(run, against))} (${label})`] : [];
  });
  if (results.length === 0) return "";
  return [
    `Published for ${published.abi} against ${published.against}: about ${percent(published.saving, 0)} less.`,
    `  ${published.statement}; ${published.source}.`,
    `  Unknown: ${published.unknown}.`,
    `Simulated: ${results.join(", ")} less. The simulation rests on the estimates listed and was not fitted to that figure.`,
  ].join("\n");
}
