import {
  LongModeTables,
  type MemoryProfile,
  MmuCounter,
  PagingMode,
  Pte,
  type TranslationContext,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildSpace, EPT_OPEN, leafAddress, OPEN } from "./address-space.js";
import { bytesOf, GUEST_BASE, SMALL, TestMachine } from "./machine.js";

const PROFILES: Record<string, MemoryProfile> = {
  lru: SMALL,
  "random and tree-plru, arrays by page size, inclusive L3": {
    ...SMALL,
    l1d: { bytes: 2048, ways: 4, latency: 4, replacement: "tree-plru" },
    l1i: { bytes: 2048, ways: 4, latency: 4, replacement: "random" },
    l3: { bytes: 32768, ways: 16, latency: 50, replacement: "random", policy: "inclusive" },
    l1Dtlb: [
      { entries: 4, ways: 4, pages: ["4k"], replacement: "tree-plru" },
      { entries: 2, ways: 2, pages: ["2m"], replacement: "random" },
    ],
    l1Itlb: [{ entries: 4, ways: 4, pages: ["4k", "2m"], replacement: "random" }],
    l2Dtlb: [{ entries: 16, ways: 4, pages: ["4k", "2m"], replacement: "lru" }],
    l2Itlb: [],
  },
};

/** Contexts over overlapping tables: two PCIDs that disagree about global pages, a host, two EPT guests. */
function contexts(m: TestMachine): TranslationContext[] {
  const { memory, allocate } = m;
  const first = new LongModeTables({ memory, allocate });
  const second = new LongModeTables({ memory, allocate });
  for (let i = 0; i < 24; i++) {
    const global = i % 3 === 0 ? Pte.Global : 0;
    const flags = Pte.Present | Pte.User | (i % 5 === 0 ? 0 : Pte.Write) | global;
    first.map(i, GUEST_BASE + i, "4k", flags);
    second.map(i, GUEST_BASE + 24 - i, "4k", flags ^ (i % 4 === 0 ? Pte.Global : 0));
  }
  first.map(0x200, GUEST_BASE, "2m", OPEN | Pte.Global);
  // The same 2 MiB in the other PCID, as small pages.
  second.mapRange(0x200, GUEST_BASE + 64, 16, "4k", OPEN);
  const stage = m.stage("ept");
  stage.mapRange(0, GUEST_BASE + 512, 1, "2m", EPT_OPEN);
  stage.mapRange(512, GUEST_BASE + 1024, 64, "4k", EPT_OPEN);
  const ept = { format: "ept", rootFrame: stage.rootFrame, levels: 4, tag: 0, accessDirty: true } as const;
  const paging = PagingMode.FourLevel;
  return [
    m.context({ paging, rootFrame: first.rootFrame, pcid: 1 }),
    m.context({ paging, rootFrame: second.rootFrame, pcid: 2 }),
    m.context({ paging: PagingMode.None, asid: 3, secondStage: { ...ept } }),
    m.context({ paging: PagingMode.None, asid: 3, secondStage: { ...ept, tag: 1 } }),
  ];
}

