import { epyc9124, type ProcessorProfile, sapphireRapids, skylakeSp } from "@hyperwalk/cpu";
import { LongModeTables, Pte } from "@hyperwalk/mmu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { P2mType } from "../src/p2m-type.ts";
import { PageConditions } from "../src/page-conditions.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import type { XenSystem } from "../src/xen.ts";
import type { DomainConfig, XenConfig } from "../src/xen-config.ts";
import { CODE, caller, END, flatGuest, le, print, put } from "./flat-guest.ts";
import { HypervisorBench } from "./hypervisor-bench.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const RESULTS = 0x90000;
const DATA = 0x400000; // a superpage of its own
const GFN = DATA / 4096;
const STRUCT = 0x91000;
const LIST = 0x92000;
const VCPU_OP = 24;
const HVM_OP = 34;
const MEMORY_OP = 12;
const GET_RUNSTATE_INFO = 4;
const GET_MEM_TYPE = 15;

/** mov eax, [at] */
const load = (at: number) => [0xa1, ...le(at)];
/** mov [RESULTS + 4 slot], eax */
const keep = (slot: number) => [0xa3, ...le(RESULTS + 4 * slot)];

interface Setting {
  readonly domain?: Partial<DomainConfig>;
  readonly xen?: XenConfig;
}

function guestOf(
  profile: ProcessorProfile,
  body: readonly number[],
  { domain = {}, xen = {} }: Setting = {},
) {
  return flatGuest(profile, [...body, ...END], {}, { domain, xen, accounting: true });
}

const result = (system: XenSystem, slot: number) => system.domain.guestMemory.readU32(RESULTS + 4 * slot) | 0;
const spent = (system: XenSystem, cause: string) =>
  system.ledger.rows().reduce((sum, row) => sum + (row.cause === cause ? row.ticks : 0), 0) / 256;
const faults = (system: XenSystem) =>
  system.exitAccounts().find(({ name }) => name === "npf" || name === "ept-violation")?.count ?? 0;
const balanced = (system: XenSystem) =>
  system.ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0) === system.ledger.clock[0];

