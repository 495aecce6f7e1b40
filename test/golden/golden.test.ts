import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CASES } from "./cases.js";

const expected: Record<string, unknown> = JSON.parse(
  readFileSync(new URL("./expected.json", import.meta.url), "utf8"),
);

// A figure that was meant to change: npm run golden -- --update, and say why in the commit.
describe("golden comparisons", () => {
  it("covers the cases and no others", () => {
    expect(Object.keys(expected)).toEqual(CASES.map((each) => each.name));
  });

  for (const each of CASES) {
    it(each.name, { timeout: 30_000 }, () => {
      // Through JSON, as the file was written: it has no undefined and no negative zero.
      expect(JSON.parse(JSON.stringify(each.run()))).toEqual(expected[each.name]);
    });
  }

  it("two runs give the same bytes", { timeout: 30_000 }, () => {
    for (const each of CASES.slice(0, 2)) expect(JSON.stringify(each.run())).toBe(JSON.stringify(each.run()));
  });
});