const operation = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      op: fc.constantFrom("read", "write", "fetch", "readSystem", "writeSystem"),
      // A few favourites, all small pages, the 2 MiB page; few lines, so that they meet again.
      page: fc.oneof(fc.nat({ max: 4 }), fc.nat({ max: 23 }), fc.integer({ min: 0x200, max: 0x210 })),
      offset: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(4088, 4090, 4095, 2048, 2100)),
      bytes: fc.constantFrom(1, 4, 8, 64),
    }),
  },
  { weight: 12, arbitrary: fc.record({ op: fc.constant("sequence"), page: fc.nat({ max: 2 }) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("activate"), page: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("user"), page: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("invlpg"), page: fc.nat({ max: 23 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("cr3"), page: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("invept"), page: fc.integer({ min: -1, max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("clflush"), page: fc.nat({ max: 23 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("code"), page: fc.nat({ max: 23 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("pkru"), page: fc.nat({ max: 3 }) }) },
);
/** Lines touched together: within two pages, over many pages, with repetitions and neighbours in one set. */
const SEQUENCES = [
  [0x1000, 0x1040, 0x2000, 0x1000],
  [0x0, 0x3040, 0x5080, 0x200100, 0x7000, 0x0],
  [0x1800, 0x2800, 0x3800, 0x1840],
].map((lines, s) => lines.map((lo, i) => ({ lo, hi: 0, write: (i + s) % 3 === 0 })));

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** One machine with its contexts, driven by operations; `told` are the frames whose code was overwritten. */
class Driver {
  readonly m: TestMachine;
  readonly told: number[] = [];
  /** Sequences that ran as one. */
  settled = 0;
  private readonly all: TranslationContext[];
  private readonly sequences: number[];

  constructor(profile: MemoryProfile, bypassFilter: boolean, recencyLimit: number) {
    this.m = new TestMachine(profile, { bypassFilter, recencyLimit });
    this.all = contexts(this.m);
    this.m.mmu.activate(this.all[0]);
    this.sequences = SEQUENCES.map((lines) => this.m.mmu.defineLines(lines));
    this.m.memory.onCodeWrite = (frameOffset) => {
      this.told.push(frameOffset);
      this.m.memory.codeSlots[frameOffset >>> 12] = 0;
    };
  }

  run(o: Operation, stamp: number): number {
    const { mmu, arena, memory } = this.m;
    const c = mmu.context;
    const lo = (o.page << 12) | 0;
    if ("offset" in o) {
      const address = (lo + o.offset) | 0;
      if (o.op === "fetch") return mmu.fetch(address, 0);
      const at = mmu[o.op as "read"](address, 0, o.bytes);
      if (at >= 0 && o.op.startsWith("write")) {
        arena.u8[at] = stamp;
        arena.u8[at + o.bytes - 1] = stamp;
        mmu.commitWrite();
      }
      return at;
    }
    switch (o.op) {
      case "activate":
        mmu.activate(this.all[o.page]);
        break;
      case "user":
        c.user = o.page === 1;
        mmu.reload();
        break;
      case "sequence": {
        if (mmu.touchLines(this.sequences[o.page])) {
          this.settled++;
          break;
        }
        let faults = 0;
        for (const { lo, hi, write } of SEQUENCES[o.page])
          if ((write ? mmu.write(lo, hi, 8) : mmu.read(lo, hi, 8)) < 0) faults++;
        if (faults === 0) mmu.noteLines(this.sequences[o.page]);
        break;
      }
      case "invlpg":
        mmu.invalidatePage(lo, 0);
        break;
      case "cr3":
        mmu.invalidatePcid(o.page, true);
        break;
      case "invept":
        mmu.invalidateNested(o.page);
        break;
      case "clflush":
        return mmu.flushLine(lo, 0);
      case "pkru":
        c.pke = true;
        c.pkru = o.page;
        mmu.reload();
        break;
      default:
        mmu.noteCode(memory.frameOffset(GUEST_BASE + o.page));
    }
    return 0;
  }
}

describe.each(Object.entries(PROFILES))("%s", (_name, profile) => {
  test.each([2 ** 30, 700])(
    "with and without filters: same state, costs and counters (recency limit %i)",
    { timeout: 30_000 },
    (limit) => {
      let settled = 0;
      fc.assert(
        fc.property(fc.array(operation, { minLength: 150, maxLength: 400 }), (operations) => {
          const filtered = new Driver(profile, false, limit);
          const plain = new Driver(profile, true, limit);
          operations.forEach((o, i) => {
            const at = filtered.run(o, i);
            if (at !== plain.run(o, i)) expect.fail(`step ${i} gives ${at} with filters`);
            if (at < 0) expect({ ...filtered.m.mmu.fault }).toEqual({ ...plain.m.mmu.fault });
          });
          expect(filtered.told).toEqual(plain.told);
          expect(filtered.m.ledger.rows()).toEqual(plain.m.ledger.rows());
          expect([...filtered.m.counters]).toEqual([...plain.m.counters]);
          expect(bytesOf(filtered.m)).toEqual(bytesOf(plain.m));
          expect(filtered.m.charged).toBe(filtered.m.ledger.clock[0]);
          expect(filtered.m.mmu.snapshot().caches.l1d).toEqual(plain.m.mmu.snapshot().caches.l1d);
          expect(plain.settled).toBe(0);
          settled += filtered.settled;
        }),
        { numRuns: 80 },
      );
      expect(settled).toBeGreaterThan(100);
    },
  );

  test("the same operations give the same bytes", () => {
    const run = (): unknown => {
      const driver = new Driver(profile, false, 2 ** 30);
      for (let i = 0; i < 3000; i++)
        driver.run(
          { op: i % 3 ? "read" : "write", page: (i * 7) % 24, offset: (i * 192) % 4000, bytes: 8 },
          i & 255,
        );
      return [
        driver.m.ledger.rows(),
        [...driver.m.counters],
        driver.m.mmu.snapshot(),
        driver.m.memory.snapshot(),
      ];
    };
    expect(run()).toEqual(run());
  });

  test("run A-B equals run A, snapshot, restore elsewhere, run B", () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 40, maxLength: 200 }), (operations) => {
        const whole = new Driver(profile, false, 2 ** 30);
        const part = new Driver(profile, false, 2 ** 30);
        const half = operations.length >> 1;
        // Restoring contexts is their owner's business: keep to operations that do not touch them after the cut.
        const later = operations
          .slice(half)
          .filter((o) => "offset" in o || ["invlpg", "cr3", "clflush"].includes(o.op));
        operations.slice(0, half).forEach((o, i) => {
          if (o.op === "user" || o.op === "pkru" || o.op === "activate" || o.op === "code") return;
          whole.run(o, i);
          part.run(o, i);
        });
        const elsewhere = new Driver(profile, false, 2 ** 30);
        const [memory, mmu, ledger] = [
          part.m.memory.snapshot(),
          part.m.mmu.snapshot(),
          part.m.ledger.snapshot(),
        ];
        elsewhere.m.memory.restore(memory);
        elsewhere.m.mmu.restore(mmu);
        elsewhere.m.mmu.reload();
        const before = whole.m.ledger.snapshot();
        expect(ledger.clock).toBe(before.clock);
        const start = elsewhere.m.ledger.clock[0];
        later.forEach((o, i) => {
          const [a, b] = [whole.run(o, i), elsewhere.run(o, i)];
          expect(a < 0).toBe(b < 0);
        });
        expect(elsewhere.m.ledger.clock[0] - start).toBe(whole.m.ledger.clock[0] - before.clock);
        expect([...elsewhere.m.counters]).toEqual([...whole.m.counters]);
        expect(elsewhere.m.mmu.snapshot().caches).toEqual(whole.m.mmu.snapshot().caches);
      }),
      { numRuns: 30 },
    );
  });
});

describe("noted code", () => {
  const machine = (): { m: TestMachine; frame: number; told: number[] } => {
    const m = new TestMachine();
    const shape = {
      paging: 4,
      leaf: "4k",
      stage: "none",
      stageLevels: 4,
      tableLeaf: "4k",
      pageLeaf: "4k",
    } as const;
    m.mmu.activate(buildSpace(m, shape).context);
    const told: number[] = [];
    m.memory.onCodeWrite = (at) => told.push(at);
    const frame = m.mmu.read(...leafAddress(shape, 0), 8) & -4096;
    return { m, frame, told };
  };

  test("a write through a hot filter row is announced, before it happens", () => {
    const { m, frame, told } = machine();
    m.mmu.write(64, 0, 8);
    m.mmu.write(64, 0, 8);
    expect(told).toEqual([]);
    m.mmu.noteCode(frame + 100);
    m.mmu.write(64, 0, 8);
    expect(told).toEqual([frame]);
    m.mmu.write(64, 0, 8);
    expect(told).toEqual([frame, frame]);
  });

  test("reads and writes elsewhere are not", () => {
    const { m, frame, told } = machine();
    m.mmu.noteCode(frame);
    m.mmu.read(64, 0, 8);
    m.mmu.fetch(64, 0);
    m.mmu.write(4096, 0, 8);
    expect(told).toEqual([]);
  });

  test("a write that crosses into the frame is", () => {
    const { m, frame, told } = machine();
    m.mmu.noteCode(frame);
    m.mmu.write(4092, 0, 8);
    expect(told).toEqual([frame]);
    expect(m.mmu.writePending).toBe(1);
  });

  test("once the code is dropped, writes are fast again", () => {
    const { m, frame, told } = machine();
    m.memory.onCodeWrite = (at) => {
      told.push(at);
      m.memory.codeSlots[at >>> 12] = 0;
    };
    m.mmu.noteCode(frame);
    for (let i = 0; i < 3; i++) m.mmu.write(64, 0, 8);
    expect(told).toEqual([frame]);
  });

  test("accessed flags set by a walk are announced too", () => {
    const m = new TestMachine();
    const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
    tables.map(1, GUEST_BASE, "4k", Pte.Present);
    m.mmu.activate(m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame }));
    tables.find(1);
    const leafTable = m.memory.frameOffset(tables.pathFrame[1]);
    m.mmu.noteCode(leafTable);
    const told: number[] = [];
    m.memory.onCodeWrite = (at) => told.push(at);
    m.mmu.read(4096, 0, 1);
    expect(told).toEqual([leafTable]);
    expect(m.counters[MmuCounter.AccessedDirtyUpdates]).toBe(1);
  });
});
