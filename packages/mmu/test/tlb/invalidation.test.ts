import {
  LongModeTables,
  MmuCounter,
  NptTables,
  PagingMode,
  Pte,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { describe, expect, test } from "vitest";
import { EPT_OPEN, OPEN } from "../address-space.js";
import { GUEST_BASE, TestMachine } from "../machine.js";

const PAGE = 5;
const GLOBAL_PAGE = 6;
const OLD = GUEST_BASE;
const NEW = GUEST_BASE + 100;

/** One set of tables with a private and a global page, seen through contexts with any tags. */
class Scene {
  readonly m = new TestMachine();
  private readonly tables = new LongModeTables({ memory: this.m.memory, allocate: this.m.allocate });
  constructor() {
    this.tables.map(PAGE, OLD + PAGE, "4k", OPEN);
    this.tables.map(GLOBAL_PAGE, OLD + GLOBAL_PAGE, "4k", OPEN | Pte.Global);
  }
  context(asid: number, pcid: number): TranslationContext {
    return this.m.context({ paging: PagingMode.FourLevel, rootFrame: this.tables.rootFrame, asid, pcid });
  }
  /** Reads both pages in each context, so that all translations are cached, then moves both pages. */
  stale(...contexts: TranslationContext[]): void {
    for (const c of contexts) this.both(c);
    this.tables.map(PAGE, NEW + PAGE, "4k", OPEN);
    this.tables.map(GLOBAL_PAGE, NEW + GLOBAL_PAGE, "4k", OPEN | Pte.Global);
  }
  /** For the private and the global page: is the old translation still used by loads, and by fetches? */
  both(c: TranslationContext): string {
    const { mmu, memory } = this.m;
    mmu.activate(c);
    return [PAGE, GLOBAL_PAGE]
      .map((page) => {
        const data = mmu.read(page << 12, 0, 8);
        const code = mmu.fetch(page << 12, 0);
        expect(code).toBe(data);
        if (data === memory.frameOffset(OLD + page)) return "stale";
        expect(data).toBe(memory.frameOffset(NEW + page));
        return "fresh";
      })
      .join(" ");
  }
}

const STALE = "stale stale";
const FRESH = "fresh fresh";
const PRIVATE_FRESH = "fresh stale";

describe("without an invalidation, stale entries stay", () => {
  test("also across a change of context and back", () => {
    const s = new Scene();
    const [a, b] = [s.context(1, 1), s.context(2, 1)];
    s.stale(a, b);
    for (let i = 0; i < 3; i++) {
      expect(s.both(a)).toBe(STALE);
      expect(s.both(b)).toBe(STALE);
    }
  });

  test("a context with other tags walks; a global page is shared between the PCIDs of an ASID", () => {
    const s = new Scene();
    s.stale(s.context(1, 1));
    expect(s.both(s.context(2, 1))).toBe(FRESH);
    expect(s.both(s.context(1, 2))).toBe(PRIVATE_FRESH);
  });

  test("with CR4.PGE clear global bits mean nothing", () => {
    const s = new Scene();
    const c = s.context(1, 1);
    c.globalPages = false;
    s.stale(c);
    const other = s.context(1, 2);
    other.globalPages = false;
    expect(s.both(other)).toBe(FRESH);
  });
});

describe("what each operation forgets", () => {
  // Contexts: asid 1 pcid 1 (active), asid 1 pcid 2, asid 2 pcid 1, host.
  type Row = [string, (s: Scene) => void, [string, string, string, string]];
  const rows: Row[] = [
    [
      "INVLPG of the private page",
      ({ m }) => m.mmu.invalidatePage(PAGE << 12, 0),
      [PRIVATE_FRESH, STALE, STALE, STALE],
    ],
    [
      "INVLPG of the global page",
      ({ m }) => m.mmu.invalidatePage(GLOBAL_PAGE << 12, 0),
      ["stale fresh", "stale fresh", STALE, STALE],
    ],
    ["INVLPG of another page", ({ m }) => m.mmu.invalidatePage(9 << 12, 0), [STALE, STALE, STALE, STALE]],
    [
      "INVPCID 0 of the global page keeps it",
      ({ m }) => m.mmu.invalidatePcidPage(1, GLOBAL_PAGE << 12, 0),
      [STALE, STALE, STALE, STALE],
    ],
    [
      "INVPCID 0 of another PCID's page",
      ({ m }) => m.mmu.invalidatePcidPage(2, PAGE << 12, 0),
      [STALE, PRIVATE_FRESH, STALE, STALE],
    ],
    ["MOV CR3", ({ m }) => m.mmu.invalidatePcid(1, true), [PRIVATE_FRESH, STALE, STALE, STALE]],
    [
      "INVPCID 1 of another PCID",
      ({ m }) => m.mmu.invalidatePcid(2, true),
      [STALE, PRIVATE_FRESH, STALE, STALE],
    ],
    [
      "INVVPID 3, TLB_CONTROL 7",
      ({ m }) => m.mmu.invalidateAsid(1, true),
      [PRIVATE_FRESH, PRIVATE_FRESH, STALE, STALE],
    ],
    ["INVVPID 1, TLB_CONTROL 3", ({ m }) => m.mmu.invalidateAsid(1, false), [FRESH, FRESH, STALE, STALE]],
    ["INVVPID 1 of another", ({ m }) => m.mmu.invalidateAsid(2, false), [STALE, STALE, FRESH, STALE]],
    [
      "INVVPID 0",
      ({ m }) => m.mmu.invvpidAddress(1, GLOBAL_PAGE << 12, 0),
      ["stale fresh", "stale fresh", STALE, STALE],
    ],
    ["INVLPGA", ({ m }) => m.mmu.invlpga(PAGE << 12, 0, 1), [PRIVATE_FRESH, PRIVATE_FRESH, STALE, STALE]],
    ["INVVPID 2 spares the host", ({ m }) => m.mmu.invvpidAll(), [FRESH, FRESH, FRESH, STALE]],
    ["TLB_CONTROL 1", ({ m }) => m.mmu.invalidateAll(), [FRESH, FRESH, FRESH, FRESH]],
    [
      "INVEPT has nothing to say about linear mappings",
      ({ m }) => m.mmu.invalidateNested(-1),
      [STALE, STALE, STALE, STALE],
    ],
    ["WBINVD neither", ({ m }) => m.mmu.flushCaches(), [STALE, STALE, STALE, STALE]],
    ["reload neither", ({ m }) => m.mmu.reload(), [STALE, STALE, STALE, STALE]],
  ];
  test.each(rows)("%s", (_name, forget, expected) => {
    // A fresh scene for each context: reading one would cache new global entries for another.
    expected.forEach((verdict, i) => {
      const s = new Scene();
      const contexts = [s.context(1, 1), s.context(1, 2), s.context(2, 1), s.context(0, 0)];
      s.stale(...contexts);
      s.m.mmu.activate(contexts[0]);
      forget(s);
      expect(s.both(contexts[i])).toBe(verdict);
    });
  });
});

describe("permissions", () => {
  test("an upgrade needs no invalidation: the access walks again", () => {
    const s = new Scene();
    const tables = new LongModeTables({ memory: s.m.memory, allocate: s.m.allocate });
    tables.map(1, GUEST_BASE, "4k", Pte.Present | Pte.User | Pte.Accessed);
    s.m.mmu.activate(s.m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame, user: true }));
    expect(s.m.mmu.read(4096, 0, 1)).toBeGreaterThanOrEqual(0);
    tables.setAttributes(1, OPEN);
    expect(s.m.mmu.write(4096, 0, 1)).toBeGreaterThanOrEqual(0);
    expect(s.m.counters[MmuCounter.Rewalks]).toBe(1);
  });

  test("a downgrade without invalidation goes unnoticed", () => {
    const s = new Scene();
    const tables = new LongModeTables({ memory: s.m.memory, allocate: s.m.allocate });
    tables.map(1, GUEST_BASE, "4k", OPEN);
    s.m.mmu.activate(s.m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame, user: true }));
    s.m.mmu.write(4096, 0, 1);
    tables.setAttributes(1, Pte.Present | Pte.User);
    expect(s.m.mmu.write(4096, 0, 1)).toBeGreaterThanOrEqual(0);
    s.m.mmu.invalidatePage(4096, 0);
    expect(s.m.mmu.write(4096, 0, 1)).toBe(-1);
  });

  test("the first write to a clean page walks once and sets the dirty flag", () => {
    const m = new TestMachine();
    const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
    tables.map(1, GUEST_BASE, "4k", Pte.Present | Pte.Write);
    m.mmu.activate(m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame }));
    m.mmu.read(4096, 0, 8);
    expect(tables.entry(1)?.attributes).toBe(Pte.Present | Pte.Write | Pte.Accessed);
    for (let i = 0; i < 3; i++) m.mmu.write(4096, 0, 8);
    expect(tables.entry(1)?.attributes).toBe(Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
    expect(m.counters[MmuCounter.Walks]).toBe(2);
  });

  test("a dirty flag that software clears without a flush stays clear, as TLBs do not look", () => {
    const m = new TestMachine();
    const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
    tables.map(1, GUEST_BASE, "4k", OPEN);
    m.mmu.activate(m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame }));
    m.mmu.write(4096, 0, 8);
    tables.setAttributes(1, OPEN & ~Pte.Dirty);
    m.mmu.write(4096, 0, 8);
    expect(tables.entry(1)!.attributes & Pte.Dirty).toBe(0);
    m.mmu.invalidatePage(4096, 0);
    m.mmu.write(4096, 0, 8);
    expect(tables.entry(1)!.attributes & Pte.Dirty).toBe(Pte.Dirty);
  });
});

