import { expect, it } from "vitest";
import { guestFigure } from "../src/guest-figure.js";

it("reads the last line that has cycles and iterations", () => {
  expect(guestFigure("iterations=2 cycles=10\niterations=4 cycles=100 per-call=25\ndone\n")).toBe(25);
  expect(guestFigure("a cycles=12 iterations=5 b")).toBe(12 / 5);
});

it("gives nothing when no line has both", () => {
  expect(guestFigure("")).toBeUndefined();
  expect(guestFigure("cycles=5\niterations=5\n")).toBeUndefined();
  expect(guestFigure("iterations=0 cycles=5")).toBeUndefined();
  expect(guestFigure("subcycles=5 iterations=5")).toBeUndefined();
});
