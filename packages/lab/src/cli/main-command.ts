import { epyc9124 } from "@hyperwalk/cpu";
import { compare } from "../compare.js";
import { mergeEstimates } from "../estimates.js";
import { hypercallBench } from "../guest-catalogue.js";
import { breakdownTable } from "../report/breakdown.js";
import { consoles } from "../report/consoles.js";
import { estimatesTable } from "../report/estimates.js";
import { measurementNotes, publishedNote } from "../report/notes.js";
import { type Labelled, setting, settingsTable } from "../report/summary.js";
import { exitCode } from "./compare-command.js";
import type { Output } from "./output.js";

/** `hyperwalk main`: the comparison that hyperwalk was written for. @returns the exit code */
export function mainCommand(output: Output): number {
  const { paint } = output;
  const settings: readonly Labelled[] = (["off", "on"] as const).map((label) => ({
    label,
    document: compare({
      guest: hypercallBench,
      machine: epyc9124,
      mitigations: { ibpbEntry: label === "on" },
    }),
  }));
  const named = settings.map(({ label, document }) => ({ label: `IBPB on exit ${label}`, document }));
  const documents = settings.map(({ document }) => document);
  const estimates = mergeEstimates(documents.map((document) => document.estimates));
  const notes = new Set(documents.flatMap(measurementNotes));

  const parts = named.flatMap(({ label, document }) => [
    `${paint.strong(label)}: ${setting(document, paint)}`,
    consoles(document, paint),
  ]);
  parts.push(settingsTable("IBPB on exit", settings, paint), [...notes].join("\n"), publishedNote(named));
  for (const { label, document } of named)
    parts.push(
      `${paint.strong("Where the cycles go")} (cycles per call, ${label})`,
      breakdownTable(document, paint),
    );
  parts.push(
    `${paint.strong("Estimates that these figures rest on")} (${estimates.length})`,
    estimatesTable(estimates, paint),
  );
  output.out(`${parts.join("\n\n")}\n`);
  return exitCode(documents, output);
}
