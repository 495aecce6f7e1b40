import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import type { HypercallAbiName } from "../src/xen-config.ts";
import { modeGuest, RESULT, STRUCT } from "./mode-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

/** Level-1 entry of STRUCT's page, in the guest's own tables. */
const ENTRY = 0x23000 + 8 * (STRUCT / 4096);
const INNER = STRUCT + 0x400;
const PRESENT = 1;
const ACCESSED_DIRTY = 0x60;
const MULTICALL = 13;
const VCPU_OP = 24;

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("a physaddr domain under %s", (_, profile) => {
  /** A 64-bit guest's call, with its struct's page mapped as `flags` say. */
  function run(
    abi: HypercallAbiName,
    call: readonly number[],
    flags: number,
    memory: Record<number, number> = {},
  ) {
    const system = modeGuest(profile, "long", call, { domain: { abi } });
    const { guestMemory } = system.domain;
    guestMemory.writeU32(ENTRY, STRUCT | flags);
    for (const [at, value] of Object.entries(memory)) guestMemory.writeU32(Number(at), value);
    system.run({ maxInstructions: 2000 });
    return { system, guestMemory, result: guestMemory.readU32(RESULT) | 0 };
  }

  it("takes every pointer for a guest-physical address, those in structs and lists too", () => {
    // None of these pages is mapped in the guest's tables.
    const list = { [STRUCT]: VCPU_OP, [STRUCT + 16]: 4, [STRUCT + 24]: 0, [STRUCT + 32]: INNER, [INNER]: 77 };
    const multicall = run("physaddr", [MULTICALL, STRUCT, 1], 0, list);
    expect([multicall.result, multicall.guestMemory.readU32(INNER)]).toEqual([0, 0]); // running
    // memory_map: {nr_entries, buffer}
    const map = run("physaddr", [12, 9, STRUCT], 0, { [STRUCT]: 8, [STRUCT + 8]: INNER });
    expect([map.result, map.guestMemory.readU32(INNER + 16)]).toEqual([0, 1]); // RAM
    // populate_physmap: {extent_start, nr_extents, extent_order, flags, domid}, after a frame was given back
    const reservation = { [STRUCT]: INNER, [STRUCT + 8]: 1, [STRUCT + 24]: 0x7ff0, [INNER]: 0x300 };
    expect(run("physaddr", [12, 1, STRUCT], 0, reservation).result).toBe(1);
    // sched_op poll: {ports, nr_ports, timeout}; a port that is not there
    const poll = { [STRUCT]: INNER, [STRUCT + 8]: 1, [INNER]: 1000 };
    expect(run("physaddr", [29, 3, STRUCT], 0, poll).result).toBe(-Errno.EINVAL);
    // The same through linear pointers ends at the missing page; reservations answer the extents done.
    for (const [call, memory, result] of [
      [[MULTICALL, STRUCT, 1], list, -Errno.EFAULT],
      [[12, 9, STRUCT], {}, -Errno.EFAULT],
      [[12, 1, STRUCT], reservation, 0],
      [[29, 3, STRUCT], poll, -Errno.EFAULT],
    ] as const)
      expect(run("linear", call, 0, memory).result).toBe(result);
  });

  it("leaves accessed and dirty flags alone, and what the guest may not write is written", () => {
    const runstate = [VCPU_OP, 4, 0, STRUCT] as const;
    const physical = run("physaddr", runstate, PRESENT);
    expect([physical.result, physical.guestMemory.readU32(ENTRY) & ACCESSED_DIRTY]).toEqual([0, 0]);
    const linear = run("linear", runstate, PRESENT | 2);
    expect([linear.result, linear.guestMemory.readU32(ENTRY) & ACCESSED_DIRTY]).toEqual([0, ACCESSED_DIRTY]);
    expect(physical.system.counters().accessedDirtyUpdates).toBe(0);
    expect(linear.system.counters().accessedDirtyUpdates).toBe(1);
  });
});
