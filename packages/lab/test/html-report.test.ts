import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { parseSpecCtrl } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CompareRequest, compare } from "../src/compare.js";
import { runstateLoop } from "../src/guest-catalogue.js";
import { DocumentError } from "../src/html/document-error.js";
import { escapeText, html, jsonForScript } from "../src/html/markup.js";
import { type ChartLibrary, htmlReport } from "../src/html/page.js";
import { readReportInput } from "../src/html/read-input.js";
import { compareCommandLine, shellWords } from "../src/html/reproduce.js";
import type { CompareDocument } from "../src/result.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import type { SweepRow } from "../src/sweep/sweep-row.js";
import { CANNED, endedBadly } from "./canned-document.js";
import { CANNED_RUN, CANNED_SENSITIVITY, CANNED_TIMELINE, cannedSweep } from "./canned-parts.js";
import { hyperwalk } from "./hyperwalk.js";

const HOSTILE = `</script><script>alert(1)</script><!--<img src=x onerror='alert(2)'>" &amp; ${"\u0000\u001b[31m\u202e"}\ud800`;
const NO_LIBRARIES: readonly ChartLibrary[] = [];

/** The document with every text in it replaced that a stranger may have written. */
function hostile(document: CompareDocument): CompareDocument {
  return {
    ...document,
    tool: { name: HOSTILE, version: HOSTILE },
    machine: { ...document.machine, id: HOSTILE, name: HOSTILE, vendor: HOSTILE },
    guest: { name: HOSTILE, operation: HOSTILE, cmdline: HOSTILE },
    runs: document.runs.map((run) => ({
      ...run,
      console: HOSTILE,
      ledger: run.ledger.map((cell, at) => ({ ...cell, phase: `${HOSTILE}${at % 3}`, cause: HOSTILE })),
      exit: { ...run.exit, ok: false, reason: HOSTILE, rip: HOSTILE, detail: HOSTILE },
      results: [{ result: HOSTILE, calls: 1 }],
    })),
    estimates: document.estimates.map((each) => ({ ...each, key: HOSTILE, unit: HOSTILE, source: HOSTILE })),
  };
}

function chartsOf(page: string): { id: string; spec: Record<string, unknown> }[] {
  const [, json] = /<script type="application\/json" id="charts">([^<]*)<\/script>/.exec(page) ?? [];
  return JSON.parse(json).charts;
}

describe("markup", () => {
  it("escapes what is filled in, in content and attributes", () => {
    const name = `"><b onclick='x'>&`;
    expect(html`<i title="${name}">${name}</i>`.text).toBe(
      '<i title="&quot;&gt;&lt;b onclick=&#39;x&#39;&gt;&amp;">&quot;&gt;&lt;b onclick=&#39;x&#39;&gt;&amp;</i>',
    );
    expect(html`${[html`<i>`, "<i>", 3, null, undefined, false]}`.text).toBe("<i>&lt;i&gt;3");
  });

  it("shows control characters by their pictures and drops what has no UTF-8", () => {
    expect(escapeText("a\r\nb\u001b[1m\u0000\u007f\ud800 \ud83d\ude00")).toBe(
      "a\nb␛[1m␀\ufffd\ufffd \ud83d\ude00",
    );
  });

  it("has JSON in a script that no HTML parser ends", () => {
    const { text } = jsonForScript({ [HOSTILE]: HOSTILE, line: "\u2028" });
    expect(text).not.toMatch(/[<>&\u2028]/);
    expect(JSON.parse(text)).toEqual({ [HOSTILE]: HOSTILE, line: "\u2028" });
  });
});

