import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compare } from "../src/compare.js";
import { runstateLoop } from "../src/guest-catalogue.js";
import { MATRIX_OPERATIONS, type MatrixDocument } from "../src/operation-matrix.js";
import { ABIS, type CompareDocument } from "../src/result.js";
import { hyperwalk } from "./hyperwalk.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-cli-"));
  writeFileSync(
    join(directory, "text.elf"),
    "not an ELF file at all, but longer than a header of one would be....",
  );
  writeFileSync(join(directory, "empty.elf"), "");
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("a wrong command line ends with 2 and says what is allowed", { timeout: 60_000 }, () => {
  const bench = "hypercall-bench";
  const cases: [string, string[], string[]][] = [
    ["no command", [], ["Usage:", "compare"]],
    ["an unknown command", ["compaer"], ["compaer", "compare"]],
    ["no guest", ["compare"], ["guest", "hypercall-bench", "runstate-loop"]],
    ["two guests", ["compare", bench, bench], ["too many arguments"]],
    ["an unknown option", ["compare", bench, "--abis", "linear"], ["--abis", "--abi"]],
    [
      "an unknown interface",
      ["compare", bench, "--abi", "linear,fast"],
      ["--abi", '"fast"', ABIS.join(", ")],
    ],
    [
      "a kind that there is not",
      ["compare", bench, "--confidential", "snp"],
      ["--confidential", "sev, sev-es"],
    ],
    [
      "an encrypted guest on Intel",
      ["compare", "runstate-loop", "--confidential", "sev", "--machine", "skylake-sp"],
      ["--confidential", "skylake-sp", "AMD"],
    ],
    [
      "a guest that cannot be encrypted",
      ["compare", bench, "--confidential", "sev-es"],
      ["--confidential", "runstate-loop"],
    ],
    [
      "a matrix of encrypted guests",
      ["compare", bench, "--op", "all", "--confidential", "sev"],
      ["--confidential", "--op all"],
    ],
    ["an interface twice", ["compare", bench, "--abi", "linear,linear"], ["--abi", "twice"]],
    ["no interface", ["compare", bench, "--abi", ""], ["--abi", ABIS.join(", ")]],
    ["an unknown machine", ["compare", bench, "--machine", "i486"], ["--machine", '"i486"', "epyc-9124"]],
    [
      "a word for a number",
      ["compare", bench, "--iterations", "many"],
      ["--iterations", '"many"', "whole number from 1 to"],
    ],
    [
      "an interface that the guest has no stubs for",
      ["compare", bench, "--abi", "percall"],
      ["--abi", "percall", "linear, physaddr, fastabi"],
    ],
    ["a fraction", ["compare", bench, "--iterations", "1.5"], ["--iterations", '"1.5"']],
    ["zero", ["compare", bench, "--iterations", "0"], ["--iterations", '"0"']],
    ["a negative number", ["compare", bench, "--memory=-4"], ["--memory", '"-4"']],
    ["a number without value", ["compare", bench, "--iterations"], ["--iterations", "argument missing"]],
    ["a guest page size", ["compare", bench, "--guest-page", "1g"], ["--guest-page", '"1g"', "4k, 2m"]],
    ["a p2m page size", ["compare", bench, "--p2m-page", "64k"], ["--p2m-page", '"64k"', "4k, 2m, 1g"]],
    [
      "a place to go on to",
      ["compare", bench, "--fast-forward", "soon"],
      ["--fast-forward", '"soon"', "marker", "0x", "1 or more"],
    ],
    ["no instruction at all", ["compare", bench, "--fast-forward", "0"], ["--fast-forward", '"0"']],
    [
      "an address of 17 digits",
      ["compare", bench, "--fast-forward", "0x12345678123456789"],
      ["16 hexadecimal"],
    ],
    ["a switch", ["compare", bench, "--ibpb", "maybe"], ["--ibpb", '"maybe"', "on, off"]],
    ["an operation", ["compare", bench, "--op", "reboot"], ["--op", '"reboot"', "get_runstate_info"]],
    ["an unknown profile", ["profiles", "show", "i486"], ['"i486"', "epyc-9124"]],
  ];
  for (const [name, args, said] of cases)
    it(name, async () => {
      const { code, out, err } = await hyperwalk(...args);
      expect(code).toBe(2);
      expect(out).toBe("");
      for (const words of said) expect(err).toContain(words);
    });

  it("a file that is not there", async () => {
    const { code, err } = await hyperwalk("compare", join(directory, "absent.elf"));
    expect(code).toBe(2);
    for (const words of ["<guest>", "absent.elf", "no file", "hypercall-bench, runstate-loop"])
      expect(err).toContain(words);
  });

  it("a directory", async () => {
    const { code, err } = await hyperwalk("compare", directory);
    expect(code).toBe(2);
    expect(err).toContain("EISDIR");
  });

  it("a file that is not an ELF file", async () => {
    for (const name of ["text.elf", "empty.elf"]) {
      const { code, out, err } = await hyperwalk("compare", join(directory, name), "--json");
      expect(code).toBe(2);
      expect(out).toBe("");
      for (const words of ["<guest>", name, "ELF"]) expect(err).toContain(words);
    }
  });
});