describe.each([
  ["SVM", epyc9124, "linear"],
  ["SVM", epyc9124, "physaddr"],
  ["VMX", sapphireRapids, "linear"],
  ["VMX", sapphireRapids, "physaddr"],
] as const)("conditions of guest frames under %s, %o, %s", (_, profile, abi) => {
  const call = caller(profile);
  const copyOut = (slot: number) => [...call(VCPU_OP, GET_RUNSTATE_INFO, 0, DATA), ...keep(slot)];
  const memType = (slot: number) => [
    ...put(STRUCT, 0x7ff0),
    ...put(STRUCT + 8, GFN),
    ...put(STRUCT + 12, 0),
    ...call(HVM_OP, GET_MEM_TYPE, STRUCT),
    ...load(STRUCT),
    ...keep(slot),
  ];
  const made = (body: readonly number[], prepare: (c: PageConditions) => void, setting: Setting = {}) => {
    const system = guestOf(profile, body, { ...setting, domain: { abi, ...setting.domain } });
    prepare(system.domain.conditions);
    return system;
  };
  /** HVMMEM type in the upper half of what `memType` keeps. */
  const typeSeen = (system: XenSystem, slot: number) => result(system, slot) >>> 16;

  it("ordinary RAM", () => {
    const system = made([...copyOut(0), ...memType(1)], () => {});
    expect(system.run()).toMatchObject({ reason: "halted" });
    expect(result(system, 0)).toBe(0);
    expect(typeSeen(system, 1)).toBe(0);
    expect(system.domain.p2m.leafLevel(GFN)).toBe(2);
  });

  it("read-only RAM: copies and the guest's own writes are dropped", () => {
    const system = made(
      [...copyOut(0), ...put(DATA, 5), ...load(DATA), ...keep(1), ...memType(2)],
      (conditions) => conditions.setReadOnly(GFN),
    );
    system.domain.guestMemory.writeU32(DATA, 0x1234);
    system.run();
    expect([result(system, 0), result(system, 1)]).toEqual([0, 0x1234]);
    expect(typeSeen(system, 2)).toBe(1);
    expect(faults(system)).toBe(1);
    expect(system.console).toContain("\n");
  });

  it("paged out: -EFAULT and a request, then the copy works", () => {
    const system = made([...copyOut(0), ...load(DATA), ...keep(1), ...copyOut(2)], (conditions) =>
      conditions.paging.pageOut(GFN),
    );
    expect(system.run()).toMatchObject({ reason: "halted" });
    expect([result(system, 0), result(system, 2)]).toEqual([-Errno.EFAULT, 0]);
    expect(system.domain.conditions.paging.requested).toEqual([]);
    expect(spent(system, "idle")).toBe(30_000);
    expect(system.domain.p2m.typeAt(GFN)).toBe(P2mType.RamRw);
    // Without a walk of the guest's tables nobody asks the pager; the guest's own read does.
    expect(faults(system)).toBe(1);
  });

  it("paged out with a pager that does not answer", () => {
    const system = made([...copyOut(0), ...load(DATA)], ({ paging }) => {
      paging.automatic = false;
      paging.pageOut(GFN);
    });
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "crash" });
    expect(result(system, 0)).toBe(-Errno.EFAULT);
    expect(system.domain.conditions.paging.requested).toEqual([GFN]);
    expect(spent(system, "idle")).toBe(0);
  });

  it("shared: read together, parted by the first copy or write", () => {
    const other = DATA + 0x5000;
    const share = (conditions: PageConditions) => conditions.sharing.share(GFN, GFN + 5);
    const copied = made([...load(other), ...keep(0), ...memType(1), ...copyOut(2)], share);
    const written = made([...put(DATA, 7), ...load(other), ...keep(0), ...load(DATA), ...keep(1)], share);
    for (const system of [copied, written]) {
      system.domain.guestMemory.writeU32(DATA, 0xabcd);
      const { p2m } = system.domain;
      expect(p2m.translate(GFN)).toBe(p2m.translate(GFN + 5));
      system.run();
      expect(p2m.translate(GFN)).not.toBe(p2m.translate(GFN + 5));
      expect(p2m.typeAt(GFN + 5)).toBe(P2mType.RamShared);
      expect(result(system, 0)).toBe(0xabcd);
      expect(balanced(system)).toBe(true);
    }
    expect([typeSeen(copied, 1), result(copied, 2)]).toEqual([1, 0]);
    expect(result(written, 1)).toBe(7);
  });

  it("shared, with nothing left to part it: -EFAULT, and the end for a guest that writes", () => {
    const system = made([...copyOut(0), ...put(DATA, 1)], ({ sharing }) => {
      sharing.share(GFN, GFN + 1);
      sharing.framesLeft = 0;
    });
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "crash" });
    expect(result(system, 0)).toBe(-Errno.EFAULT);
  });

  it("populated on demand: zeroed by whoever is first", () => {
    const byCopy = made([...copyOut(0), ...memType(1)], (conditions) => conditions.setUnpopulated(GFN));
    const byGuest = made([...load(DATA + 0x800), ...keep(0)], (conditions) => conditions.setUnpopulated(GFN));
    for (const system of [byCopy, byGuest]) {
      system.run();
      expect(system.domain.p2m.typeAt(GFN)).toBe(P2mType.RamRw);
      expect(system.domain.guestMemory.readU32(DATA + 0xf00)).toBe(0);
      expect(result(system, 0)).toBe(0);
    }
  });

  it("a device's page: the guest reaches it, copies do not", () => {
    const system = made([...put(DATA, 9), ...copyOut(0), ...memType(1)], () => {});
    const mfn = system.domain.conditions.mapDevice(GFN);
    system.run();
    expect(result(system, 0)).toBe(-Errno.EFAULT);
    expect(typeSeen(system, 1)).toBe(2);
    expect(system.processor.memory.readU32(mfn * 4096)).toBe(9);
    expect(system.frameTable.references(mfn)).toBe(1);
  });

  it.each([
    [P2mType.GrantMapRw, -Errno.EFAULT, 0],
    [P2mType.GrantMapRo, -Errno.EFAULT, 1],
    [P2mType.MapForeign, 0, 2],
    [P2mType.RamBroken, -Errno.EFAULT, 2],
  ])("type %i", (type, errno, seen) => {
    const system = made([...copyOut(0), ...memType(1)], () => {});
    const { p2m } = system.domain;
    p2m.setType(GFN, type);
    const mfn = p2m.frameOf(GFN);
    system.run();
    expect([result(system, 0), typeSeen(system, 1)]).toEqual([errno, seen]);
    expect(system.frameTable.references(mfn)).toBe(1);
  });

  it("a guest that touches a broken page crashes", () => {
    const system = made(load(DATA), (conditions) => conditions.setBroken(GFN));
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "crash" });
  });

  it("grant mappings are not executed from", () => {
    const system = made([0xe9, ...le(DATA - (CODE + 0x105))], () => {});
    system.domain.guestMemory.writeBytes(DATA, Uint8Array.from([...print("x"), ...END]));
    system.domain.p2m.setType(GFN, P2mType.GrantMapRw);
    expect(system.run()).toMatchObject({ shutdown: "crash", detail: expect.stringContaining("fetch") });
  });

  it("ballooning shatters a superpage, and what comes back is ordinary", () => {
    const reservation = (order: number) => [
      ...put(STRUCT, LIST),
      ...put(STRUCT + 4, 1),
      ...put(STRUCT + 8, order),
      ...put(STRUCT + 12, 0),
      ...put(STRUCT + 16, 0x7ff0),
      ...put(LIST, GFN + 3),
    ];
    const give = [...reservation(0), ...call(MEMORY_OP, 1, STRUCT), ...keep(0)];
    const take = [...reservation(0), ...call(MEMORY_OP, 6, STRUCT), ...keep(1)];
    const system = made([...give, ...copyOut(2), ...take, ...load(DATA + 0x3000), ...keep(3)], () => {});
    system.domain.guestMemory.writeU32(DATA + 0x3000, 0x55);
    const before = system.domain.p2m.leafCounts();
    system.run();
    const after = system.domain.p2m.leafCounts();
    expect([result(system, 0), result(system, 1), result(system, 2), result(system, 3)]).toEqual([
      1, 1, 0, 0,
    ]);
    expect([after["2m"] - before["2m"], after["4k"] - before["4k"]]).toEqual([-1, 512]);
    expect(system.domain.p2m.typeAt(GFN + 3)).toBe(P2mType.RamRw);
    expect(system.estimates().some(({ key }) => key.includes("512 entries"))).toBe(true);
  });

  it.each([
    ["with the processor's log where there is one", {}],
    ["by faults", profile.vendor === "intel" ? { pml: false } : {}],
  ] as const)("log-dirty mode, %s", (how, xen) => {
    const touch = [...put(DATA, 1), ...put(DATA + 0x2000, 1), ...put(DATA, 2), ...load(DATA + 0x4000)];
    const system = made([...touch, ...copyOut(0), ...memType(1)], () => {}, {
      xen,
      domain: { logDirty: true },
    });
    expect(system.domain.p2m.typeAt(GFN)).toBe(P2mType.RamLogdirty);
    system.run();
    const { logDirty } = system.domain.conditions;
    const dirty = logDirty.peek();
    expect(dirty).toContain(GFN);
    expect(dirty).toContain(GFN + 2);
    expect(dirty).not.toContain(GFN + 4);
    expect(dirty).toContain(RESULTS / 4096);
    expect(result(system, 0)).toBe(0);
    // Two pages of one superpage: with the log it only has to be split.
    const logs = profile.vendor === "intel" && !how.includes("faults");
    const own = system.domain.p2m.typeAt(GFN + 2);
    expect(own).toBe(P2mType.RamRw);
    expect(faults(system)).toBeGreaterThanOrEqual(logs ? 2 : 4);
    if (logs) expect(faults(system)).toBeLessThan(4);
    expect(logDirty.clean()).toEqual(dirty);
    expect(logDirty.peek()).toEqual([]);
    expect(system.domain.p2m.typeAt(GFN)).toBe(P2mType.RamLogdirty);
    logDirty.disable();
    expect(system.domain.p2m.typeAt(GFN)).toBe(P2mType.RamRw);
    expect(balanced(system)).toBe(true);
  });

  it("a copy of Xen's marks what it writes, and costs the walk of the bitmap", () => {
    const body = [...copyOut(0), ...copyOut(1), ...copyOut(2)];
    const cycles = (logDirty: boolean) => {
      const system = made(body, () => {}, { domain: { logDirty } });
      system.run();
      if (logDirty) expect(system.domain.conditions.logDirty.peek()).toContain(GFN);
      const accounts = system.hypercallAccounts().find(({ name }) => name === "vcpu.get_runstate_info");
      return (accounts?.cycles ?? 0) / 3;
    };
    expect(cycles(true) - cycles(false)).toBeGreaterThan(60);
  });

  it("goes on from a snapshot in the middle", () => {
    const body = [
      ...put(DATA, 1),
      ...copyOut(0),
      ...load(DATA + 0x1000),
      ...put(DATA + 0x2000, 3),
      ...copyOut(1),
    ];
    const prepare = (conditions: PageConditions) => {
      conditions.paging.pageOut(GFN + 1);
      conditions.paging.latencyCycles = 1234;
      conditions.sharing.share(GFN + 2, GFN + 3);
      conditions.sharing.framesLeft = 5;
    };
    const setting = { domain: { logDirty: true } };
    const whole = made(body, prepare, setting);
    const until = (system: XenSystem) => system.run({ maxInstructions: 12 });
    until(whole);
    const snapshot = encodeSnapshot(whole.snapshot());
    const again = made(body, () => {}, setting);
    again.restore(decodeSnapshot(snapshot));
    for (const system of [whole, again]) system.run();
    expect(again.cycles).toBe(whole.cycles);
    expect(again.ledger.rows()).toEqual(whole.ledger.rows());
    expect(again.domain.conditions.logDirty.peek()).toEqual(whole.domain.conditions.logDirty.peek());
    expect(again.domain.conditions.snapshot()).toEqual(whole.domain.conditions.snapshot());
    expect(again.domain.conditions.sharing.framesLeft).toBe(4);
  });

  it("refuses conditions that cannot be, in snapshots too", () => {
    const system = made([], () => {});
    const { conditions, p2m } = system.domain;
    expect(() => conditions.paging.pageIn(GFN)).toThrow(RangeError);
    expect(() => conditions.setReadOnly(0x7ffff)).toThrow(RangeError);
    expect(() => p2m.setType(0x7ffff, 0)).toThrow(RangeError);
    conditions.mapDevice(GFN);
    expect(() => conditions.paging.pageOut(GFN)).toThrow(/type 5/);
    expect(() => conditions.sharing.share(GFN, GFN + 1)).toThrow(/not sharable/);
    const snapshot = made([], () => {}).snapshot();
    const bad = (change: object) => ({
      ...snapshot,
      domain: { ...snapshot.domain, conditions: { ...snapshot.domain.conditions, ...change } },
    });
    for (const change of [
      { sharing: { framesLeft: -7 } },
      { paging: { latencyCycles: 1, automatic: true, requests: [GFN] } },
      { logDirty: { enabled: true, pml: false, root: 2 ** 40 } },
    ])
      expect(() => made([], () => {}).restore(bad(change))).toThrow(SnapshotError);
  });
});