describe("a page", () => {
  it("has every section, figures as the tables of the command line have them, and one script of data", async () => {
    const report = await htmlReport({ comparisons: [{ label: "a", document: CANNED }] }, NO_LIBRARIES);
    expect(report.sections).toEqual([
      "Summary",
      "Breakdown",
      "Differences",
      "Provenance",
      "Guests' consoles",
      "Settings and how to run it again",
    ]);
    expect(report.charts).toHaveLength(4);
    expect(report.html).toContain("3\u202f160.8"); // linear
    expect(report.html).toContain("about 30\u00a0%");
    expect(report.html).toContain("memory.overlap.load");
    expect(chartsOf(report.html).map(({ id }) => id)).toEqual([
      "breakdown-phase",
      "breakdown-cause",
      "difference-1",
      "difference-2",
    ]);
  });

  it("loads nothing: no address but those of licences and namespaces, and a policy that forbids it", async () => {
    const { html: page } = await htmlReport(
      { comparisons: [{ label: "a", document: CANNED }] },
      NO_LIBRARIES,
    );
    expect(page).toMatch(/Content-Security-Policy" content="default-src &#39;none&#39;/);
    expect(page).not.toMatch(/\b(src|href)="(?!#)/);
    expect(page).not.toMatch(/url\((?!#)/);
  });

  it("stays whole whatever documents say", async () => {
    const document = hostile(CANNED);
    const { html: page } = await htmlReport(
      {
        title: HOSTILE,
        comparisons: [
          { label: HOSTILE, document },
          { label: "b", document },
        ],
      },
      NO_LIBRARIES,
    );
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    for (const text of ["<img", "<!--", "\u0000", "\u001b"]) expect(page).not.toContain(text);
    expect(chartsOf(page).length).toBeGreaterThan(2);
  });

  it("ends no script that a library has", async () => {
    const library = {
      name: "x",
      licence: "*/ </script>",
      source: "a='</script>'\n//# sourceMappingURL=x.map\n",
    };
    const { html: page } = await htmlReport({ comparisons: [{ label: "a", document: CANNED }] }, [library]);
    expect(page.match(/<\/script/g)).toHaveLength(3);
    expect(page).toContain("a='\\x3c/script>'");
    expect(page).not.toContain("sourceMappingURL");
  });

  it("the parts of a bar and the steps of a difference add up to the headline's figures", async () => {
    const { html: page } = await htmlReport(
      { comparisons: [{ label: "a", document: CANNED }] },
      NO_LIBRARIES,
    );
    const values = (id: string) => {
      const chart = chartsOf(page).find((each) => each.id === id);
      if (chart === undefined) throw new Error(`no chart ${id}`);
      return (chart.spec.data as { values: Record<string, unknown>[] }).values;
    };
    const [linear, physaddr] = CANNED.runs;
    for (const id of ["breakdown-phase", "breakdown-cause"])
      expect(
        values(id)
          .filter(({ run }) => run === "linear")
          .at(-1)?.to,
      ).toBeCloseTo(linear.cyclesPerCall ?? 0, 9);
    const steps = values("difference-1");
    expect(steps[0].to).toBe(linear.cyclesPerCall);
    expect(steps.at(-2)?.to).toBeCloseTo(physaddr.cyclesPerCall ?? 0, 9);
    expect(steps.at(-1)?.to).toBe(physaddr.cyclesPerCall);
  });

  it("of a guest that made no hypercall has tables and no charts, and says how it ended", async () => {
    const report = await htmlReport({ comparisons: [{ label: "a", document: endedBadly() }] }, NO_LIBRARIES);
    expect(report.charts).toEqual([]);
    expect(report.html).toContain("budget of instructions was used up");
  });

  it("of two documents shows the difference of each interface and marks the settings that differ", async () => {
    const other = { ...CANNED, host: { ...CANNED.host, memoryMiB: 128 } };
    const report = await htmlReport(
      {
        comparisons: [
          { label: "small", document: CANNED },
          { label: "large", document: other },
        ],
      },
      NO_LIBRARIES,
    );
    expect(report.charts.filter((title) => title.startsWith("From small: "))).toHaveLength(3);
    expect(report.html).toMatch(/memoryMiB<\/code><\/th><td>64<\/td><td>128<\/td><td>differs/);
    expect(report.html.match(/>differs</g)).toHaveLength(1);
  });
});

describe("charts of other documents", () => {
  const NONE = { comparisons: [] };

  it("a hypercall has a row for each function down to the level whose rows fit on a sheet", async () => {
    const { html: page } = await htmlReport({ ...NONE, timelines: [CANNED_TIMELINE] }, NO_LIBRARIES);
    const [chart] = chartsOf(page);
    const { values } = chart.spec.data as { values: { name: string; label: string }[] };
    expect(values.map(({ name }) => name)).toEqual([
      "vcpu.get_runstate_info",
      "vm-exit",
      "operation",
      "vm-entry",
    ]);
    expect(values[0].label).toContain("700");
    expect(page).toContain("60 shorter steps inside the rows shown");
    expect(page).toContain("step 59");
  });

  it("a tornado has the estimate that matters most at the top, and none that moves nothing", async () => {
    const report = await htmlReport({ ...NONE, sensitivities: [CANNED_SENSITIVITY] }, NO_LIBRARIES);
    expect(report.charts).toEqual([
      "Which estimates matter for the cycles per call of linear",
      "Which estimates matter for the saving of physaddr against linear",
    ]);
    for (const { spec } of chartsOf(report.html)) {
      const { values } = spec.data as { values: { key: string; isLess: boolean; label: string }[] };
      expect(values.map(({ key }) => key)).toEqual([
        "timing.large",
        "timing.large",
        "timing.small",
        "timing.small",
      ]);
      expect(values.map(({ isLess, label }) => [isLess, label])).toEqual([
        [true, "1"],
        [false, "9"],
        [true, "1"],
        [false, "9"],
      ]);
    }
    expect(report.html).toContain("its range is one number");
  });

  it.each([
    [
      "one axis",
      { "domain.memory": [16, 64, 4096] },
      ["Cycles per call over domain.memory", "Saving against linear over domain.memory"],
    ],
    [
      "two axes",
      { "domain.p2m-page": ["4k", "2m"], "domain.memory": [16, 64, 4096] },
      [
        "Cycles per call over domain.memory, domain.p2m-page 4k",
        "Cycles per call over domain.memory, domain.p2m-page 2m",
        ...["linear", "physaddr", "fastabi"].map((name) => `Cycles per call of ${name}`),
        ...["physaddr", "fastabi"].map((name) => `Saving against linear of ${name}`),
      ],
    ],
    ["an axis with one value", { "domain.p2m-page": ["4k"] }, []],
  ])("a sweep over %s", async (_, axes, charts) => {
    const rows = cannedSweep(axes);
    const report = await htmlReport({ ...NONE, sweep: { rows: [...rows].reverse() } }, NO_LIBRARIES);
    expect(report.charts).toEqual(charts);
    expect(report.sections).toEqual(["Sweep"]);
  });

  it("a sweep of three axes has maps for the first combinations of the third", async () => {
    const rows = cannedSweep({
      "guest.page": ["4k", "2m"],
      "domain.p2m-page": ["4k", "2m", "1g"],
      "domain.memory": [16, 64, 256, 512],
    });
    const { charts } = await htmlReport({ ...NONE, sweep: { rows } }, NO_LIBRARIES);
    expect(charts).toHaveLength(2 * 5);
    expect(charts[0]).toBe("Cycles per call of linear, guest.page 4k");
  });

  it("a sweep whose points are no grid has lines over its points, and one that left some out says so", async () => {
    const [a, b, c, d] = cannedSweep({ x: [1, 2], y: [1, 2] });
    const skipped: SweepRow = { ...b, runs: [], skipped: "host.ept: not on AMD" };
    const { html: page, charts } = await htmlReport(
      { ...NONE, sweep: { rows: [a, skipped, c, d] } },
      NO_LIBRARIES,
    );
    expect(charts).toEqual([
      "Cycles per call over point of the sweep",
      "Saving against linear over point of the sweep",
    ]);
    expect(page).toContain("1 of them left out");
    expect(page).toContain("left out: host.ept: not on AMD");
  });

  it("a run has its expectations, its scenario, and the hash of the numbers that it used", async () => {
    const { comparisons } = readReportInput([{ path: "run.json", text: JSON.stringify(CANNED_RUN) }]);
    const { html: page } = await htmlReport({ comparisons }, NO_LIBRARIES);
    expect(page).toContain("41% ± 0.05".replace("41%", "0.41"));
    expect(page).toContain("<strong>no</strong>");
    expect(page).toContain("hyperwalk run mine.yaml");
    expect(page).toContain("abc123");
    const [, yaml] = /is<\/p>\s*<pre[^>]*><code>([^<]*)<\/code>/.exec(page) ?? [];
    expect(parseScenario(yaml.replaceAll("&quot;", '"').replaceAll("&#39;", "'"), "page").scenario).toEqual(
      CANNED_RUN.scenario,
    );
  });

  it("documents of every kind are known by what is in them", () => {
    const rows = cannedSweep({ "domain.memory": [16, 64] });
    const text = (document: unknown) => JSON.stringify(document, null, 1);
    const input = readReportInput([
      { path: "a", text: text(CANNED) },
      { path: "b", text: text(CANNED_RUN) },
      { path: "c", text: text(CANNED_TIMELINE) },
      { path: "d", text: text(CANNED_SENSITIVITY) },
      { path: "e", text: rows.map((row) => JSON.stringify(row)).join("\n") },
    ]);
    expect(input.comparisons.map(({ label }) => label)).toEqual(["a", "b"]);
    expect(input.timelines).toEqual([CANNED_TIMELINE]);
    expect(input.sensitivities).toEqual([CANNED_SENSITIVITY]);
    expect(input.sweep?.rows).toEqual(rows);
  });

  it("errors of lines name the line", () => {
    const [row] = cannedSweep({ "domain.memory": [16] });
    const bad = [JSON.stringify(row), JSON.stringify({ ...row, index: "1" })].join("\n");
    expect(() => readReportInput([{ path: "r.jsonl", text: bad }])).toThrow('r.jsonl, line 2, index: "1"');
    expect(() => readReportInput([{ path: "r.jsonl", text: `${JSON.stringify(row)}\n{` }])).toThrow(
      "r.jsonl, line 2: this is not JSON",
    );
  });
});

describe("documents that are refused name file, place and what is allowed", () => {
  const text = JSON.stringify(CANNED);
  const broken = (change: (document: CompareDocument) => void): string => {
    const document: CompareDocument = JSON.parse(text);
    change(document);
    return JSON.stringify(document);
  };
  const cases: [string, string, string][] = [
    ["nothing", "", "a.json, line 1: this is not JSON"],
    ["half a document", JSON.stringify(CANNED, null, 2).slice(0, 400), "a.json, line 21: this is not JSON"],
    ["a stray comma", '{\n"runs": [],\n}', "a.json, line 3: this is not JSON"],
    ["a list", "[1]", "a.json: is no document"],
    ["another object", '{"a": 1}', "a.json: is no document"],
    ["no runs", broken((document) => Object.assign(document, { runs: [] })), "a.json, runs: "],
    [
      "a text for a number",
      broken((document) => Object.assign(document.runs[1].ledger[2], { cyclesPerCall: "12" })),
      "a.json, runs[1].ledger[2].cyclesPerCall: ",
    ],
    [
      "an unknown interface",
      broken((document) => Object.assign(document.runs[0], { abi: "fast" })),
      "a.json, runs[0].abi: ",
    ],
    ["no host", broken((document) => Object.assign(document, { host: undefined })), "a.json, host: "],
    [
      "a switch that is none",
      broken((document) => Object.assign(document.host.mitigations, { verw: "yes" })),
      "a.json, host.mitigations.verw: ",
    ],
  ];
  it.each(cases)("%s", (_, content, message) => {
    let refusal: unknown;
    try {
      readReportInput([{ path: "a.json", text: content }]);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(DocumentError);
    expect((refusal as DocumentError).message).toContain(message);
    expect((refusal as DocumentError).message).toMatch(/; allowed: ./);
  });

  it("a third comparison", () => {
    const files = ["a", "b", "c"].map((path) => ({ path, text }));
    expect(() => readReportInput(files)).toThrow("c: is a third comparison");
  });

  it("files of one name keep labels of their own", () => {
    const { comparisons } = readReportInput([
      { path: "on/x.json", text },
      { path: "off/x.json", text },
    ]);
    expect(comparisons.map(({ label }) => label)).toEqual(["A: x", "B: x"]);
  });
});

describe("the command line in a page makes the document again", { timeout: 60_000 }, () => {
  const small = { guest: runstateLoop, machine: epyc9124, iterations: 2, memoryMiB: 16 } as const;
  const cases: [string, CompareRequest][] = [
    ["defaults", { ...small, memoryMiB: 64 }],
    [
      "every option",
      {
        ...small,
        abis: ["fastabi", "linear"],
        guestPage: "2m",
        p2mPage: "2m",
        mmioHandlers: 0,
        cmdline: "x='a b'",
        mitigations: parseSpecCtrl("no-xen", epyc9124),
      },
    ],
    ["an encrypted domain", { ...small, abis: ["fastabi"], confidential: "sev" }],
    ["both hypervisors", { ...small, hosts: ["xen", "kvm"], abis: ["linear", "physaddr"] }],
    ["KVM without IBPB", { ...small, hosts: ["kvm"], abis: ["linear"], kvm: { vmscape: false } }],
    [
      "Intel's switches",
      {
        ...small,
        abis: ["linear"],
        machine: skylakeSp,
        mitigations: parseSpecCtrl("no-rsb,l1d-flush=no,bhb-entry=hvm,bhb-seq=long", skylakeSp),
      },
    ],
  ];
  it.each(cases)("%s", async (_, request) => {
    const document = compare(request);
    const { args, notes } = compareCommandLine(document);
    expect(notes).toEqual([]);
    const { out } = await hyperwalk(...args, "--json");
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(document)));
  });

  it("says what it cannot say, and quotes for shells", () => {
    const document = { ...CANNED, guest: { ...CANNED.guest, name: "it's mine.elf" } };
    const { args, notes } = compareCommandLine(document);
    expect(notes).toEqual(["it's mine.elf is the path of the guest's ELF file."]);
    expect(shellWords(args)).toContain("compare 'it'\\''s mine.elf' --machine");
  });
});

describe("hyperwalk report", () => {
  let directory = "";
  let input = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-report-"));
    input = join(directory, "canned.json");
    writeFileSync(input, JSON.stringify(CANNED));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("writes a page with the charts' libraries in it, below 3 MB", async () => {
    const file = join(directory, "report.html");
    const { code, out, err } = await hyperwalk("report", input, "-o", file, "--title", "Mine", "--json");
    expect(err).toBe("");
    expect(code).toBe(0);
    const page = readFileSync(file, "utf8");
    const { bytes, charts } = JSON.parse(out);
    expect(bytes).toBe(Buffer.byteLength(page));
    expect(bytes).toBeLessThan(3e6);
    expect(charts).toHaveLength(4);
    expect(page).toContain("<title>Mine</title>");
    for (const name of ["vega", "vega-lite", "vega-embed"]) expect(page).toContain(`/*! ${name} `);
    expect(page.match(/<\/script/g)).toHaveLength(5);
  });

  it("runs a scenario: comparison, a hypercall of each interface, expectations", async () => {
    const scenario = join(directory, "small.yaml");
    writeFileSync(
      scenario,
      "name: small\nguest: { name: runstate-loop, iterations: 4 }\ndomain: { memory: 16M }\ninterfaces: [linear, fastabi]\nexpect:\n  - { figure: saving, interface: fastabi, against: linear, at-least: 0.99 }\n",
    );
    const file = join(directory, "small.html");
    const { code, out, err } = await hyperwalk("report", scenario, "--no-sensitivity", "-o", file, "--json");
    expect(err).toContain("not all expectations are met");
    expect(code).toBe(1);
    const { sections, charts } = JSON.parse(out);
    expect(sections).toContain("Single hypercalls");
    expect(charts.filter((title: string) => title.startsWith("One hypercall through"))).toHaveLength(2);
    expect(readFileSync(file, "utf8")).toContain("hyperwalk run small.yaml");
  });

  it("runs every point of a sweep, and takes the rest of the page from the first that can be run", async () => {
    const scenario = join(directory, "axes.yaml");
    writeFileSync(
      scenario,
      "name: axes\ndescription: Which pages?\nguest: { name: runstate-loop, iterations: 4 }\ninterfaces: [linear, registered]\nsweep:\n  unsupported: skip\n  axes:\n    host.kind: [kvm, xen]\n    interfaces: [[registered], [linear, registered]]\n",
    );
    const file = join(directory, "axes.html");
    const options = ["--no-sensitivity", "--workers", "1", "-o", file, "--json"];
    const { code, out, err } = await hyperwalk("report", scenario, ...options);
    expect(err).toBe("");
    expect(code).toBe(0);
    const { sections, charts } = JSON.parse(out);
    expect(sections.slice(0, 3)).toEqual(["Summary", "Sweep", "Breakdown"]);
    expect(charts).toContain("One hypercall through linear on KVM, from the first instruction to the return");
    const page = readFileSync(file, "utf8");
    expect(page).toContain("<b>axes</b>: Which pages?");
    expect(page).toContain("4 points, 1 of them left out");
    expect(page).toMatch(
      /are of one of its points: <code>host.kind<\/code> kvm, <code>interfaces<\/code> linear, registered/,
    );
    expect(page).toContain("hyperwalk sweep axes.yaml");
  }, 120_000);

  it("refuses what it cannot read or write", async () => {
    const many = join(directory, "many.yaml");
    writeFileSync(many, "name: many\nsweep: { axes: { seed: { from: 1, to: 1001, step: 1 } } }\n");
    const stray = join(directory, "stray.yaml");
    writeFileSync(
      stray,
      "name: stray\nsweep:\n  axes:\n    host.ibpb: [on]\n    machine.set.timing.vmexits: [400]\n",
    );
    const cases: [string[], string[]][] = [
      [["report"], ["input"]],
      [
        ["report", join(directory, "none.json")],
        ["cannot be read (ENOENT)", "compare --json"],
      ],
      [
        ["report", directory],
        ["sweep.json", "cannot be read (ENOENT)"],
      ],
      [["report", input, input, input], ["third"]],
      [
        ["report", input, "-o", join(directory, "no", "where.html")],
        ["--output", "ENOENT"],
      ],
      // Before anything is run.
      [
        ["report", many, "-o", directory],
        ["--output", "EISDIR"],
      ],
      [
        ["report", many, "-o", join(directory, "many.html")],
        ["1001 points", "up to 1000", "hyperwalk sweep"],
      ],
      [
        ["report", input, "--workers", "2"],
        ["--workers", "with a scenario"],
      ],
      [
        ["report", stray, "-o", join(directory, "stray.html")],
        ["stray.yaml:5: machine.set.timing.vmexits", "timing.vmexit,"],
      ],
    ];
    for (const [args, words] of cases) {
      const { code, out, err } = await hyperwalk(...args);
      expect(code).toBe(2);
      expect(out).toBe("");
      for (const word of words) expect(err).toContain(word);
      expect(err).not.toMatch(/^\s+at /m);
    }
  });
});