describe("help and version", () => {
  it("are no errors", async () => {
    expect(await hyperwalk("--version")).toMatchObject({ code: 0, err: "" });
    const { code, out, err } = await hyperwalk("compare", "--help");
    expect([code, err]).toEqual([0, ""]);
    for (const option of [
      "--machine",
      "--abi",
      "--iterations",
      "--guest-page",
      "--p2m-page",
      "--ibpb",
      "--json",
    ])
      expect(out).toContain(option);
  });
});

describe("compare", { timeout: 60_000 }, () => {
  it("--json prints one document and nothing else", async () => {
    const { code, out, err } = await hyperwalk("compare", "hypercall-bench", "--json", "--iterations", "64");
    expect(err).toBe("");
    expect(code).toBe(0);
    const document: CompareDocument = JSON.parse(out);
    expect(Object.keys(document)).toEqual(["tool", "machine", "host", "guest", "runs", "estimates"]);
    expect(document.machine).toMatchObject({ id: "epyc-9124", ghz: 3 });
    expect(document.host).toMatchObject({ kind: "xen", p2mPage: "4k", guestPage: "4k", memoryMiB: 64 });
    expect(document.runs.map((run) => run.abi)).toEqual(["linear", "physaddr", "fastabi"]);
    for (const run of document.runs) {
      expect(run).toMatchObject({ window: "rdtsc", windowHypercalls: 64, guestMeasuredBy: "console" });
      expect(run.exit).toMatchObject({ ok: true, shutdown: "poweroff" });
      expect(run.guestMeasuredCyclesPerCall).toBe(run.cyclesPerCall);
      expect(run.ledger.reduce((sum, cell) => sum + cell.cyclesPerCall, 0)).toBe(run.cyclesPerCall);
      expect(run.nsPerCall).toBe((run.cyclesPerCall ?? 0) / 3);
      expect(run.console).toContain(`abi=${run.abi}`);
    }
    expect(document.estimates.length).toBeGreaterThan(0);
  });

  it("runs the interfaces that were asked for, with the settings that were asked for", async () => {
    const args = [
      "--abi",
      "fastabi,linear",
      "--ibpb",
      "off",
      "--p2m-page",
      "2m",
      "--guest-page",
      "2m",
      "--memory",
      "32",
    ];
    const { out } = await hyperwalk("compare", "runstate-loop", "--json", "--iterations", "16", ...args);
    const document: CompareDocument = JSON.parse(out);
    expect(document.runs.map((run) => run.abi)).toEqual(["fastabi", "linear"]);
    expect(document.host).toMatchObject({ p2mPage: "2m", guestPage: "2m", memoryMiB: 32 });
    expect(document.host.mitigations.ibpbEntry).toBe(false);
  });

  it("takes Xen's own words for its mitigations", async () => {
    const args = ["--iterations", "16", "--abi", "physaddr", "--machine", "skylake-sp", "--p2m-page", "2m"];
    const words = ["--spec-ctrl", "no,bhb-entry=hvm,bhb-seq=long", "--ept", "no-exec-sp"];
    const { out } = await hyperwalk("compare", "runstate-loop", "--json", ...args, ...words);
    const document: CompareDocument = JSON.parse(out);
    expect(document.host).toMatchObject({
      mitigations: { rsbOverwrite: false, l1dFlush: false, bhbClear: true, bhbSeq: "long" },
      execSp: false,
    });
    const wrong = await hyperwalk("compare", "runstate-loop", "--spec-ctrl", "rsb=all");
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('option --spec-ctrl: spec-ctrl.rsb: "rsb=all"; allowed: a boolean');
    const boot = await hyperwalk("boot", "nothing.elf", "--ept", "superpages");
    expect([boot.code, boot.err]).toEqual([2, expect.stringContaining("nothing.elf")]);
  });

  it("prints tables", async () => {
    const { code, out } = await hyperwalk("compare", "hypercall-bench", "--iterations", "64");
    expect(code).toBe(0);
    for (const words of [
      "cycles/call",
      "saving vs linear",
      "sum",
      "Estimates that these figures rest on",
      "30 %",
    ])
      expect(out).toContain(words);
  });

  it("encrypts domains and says what calls returned", async () => {
    const args = ["compare", "runstate-loop", "--iterations", "16", "--confidential", "sev-es"];
    const { code, out } = await hyperwalk(...args);
    expect(code).toBe(0);
    expect(out).toMatch(/^linear .* -EFAULT$/m);
    expect(out).toMatch(/^physaddr .* 0$/m);
    expect(out).toMatch(/^fastabi .* 0$/m);
    expect(out).not.toContain("Published");
    const { out: json } = await hyperwalk(...args, "--json");
    const { host, runs, estimates } = JSON.parse(json) as CompareDocument;
    expect(host.confidential).toBe("sev-es");
    expect(runs.map(({ results }) => results)).toEqual([
      [{ result: "-EFAULT", calls: 80 }],
      [{ result: "0", calls: 80 }],
      [{ result: "0", calls: 80 }],
    ]);
    expect(estimates.map(({ key }) => key)).toContain("sev.encryptedExit");
  });

  it("a guest of one's own is measured from start to end when it reads no timestamps", async () => {
    const image = runstateLoop.image({
      abi: "linear",
      vendor: "amd",
      iterations: 16,
      guestPage: "4k",
      operation: "get_runstate_info",
      cmdline: "",
    });
    // RDTSC becomes two NOPs: the guest is none the wiser, and there is no window.
    for (let at = 0; at + 1 < image.length; at++)
      if (image[at] === 0x0f && image[at + 1] === 0x31) image.fill(0x90, at, at + 2);
    writeFileSync(join(directory, "own.elf"), image);
    const { code, out } = await hyperwalk("compare", join(directory, "own.elf"), "--abi", "linear", "--json");
    expect(code).toBe(0);
    const document: CompareDocument = JSON.parse(out);
    expect(document.guest.name).toBe("own.elf");
    const [run] = document.runs;
    expect(run).toMatchObject({
      window: "whole-run",
      guestMeasuredCyclesPerCall: null,
      guestMeasuredBy: null,
    });
    expect(run.windowHypercalls).toBeGreaterThanOrEqual(16 + 64);
    const sum = run.ledger.reduce((total, cell) => total + cell.cyclesPerCall, 0);
    expect(sum).toBeCloseTo(run.cyclesPerCall ?? 0, 6);
  });

  it("boots what an xl.cfg describes", async () => {
    const guest = defineGuest("xl", (g) => g.print("from a file\n"));
    writeFileSync(join(directory, "xl.elf"), guest.build({ abi: "physaddr", vendor: "amd" }));
    const file = join(directory, "guest.cfg");
    const least = 'type = "pvh"\nname = "xl"\nkernel = "xl.elf"\nmemory = 32\n';
    writeFileSync(file, `${least}cmdline = "a b"\nvcpus = 2\nphysaddr_abi = 1\n`);
    const { code, out } = await hyperwalk("boot", "--xl", file, "--json");
    expect(code).toBe(0);
    const { guest: made, console } = JSON.parse(out);
    expect(console).toContain("from a file");
    expect(made).toMatchObject({ abi: "physaddr", cmdline: "a b", vcpus: 2, memoryBytes: 32 * 2 ** 20 });
    writeFileSync(file, `${least}physaddr_abi = 1\nhap = 0\n`);
    const shadowed = JSON.parse((await hyperwalk("boot", "--xl", file, "--json")).out);
    expect(shadowed.console).toContain("from a file");
    expect(shadowed.exits.map(({ name }: { name: string }) => name)).toContain("exception-14");
    writeFileSync(join(directory, "xl.elf"), guest.build({ abi: "physaddr", vendor: "intel" }));
    const onIntel = await hyperwalk("boot", "--xl", file, "--machine", "skylake-sp", "--json");
    expect(JSON.parse(onIntel.out).console).toContain("from a file");
    expect(onIntel.out).toContain('"exception-or-nmi"');
    // It is the file or the command line that says so, not both; and a mistake has its line.
    expect((await hyperwalk("boot", "--xl", file, "--memory", "64")).err).toContain("option --memory");
    expect((await hyperwalk("boot", "xl.elf", "--xl", file)).err).toContain("argument <image>");
    expect((await hyperwalk("boot")).err).toContain("--xl <file>");
    writeFileSync(file, `${least}vcpus = 0\n`);
    const wrong = await hyperwalk("boot", "--xl", file);
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringMatching(/guest.cfg:5: bad-value at vcpus; allowed: 1 to 32/),
    ]);
  });

  it("boots with the RFC's quirks, and with the fixed memory layout", async () => {
    const image = fileURLToPath(new URL("../../../test/guests/fastabi-check.elf", import.meta.url));
    const boot = (...options: string[]) => hyperwalk("boot", image, "--vcpus", "2", ...options);
    const quirks = await boot("--abi", "fastabi", "--rfc-quirks");
    expect(quirks.out).toContain("wrong: hw_memory_memory_map_fastabi(&memory_map) gives 0");
    const layout = await boot("--abi", "fastabi", "--fixed-memory-layout");
    expect(layout.out).toMatch(/fixed layout at 0x100000000\n.* wrong=0\n/);
    expect((await boot("--rfc-quirks")).err).toContain("allowed: --abi fastabi beside it");
  });

  const badEnds: [string, number[], object][] = [
    ["a fault that nobody handles", [0x0f, 0x0b], { reason: "triple-fault" }],
    ["a halt that nothing ends", [0xfa, 0xf4], { reason: "halted" }],
  ];
  for (const [name, bytes, exit] of badEnds)
    it(`${name} ends with 1 and says where it was`, async () => {
      const guest = defineGuest("bad", (g) => {
        g.print("so far, so good\n");
        g.asm.data(new Uint8Array(bytes));
      });
      const file = join(directory, "bad.elf");
      writeFileSync(file, guest.build({ abi: "linear", vendor: "amd" }));
      const { code, out, err } = await hyperwalk("compare", file, "--abi", "linear", "--json");
      expect(code).toBe(1);
      const [run] = (JSON.parse(out) as CompareDocument).runs;
      expect(run.exit).toMatchObject({ ok: false, ...exit });
      expect(run.exit.detail).toBeDefined();
      expect(run.console).toContain("so far, so good");
      for (const words of ["error:", "linear", run.exit.rip, run.exit.detail ?? ""])
        expect(err).toContain(words);
    });

  it("a guest that does not end in time ends with 1 and says where it was", async () => {
    const { code, out, err } = await hyperwalk(
      ...["compare", "hypercall-bench", "--json", "--abi", "linear", "--max-instructions", "2000"],
    );
    expect(code).toBe(1);
    const document: CompareDocument = JSON.parse(out);
    expect(document.runs[0].exit).toMatchObject({ ok: false, reason: "budget", budget: "instructions" });
    expect(document.runs[0].exit.rip).toMatch(/^0x[0-9a-f]+$/);
    expect(err).toContain(document.runs[0].exit.rip);
  });
});

