import { describe, expect, it } from "vitest";
import { GuestAddressError } from "../src/guest-memory.ts";
import { P2mType } from "../src/p2m-type.ts";
import { HypervisorBench } from "./hypervisor-bench.ts";

describe.each(["amd", "intel"] as const)("p2m on %s", (vendor) => {
  it.each([
    ["4k", 1],
    ["2m", 2],
    ["1g", 3],
  ] as const)("maps RAM with %s leaves", (p2mPage, level) => {
    const { p2m, host } = new HypervisorBench({ vendor, p2mPage, guestFrames: 2 * 262144 });
    for (const gfn of [0, 511, 512, 0x3ffff, 0x40000, 0x7ffff]) {
      expect(p2m.leafLevel(gfn)).toBe(level);
      expect(p2m.translate(gfn)).toBe(host.guestFirst + gfn);
    }
    expect(p2m.translate(0x80000)).toBe(-1);
    expect(p2m.translate(-1)).toBe(-1);
  });

  it("uses smaller leaves where a larger one does not fit", () => {
    const { p2m } = new HypervisorBench({ vendor, p2mPage: "1g", guestFrames: 262144 + 512 + 7 });
    expect(p2m.leafLevel(0)).toBe(3);
    expect(p2m.leafLevel(262144)).toBe(2);
    expect(p2m.leafLevel(262144 + 512)).toBe(1);
    expect(p2m.leafLevel(262144 + 512 + 7)).toBe(0);
  });

  it("costs a guest of 4 GiB with 4 KiB leaves only what it touches", () => {
    const { p2m, memory } = new HypervisorBench({ vendor, p2mPage: "4k", guestFrames: 0x100000 });
    const before = memory.touchedFrames;
    expect(p2m.translate(0xfffff)).toBeGreaterThan(0);
    expect(memory.touchedFrames).toBe(before + 1);
    expect(before).toBeLessThan(64);
  });

  it("shatters a superpage for one 4 KiB page", () => {
    const { p2m, host } = new HypervisorBench({ vendor, p2mPage: "1g", guestFrames: 262144 });
    let changes = 0;
    p2m.onChange = () => changes++;
    p2m.setEntry(0x1234, 0x2001);
    expect(p2m.translate(0x1234)).toBe(0x2001);
    expect(p2m.translate(0x1235)).toBe(host.guestFirst + 0x1235);
    expect(p2m.leafLevel(0x1235)).toBe(1);
    expect(p2m.leafLevel(0x1400)).toBe(2);
    p2m.removeEntry(0x1234);
    expect(p2m.translate(0x1234)).toBe(-1);
    expect(changes).toBe(2);
  });

  it("looks up what is there, by the tables themselves", () => {
    const bench = new HypervisorBench({ vendor, p2mPage: "2m" });
    const mfn = bench.p2m.lookup(0x1001);
    expect(mfn).toBe(bench.host.guestFirst + 0x1001);
    expect(bench.p2m.type).toBe(P2mType.RamRw);
    expect(bench.host.frameTable.references(mfn)).toBe(2);
    bench.p2m.putPage(mfn);
    expect(bench.host.frameTable.references(mfn)).toBe(1);
    bench.p2m.setEntry(0x1001, 0x2001, true, P2mType.RamRo);
    expect(bench.p2m.lookup(0x1001)).toBe(0x2001);
    expect(bench.p2m.type).toBe(P2mType.RamRo);
    expect(bench.p2m.lookup(0x7fffffff)).toBe(-1);
    bench.p2m.removeEntry(0x1002);
    expect(bench.p2m.lookup(0x1002)).toBe(-1);
    expect(bench.p2m.type).toBe(P2mType.Invalid);
  });

  it("prices a look-up and charges every tick once", () => {
    const bench = new HypervisorBench({ vendor });
    bench.p2m.putPage(bench.p2m.lookup(5));
    expect(bench.cost.instructions).toBe(vendor === "amd" ? 507 : 667);
    const phases = new Set(bench.ledger.rows().map((row) => row.phase));
    expect(phases).toEqual(new Set(["p2m lookup", "map"]));
    expect(bench.ledgerSum()).toBe(bench.ledger.clock[0]);
  });
});

describe("guest memory", () => {
  it("reads and writes across frames, and refuses holes", () => {
    const { guest, p2m } = new HypervisorBench({ p2mPage: "2m" });
    guest.writeU32(0x1ffe, 0x01020304);
    expect(guest.readU32(0x1ffe)).toBe(0x01020304);
    expect([...guest.readBytes(0x1ffe, 4)]).toEqual([4, 3, 2, 1]);
    p2m.removeEntry(2);
    expect(() => guest.readU32(0x1ffe)).toThrow(GuestAddressError);
    expect(() => guest.writeBytes(-4, Uint8Array.of(1))).toThrow(GuestAddressError);
  });
});