describe("paged-out page tables of a guest in long mode", () => {
  it.each(["amd", "intel"] as const)("on %s, each level asks the pager", (vendor) => {
    const bench = new HypervisorBench({ vendor });
    const { p2m, memory, host } = bench;
    const conditions = new PageConditions({ p2m, memory, allocateFrame: () => host.heap.allocate() });
    let next = 16;
    const tables = new LongModeTables({
      memory,
      allocate: () => next++,
      locate: (gfn) => p2m.translate(gfn),
    });
    tables.map(0x800, 0x900, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
    bench.setControl((1 << 31) | (1 << 16) | 1, tables.rootFrame * 4096, 0x20, 0xd00);
    const copy = () => bench.linear.copyToGuest(0x800000, 0, 48);
    expect(copy()).toBe(0);
    for (const gfn of [tables.rootFrame, 0x900]) {
      conditions.paging.pageOut(gfn);
      expect(copy()).toBe(-Errno.EFAULT);
      expect(conditions.paging.requested).toEqual([gfn]);
      conditions.paging.pageIn(gfn);
      expect(copy()).toBe(0);
    }
    // A physical copy finds no page and asks nobody, as Xen's code is written.
    conditions.paging.pageOut(0x900);
    expect(bench.physical.copyToGuest(0x900000, 0, 48)).toBe(-Errno.EFAULT);
    expect(conditions.paging.requested).toEqual([]);
    expect(bench.host.frameTable.references(p2m.frameOf(0x900))).toBe(1);
  });
});

describe("XSA-304: ept=exec-sp", () => {
  const loop = [...put(DATA, 1), ...put(DATA + 0x1000, 1), ...load(0x600000)];

  it("only superpages that are executed from are split", () => {
    const system = guestOf(skylakeSp, loop);
    const { p2m } = system.domain;
    const before = p2m.leafCounts();
    system.run();
    expect(system.console).toBe("\n");
    expect(p2m.leafLevel(CODE / 4096)).toBe(1); // below 2 MiB: everything runs there
    for (const gfn of [GFN, 0x600]) expect(p2m.leafLevel(gfn)).toBe(2);
    const after = p2m.leafCounts();
    expect([before["2m"] - after["2m"], after["4k"] - before["4k"]]).toEqual([1, 512]);
    expect(faults(system)).toBe(1);
    expect(system.estimates().some(({ key }) => key.includes("512 entries"))).toBe(true);
  });

  it.each([
    ["ept=exec-sp", skylakeSp, { xen: { execSp: true } }],
    ["a part that is not affected", sapphireRapids, {}],
    ["a hardware domain", skylakeSp, { domain: { hardwareDomain: true } }],
  ] as const)("not with %s", (_, profile, setting) => {
    const system = guestOf(profile, loop, setting);
    system.run();
    expect(system.domain.p2m.leafLevel(CODE / 4096)).toBe(2);
    expect(faults(system)).toBe(0);
  });

  it("costs the exits and splits, not the data's look-ups", () => {
    const run = (execSp: boolean) => {
      const system = guestOf(skylakeSp, loop, { xen: { execSp } });
      system.run();
      return system.cycles;
    };
    expect(run(false) - run(true)).toBeGreaterThan(8000);
  });

  it("takes 1 GiB pages down level by level", () => {
    const domain = { memoryBytes: 2 ** 31, p2mPage: "1g" } as const;
    const system = guestOf(skylakeSp, loop, { domain });
    system.run();
    const { p2m } = system.domain;
    expect([p2m.leafLevel(CODE / 4096), p2m.leafLevel(GFN), p2m.leafLevel(0x50000)]).toEqual([1, 2, 3]);
  });
});