describe("compare --op all", { timeout: 120_000 }, () => {
  it("measures every operation through every interface, or says why not", async () => {
    const { code, out, err } = await hyperwalk(
      "compare",
      "hypercall-bench",
      "--abi",
      "all",
      "--op",
      "all",
      "--json",
    );
    expect([code, err]).toEqual([0, ""]);
    const document: MatrixDocument = JSON.parse(out);
    expect(document.abis).toEqual(ABIS);
    expect(document.operations.map(({ operation }) => operation)).toEqual(MATRIX_OPERATIONS);
    for (const { operation, cells } of document.operations) {
      expect(cells.map(({ abi }) => abi)).toEqual(ABIS);
      for (const cell of cells)
        if (cell.cyclesPerCall === null) expect(cell.reason, operation).not.toContain("did not come");
        else expect(cell.cyclesPerCall, operation).toBeGreaterThan(1000);
    }
    const cyclesOf = (operation: string) =>
      Object.fromEntries(
        document.operations
          .find((row) => row.operation === operation)
          ?.cells.map(({ abi, cyclesPerCall }) => [abi, cyclesPerCall]) ?? [],
      );
    // One call of the matrix is one of the loop of `compare`, but for the loop itself.
    const { runs } = compare({ guest: runstateLoop, machine: epyc9124, iterations: 256 });
    const runstate = cyclesOf("vcpu.get_runstate_info");
    for (const { abi, cyclesPerCall } of runs)
      expect(Math.abs((runstate[abi] ?? 0) / (cyclesPerCall ?? 0) - 1)).toBeLessThan(0.01);
    expect(cyclesOf("vcpu.is_up").physaddr).toBe(cyclesOf("vcpu.is_up").linear);
    expect(cyclesOf("multicall.call").fastabi).toBeNull();
  });

  it("prints the operations that are asked for, at 100 columns", async () => {
    const { code, out } = await hyperwalk(
      ...["compare", "runstate-loop", "--abi", "linear,physaddr,fastabi"],
      ...["--op", "vcpu.is_up,event_channel.send,sched.shutdown", "--machine", "skylake-sp"],
    );
    expect(code).toBe(0);
    const [table] = out.split("Estimates that");
    expect(table.split("\n").every((line) => line.length <= 110)).toBe(true);
    for (const words of [
      "vcpu.is_up",
      "event_channel.send: to a port that is not pending",
      "saved",
      "ends the domain",
    ])
      expect(table).toContain(words);
    expect(table).not.toContain("vcpu.up");
  });

  it.each([
    ["an operation that there is not", ["--op", "vcpu.jump"], ["--op", '"vcpu.jump"', "vcpu.is_up"]],
    ["one twice", ["--op", "vcpu.up,vcpu.up"], ["--op", "twice"]],
    ["a fast-forward", ["--op", "all", "--fast-forward", "marker"], ["--fast-forward"]],
  ])("refuses %s", async (_, args, said) => {
    const { code, out, err } = await hyperwalk("compare", "hypercall-bench", ...args);
    expect([code, out]).toEqual([2, ""]);
    for (const words of said) expect(err).toContain(words);
  });

  it("refuses a guest that makes calls of its own", async () => {
    const file = join(directory, "own.elf");
    writeFileSync(file, defineGuest("own", () => {}).build({ abi: "linear", vendor: "amd" }));
    const { code, err } = await hyperwalk("compare", file, "--op", "all");
    expect(code).toBe(2);
    for (const words of ["<guest>", "own.elf", "hypercall-bench"]) expect(err).toContain(words);
  });
});

