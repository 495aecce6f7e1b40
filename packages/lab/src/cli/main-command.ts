import { compare } from "../compare.js";
import { mergeEstimates } from "../estimates.js";
import { hypercallBench } from "../guest-catalogue.js";
import { breakdownTable } from "../report/breakdown.js";
import { consoles } from "../report/ends.js";
import { estimatesTable } from "../report/estimates.js";
import { measurementNotes, publishedNote } from "../report/notes.js";
import { setting, summaryTable } from "../report/summary.js";
import type { CompareDocument } from "../result.js";
import { exitCode } from "./compare-command.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";

/** `hyperwalk main`: the comparison that hyperwalk was written for. @returns the exit code */
export function mainCommand(output: Output): number {
  const { paint } = output;
  const machine = machineById("machine", "epyc-9124");
  const run = (ibpbEntry: boolean): CompareDocument =>
    compare({ guest: hypercallBench, machine, mitigations: { ibpbEntry } });
  const settings: [string, CompareDocument][] = [
    ["IBPB on exit off", run(false)],
    ["IBPB on exit on", run(true)],
  ];
  const documents = settings.map(([, document]) => document);
  const write = (...parts: string[]): void => output.out(`${parts.join("\n\n")}\n\n`);
  for (const [label, document] of settings) {
    write(paint.strong(`== ${label} ==`), setting(document, paint), consoles(document, paint));
    write(summaryTable(document, paint), measurementNotes(document).join("\n"));
  }
  write(publishedNote(settings));
  for (const [label, document] of settings)
    write(
      `${paint.strong("Where the cycles go")} (cycles per call, ${label})`,
      breakdownTable(document, paint),
    );
  const estimates = mergeEstimates(documents.map((document) => document.estimates));
  write(`${paint.strong("Estimates that these figures rest on")} (${estimates.length})`);
  output.out(`${estimatesTable(estimates, paint)}\n`);
  return exitCode(documents, output);
}
