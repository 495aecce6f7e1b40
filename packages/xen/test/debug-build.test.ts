import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { type GuestModeName, modeGuest, RESULT, STRUCT } from "./mode-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

const [RBX, RCX, RDX, RSI, RDI] = [3, 1, 2, 6, 7];
const CLOBBERED_64 = 0xdeadbeefdeadf00dn;
const CLOBBERED_32 = 0xdeadf00dn;
const VERSION = (4 << 16) | 23;

function run(profile: ProcessorProfile, mode: GuestModeName, call: readonly number[], debugBuild: boolean) {
  const system = modeGuest(profile, mode, call, { xen: { debugBuild, execSp: true } });
  let exits = 0;
  system.on("vm-exit", () => exits++);
  system.run({ maxInstructions: 2000 });
  const { words } = system.processor.state;
  const value = (register: number) =>
    (BigInt(words[2 * register + 1] >>> 0) << 32n) | BigInt(words[2 * register] >>> 0);
  const { guestMemory } = system.domain;
  return { system, exits, value, guestMemory, result: guestMemory.readU32(RESULT) | 0 };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("a debug build of Xen under %s", (_, profile) => {
  it("overwrites as many argument registers as the hypercall has, and a release build none", () => {
    // xen_version has two arguments: rdx stays
    const debug = run(profile, "long", [17, 0, 5, 9], true);
    expect(debug.result).toBe(VERSION);
    expect([RDI, RSI, RDX].map(debug.value)).toEqual([CLOBBERED_64, CLOBBERED_64, 9n]);
    const release = run(profile, "long", [17, 0, 5, 9], false);
    expect([RDI, RSI, RDX].map(release.value)).toEqual([0n, 5n, 9n]);
    // vcpu_op has three
    expect(run(profile, "long", [24, 3, 0, 9], true).value(RDX)).toBe(CLOBBERED_64);
    // and an error other than -ENOSYS is no exception
    const wrong = run(profile, "long", [24, 3, 77, 9], true);
    expect([wrong.result, wrong.value(RSI)]).toEqual([-Errno.ENOENT, CLOBBERED_64]);
  });

  it.each(["unpaged", "pae", "compat"] as const)("has 32-bit values for 32-bit registers: %s", (mode) => {
    const { value } = run(profile, mode, [24, 3, 0, 9], true);
    expect([RBX, RCX, RDX, RSI].map(value)).toEqual([CLOBBERED_32, CLOBBERED_32, CLOBBERED_32, 0n]);
    // set_timer_op's one argument takes two registers
    const timer = run(profile, mode, [15, 0, 0, 9], true);
    expect([RBX, RCX, RDX].map(timer.value)).toEqual([CLOBBERED_32, CLOBBERED_32, 9n]);
  });

  it("leaves the registers of a number that it does not have, and of a refused caller", () => {
    const unknown = run(profile, "long", [60, 1, 2, 3], true);
    expect([unknown.result, ...[RDI, RSI, RDX].map(unknown.value)]).toEqual([-Errno.ENOSYS, 1n, 2n, 3n]);
    const user = run(profile, "user", [17, 0, 5, 9], true);
    expect([user.result, user.value(RCX)]).toEqual([-Errno.EPERM, 5n]);
  });

  it("spoils a multicall's entries but for their results", () => {
    const spoilt = modeGuest(profile, "long", [13, STRUCT, 1, 0], { xen: { debugBuild: true } });
    const clean = modeGuest(profile, "long", [13, STRUCT, 1, 0]);
    for (const { domain } of [spoilt, clean]) domain.guestMemory.writeU32(STRUCT, 17);
    spoilt.run({ maxInstructions: 2000 });
    clean.run({ maxInstructions: 2000 });
    const entry = ({ domain }: typeof clean) => [...domain.guestMemory.readBytes(STRUCT, 64)];
    const result = [23, 0, 4, 0, 0, 0, 0, 0];
    const bytes = (first: number, rest: number) => [
      first,
      ...new Array(7).fill(rest),
      ...result,
      ...new Array(48).fill(rest),
    ];
    expect(entry(clean)).toEqual(bytes(17, 0));
    expect(entry(spoilt)).toEqual(bytes(0xaa, 0xaa));
    expect(spoilt.counters().bytesCopied - clean.counters().bytesCopied).toBe(
      64 + (profile.vendor === "amd" ? 2 * 15 : 0), // of the WRMSR that turns long mode on, too
    );
  });

  it("costs what it does more", () => {
    const [debug, release] = [true, false].map((each) => {
      const { system, exits } = run(profile, "long", [17, 0, 0, 0], each);
      return { ...system.counters(), exits, cycles: system.cycles };
    });
    expect(debug.hypervisorInstructions).toBeGreaterThan(release.hypervisorInstructions);
    expect(debug.cycles).toBeGreaterThan(release.cycles);
    // On SVM it fetches instructions itself, by linear copies: WRMSR with paging off, VMMCALL with four levels.
    expect(release.exits).toBe(2);
    expect(debug.p2mLookups - release.p2mLookups).toBe(profile.vendor === "amd" ? 1 + 6 : 0);
  });

  it("goes on where a snapshot left off, in a system of the same build alone", () => {
    const { system } = run(profile, "long", [17, 0, 5, 9], true);
    const snapshot = system.snapshot();
    const same = modeGuest(profile, "long", [17, 0, 5, 9], { xen: { debugBuild: true, execSp: true } });
    same.restore(snapshot);
    expect(same.run({ maxInstructions: 10 }).reason).toBe("budget");
    const other = modeGuest(profile, "long", [17, 0, 5, 9]);
    expect(() => other.restore(snapshot)).toThrow(/xen.debugBuild/);
  });
});
