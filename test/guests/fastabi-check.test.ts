import { readFileSync } from "node:fs";
import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { createXenSystem, type DomainConfig, XenConfigError } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const image = new Uint8Array(readFileSync(new URL("fastabi-check.elf", import.meta.url)));
const GIB = 2 ** 30;

const start = (profile: typeof epyc9124, options: Partial<DomainConfig> = {}) =>
  createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi: "fastabi", vcpus: 2, ...options },
  });

describe.each([epyc9124, skylakeSp])("a guest of gcc's with generated FastABI stubs on $id", (profile) => {
  it("calls every operation and gets what it checks", () => {
    const system = start(profile);
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
    expect(system.console).toBe("fastabi-check: right=87 wrong=0\n");
  });

  it.each([
    ["little memory", 64 * 2 ** 20, 4 * GIB],
    ["memory above 4 GiB", 6 * GIB, 7 * GIB],
    ["memory up to the boundary", 5 * GIB - (2 ** 32 - 0xfc000000), 5 * GIB],
  ])("finds shared_info and its grant table by the memory map alone, %s", (_, memoryBytes, at) => {
    const system = start(profile, { fixedMemoryLayout: true, memoryBytes });
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
    expect(system.console).toBe(
      `fastabi-check: fixed layout at 0x${at.toString(16)}\nfastabi-check: right=101 wrong=0\n`,
    );
  });

  it("has status frames in their region once there are any", () => {
    const system = start(profile, { fixedMemoryLayout: true });
    const { domain } = system;
    const status = 4 * GIB + 65 * 4096;
    expect(domain.p2m.translate(status / 4096)).toBe(-1);
    system.run(); // chooses version 2
    for (let i = 0; i < 8; i++)
      expect(domain.p2m.translate(status / 4096 + i)).toBe(domain.grantTable.statusFrame(i));
    expect(domain.p2m.translate(status / 4096 + 8)).toBe(-1);
  });

  it("goes on in a restored system of the same layout, and of no other", () => {
    const first = start(profile, { fixedMemoryLayout: true });
    first.run({ maxInstructions: 20_000 });
    const snapshot = first.snapshot();
    const second = start(profile, { fixedMemoryLayout: true });
    second.restore(snapshot);
    expect(second.run()).toEqual(first.run());
    expect([second.console, second.cycles]).toEqual([first.console, first.cycles]);
    expect(() => start(profile).restore(snapshot)).toThrow(/fixedLayoutGrantFrames/);
  });
});

it("memory that leaves no room for the layout is refused, and so is what is no switch", () => {
  const key = (options: Partial<DomainConfig>) => {
    try {
      start(epyc9124, options);
    } catch (error) {
      if (error instanceof XenConfigError) return error.key;
      throw error;
    }
    return "";
  };
  expect(key({ memoryBytes: 2 ** 40, fixedMemoryLayout: true })).toBe("domain.fixedMemoryLayout");
  expect(key({ fixedMemoryLayout: 1 as never })).toBe("domain.fixedMemoryLayout");
});