describe("second stage", () => {
  function guest(
    format: "npt" | "ept",
    tag = 0,
  ): { m: TestMachine; remap: () => void; verdict: () => string } {
    const m = new TestMachine();
    const stage = m.stage(format);
    const open = format === "npt" ? OPEN : EPT_OPEN;
    stage.map(PAGE, OLD, "4k", open);
    const secondStage = { format, rootFrame: stage.rootFrame, levels: 4, tag, accessDirty: false } as const;
    m.mmu.activate(m.context({ asid: 1, secondStage }));
    const verdict = (): string => {
      const at = m.mmu.read(PAGE << 12, 0, 8);
      return at === m.memory.frameOffset(OLD) ? "stale" : "fresh";
    };
    verdict();
    return { m, remap: () => stage.map(PAGE, NEW, "4k", open), verdict };
  }

  test("a changed EPT is seen after INVEPT of its tag, not of another, and not after INVVPID alone", () => {
    const { m, remap, verdict } = guest("ept", 3);
    remap();
    expect(verdict()).toBe("stale");
    m.mmu.invalidateNested(4);
    expect(verdict()).toBe("stale");
    // INVVPID drops the combined mapping; the guest-physical one still answers the walk.
    m.mmu.invalidateAsid(1, false);
    expect(verdict()).toBe("stale");
    m.mmu.invalidateNested(3);
    expect(verdict()).toBe("fresh");
  });

  test("a changed NPT is seen after a flush of the ASID, not after INVEPT", () => {
    const { m, remap, verdict } = guest("npt");
    remap();
    m.mmu.invalidateNested(-1);
    m.mmu.invalidateAsid(2, false);
    expect(verdict()).toBe("stale");
    m.mmu.invalidateAsid(1, false);
    expect(verdict()).toBe("fresh");
  });

  test("guest INVLPG keeps nested translations", () => {
    const { m, remap, verdict } = guest("npt");
    remap();
    m.mmu.invalidatePage(PAGE << 12, 0);
    expect(verdict()).toBe("stale");
  });

  test("an EPT violation drops what it used: after the repair the retry succeeds without INVEPT", () => {
    const m = new TestMachine();
    const stage = m.stage("ept");
    stage.map(PAGE, OLD, "4k", 1 | (6 << 3));
    const secondStage = {
      format: "ept",
      rootFrame: stage.rootFrame,
      levels: 4,
      tag: 0,
      accessDirty: false,
    } as const;
    m.mmu.activate(m.context({ asid: 1, secondStage }));
    expect(m.mmu.read(PAGE << 12, 0, 8)).toBeGreaterThanOrEqual(0);
    expect(m.mmu.write(PAGE << 12, 0, 8)).toBe(-1);
    stage.map(PAGE, NEW, "4k", EPT_OPEN);
    expect(m.mmu.write(PAGE << 12, 0, 8)).toBe(m.memory.frameOffset(NEW));
  });

  test("two EP4TAs do not share translations under one VPID", () => {
    const m = new TestMachine();
    const [a, b] = [m.stage("ept"), m.stage("ept")];
    a.map(PAGE, OLD, "4k", EPT_OPEN);
    b.map(PAGE, NEW, "4k", EPT_OPEN);
    const [ca, cb] = [a, b].map((stage, tag) =>
      m.context({
        asid: 1,
        secondStage: { format: "ept", rootFrame: stage.rootFrame, levels: 4, tag, accessDirty: false },
      }),
    );
    for (let i = 0; i < 2; i++) {
      m.mmu.activate(ca);
      expect(m.mmu.read(PAGE << 12, 0, 1)).toBe(m.memory.frameOffset(OLD));
      m.mmu.activate(cb);
      expect(m.mmu.read(PAGE << 12, 0, 1)).toBe(m.memory.frameOffset(NEW));
    }
  });
});

