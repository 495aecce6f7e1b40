import type { EstimateUsed } from "../result.js";
import { grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** The estimated numbers that figures rest on, each with the interval that the truth is believed to lie in. */
export function estimatesTable(estimates: readonly EstimateUsed[], paint: Paint): string {
  const rows = estimates.map(({ key, value, unit, range, source }) => [
    key,
    String(value),
    unit,
    range ? `${range[0]} to ${range[1]}` : "not stated",
    source,
  ]);
  return grid(
    [
      { title: "estimate", align: "left" },
      { title: "value" },
      { title: "unit", align: "left" },
      { title: "range", align: "left" },
      { title: "source", align: "left", wrapAt: 72 },
    ],
    rows,
    paint,
  );
}
