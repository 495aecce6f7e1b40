import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { parseSpecCtrl } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runProgram } from "../src/cli/program.js";
import { type CompareRequest, compare } from "../src/compare.js";
import { runstateLoop } from "../src/guest-catalogue.js";
import { DocumentError } from "../src/html/document-error.js";
import { escapeText, html, jsonForScript } from "../src/html/markup.js";
import { type ChartLibrary, htmlReport } from "../src/html/page.js";
import { readReportInput } from "../src/html/read-input.js";
import { compareCommandLine, shellWords } from "../src/html/reproduce.js";
import { plain } from "../src/report/paint.js";
import type { CompareDocument } from "../src/result.js";
import { CANNED, endedBadly } from "./canned-document.js";

const HOSTILE = `</script><script>alert(1)</script><!--<img src=x onerror='alert(2)'>" &amp; ${"\u0000\u001b[31m\u202e"}\ud800`;
const NO_LIBRARIES: readonly ChartLibrary[] = [];

async function hyperwalk(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const code = await runProgram(args, {
    paint: plain,
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
  });
  return { code, ...written };
}

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
      "Settings and command line",
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

  it("refuses what it cannot read or write", async () => {
    const cases: [string[], string[]][] = [
      [["report"], ["input"]],
      [
        ["report", join(directory, "none.json")],
        ["no such file", "compare --json"],
      ],
      [["report", directory], ["EISDIR"]],
      [["report", input, input, input], ["third"]],
      [
        ["report", input, "-o", join(directory, "no", "where.html")],
        ["--output", "ENOENT"],
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
