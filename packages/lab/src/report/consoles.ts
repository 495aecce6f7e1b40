import type { CompareDocument, RunResult } from "../result.js";
import { describeExit } from "./exits.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** What each guest printed and how it ended, one block for each interface. */
export function consoles(document: CompareDocument, paint: Paint): string {
  return document.runs
    .map((run) => {
      const text = run.console.replace(/\r/g, "").trimEnd();
      const lines = text === "" ? [paint.faint("(nothing printed)")] : text.split("\n");
      return [
        paint.strong(`guest under ${runName(run)}`),
        ...lines.map((line) => `  ${line}`),
        `  ${ending(run, paint)}`,
      ].join("\n");
    })
    .join("\n");
}

function ending(run: RunResult, paint: Paint): string {
  return run.exit.ok
    ? paint.faint(`ended: ${describeExit(run.exit)}`)
    : paint.warn(`ended badly: ${describeExit(run.exit)}`);
}
