import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import type { XenSystem } from "../src/xen.ts";
import { type GuestModeName, modeGuest, RESULT, STRUCT } from "./mode-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

/** VCPUOP_get_runstate_info of vCPU 0: one copy to the guest. */
const RUNSTATE = [24, 4, 0, STRUCT] as const;
const LAYOUT = { long: 48, compat: 44 } as const;

/** What Xen does between the exit of each hypercall and its result. */
function perHypercall(system: XenSystem) {
  const calls: { lookups: number; pteReads: number; bytes: number; abi: string | undefined }[] = [];
  let before = system.counters();
  system.on("vm-exit", () => {
    before = system.counters();
  });
  system.on("hypercall", ({ abi }) => {
    const after = system.counters();
    calls.push({
      lookups: after.p2mLookups - before.p2mLookups,
      pteReads: after.guestPteReads - before.guestPteReads,
      bytes: after.bytesCopied - before.bytesCopied,
      abi,
    });
  });
  return calls;
}

function runIn(profile: ProcessorProfile, mode: GuestModeName, call: readonly number[] = RUNSTATE) {
  const system = modeGuest(profile, mode, call);
  const calls = perHypercall(system);
  system.domain.guestMemory.writeBytes(STRUCT, new Uint8Array(64).fill(0xaa));
  const outcome = system.run({ maxInstructions: 2000 });
  expect(outcome.reason, JSON.stringify(outcome)).toBe("budget");
  expect(calls).toHaveLength(1);
  return { system, result: system.domain.guestMemory.readU32(RESULT) | 0, call: calls[0] };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("a linear hypercall with one copy under %s", (_, profile) => {
  it.each([
    ["real", 1, 0, LAYOUT.compat],
    ["unpaged", 1, 0, LAYOUT.compat],
    ["pse", 3, 1, LAYOUT.compat],
    ["legacy", 4, 2, LAYOUT.compat],
    ["pae", 5, 3, LAYOUT.compat],
    ["pae2m", 4, 2, LAYOUT.compat],
    ["compat", 6, 4, LAYOUT.compat],
    ["long", 6, 4, LAYOUT.long],
    ["long2m", 5, 3, LAYOUT.long],
    ["long1g", 4, 2, LAYOUT.long],
  ] as const)("from %s: %d look-ups, %d entries, %d bytes", (mode, lookups, pteReads, bytes) => {
    const { result, call, system } = runIn(profile, mode);
    expect(result).toBe(0);
    expect(call).toEqual({ lookups, pteReads, bytes, abi: "linear" });
    // state (running), the time in that state where the caller's layout has it, nothing beyond its end
    const { guestMemory } = system.domain;
    expect(guestMemory.readU32(STRUCT)).toBe(0);
    expect(guestMemory.readU8(STRUCT + bytes)).toBe(0xaa);
    const entered = guestMemory.readU32(STRUCT + (bytes === LAYOUT.long ? 16 : 12));
    expect(entered).toBeGreaterThan(0);
    // across a page it is all done twice
    const across = runIn(profile, mode, [24, 4, 0, STRUCT + 0xff0]).call;
    expect(across).toEqual({ lookups: 2 * lookups, pteReads: 2 * pteReads, bytes, abi: "linear" });
  });

  it("takes structs of the caller's width in", () => {
    // memory_map {nr_entries, buffer}: its buffer, at 0xaaaaaaaa, is nowhere
    const memoryMap = [12, 9, STRUCT, 0];
    for (const [mode, bytes] of [
      ["unpaged", 8],
      ["legacy", 8],
      ["pae", 8],
      ["compat", 8],
      ["long", 16],
    ] as const) {
      const { result, call } = runIn(profile, mode, memoryMap);
      expect([mode, result, call.bytes]).toEqual([mode, -Errno.EFAULT, bytes]);
    }
  });

  it("is refused in VM86 mode, with RIP moved on", () => {
    const { result, call } = runIn(profile, "vm86");
    expect([result, call.lookups, call.abi]).toEqual([-Errno.EPERM, 0, undefined]);
  });

  it("is refused at CPL 3", () => {
    expect(runIn(profile, "user").result).toBe(-Errno.EPERM);
  });
});

describe("five-level paging", () => {
  it("takes one look-up and one entry more", () => {
    const { result, call } = runIn(epyc9124, "long5");
    expect(result).toBe(0);
    expect(call).toEqual({ lookups: 7, pteReads: 5, bytes: LAYOUT.long, abi: "linear" });
  });
});
