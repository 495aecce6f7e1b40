import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { armProfileQuantities, findArmProfile, findProfile, profileQuantities } from "@hyperwalk/cpu";
import { stagePriceKeys } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BlockError, fillBlocks } from "../src/report/generated-blocks.js";
import { errorText, tally, worstFirst } from "../src/report/validation-figures.js";
import { chaseRow, validationBlocks } from "../src/report/validation-page.js";
import { chasePoint } from "../src/validation/chase-curves.js";
import { Experiments } from "../src/validation/experiments.js";
import { errorOf } from "../src/validation/figure.js";
import { type FigureResult, validate, validationFigures } from "../src/validation/validate.js";
import { LONG_PARTS, VALIDATION_PARTS } from "../src/validation/validation-parts.js";
import { hyperwalk } from "./hyperwalk.js";

const PAGE = fileURLToPath(new URL("../../../docs/validation.md", import.meta.url));

describe("published figures", () => {
  const figures = validationFigures();

  it("have ids of their own, a source, and a range that is one", () => {
    const ids = figures.map(({ id }) => id);
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
    for (const { id, source, published, what, where } of figures) {
      expect(
        [what, where, source].every((text) => text.length > 0),
        id,
      ).toBe(true);
      if (typeof published !== "number") expect(published[0], id).toBeLessThan(published[1]);
    }
  });

  it("name prices of the profile that was asked where they say that it took one", () => {
    for (const { id, asked, calibrated } of figures)
      for (const input of calibrated) {
        const key = /^(?:timing|memory)\.[\w.]+/.exec(input)?.[0];
        if (key === undefined) continue;
        const machine = /^[\w-]+/.exec(asked)?.[0] ?? "";
        const profile = findProfile(machine);
        const arm = findArmProfile(machine);
        const known = profile ? profileQuantities(profile) : arm ? armProfileQuantities(arm) : [];
        expect(
          known.map(([name]) => name),
          `${id}: ${asked}`,
        ).toContain(key);
      }
  });

  it("name stages that there are where they say that one was made from them", () => {
    const keys = stagePriceKeys();
    const inputs = figures.flatMap(({ calibrated }) => calibrated);
    const stages = inputs.filter((input) => input.startsWith("stage."));
    expect(stages.length).toBeGreaterThan(5);
    for (const stage of stages) expect(keys).toContain(stage);
  });

  it("are asked with mitigations and without where the publication does not say whether they ran", () => {
    const open = figures.filter(
      ({ unknown, id }) => unknown?.includes("mitigations") && /^round-trip/.test(id),
    );
    const settings = (setting: string) =>
      open.flatMap(({ id }) => id.split(`; mitigations ${setting}`).slice(0, -1));
    expect(settings("on").length).toBeGreaterThan(5);
    expect(settings("on")).toEqual(settings("off"));
    expect(open.length).toBe(2 * settings("on").length);
  });

  it("say as inputs every price that is the published figure itself, of bare instructions", () => {
    const bare = figures.filter(({ id }) => id.startsWith("instruction/"));
    const experiments = new Experiments();
    for (const figure of bare.filter(({ calibrated }) => calibrated.length === 0))
      expect(Math.abs(errorOf(figure, figure.predict(experiments).value) ?? 1), figure.id).toBeGreaterThan(
        0.05,
      );
  });
});

describe("the error of a prediction", () => {
  it.each([
    [100, 110, 0.1],
    [100, 90, -0.1],
    [[100, 120], 110, 0],
    [[100, 120], 132, 0.1],
    [[100, 120], 50, -0.5],
    [0, 0, 0],
    [0, 1, undefined],
  ] as const)("%j published, %d found", (published, found, error) => {
    const result = errorOf({ published }, found);
    if (error === undefined) expect(result).toBeUndefined();
    else expect(result).toBeCloseTo(error, 12);
  });

  const figure = (over: Partial<FigureResult>): FigureResult => ({
    id: "",
    what: "",
    where: "",
    asked: "",
    published: [100, 100],
    predicted: 100,
    unit: "cycles",
    error: 0,
    mark: "M",
    source: "",
    likeness: "same",
    calibrated: [],
    estimates: [],
    ...over,
  });

  it("is told in per cent, and in points of a share", () => {
    expect(errorText(figure({ error: 0.3 }))).toBe("+30 %");
    expect(errorText(figure({ error: -0.0001 }))).toBe("0.0 %");
    expect(errorText(figure({ error: null }))).toBe("missed");
    const share = { unit: "share", published: [0.3, 0.3], predicted: 0.516, error: 0.72 } as const;
    expect(errorText(figure(share))).toBe("+21.6 points");
  });

  it("is counted apart where an input was taken from the figure", () => {
    const figures = [
      figure({ error: 0.01 }),
      figure({ error: -0.2 }),
      figure({ error: 0.9 }),
      figure({ error: null }),
      figure({ error: 0, calibrated: ["timing.ibpb"] }),
    ];
    const part = { name: "round-trips", title: "t", figures } as const;
    const [line, all] = tally({ tool: { name: "", version: "" }, parts: [part], unasked: [], estimates: [] });
    expect(line).toMatchObject({ figures: 5, calibrated: 1, close: 1, near: 1, missed: 2 });
    expect(line.worst?.error).toBeNull();
    expect({ ...all, title: "t" }).toEqual(line);
    expect(worstFirst(figures).map(({ error }) => error)).toEqual([null, 0.9, -0.2, 0.01]);
  });
});

