import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { atLabel, defineGuest, type GuestBuffer, type GuestProgram, type Value } from "@hyperwalk/guest-sdk";
import { createXenSystem, type OperationDescriptor, type XenSystem } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";
import { ABIS, type AbiName } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const PEER = 2;
/** Guest frames past its RAM. */
const MAP_GFN = 0x9000;
const HOST_MAP = 2;

function start(abi: AbiName, image: Uint8Array, profile = epyc9124): XenSystem {
  return createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi },
    peers: [{ memoryBytes: 2 ** 20 }],
  });
}

describe.each(ABIS)("a guest that maps grants, %s", (abi) => {
  it("sees the peer's page, changes it, and gives it back", () => {
    for (const profile of [epyc9124, skylakeSp]) {
      const guest = defineGuest("maps", (g) => {
        const { grantTable } = g.hypercall;
        const hostAddr = MAP_GFN * 4096;
        const map = grantTable.mapGrantRef({ dom: PEER, hostAddr, flags: HOST_MAP, ref: 8 });
        const handle = map.output("handle");
        g.print("handle ");
        g.printDecimal(handle);
        const status = grantTable.unmapGrantRef({ hostAddr, handle }).output("status");
        g.print(" status ");
        g.printDecimal(status);
        g.print("\n");
      });
      const system = start(abi, guest.build({ abi, vendor: profile.vendor }), profile);
      const [peer] = system.peers;
      expect(peer.grantAccess(1, 5)).toBe(8);
      const frame = peer.domain.p2m.translate(5);
      expect(system.run({ maxInstructions: 1_000_000 })).toMatchObject({ reason: "shutdown" });
      expect(system.console).toBe("handle 0 status 0\n");
      expect(system.frameTable.references(frame)).toBe(1);
      expect(system.ledger.rows().reduce((sum, row) => sum + row.ticks, 0)).toBe(system.ledger.clock[0]);
    }
  });
});

/** An array of structs of 32-bit words. */
function entries(g: GuestProgram, words: readonly (readonly number[])[]): GuestBuffer {
  const buffer = g.buffer(4 * words.flat().length, 4096);
  words.flat().forEach((word, i) => {
    if (word !== 0) g.asm.mov(atLabel(buffer.label, 4 * i), word, 32);
  });
  return buffer;
}

/** A call with the command, the array and its length as they come. */
function arrayCall(g: GuestProgram, subop: number, pointer: Value, count: number): void {
  const argument = { bytes: 8, signed: false, register: 0, offset: -1 } as const;
  const descriptor: OperationDescriptor = {
    name: "grant_table.array",
    hypercall: 20,
    subop,
    inputs: [
      { name: "pointer", ...argument },
      { name: "count", ...argument },
    ],
    outputs: [],
    struct: undefined,
    copyIn: 0,
    copyOut: 0,
  };
  const result = g.call(descriptor, [pointer, count]).result();
  g.when(result, "e", 0, () => g.print("0 "));
  g.when(result, "e", -22, () => g.print("EINVAL "));
  g.when(result, "e", -14, () => g.print("EFAULT "));
  g.when(result, "e", -38, () => g.print("ENOSYS "));
  result.release();
}

function printStatus(g: GuestProgram, buffer: GuestBuffer, offset: number): void {
  const status = g.variable(0);
  g.asm.movsx(status.register, atLabel(buffer.label, offset), 16);
  g.set(status, status);
  g.when(status, "e", 0, () => g.print("okay "));
  for (const code of [1, 2, 3, 4, 5, 8, 9, 10, 12]) g.when(status, "e", -code, () => g.print(`-${code} `));
  status.release();
}

describe.each(["linear", "physaddr"] as const)("arrays of grant operations, %s", (abi) => {
  it("do each entry, give each its status, and stop where the array ends", () => {
    const guest = defineGuest("arrays", (g) => {
      const maps = entries(
        g,
        [8, 600, 9].map((ref, i) => [(MAP_GFN + i) * 4096, 0, HOST_MAP, ref, PEER, 0xffff, 0, 0]),
      );
      arrayCall(g, 0, maps, 3);
      for (let i = 0; i < 3; i++) printStatus(g, maps, 32 * i + 18);
      arrayCall(g, 0, maps, 0);
      arrayCall(g, 0, maps, -1);
      arrayCall(g, 0, 2n ** 46n, 1);
      arrayCall(g, 3, maps, 1);
      g.print("\n");
      const copies = entries(
        g,
        [8, 9, 0].map((ref) => [ref, 0, PEER, 0, MAP_GFN, 0, 0x7ff0, 0, 8 | (1 << 16), 0]),
      );
      arrayCall(g, 5, copies, 3);
      for (let i = 0; i < 3; i++) printStatus(g, copies, 40 * i + 36);
      const unmaps = entries(
        g,
        [0, 2, 7].map((handle) => [(MAP_GFN + handle) * 4096, 0, 0, 0, handle, 0]),
      );
      arrayCall(g, 1, unmaps, 3);
      for (let i = 0; i < 3; i++) printStatus(g, unmaps, 24 * i + 20);
      arrayCall(g, 11, entries(g, [[8, 9, 0]]), 1);
      arrayCall(g, 10, entries(g, [[0x7ff0, 0]]), 0);
      arrayCall(g, 6, entries(g, [[0x7ff0, 0, 0, 0]]), 2);
      g.print("\n");
    });
    const system = start(abi, guest.build({ abi, vendor: "amd" }));
    const [peer] = system.peers;
    const frames = [5, 6].map((gfn) => peer.domain.p2m.translate(gfn));
    expect([peer.grantAccess(1, 5), peer.grantAccess(1, 6)]).toEqual([8, 9]);
    expect(system.run({ maxInstructions: 2_000_000 })).toMatchObject({ reason: "shutdown" });
    expect(system.console).toBe(
      "0 okay -3 okay 0 EINVAL EFAULT ENOSYS \n0 -9 -9 -1 0 okay okay -4 0 0 EINVAL \n",
    );
    expect(frames.map((frame) => system.frameTable.references(frame))).toEqual([1, 1]);
    expect(system.domain.grantTable.maptrack.used).toBe(0);
  });

  it("make room between two entries, and go on with the next", () => {
    const count = 200;
    const guest = defineGuest("long", (g) => {
      const copy = [3, 0, 0x7ff0, 0, 4, 0, 0x7ff0, 0, 64, 0];
      const copies = entries(g, Array(count).fill(copy));
      g.hypercall.vcpu.setPeriodicTimer({ vcpuid: 0, periodNs: 1_000_000 });
      for (let i = 0; i < count; i++) g.asm.mov(atLabel(copies.label, 40 * i + 36), 0x7777, 16);
      g.repeat(10, () => arrayCall(g, 5, copies, count));
      for (let i = 0; i < count; i += 50) printStatus(g, copies, 40 * i + 36);
      g.print("\n");
    });
    const system = start(abi, guest.build({ abi, vendor: "amd" }));
    const calls: number[] = [];
    system.on("hypercall", ({ operation, arguments: [, , left], result }) => {
      if (operation !== "grant_table.copy") return;
      expect(result).toBe(0);
      calls.push(Number(left));
    });
    expect(system.run({ maxInstructions: 5_000_000 })).toMatchObject({ reason: "shutdown" });
    expect(system.console).toBe("0 0 0 0 0 0 0 0 0 0 okay okay okay okay \n");
    const whole = calls.filter((left) => left === count).length;
    expect(whole).toBe(10);
    expect(calls.length).toBeGreaterThan(whole);
    expect(calls.every((left) => left > 0 && left <= count)).toBe(true);
  });
});
