import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { epyc9124 } from "@hyperwalk/cpu";
import { compare, runstateLoop } from "hyperwalk";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runProgram } from "../../packages/lab/src/cli/program.js";
import { plain } from "../../packages/lab/src/report/paint.js";
import { CANNED_SENSITIVITY, CANNED_TIMELINE, cannedSweep } from "../../packages/lab/test/canned-parts.js";
import { findChromium } from "./chromium.js";
import { accessibilityProblems, launch, openPage } from "./pages.js";

const chromium = findChromium();
const HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'";

/** Documents of every other kind, and a sweep with lines and maps. */
const PARTS: readonly unknown[] = [
  CANNED_TIMELINE,
  CANNED_SENSITIVITY,
  ...cannedSweep({ "domain.p2m-page": ["4k", "2m"], "domain.memory": [16, 64, 4096] }),
];

let directory = "";
let browser: Browser;

/** The address of a report about some documents. */
async function reportOf(name: string, ...documents: readonly unknown[]): Promise<string> {
  const files = documents.map((document, at) => {
    const file = join(directory, `${name}-${at}.json`);
    writeFileSync(file, JSON.stringify(document));
    return file;
  });
  const page = join(directory, `${name}.html`);
  let errors = "";
  const code = await runProgram(["report", ...files, "-o", page], {
    paint: plain,
    out: () => {},
    err: (text) => {
      errors += text;
    },
  });
  if (code !== 0) throw new Error(errors);
  return pathToFileURL(page).href;
}

describe.skipIf(chromium === undefined)("reports in a browser", () => {
  const document = compare({ guest: runstateLoop, machine: epyc9124, hosts: ["xen", "kvm"], iterations: 64 });
  const slower = compare({ guest: runstateLoop, machine: epyc9124, iterations: 64, p2mPage: "2m" });

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-report-"));
    browser = await launch(chromium ?? "");
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true });
  });

  it.each([
    ["light", 1200, [document, slower]],
    ["dark", 1200, [document, ...PARTS]],
    ["light", 400, [document, ...PARTS]],
  ] as const)(
    "%s, %i pixels wide: axe finds nothing, the console is silent, nothing is cut",
    async (scheme, width, documents) => {
      const address = await reportOf(`looks-${documents.length}`, ...documents);
      const { page, noise } = await openPage(browser, address, { scheme, width });
      await page.waitForSelector("body[data-charts=drawn]");
      expect(await page.locator(".failed").count()).toBe(0);
      expect(await page.locator(".canvas svg").count()).toBe(await page.locator("figure.chart").count());
      // What is behind each summary, too.
      await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
      expect(await accessibilityProblems(page)).toEqual([]);
      const [wide, drawings] = await page.evaluate<[number, number]>(
        "[document.documentElement.scrollWidth, Math.max(...[...document.querySelectorAll('.canvas')].map((each) => each.scrollWidth - each.clientWidth))]",
      );
      expect(wide).toBeLessThanOrEqual(width);
      expect(drawings).toBeLessThanOrEqual(0);
      expect(noise).toEqual([]);
      await page.context().close();
    },
    240_000,
  );

  it("runs nothing that a document brings", async () => {
    const [first, ...others] = document.runs;
    const stranger = {
      ...document,
      machine: { ...document.machine, name: HOSTILE },
      guest: { ...document.guest, name: HOSTILE },
      runs: [
        { ...first, console: HOSTILE, ledger: first.ledger.map((cell) => ({ ...cell, phase: HOSTILE })) },
        ...others,
      ],
      estimates: document.estimates.map((each) => ({ ...each, source: HOSTILE })),
    };
    const { page, noise } = await openPage(browser, await reportOf("stranger", stranger), {
      scheme: "light",
      width: 1200,
    });
    await page.waitForSelector("body[data-charts=drawn]");
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.locator("script").count()).toBe(5);
    expect(await page.locator(".failed").count()).toBe(0);
    expect(noise).toEqual([]);
    await page.context().close();
  });

  it("is reachable by keyboard, the skip link first", async () => {
    const { page } = await openPage(browser, await reportOf("keys", document), {
      scheme: "light",
      width: 1200,
    });
    await page.waitForSelector("body[data-charts=drawn]");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.className")).toBe("skip");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.closest('main') !== null")).toBe(true);
    const summary = page.locator("details.data summary").first();
    await summary.focus();
    await page.keyboard.press("Enter");
    expect(await page.locator("details.data").first().getAttribute("open")).toBe("");
    await page.context().close();
  });

  it("without scripts has the tables", async () => {
    const { page } = await openPage(browser, await reportOf("still", document), {
      scheme: "light",
      width: 1200,
      scripts: false,
    });
    await page.locator("details.data summary").first().click();
    await expect(page.locator("details.data table").first().isVisible()).resolves.toBe(true);
    expect(await page.locator(".drawing").first().isVisible()).toBe(false);
    await page.context().close();
  });

  it("prints with every chart on one sheet and in light colours, whatever the screen has", async () => {
    const { page } = await openPage(browser, await reportOf("paper", document), {
      scheme: "dark",
      width: 1200,
    });
    await page.waitForSelector("body[data-charts=drawn]");
    await page.emulateMedia({ media: "print" });
    const [ink, split] = await page.evaluate<[string, string[]]>(
      "[getComputedStyle(document.body).color, [...document.querySelectorAll('.drawing')].map((each) => getComputedStyle(each).breakInside)]",
    );
    expect(ink).toBe("rgb(27, 31, 36)");
    expect(new Set(split)).toEqual(new Set(["avoid"]));
    expect((await page.pdf({ preferCSSPageSize: true })).length).toBeGreaterThan(10_000);
    await page.context().close();
  });
});