test("INVLPG of one address drops a guest superpage that small host pages broke up", () => {
  const m = new TestMachine();
  const stage = new NptTables({ memory: m.memory, allocate: m.allocate });
  stage.mapRange(0, GUEST_BASE, 2048, "4k", OPEN);
  let next = 1024;
  const guest = new LongModeTables({
    memory: m.memory,
    allocate: () => next++,
    locate: (gfn) => gfn + GUEST_BASE,
  });
  guest.map(0x200, 0, "2m", OPEN);
  const secondStage = {
    format: "npt",
    rootFrame: stage.rootFrame,
    levels: 4,
    tag: 0,
    accessDirty: true,
  } as const;
  m.mmu.activate(m.context({ paging: 4, rootFrame: guest.rootFrame, asid: 1, secondStage }));
  const frames = (): number[] => [0x200, 0x201, 0x3ff].map((page) => m.mmu.read(page << 12, 0, 1));
  const offsets = (first: number): number[] =>
    [0, 1, 511].map((i) => m.memory.frameOffset(GUEST_BASE + first + i));
  expect(frames()).toEqual(offsets(0));
  expect(m.counters[MmuCounter.Walks]).toBe(3);
  guest.map(0x200, 512, "2m", OPEN);
  expect(frames()).toEqual(offsets(0));
  m.mmu.invalidatePage(0x2aa << 12, 0);
  expect(frames()).toEqual(offsets(512));
});