describe("docs/validation.md", () => {
  const page = readFileSync(PAGE, "utf8");

  it("has a block for each part, the summary and what is not asked", () => {
    const blocks = [...page.matchAll(/^<!-- generated by hyperwalk validate: ([\w-]+) -->$/gm)];
    expect(blocks.map(([, name]) => name).sort()).toEqual([...VALIDATION_PARTS, "summary", "unasked"].sort());
  });

  // CI checks the others with `hyperwalk validate --check`.
  it("says what comes out: parts that take a second or two", { timeout: 60_000 }, () => {
    const document = validate({ parts: ["copies", "walks", "arm", "instruction-costs", "memory"] });
    expect(fillBlocks(page, validationBlocks(document)).changed).toEqual([]);
  });

  it("says what comes out: rows of a pointer chase", { timeout: 60_000 }, () => {
    const experiments = new Experiments();
    for (const pages of [8, 128, 512]) {
      const row = chaseRow(chasePoint(experiments, "skylake-sp", pages, 512));
      expect(page).toContain(`| ${row.join(" | ")} |`);
    }
  });
});

describe("fillBlocks", () => {
  const begin = "<!-- generated by hyperwalk validate: arm -->";
  const end = "<!-- end: arm -->";
  const blocks = new Map([["arm", "| 1 |"]]);

  it("changes what stands between the marks, once", () => {
    const { text, changed } = fillBlocks(`a\n${begin}\nold\n${end}\nb\n`, blocks);
    expect(text).toBe(`a\n${begin}\n\n| 1 |\n\n${end}\nb\n`);
    expect(changed).toEqual(["arm"]);
    expect(fillBlocks(text, blocks)).toEqual({ text, changed: [] });
  });

  it("leaves blocks alone that it is not given", () => {
    const text = `${begin}\nold\n${end}`;
    expect(fillBlocks(text, new Map())).toEqual({ text, changed: [] });
  });

  it.each([
    ["no block", "a\nb", 2, "no line"],
    ["no end", `a\n${begin}\nb`, 2, "has no line"],
    ["two blocks", `${begin}\n${end}\n${begin}\n${end}`, 3, "twice"],
  ])("%s", (_, text, line, message) => {
    const fill = () => fillBlocks(text, blocks);
    expect(fill).toThrow(BlockError);
    expect(fill).toThrow(message);
    expect(fill).toThrow(expect.objectContaining({ line }));
  });
});

describe("hyperwalk validate", { timeout: 60_000 }, () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-validate-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("prints figures, and errors that are misses", async () => {
    const { code, out } = await hyperwalk("validate", "--only", "arm,walks");
    expect(code).toBe(0);
    expect(out).toMatch(/hypercall without a structure.*376.*%/);
    expect(out).toContain("!");
    expect(out).toContain("How far off");
  });

  it("prints JSON that says where every figure is from", async () => {
    const { code, out } = await hyperwalk("validate", "--only", "arm", "--json");
    expect(code).toBe(0);
    const { parts, unasked } = JSON.parse(out);
    expect(parts[0].figures[0]).toMatchObject({ id: "arm/hypercall", published: [376, 376], mark: "M" });
    expect(parts[0].figures[0].estimates).toContain("timing.exceptionEntry");
    expect(unasked.length).toBeGreaterThan(10);
  });

  it("writes blocks, and checks them", async () => {
    const path = join(directory, "page.md");
    const block = (name: string) =>
      `<!-- generated by hyperwalk validate: ${name} -->\nold\n<!-- end: ${name} -->\n`;
    writeFileSync(path, `# Page\n\n${block("walks")}\n${block("unasked")}\n`);
    const only = ["validate", "--only", "walks"];
    const stale = await hyperwalk(...only, "--check", path);
    expect([stale.code, stale.err]).toEqual([1, expect.stringContaining("stale: walks, unasked")]);
    expect((await hyperwalk(...only, "--write", path)).out).toContain("wrote");
    expect((await hyperwalk(...only, "--write", path)).out).toContain("was up to date");
    expect(await hyperwalk(...only, "--check", path)).toMatchObject({ code: 0, err: "" });
    writeFileSync(path, readFileSync(path, "utf8").replace("| 24 | 24 |", "| 24 | 25 |"));
    expect((await hyperwalk(...only, "--check", path)).code).toBe(1);
  });

  it.each([
    ["a part that there is not", ["--only", "all-of-it"], ["--only", "pointer-chase"]],
    ["two ways to name parts", ["--only", "arm", "--long"], ["--long", "--only"]],
    ["writing and checking", ["--write", "a.md", "--check", "a.md"], ["--check", "--write"]],
    ["JSON of a check", ["--json", "--check", "a.md"], ["--json", "--check"]],
    ["a page that is not there", ["--check", "/nowhere/a.md"], ["/nowhere/a.md", "ENOENT"]],
  ])("%s ends with 2", async (_, args, words) => {
    const { code, out, err } = await hyperwalk("validate", ...args);
    expect([code, out]).toEqual([2, ""]);
    for (const word of words) expect(err).toContain(word);
    expect(err).not.toContain("    at ");
  });

  it("a page without a block ends with 2 and the line", async () => {
    const path = join(directory, "empty.md");
    writeFileSync(path, "# Nothing\n");
    const { code, err } = await hyperwalk("validate", "--only", "walks", "--write", path);
    expect([code, err]).toEqual([2, expect.stringContaining(`${path}:2`)]);
    expect(readFileSync(path, "utf8")).toBe("# Nothing\n");
  });

  it("long parts are none of the default ones", () => {
    expect(LONG_PARTS.every((name) => VALIDATION_PARTS.includes(name))).toBe(true);
    expect(LONG_PARTS.length).toBeLessThan(VALIDATION_PARTS.length);
  });
});