it("profiles lists the machines and shows where a number is from", { timeout: 60_000 }, async () => {
  const list = await hyperwalk("profiles");
  expect(list.code).toBe(0);
  expect(list.out).toContain("epyc-9124");
  const show = await hyperwalk("profiles", "show", "epyc-9124");
  expect(show.code).toBe(0);
  for (const words of ["timing.ibpb", "estimate", "cycles"]) expect(show.out).toContain(words);
});

describe("hyperwalk sensitivity", { timeout: 60_000 }, () => {
  const args = ["sensitivity", "runstate-loop", "--abi", "linear,physaddr", "--iterations", "16"];

  it("ranks the estimates asked for, and puts them together", async () => {
    const keys = ["--key", "timing.verw", "--key", "timing.ibpb"];
    const { code, out, err } = await hyperwalk(...args, ...keys);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/timing\.ibpb +900 +200 +4000 .* to .* % to .* %/);
    expect(out).toContain("1 others change no figure: timing.verw");
    expect(out).toMatch(/Not varied, as it was not asked for: \d+ estimates/);
    expect(out).toMatch(/physaddr +saving +\d+\.\d % +\d+\.\d % +\d+\.\d %/);
    const json = JSON.parse((await hyperwalk(...args, "--key", "timing.ibpb", "--json")).out);
    expect(json.inputs.map(({ key }: { key: string }) => key)).toEqual(["timing.ibpb"]);
    expect(json.iterations).toBe(16);
  });

  it("refuses estimates that no run rests on, and matrices", async () => {
    const unknown = await hyperwalk(...args, "--key", "timing.cpuid");
    expect(unknown).toMatchObject({ code: 2, out: "" });
    expect(unknown.err).toMatch(
      /^error: option --key: no run rests on "timing.cpuid"; allowed: .*timing.ibpb/,
    );
    const matrix = await hyperwalk(...args, "--op", "all");
    expect(matrix).toMatchObject({ code: 2, out: "" });
    expect(matrix.err).toContain("option --op: an analysis is of one operation");
  });
});
