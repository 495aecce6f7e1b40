import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import type { KvmConfig } from "../src/host/kvm/kvm-config.ts";
import { KvmXenAttrType } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { XenConfigError } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";
import { type CallRegisters, HypercallDriver, MAPPED_BYTES } from "./hypercall-driver.ts";

const MEMORY_OP = 12;
const STRUCT = 0x100800;
const SHARED_GFN = 0x700;

const call = (number: number, ...args: number[]): CallRegisters => {
  const registers: [number, number][] = Array.from({ length: 16 }, () => [0, 0]);
  registers[0] = [number, 0];
  [7, 6, 2].forEach((register, i) => {
    registers[register] = [args[i] ?? 0, 0];
  });
  return registers;
};

function guest(
  profile: ProcessorProfile,
  calls: readonly CallRegisters[],
  kvm: KvmConfig = {},
  p2mPage: "4k" | "2m" = "4k",
): HypercallDriver<KvmSystem> {
  return new HypercallDriver<KvmSystem>(profile, { p2mPage }, calls, (options) =>
    createKvmSystem({ ...options, kvm }),
  );
}

describe.each([epyc9124, skylakeSp])("the second stage on $id", (profile) => {
  it("begins empty and is filled with pages as large as the monitor's mapping", () => {
    for (const [page, level] of [
      ["4k", 1],
      ["2m", 2],
    ] as const) {
      const { system } = guest(profile, [call(99)], { execHugePages: true }, page);
      expect(system.tdp.leafLevel(0x100)).toBe(0);
      system.run();
      expect(system.tdp.leafLevel(0x100)).toBe(level); // the code
      expect(system.tdp.leafLevel(MAPPED_BYTES / 4096)).toBe(0); // never touched
    }
  });

  it("makes a small page of a huge one that may not be executed from", () => {
    const { system } = guest(profile, [call(99)], { execHugePages: false }, "2m");
    system.run();
    expect(system.tdp.leafLevel(0x100)).toBe(1);
    expect(system.tdp.leafLevel(0x200)).toBe(2); // the calls' registers
  });

  it("loses what the monitor unmaps, and the guest's next touch is -EFAULT", () => {
    const { system } = guest(profile, [call(99), call(99)]);
    system.run({ maxInstructions: 20 });
    const hva = system.vm.memslots.hvaOf(0x100);
    system.vm.userSpace.munmap(hva, 4096);
    expect(system.tdp.leafLevel(0x100)).toBe(0);
    expect(system.run()).toMatchObject({
      reason: "invalid-state",
      detail: expect.stringContaining("-EFAULT"),
    });
  });
});

describe.each(["hva", "gfn"] as const)("shared_info by %s", (sharedInfo) => {
  it("is shown where the guest wants it, through memory slots, and KVM knows it by that", () => {
    const { system } = guest(epyc9124, [call(MEMORY_OP, 7, STRUCT)], { sharedInfo });
    const { guestMemory, sharedInfo: shared } = system.domain;
    guestMemory.writeU32(STRUCT, 0x7ff0); // DOMID_SELF
    guestMemory.writeU32(STRUCT + 16, SHARED_GFN); // space and index 0: shared_info
    const slots = system.vm.memslots.all.length;
    const { generation } = system.vm.memslots;
    system.run();
    expect(system.vm.memslots.translate(SHARED_GFN)).toBe(shared.frame);
    // RAM around it became two slots, and the page a third: one deletion and three creations.
    expect(system.vm.memslots.all.length).toBe(slots + 2);
    expect(system.vm.memslots.generation - generation).toBe(5);
    expect(system.tdp.zapped).toBeGreaterThan(0);
    const type = sharedInfo === "gfn" ? KvmXenAttrType.SHARED_INFO : KvmXenAttrType.SHARED_INFO_HVA;
    const attr = system.vm.xenHvmGetAttr(type);
    const hva = system.vm.memslots.hvaOf(SHARED_GFN);
    expect(attr).toEqual(sharedInfo === "gfn" ? { type, gfn: SHARED_GFN } : { type, hva });
  });
});

describe("what KVM does not have here", () => {
  const image = elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] });
  const domain = { image, memoryBytes: 16 * 2 ** 20, abi: "linear" } as const;

  it("is refused by name", () => {
    const refused = (more: object, kvm: KvmConfig = {}) =>
      expect(() => createKvmSystem({ profile: epyc9124, kvm, domain: { ...domain, ...more } })).toThrow(
        XenConfigError,
      );
    refused({ abi: "physaddr" });
    refused({ paging: "shadow" });
    refused({ confidential: "sev" });
    refused({}, { specCtrlWrite: true });
    refused({}, { rsbFill: "half" as never });
  });
});
