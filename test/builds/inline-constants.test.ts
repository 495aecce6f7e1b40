import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConstantModules } from "../../scripts/inline-constants.js";

const TABLES = `
const SHIFT = 4;
export const State = { Gpr: 0, Rip: 2 * SHIFT, High: 1 << 31, Name: "rip" } as const;
export const Open = { Gpr: 1 };
const base = { A: 2 } as const;
export const Spread = { A: 1, ...base } as const;
export const LIMIT = 0x100;
`;

describe("inline-constants", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "inline-constants-"));
    writeFileSync(join(directory, "tables.ts"), TABLES);
    writeFileSync(
      join(directory, "index.ts"),
      `export { State as Words } from "./tables.js";\nexport * from "./tables.js";\n`,
    );
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** What becomes of code that imports the tables. */
  function inlined(code: string, from = "./tables.js"): string {
    const path = join(directory, `${Math.abs(hash(code))}.ts`);
    const imports = `import { LIMIT, Open, Spread, State } from "${from}";\n`;
    writeFileSync(path, imports + code);
    return new ConstantModules().inlined(path).slice(imports.length);
  }

  test.each([
    ["x = words[State.Rip];", "x = words[8];"],
    ["x = y - State.High;", "x = y - (-2147483648);"],
    ["const AT = State.Rip + 1; x = AT;", "const AT = 8 + 1; x = 9;"],
    ["x = LIMIT.toString();", "x = (256).toString();"],
    ["if (x > LIMIT) {}", "if (x > 256) {}"],
  ])("%s", (code, expected) => {
    expect(inlined(code)).toBe(expected);
    expect(inlined(code, "./index.js")).toBe(expected);
  });

  test.each([
    [
      "a name that means something else further in",
      "function f(State: { Rip: number }) { return State.Rip; }",
    ],
    ["a field that is no number", "x = State.Name;"],
    ["a table that may change", "x = Open.Gpr;"],
    ["a table with a spread in it", "x = Spread.A;"],
    ["the table itself", "x = Object.keys(State); y = State[z];"],
    ["a property of that name", "x = y.LIMIT; z = { LIMIT: 1 }; w = { LIMIT };"],
    ["a type", "let x: typeof State.Rip; let y: typeof LIMIT;"],
  ])("leaves %s alone", (_what, code) => {
    expect(inlined(code)).toBe(code);
  });

  test("follows a re-export under another name", () => {
    const path = join(directory, "renamed.ts");
    writeFileSync(path, `import { Words as W } from "./index.js";\nx = W.Rip;`);
    expect(new ConstantModules().inlined(path)).toContain("x = 8;");
  });
});

function hash(text: string): number {
  return [...text].reduce((sum, character) => (Math.imul(sum, 31) + character.charCodeAt(0)) | 0, 7);
}
