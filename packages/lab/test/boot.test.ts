import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BootDocument } from "../src/boot.js";
import { hyperwalk } from "./hyperwalk.js";

let directory = "";
const path = (name: string) => join(directory, name);

/** A flat multiboot image with this code, loaded to 1 MiB. */
function multiboot(code: readonly number[]): Uint8Array {
  const magic = 0x1badb002;
  const flags = 0x10000;
  const load = 0x100000;
  const image = new Uint8Array(32 + code.length);
  const view = new DataView(image.buffer);
  [magic, flags, -(magic + flags), load, load, 0, 0, load + 32].forEach((word, i) => {
    view.setUint32(4 * i, word >>> 0, true);
  });
  image.set(code, 32);
  return image;
}

/** mov dx, port; mov al, byte; out dx, al */
const out = (port: number, byte: number) => [0x66, 0xba, port & 0xff, port >> 8, 0xb0, byte, 0xee];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-boot-"));
  writeFileSync(
    path("hello.elf"),
    defineGuest("hello", (g) => {
      g.print("so far, so good\n");
      g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
    }).build({ abi: "linear", vendor: "amd" }),
  );
  // Asks the firmware configuration for the number of processors (item 5) and prints it.
  writeFileSync(
    path("several.img"),
    multiboot([
      ...[0x66, 0xba, 0x10, 0x05, 0x66, 0xb8, 5, 0, 0x66, 0xef], // mov dx, 510h; mov ax, 5; out dx, ax
      ...[0x66, 0xba, 0x11, 0x05, 0xec, 0x04, 0x30], // mov dx, 511h; in al, dx; add al, '0'
      ...[0x66, 0xba, 0xf8, 0x03, 0xee], // mov dx, 3f8h; out dx, al
      ...out(0xf4, 7),
    ]),
  );
  writeFileSync(
    path("marked.elf"),
    defineGuest("marked", (g) => {
      g.print("before\n");
      g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
      g.marker();
      g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
      g.print("after\n");
    }).build({ abi: "linear", vendor: "amd" }),
  );
  writeFileSync(path("text"), "just text");
  writeFileSync(
    path("serial.bin"),
    multiboot([..."serial\n"].flatMap((c) => out(0x3f8, c.charCodeAt(0))).concat(out(0xf4, 5))),
  );
  writeFileSync(path("hang.bin"), multiboot([0xeb, 0xfe])); // jmp to itself
  writeFileSync(path("halt.bin"), multiboot([0xfa, 0xf4])); // cli; hlt
  writeFileSync(path("triple.bin"), multiboot([0x0f, 0x0b])); // ud2 without an IDT
  // The magic in eax as the exit code: 2 is the low 7 bits of 0x2badb002.
  writeFileSync(path("magic.bin"), multiboot([0x66, 0xba, 0xf4, 0, 0xef]));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("hyperwalk boot", { timeout: 60_000 }, () => {
  it("prints the console, how the guest ended, and where its time went", async () => {
    const { code, out, err } = await hyperwalk("boot", path("hello.elf"));
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^so far, so good\r?\n\nended: the guest asked for poweroff\n/);
    for (const word of ["vcpu.get_runstate_info", "sched.shutdown", "vmmcall", "cpuid", "%"])
      expect(out).toContain(word);
  });

  it("gives the same as one JSON document", async () => {
    const { code, out } = await hyperwalk("boot", path("hello.elf"), "--json", "--machine", "skylake-sp");
    expect(code).toBe(0);
    const document = JSON.parse(out) as BootDocument;
    expect(document).toMatchObject({
      machine: { id: "skylake-sp" },
      guest: { protocol: "pvh", abi: "linear" },
      exit: { reason: "shutdown", shutdown: "poweroff" },
      exitCode: 0,
    });
    const calls = document.exits.find(({ name }) => name === "vmcall");
    const byName = document.hypercalls.reduce((sum, each) => sum + each.cycles, 0);
    expect(calls?.count).toBe(document.hypercalls.reduce((sum, each) => sum + each.count, 0));
    expect(calls?.cycles).toBe(byName);
    expect(document.exits.reduce((sum, each) => sum + each.cycles, 0)).toBeLessThan(document.cycles);
  });

  it("says how many of the numbers behind its cycles are estimates, and which", async () => {
    const hello = JSON.parse((await hyperwalk("boot", path("hello.elf"), "--json")).out) as BootDocument;
    const silent = JSON.parse((await hyperwalk("boot", path("halt.bin"), "--json")).out) as BootDocument;
    const keys = (document: BootDocument) => document.estimates.map(({ key }) => key);
    expect(keys(hello)).toEqual([...new Set(keys(hello))].sort());
    expect(keys(hello)).toContain("stage.do_sched_op (shutdown)");
    expect(keys(silent)).not.toContain("stage.do_sched_op (shutdown)"); // it never ran
    const { out } = await hyperwalk("boot", path("hello.elf"));
    expect(out).toContain(`Estimates that these figures rest on: ${hello.estimates.length}`);
  });

  it.each([
    ["serial.bin", 5, "serial\n\nended: the guest wrote 5 to the exit port"],
    ["magic.bin", 2, "ended: the guest wrote 732803074 to the exit port"],
    ["hang.bin", 4, "ended: the budget of instructions was used up at RIP 0x100020"],
    ["halt.bin", 7, "ended: halted at RIP"],
    ["triple.bin", 6, "ended: triple fault at RIP 0x100020"],
  ])("ends %s with %i", async (name, expected, text) => {
    const { code, out } = await hyperwalk("boot", path(name), "--max-instructions", "100000");
    expect(out).toContain(text);
    expect(code).toBe(expected);
  });

  it("passes modules and a command line on", async () => {
    const { code, out } = await hyperwalk(
      "boot",
      path("serial.bin"),
      "--module",
      path("text"),
      "--module",
      path("hello.elf"),
      "--cmdline",
      "a=b",
      "--json",
    );
    expect(code).toBe(5);
    expect(JSON.parse(out)).toMatchObject({ guest: { protocol: "multiboot", cmdline: "a=b" } });
  });

  it("writes a line for each exit and hypercall, in the order of their cycles", async () => {
    const file = path("trace.jsonl");
    const { out } = await hyperwalk("boot", path("hello.elf"), "--json", "--trace", file);
    const document = JSON.parse(out) as BootDocument;
    const lines = readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const exits = lines.filter((line) => "exit" in line);
    const calls = lines.filter((line) => "hypercall" in line);
    expect(exits.length).toBe(document.exits.reduce((sum, each) => sum + each.count, 0));
    expect(calls.map((line) => line.hypercall)).toContain("vcpu.get_runstate_info");
    expect(calls.at(-1)).toMatchObject({ hypercall: "sched.shutdown", number: 29, result: 0 });
    const cycles = lines.map((line) => line.cycle as number);
    expect(cycles).toEqual([...cycles].sort((a, b) => a - b));
  });

  it("leaves the trace's file alone when there is nothing to run", async () => {
    const file = path("kept.jsonl");
    writeFileSync(file, "of another boot\n");
    const refused = [[path("text")], [path("hello.elf"), "--restore", path("text")]];
    for (const args of refused) expect((await hyperwalk("boot", ...args, "--trace", file)).code).toBe(2);
    expect(readFileSync(file, "utf8")).toBe("of another boot\n");
    await hyperwalk("boot", path("hang.bin"), "--max-instructions", "10", "--trace", file);
    expect(readFileSync(file, "utf8")).toBe(""); // no exit in so few
  });

  it("counts what was fast-forwarded when it says that a snapshot comes too late", async () => {
    const whole = JSON.parse((await hyperwalk("boot", path("marked.elf"), "--json")).out) as BootDocument;
    const late = ["--snapshot-at", "1000000", "--snapshot", path("gone")];
    const { code, err } = await hyperwalk("boot", path("marked.elf"), "--fast-forward", "marker", ...late);
    expect(code).toBe(2);
    expect(err).toContain(`the guest ran only ${whole.instructions} instructions`);
  });

  it("goes on to the marker with timing off, and reports what comes after it alone", async () => {
    const args = ["boot", path("marked.elf"), "--json", "--trace", path("ff.jsonl")];
    const { code, out } = await hyperwalk(...args, "--fast-forward", "marker");
    expect(code).toBe(0);
    const document = JSON.parse(out) as BootDocument;
    const whole = JSON.parse((await hyperwalk(...args.slice(0, 3))).out) as BootDocument;
    expect(document).toMatchObject({ console: "before\nafter\n", exit: { shutdown: "poweroff" } });
    expect(document.fastForward).toMatchObject({ mode: "functional", until: "marker", reached: true });
    expect(whole.fastForward).toBeUndefined();
    expect(document.instructions + document.fastForward!.instructions).toBe(whole.instructions);
    expect(document.cycles).toBeLessThan(whole.cycles);
    const count = (d: BootDocument, name: string) => d.hypercalls.find((each) => each.name === name)?.count;
    expect([count(whole, "vcpu.get_runstate_info"), count(document, "vcpu.get_runstate_info")]).toEqual([
      2, 1,
    ]);
    const lines = readFileSync(path("ff.jsonl"), "utf8").trimEnd().split("\n");
    const calls = lines.filter((line) => line.includes("vcpu.get_runstate_info"));
    expect(calls.map((line) => line.includes('"functional":true'))).toEqual([true, false]);
  });

  it("goes on to an address and to a count, and says so when the guest ended before", async () => {
    const report = async (...until: string[]) =>
      (await hyperwalk("boot", path("marked.elf"), "--fast-forward", ...until)).out;
    expect(await report("100")).toMatch(
      /functional fast-forward of 1[0-9][0-9] guest instructions .* until 100; timed/,
    );
    // An address that the guest reaches: where it is after so many instructions.
    const part = JSON.parse(
      (await hyperwalk("boot", path("marked.elf"), "--json", "--max-instructions", "100")).out,
    ) as BootDocument;
    const { rip } = part.exit;
    expect(await report(rip)).toMatch(new RegExp(`guest instructions .* until ${rip}; timed from there on`));
    expect(await report("0xdead000")).toMatch(/0xdead000 was not reached: nothing was timed/);
    expect(await report("100000000")).toMatch(/100000000 was not reached: nothing was timed/);
    const { code, out } = await hyperwalk(
      ...["boot", path("hang.bin"), "--json", "--fast-forward", "marker", "--max-instructions", "1000"],
    );
    expect(code).toBe(4);
    expect(JSON.parse(out)).toMatchObject({ instructions: 0, fastForward: { reached: false } });
  });

  it("gives a guest several virtual CPUs, and says whose exits it traces", async () => {
    const file = path("several.trace");
    const { code, out: text } = await hyperwalk(
      "boot",
      path("several.img"),
      "--vcpus",
      "3",
      "--json",
      "--trace",
      file,
    );
    const document = JSON.parse(text) as BootDocument;
    expect({ code, console: document.console }).toEqual({ code: 7, console: "3" });
    expect(document.guest.vcpus).toBe(3);
    expect(document.exit).toMatchObject({ reason: "exit-port", vcpu: 0 });
    const lines = readFileSync(file, "utf8").trim().split("\n");
    expect(lines.every((line) => JSON.parse(line).vcpu === 0)).toBe(true);
    const alone = await hyperwalk("boot", path("several.img"), "--json");
    expect((JSON.parse(alone.out) as BootDocument).exit).not.toHaveProperty("vcpu");
    const report = await hyperwalk("boot", path("several.img"), "--vcpus", "3");
    expect(report.out).toContain("3 vCPUs");
  });

  it("writes a snapshot, goes on, and starts from it with the same document at the end", async () => {
    const whole = await hyperwalk("boot", path("hello.elf"), "--json");
    const { instructions } = JSON.parse(whole.out) as BootDocument;
    const at = String(instructions >> 1);
    const file = path("hello.snapshot");
    const first = await hyperwalk(
      "boot",
      path("hello.elf"),
      "--json",
      "--snapshot-at",
      at,
      "--snapshot",
      file,
    );
    expect(first).toEqual(whole);
    expect(await hyperwalk("boot", path("hello.elf"), "--json", "--restore", file)).toEqual(whole);
    const text = await hyperwalk("boot", path("hello.elf"), "--restore", file);
    expect(text).toMatchObject({ code: 0, err: "" });
    const other = await hyperwalk("boot", path("hello.elf"), "--memory", "65M", "--restore", file);
    expect(other).toMatchObject({ code: 2, out: "" });
    expect(other.err).toContain("domain.memoryBytes was");
    writeFileSync(path("cut.snapshot"), readFileSync(file).subarray(0, 1000));
    const cut = await hyperwalk("boot", path("hello.elf"), "--restore", path("cut.snapshot"));
    expect(cut).toMatchObject({ code: 2, out: "" });
    expect(cut.err).toContain("--restore");
    expect(cut.err).toContain("976 of");
  });

  it.each([
    ["no image", [], ["image"]],
    ["a missing file", ["nowhere.elf"], ["ENOENT", "nowhere.elf"]],
    ["a text file", ["text"], ["not-elf"]],
    ["a directory", ["."], ["EISDIR"]],
    ["a protocol that the image is not for", ["text", "--protocol", "multiboot"], ["no-multiboot-header"]],
    ["an unknown protocol", ["hello.elf", "--protocol", "uefi"], ["pvh, multiboot, hvm"]],
    ["memory that is no size", ["hello.elf", "--memory", "lots"], ["--memory", "K, M, G or T"]],
    ["too little memory", ["hello.elf", "--memory", "1M"], ["does-not-fit"]],
    ["a part of a page", ["hello.elf", "--memory", "1025K"], ["whole pages"]],
    ["a missing module", ["hello.elf", "--module", "gone"], ["--module", "ENOENT"]],
    ["nowhere to go on to", ["hello.elf", "--fast-forward", "main"], ["--fast-forward", "marker", "0x"]],
    ["no virtual CPU", ["hello.elf", "--vcpus", "0"], ["--vcpus"]],
    ["too many of them", ["hello.elf", "--vcpus", "33"], ["--vcpus", "32"]],
    [
      "text for a start that passes none on",
      ["hello.elf", "--protocol", "hvm", "--cmdline", "x"],
      ["--cmdline"],
    ],
    [
      "a command line beyond the longest",
      ["hello.elf", "--cmdline", "x".repeat(65536)],
      ["--cmdline", "65536"],
    ],
    ["a snapshot at no time", ["hello.elf", "--snapshot", "x"], ["--snapshot", "--snapshot-at"]],
    ["a snapshot to no file", ["hello.elf", "--snapshot-at", "10"], ["--snapshot-at", "--snapshot"]],
    [
      "a snapshot after the end",
      ["hello.elf", "--snapshot-at", "1000000", "--snapshot", "gone"],
      ["--snapshot-at", "the guest ran only"],
    ],
    [
      "a snapshot that cannot be written",
      ["hello.elf", "--snapshot-at", "10", "--snapshot", "gone/x"],
      ["--snapshot", "ENOENT"],
    ],
    ["a missing snapshot", ["hello.elf", "--restore", "gone"], ["--restore", "ENOENT"]],
    ["what is no snapshot", ["hello.elf", "--restore", "text"], ["--restore", "not a hyperwalk snapshot"]],
    ["a trace that cannot be written", ["hello.elf", "--trace", "gone/x"], ["--trace", "ENOENT"]],
  ])("refuses %s with 2", async (_what, [image, ...options], words) => {
    const inDirectory = options.map((each) =>
      ["gone", "gone/x", "text"].includes(each) ? path(each) : each,
    );
    const { code, err } = await hyperwalk(
      "boot",
      ...(image === undefined ? [] : [path(image)]),
      ...inDirectory,
    );
    expect(code).toBe(2);
    for (const word of words) expect(err).toContain(word);
  });
});
