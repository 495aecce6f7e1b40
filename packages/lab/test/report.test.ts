import { describe, expect, it } from "vitest";
import { breakdownTable } from "../src/report/breakdown.js";
import { consoles } from "../src/report/consoles.js";
import { estimatesTable } from "../src/report/estimates.js";
import { figure, percent } from "../src/report/figures.js";
import { measurementNotes, publishedNote } from "../src/report/notes.js";
import { ansi, plain } from "../src/report/paint.js";
import { setting, settingsTable, summaryTable } from "../src/report/summary.js";
import { CANNED, endedBadly } from "./canned-document.js";

// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what an escape sequence starts with
const ESCAPES = /\u001b\[\d+m/g;

describe("text reports", () => {
  it("summary", () => {
    expect(`${setting(CANNED, plain)}\n\n${summaryTable(CANNED, plain)}`).toMatchSnapshot();
  });

  it("several settings in one table", () => {
    const settings = [
      { label: "off", document: CANNED },
      { label: "on", document: CANNED },
    ];
    expect(settingsTable("IBPB on exit", settings, plain)).toMatchSnapshot();
  });

  it("breakdown", () => {
    expect(breakdownTable(CANNED, plain)).toMatchSnapshot();
  });

  it("estimates", () => {
    expect(estimatesTable(CANNED.estimates, plain)).toMatchSnapshot();
  });

  it("published figure", () => {
    expect(publishedNote([{ label: "IBPB on exit on", document: CANNED }])).toMatchSnapshot();
    const elsewhere = { ...CANNED, machine: { ...CANNED.machine, id: "skylake-sp" } };
    expect(publishedNote([{ label: "x", document: elsewhere }])).toBe("");
  });

  it("guests' consoles and ends", () => {
    expect(consoles(CANNED, plain)).toMatchSnapshot();
    expect(consoles(endedBadly(), plain)).toMatchSnapshot();
    expect(measurementNotes(endedBadly())).toMatchSnapshot();
  });

  it("a run without figures shows none", () => {
    expect(summaryTable(endedBadly(), plain)).toMatchSnapshot();
  });

  it("the sum line of a breakdown is the summary's figure", () => {
    const sums = breakdownTable(CANNED, plain).split("\n").at(-1) ?? "";
    for (const run of CANNED.runs) expect(sums).toContain(figure(run.cyclesPerCall, 1));
  });

  it("colour changes no column", () => {
    for (const table of [summaryTable, breakdownTable])
      expect(table(CANNED, ansi).replace(ESCAPES, "")).toBe(table(CANNED, plain));
    expect(ansi.strong("x")).not.toBe("x");
  });
});

it("figures", () => {
  expect(figure(1234567.891, 1)).toBe("1 234 567.9");
  expect(figure(0)).toBe("0");
  expect(figure(999, 2)).toBe("999.00");
  expect(figure(null)).toBe("-");
  expect(percent(0.3042)).toBe("30.4 %");
  expect(percent(-0.004, 0)).toBe("0 %");
  expect(percent(-0.012, 0)).toBe("-1 %");
  expect(percent(undefined)).toBe("-");
});
