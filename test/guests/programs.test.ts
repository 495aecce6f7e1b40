import { readFileSync } from "node:fs";
import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { defineGuest, runstateLoop } from "@hyperwalk/guest-sdk";
import { describe, expect, it, vi } from "vitest";
import { ABIS, boot, fieldsOf } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

describe.each(ABIS)("a guest from source, %s", (abi) => {
  it("reads results and outputs, counts, branches and prints", () => {
    const guest = defineGuest("values", (g) => {
      const buffer = g.buffer(20 * 16, 4096);
      const sum = g.variable(2n ** 63n);
      g.subtract(sum, 2n ** 62n);
      g.repeat(5, () => g.repeat(3, () => g.add(sum, 1)));
      g.printHex(sum);
      sum.release();
      const state = g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 }).output("state");
      g.print(" state=");
      g.printDecimal(state);
      state.release();
      const missing = g.hypercall.vcpu.getRunstateInfo({ vcpuid: 9 }).result();
      g.when(missing, "l", 0, () => g.print(" missing"));
      g.when(missing, "e", -2, () => g.print(" ENOENT"));
      g.when(missing, "ge", 0, () => g.print(" found"));
      missing.release();
      const entries = g.hypercall.memory.memoryMap({ nrEntries: 16, buffer }).output("nr_entries");
      g.when(entries, "a", 1, () => g.print(" map"));
      g.print(" ratio=");
      g.printRatio(1000, 64);
      g.print("\n");
    });
    const { system, outcome } = boot(epyc9124, abi, guest.build({ abi, vendor: "amd" }));
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(system.console).toBe("0x400000000000000f state=0 missing ENOENT map ratio=15.62\n");
  });

  it("prints more than the console ring holds, in order", () => {
    const line = "0123456789abcdef".repeat(16);
    const guest = defineGuest("talkative", (g) => {
      const n = g.variable(1000);
      g.repeat(30, () => {
        g.printDecimal(n);
        g.print(line);
        g.add(n, 1);
      });
      g.print("\n");
    });
    const { system } = boot(skylakeSp, abi, guest.build({ abi, vendor: "intel", leaf: "2m" }));
    expect(system.console).toBe(`${Array.from({ length: 30 }, (_, i) => `${1000 + i}${line}`).join("")}\n`);
  });

  it("gives the same bytes and the same cycles again", () => {
    const image = runstateLoop.build({ abi, vendor: "amd", iterations: 50 });
    const [first, second] = [boot(epyc9124, abi, image).system, boot(epyc9124, abi, image).system];
    expect(second.console).toBe(first.console);
    expect(second.ledger.rows()).toEqual(first.ledger.rows());
  });
});

describe("a guest in a domain with another interface", () => {
  it.each([
    ["physaddr", "linear"],
    ["physaddr", "fastabi"],
    ["fastabi", "linear"],
    ["fastabi", "physaddr"],
    ["percall", "linear"],
    ["percall", "physaddr"],
    ["percall", "fastabi"],
    ["physaddr", "percall"],
  ] as const)("built for %s, in a %s domain, says so and stops", (built, has) => {
    const { system, outcome } = boot(
      epyc9124,
      has,
      runstateLoop.build({ abi: built, vendor: "amd", iterations: 10 }),
    );
    expect(outcome.reason).toBe("halted");
    expect(system.console).toBe(
      `runstate-loop: built for ${built}, but this domain has another hypercall interface\n`,
    );
  });
});

describe("the loops of the host-speed benchmark", () => {
  const image = readFileSync(new URL("../../bench/guests/loops.elf", import.meta.url));

  // Checksums from bench/guests/native.c, compiled for and run on a real processor.
  it.each([
    ["integer", 200_000, "0x4c3947058af8bc2a"],
    ["memory", 200, "0x56a639c7b308725b"],
    ["calls", 2000, "0xf9f0e40cfd591c0f"],
  ])("%s computes what a real processor computes", (loop, iterations, checksum) => {
    const { system, outcome } = boot(
      epyc9124,
      "linear",
      image,
      `loop=${loop} iterations=${iterations} leaf=2m`,
    );
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(fieldsOf(system.console, "loops")).toMatchObject({
      loop,
      iterations: String(iterations),
      checksum,
    });
  });
});

describe("the wide guest of the host-speed benchmark", () => {
  const image = readFileSync(new URL("../../bench/guests/wide.elf", import.meta.url));

  // Checksums from the same image under QEMU: system calls, page faults, interrupts and changed page tables count in.
  it.each([
    [1, "0x4cfd419ec202c2e7", skylakeSp],
    [500, "0x27ac1e687c68fc3c", epyc9124],
    [2000, "0x3786a6c7921294d0", skylakeSp],
  ])("%i steps compute what they compute elsewhere", (steps, checksum, profile) => {
    const { system, outcome } = boot(profile, "linear", image, `steps=${steps}`);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(fieldsOf(system.console, "wide")).toMatchObject({ steps: String(steps), checksum });
  });
});
