import { ExitKind, epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { END, flatGuest, le, print } from "./flat-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

const PAGE = 0x30000;
const RESULT = 0x8000;
const LIST = 0x31000;
const XEN_VERSION = (4 << 16) | 23;
const VMCALL = [0x0f, 0x01, 0xc1];
const VMMCALL = [0x0f, 0x01, 0xd9];
const UNDEFINED = [...print("U"), ...END];
const load = (register: number, value: number) => [0xb8 + register, ...le(value)];
const RETURNS = [0xa3, ...le(RESULT)];
/** Writes the page's address to MSR 0x40000000. */
const WRITE_PAGE = [...load(1, 0x40000000), ...load(0, PAGE), ...load(2, 0), 0x0f, 0x30];

const VENDORS = [
  ["SVM", epyc9124, VMMCALL, VMCALL],
  ["VMX", skylakeSp, VMCALL, VMMCALL],
] as const;

function guest(profile: ProcessorProfile, body: readonly number[]) {
  const system = flatGuest(profile, body, { 6: UNDEFINED });
  const rips: string[] = [];
  system.on("vm-exit", ({ rip, exit }) => {
    if (exit.kind === ExitKind.Hypercall) rips.push(rip);
  });
  return { system, rips };
}

describe.each(VENDORS)("hypercall instructions under %s", (_, profile, own, other) => {
  it("work directly, and the other vendor's is #UD", () => {
    const version = [...load(0, 17), ...load(3, 0)];
    const { system } = guest(profile, [...version, ...own, ...RETURNS, ...version, ...other, ...END]);
    expect(system.run({ maxInstructions: 5000 }).reason).toBe("halted");
    expect(system.domain.guestMemory.readU32(RESULT)).toBe(XEN_VERSION);
    expect([system.console, system.counters().hypercalls]).toEqual(["U\n", 1]);
  });

  it("come from the hypercall page, with this vendor's instruction in every stub but iret's", () => {
    const call = (n: number) => [...load(3, 0), 0xb9, ...le(PAGE + 32 * n), 0xff, 0xd1];
    const { system } = guest(profile, [...WRITE_PAGE, ...call(17), ...RETURNS, ...call(23), ...END]);
    system.run({ maxInstructions: 5000 });
    const { guestMemory } = system.domain;
    expect(guestMemory.readU32(RESULT)).toBe(XEN_VERSION);
    expect(system.console).toBe("U\n");
    for (const n of [0, 1, 22, 24, 127]) {
      const stub = [...guestMemory.readBytes(PAGE + 32 * n, 32)];
      expect(stub).toEqual([0xb8, n, 0, 0, 0, ...own, 0xc3, ...new Array(23).fill(0xcc)]);
    }
    expect([...guestMemory.readBytes(PAGE + 32 * 23, 3)]).toEqual([0x0f, 0x0b, 0xcc]);
  });

  it("are executed again where a call goes on later, with the rest of it in the registers", () => {
    const arguments_ = [...load(0, 13), ...load(3, LIST), ...load(1, 3)];
    const { system, rips } = guest(profile, [...arguments_, ...own, ...RETURNS, ...END]);
    const { guestMemory } = system.domain;
    guestMemory.writeU32(RESULT, 77);
    // sched_op yield among two xen_version
    [17, 29, 17].forEach((number, i) => {
      guestMemory.writeU32(LIST + 32 * i, number);
    });
    const calls: string[][] = [];
    system.on("hypercall", ({ arguments: [list, count] }) => calls.push([list, count]));
    system.run({ maxInstructions: 5000 });
    expect(rips).toHaveLength(2);
    expect(rips[1]).toBe(rips[0]);
    expect(calls).toEqual([
      [`0x${LIST.toString(16)}`, "0x3"],
      [`0x${(LIST + 64).toString(16)}`, "0x1"],
    ]);
    expect(guestMemory.readU32(RESULT)).toBe(0);
  });
});
