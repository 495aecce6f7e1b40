import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { BootDocument } from "../src/boot.js";
import type { CompareDocument } from "../src/result.js";
import type { RunDocument } from "../src/scenario/run-scenario.js";
import { hyperwalk } from "./hyperwalk.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const committed = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
let directory = "";
const path = (name: string) => join(directory, name);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-kvm-"));
  writeFileSync(
    path("hello.elf"),
    defineGuest("hello", (g) => {
      g.print("so far, so good\n");
      g.hypercall.version.version();
      g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
    }).build({ abi: "linear", vendor: "amd" }),
  );
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("hyperwalk boot --host kvm", () => {
  it("boots the same images, and counts what KVM's exits cost", async () => {
    for (const host of ["xen", "kvm"]) {
      const { code, out, err } = await hyperwalk("boot", path("hello.elf"), "--host", host, "--json");
      expect([code, err]).toEqual([0, ""]);
      const document: BootDocument = JSON.parse(out);
      expect(document).toMatchObject({ console: "so far, so good\n", exit: { shutdown: "poweroff" } });
      expect(document.guest.host).toBe(host === "xen" ? undefined : "kvm");
      const calls = document.exits.find(({ name }) => name === "vmmcall");
      expect(calls?.cycles).toBe(document.hypercalls.reduce((sum, { cycles }) => sum + cycles, 0));
      expect(document.hypercalls.map(({ name }) => name)).toContain("vcpu.get_runstate_info");
    }
  });

  it("prints the console as it comes and the tables after it", async () => {
    const image = committed("test/guests/self-check-pae.elf");
    const { code, out } = await hyperwalk("boot", image, "--host", "kvm", "--machine", "skylake-sp");
    expect(code).toBe(0);
    expect(out).toMatch(/^paging\nring 3\ndouble fault\ngrant table\ndomid 1\n/);
    for (const word of ["memory.add_to_physmap", "vmcall", "ended: the guest asked for poweroff"])
      expect(out).toContain(word);
  });

  it("traces exits and hypercalls, and goes on from a snapshot to the same end", async () => {
    const boot = ["boot", path("hello.elf"), "--host", "kvm", "--json"];
    const whole = await hyperwalk(...boot, "--trace", path("trace"));
    const lines = readFileSync(path("trace"), "utf8").trim().split("\n");
    const calls = lines.map((line) => JSON.parse(line)).filter((line) => "hypercall" in line);
    expect(calls.map(({ hypercall }) => hypercall)).toContain("version.version");
    const written = await hyperwalk(...boot, "--snapshot-at", "300", "--snapshot", path("at300"));
    expect(written.out).toBe(whole.out);
    const restored = await hyperwalk(...boot, "--restore", path("at300"));
    expect(restored.out).toBe(whole.out);
    const elsewhere = await hyperwalk("boot", path("hello.elf"), "--restore", path("at300"));
    expect([elsewhere.code, elsewhere.out]).toEqual([2, ""]);
    expect(elsewhere.err).toContain("--restore");
  });

  it("gives a guest several vCPUs", async () => {
    writeFileSync(
      path("two.elf"),
      defineGuest("two", (g) => {
        const second = g.hypercall.vcpu.isUp({ vcpuid: 1 }).result();
        g.when(second, "e", 0, () => g.print("one more\n"));
        second.release();
      }).build({ abi: "linear", vendor: "amd" }),
    );
    const { code, out } = await hyperwalk("boot", path("two.elf"), "--host", "kvm", "--vcpus", "2");
    expect(code).toBe(0);
    expect(out).toContain("one more\n");
  });

  it.each([
    [
      "an interface that KVM does not have",
      ["--host", "kvm", "--abi", "fastabi"],
      ["--abi", "fastabi", "linear"],
    ],
    ["words of Xen's", ["--host", "kvm", "--spec-ctrl", "no"], ["--spec-ctrl", "--host xen"]],
    ["words about EPT", ["--host", "kvm", "--ept", "pml=0"], ["--ept", "--host xen"]],
    ["a hardware domain", ["--host", "kvm", "--hardware-domain"], ["--hardware-domain", "--host xen"]],
    ["another hypervisor", ["--host", "bhyve"], ["--host", '"bhyve"', "xen, kvm"]],
    ["a monitor of Xen's", ["--monitor", "qemu"], ["--monitor", "--host kvm"]],
    ["an unknown monitor", ["--host", "kvm", "--monitor", "bochs"], ["--monitor", '"bochs"', "all, qemu"]],
  ])("refuses %s", async (_, args, said) => {
    const { code, out, err } = await hyperwalk("boot", path("hello.elf"), ...args);
    expect([code, out]).toEqual([2, ""]);
    for (const words of said) expect(err).toContain(words);
  });

  it("refuses a configuration of xl's", async () => {
    writeFileSync(path("guest.cfg"), `type="pvh"\nname="guest"\nkernel="hello.elf"\nmemory=64\n`);
    const { code, err } = await hyperwalk("boot", "--xl", path("guest.cfg"), "--host", "kvm");
    expect(code).toBe(2);
    expect(err).toContain("--xl");
  });
});

