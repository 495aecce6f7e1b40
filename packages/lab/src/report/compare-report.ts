import type { CompareDocument } from "../result.js";
import { breakdownTable } from "./breakdown.js";
import { consoles } from "./consoles.js";
import { estimatesTable } from "./estimates.js";
import { measurementNotes, publishedNote } from "./notes.js";
import type { Paint } from "./paint.js";
import { setting, summaryTable } from "./summary.js";

/** A whole document as text. */
export function compareReport(document: CompareDocument, paint: Paint): string {
  const { mitigations } = document.host;
  const parts = [
    setting(document, paint),
    consoles(document, paint),
    summaryTable(document, paint),
    measurementNotes(document).join("\n"),
    publishedNote([{ label: `IBPB on exit ${mitigations.ibpbEntry ? "on" : "off"}`, document }]),
    `${paint.strong("Where the cycles go")} (cycles per call)`,
    breakdownTable(document, paint),
    `${paint.strong("Estimates that these figures rest on")} (${document.estimates.length})`,
    estimatesTable(document.estimates, paint),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}
