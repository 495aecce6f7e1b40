import type { ExpectationResult } from "../scenario/expectations.js";
import { grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** What a scenario expected beside what it found. */
export function expectationTable(expectations: readonly ExpectationResult[], paint: Paint): string {
  return grid(
    [
      { title: "expected", align: "left" },
      { title: "of", align: "left" },
      { title: "", align: "left" },
      { title: "found" },
      { title: "met", align: "left" },
      { title: "source", align: "left", wrapAt: 60 },
    ],
    expectations.map((each) => [
      each.figure,
      [each.interface, ...(each.against === undefined ? [] : [`against ${each.against}`]), each.host ?? ""]
        .join(" ")
        .trim(),
      boundsOf(each),
      each.found === null ? "nothing" : String(Number(each.found.toPrecision(6))),
      each.isMet ? "yes" : paint.warn("no"),
      each.source ?? "",
    ]),
    paint,
  );
}

function boundsOf({ is, within, "at-least": least, "at-most": most }: ExpectationResult): string {
  if (is !== undefined) return `${is} ± ${within}`;
  return [least === undefined ? "" : `≥ ${least}`, most === undefined ? "" : `≤ ${most}`].join(" ").trim();
}