describe("compare under KVM", () => {
  it.each([
    ["bench/guests/wide.elf", "steps=1"],
    ["bench/guests/loops.elf", "loop=integer iterations=10 leaf=2m"],
  ])("takes %s", async (image, cmdline) => {
    const { code, out, err } = await hyperwalk(
      ...[
        "compare",
        committed(image),
        "--host",
        "xen,kvm",
        "--abi",
        "linear",
        "--cmdline",
        cmdline,
        "--json",
      ],
    );
    expect([code, err]).toEqual([0, ""]);
    const { runs }: CompareDocument = JSON.parse(out);
    const checksums = runs.map(({ console }) => /checksum=0x[0-9a-f]+/.exec(console)?.[0]);
    expect(checksums[0]).toBeDefined();
    expect(checksums[1]).toBe(checksums[0]);
  });

  it("says what a monitor like QEMU's returned", async () => {
    const bench = [
      "compare",
      "hypercall-bench",
      "--iterations",
      "20",
      "--host",
      "xen,kvm",
      "--monitor",
      "qemu",
    ];
    const { code, out } = await hyperwalk(...bench, "--json");
    expect(code).toBe(0);
    const { runs, host }: CompareDocument = JSON.parse(out);
    expect(host.kvm?.monitor).toBe("qemu");
    expect(runs.at(-1)).toMatchObject({ host: "kvm", results: [{ result: "-ENOSYS" }] });
    expect(runs[0]).not.toHaveProperty("results");
    expect((await hyperwalk(...bench)).out).toMatch(/^linear on KVM .* -ENOSYS$/m);
    const matrix = await hyperwalk(
      "compare",
      "hypercall-bench",
      "--op",
      "multicall.call,sched.yield",
      ...bench.slice(4),
    );
    expect(matrix.out).toMatch(/^multicall\.call~ .* nobody: -ENOSYS$/m);
    expect(matrix.out).toMatch(/^sched\.yield .* kernel$/m);
  });

  it("refuses a monitor where there is none", async () => {
    const { code, err } = await hyperwalk("compare", "hypercall-bench", "--monitor", "qemu");
    expect(code).toBe(2);
    expect(err).toContain("--monitor");
  });
});

describe("scenarios under KVM", () => {
  const scenario = async (guest: string, more = "") => {
    writeFileSync(
      path("scenario.yml"),
      `host: {kind: [xen, kvm]}\ninterfaces: linear\nguest: ${guest}\n${more}`,
    );
    return hyperwalk("run", path("scenario.yml"), "--json");
  };

  it.each([
    ["a built-in guest", "{name: runstate-loop, iterations: 20}"],
    ["an operation's loop", "{operation-loop: event_channel.send, iterations: 20, warm-up: 8}"],
    ["an ELF image", "{elf: hello.elf}"],
  ])("run %s", async (_, guest) => {
    const { code, out, err } = await scenario(guest);
    expect([code, err]).toEqual([0, ""]);
    const { comparison }: RunDocument = JSON.parse(out);
    expect(comparison.runs.map(({ host, abi, exit }) => [host, abi, exit.ok])).toEqual([
      ["xen", "linear", true],
      ["kvm", "linear", true],
    ]);
  });

  it("run the guest that init writes", async () => {
    mkdirSync(path("own"));
    expect((await hyperwalk("init", path("own"))).code).toBe(0);
    cpSync(path("own"), directory, { recursive: true });
    const { code, out } = await scenario("{module: guest.mjs, iterations: 20}");
    expect(code).toBe(0);
    const { comparison }: RunDocument = JSON.parse(out);
    expect(comparison.runs.map(({ exit }) => exit.ok)).toEqual([true, true]);
  });

  it("have a monitor that serves what QEMU does", async () => {
    writeFileSync(
      path("qemu.yml"),
      "host: {kind: kvm, monitor: qemu}\ninterfaces: linear\nguest: {name: runstate-loop, iterations: 20}\n",
    );
    const { code, out } = await hyperwalk("run", path("qemu.yml"), "--json");
    expect(code).toBe(0);
    const { comparison }: RunDocument = JSON.parse(out);
    expect(comparison.runs[0].results?.[0].result).toBe("-ENOSYS");
    writeFileSync(path("qemu.yml"), "host: {monitor: qemu}\n");
    const refused = await hyperwalk("run", path("qemu.yml"));
    expect(refused.code).toBe(2);
    for (const words of ["qemu.yml:1", "host.monitor"]) expect(refused.err).toContain(words);
  });
});