test("a stale paging-structure entry leads to the old table until it is invalidated", () => {
  const m = new TestMachine();
  const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  const other = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  tables.mapRange(0, OLD, 2, "4k", OPEN);
  other.mapRange(0, NEW, 2, "4k", OPEN);
  m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame }));
  m.mmu.read(0, 0, 1);
  // Swap the page table under the page directory.
  tables.find(0);
  other.find(0);
  const pde = tables.pathFrame[2] * 4096 + tables.pathOffset[2];
  m.memory.writeU64(pde, m.memory.readU64(other.pathFrame[2] * 4096 + other.pathOffset[2]));
  expect(m.mmu.read(4096, 0, 1)).toBe(m.memory.frameOffset(OLD + 1));
  // INVLPG of any page drops all paging-structure entries of the PCID (SDM vol. 3, 4.10.4.1).
  m.mmu.invalidatePage(4096, 0);
  expect(m.mmu.read(4096, 0, 1)).toBe(m.memory.frameOffset(NEW + 1));
});

test("a stale nested paging-structure entry leads to the old EPT table until INVEPT", () => {
  const m = new TestMachine();
  const [stage, other] = [m.stage("ept"), m.stage("ept")];
  stage.mapRange(0, OLD, 3, "4k", EPT_OPEN);
  other.mapRange(0, NEW, 3, "4k", EPT_OPEN);
  const secondStage = {
    format: "ept",
    rootFrame: stage.rootFrame,
    levels: 4,
    tag: 2,
    accessDirty: false,
  } as const;
  m.mmu.activate(m.context({ asid: 1, secondStage }));
  m.mmu.read(0, 0, 1);
  stage.find(0);
  other.find(0);
  const pde = stage.pathFrame[2] * 4096 + stage.pathOffset[2];
  m.memory.writeU64(pde, m.memory.readU64(other.pathFrame[2] * 4096 + other.pathOffset[2]));
  m.mmu.invalidateAsid(1, false);
  expect(m.mmu.read(4096, 0, 1)).toBe(m.memory.frameOffset(OLD + 1));
  m.mmu.invalidateNested(2);
  expect(m.mmu.read(8192, 0, 1)).toBe(m.memory.frameOffset(NEW + 2));
});

test("a fault met through a stale paging-structure entry is confirmed from the root, and forgotten", () => {
  const m = new TestMachine();
  const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  tables.mapRange(0, OLD, 3, "4k", OPEN);
  tables.find(0);
  const pde = tables.pathFrame[2] * 4096 + tables.pathOffset[2];
  const entry = m.memory.readU32(pde);
  m.memory.writeU32(pde, entry & ~Pte.Write);
  m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame }));
  m.mmu.read(0, 0, 1);
  // Cached: a page directory entry without Write. The tables allow the write by now.
  m.memory.writeU32(pde, entry);
  expect(m.mmu.write(4096, 0, 1)).toBe(m.memory.frameOffset(OLD + 1));
  expect(m.counters[MmuCounter.WalkReferences]).toBe(4 + 1 + 4);
  // A fault proper drops the paging-structure entries it went through (SDM vol. 3, 4.10.4.1).
  m.mmu.invalidateAll();
  m.memory.writeU32(pde, entry & ~Pte.Write);
  m.mmu.read(0, 0, 1);
  expect(m.mmu.write(8192, 0, 1)).toBe(-1);
  m.memory.writeU32(pde, entry);
  const before = m.counters[MmuCounter.WalkReferences];
  expect(m.mmu.write(8192, 0, 1)).toBeGreaterThanOrEqual(0);
  expect(m.counters[MmuCounter.WalkReferences] - before).toBeGreaterThan(1);
  expect(m.counters[MmuCounter.PageFaults]).toBe(1);
});
