import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HotOp } from "../src/interpreter/hot-op.js";

const source = readFileSync(new URL("../src/interpreter/interpreter.ts", import.meta.url), "utf8");

describe("the hot loop's switch", () => {
  it("has the numbers of HotOp as literals", () => {
    const cases = [...source.matchAll(/case (\d+):(?: \{)?\s*\/\/ (\w+)/g)].map(([, number, name]) => [
      name,
      Number(number),
    ]);
    const conditions = cases.filter(
      ([, number]) => Number(number) >= HotOp.Jcc && Number(number) < HotOp.Jcc + 16,
    );
    expect(conditions).toHaveLength(16);
    const named = Object.fromEntries(cases.filter((entry) => !conditions.includes(entry)));
    const { Jcc: _, ...rest } = HotOp;
    expect(named).toEqual(rest);
  });
});
