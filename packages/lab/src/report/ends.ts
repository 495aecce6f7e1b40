import type { CompareDocument, RunExit, RunResult } from "../result.js";
import type { Paint } from "./paint.js";

/** What each guest printed and how it ended, one block for each interface. */
export function consoles(document: CompareDocument, paint: Paint): string {
  return document.runs
    .map((run) => {
      const text = run.console.replace(/\r/g, "").trimEnd();
      const lines = text === "" ? [paint.faint("(nothing printed)")] : text.split("\n");
      return [
        paint.strong(`guest under ${run.abi}`),
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

/** How a run ended, in words. */
export function describeExit(exit: RunExit): string {
  const at = `at RIP ${exit.rip}`;
  const detail = exit.detail ? `: ${exit.detail}` : "";
  switch (exit.reason) {
    case "shutdown":
      return exit.ok
        ? `the guest asked for ${exit.shutdown}`
        : `shutdown for ${exit.shutdown ?? "no stated reason"} ${at}${detail}`;
    case "budget":
      return `the budget of ${exit.budget ?? "instructions"} was used up ${at}${detail}`;
    default:
      return `${exit.reason.replaceAll("-", " ")} ${at}${detail}`;
  }
}
