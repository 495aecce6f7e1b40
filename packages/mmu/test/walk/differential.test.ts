import { FaultKind, type MemoryProfile, MmuCounter, PagingMode, tableIndex } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildSpace, leafAddress, PAGE_GFN, type Shape, type Space, TABLE_GFN } from "../address-space.js";
import { GUEST_BASE, SMALL, TABLE_BASE, TestMachine } from "../machine.js";
import { type Access, type Outcome, ReferenceWalker } from "./reference-walker.js";

const PAGES = 4;

const shape = fc
  .record({
    paging: fc.constantFrom(
      PagingMode.None,
      PagingMode.Legacy,
      PagingMode.Pae,
      PagingMode.FourLevel,
      PagingMode.FourLevel,
      PagingMode.FiveLevel,
    ),
    leaf: fc.constantFrom("4k", "4k", "2m", "1g"),
    stage: fc.constantFrom("none", "npt", "ept"),
    stageLevels: fc.constantFrom(4, 5),
    tableLeaf: fc.constantFrom("4k", "2m", "1g"),
    pageLeaf: fc.constantFrom("4k", "2m", "1g"),
  })
  .map(
    (s): Shape => ({
      ...(s as Shape),
      leaf: s.leaf === "1g" && s.paging < 4 ? "2m" : (s.leaf as Shape["leaf"]),
    }),
  );

const flags = fc.record({
  wp: fc.boolean(),
  pse: fc.constantFrom(true, true, false),
  smep: fc.boolean(),
  smap: fc.boolean(),
  nxe: fc.constantFrom(true, true, false),
  globalPages: fc.boolean(),
  pke: fc.boolean(),
  pkru: fc.constantFrom(0, 0b1110_0100, 0x55555554, 0x55555555),
  physicalAddressBits: fc.constantFrom(52, 48, 36),
});

/** Damage to a table entry that some access uses: which of them, and which bit flips. */
const INTERESTING = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 20, 21, 30, 38, 40, 48, 51, 52, 59, 60, 63];
const mutation = fc.record({
  target: fc.nat({ max: 999 }),
  bit: fc.constantFrom(...INTERESTING),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant("access" as const),
      page: fc.nat({ max: 3 }),
      within: fc.constantFrom(0, 1, 2, 600),
      offset: fc.nat({ max: 4032 }),
      kind: fc.constantFrom("read", "write", "fetch", "readSystem", "writeSystem"),
      user: fc.boolean(),
      ac: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("flush" as const), which: fc.nat({ max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("mutate" as const), mutation }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("wild" as const), lo: fc.integer(), hi: fc.integer() }),
  },
);

interface Target {
  readonly address: number;
  readonly width: number;
}

/** Every entry, of either dimension, on the way to one of the pages. */
function targetsOf(m: TestMachine, space: Space): Target[] {
  const { context, stage, shape: of } = space;
  const shift = stage === undefined ? 0 : GUEST_BASE;
  const found = new Map<number, number>();
  const stagePath = (gfn: number): void => {
    if (stage === undefined) return;
    const leaf = stage.find(gfn);
    for (let level = stage.levels; level >= leaf; level--)
      found.set(stage.pathFrame[level] * 4096 + stage.pathOffset[level], 8);
  };
  for (let i = 0; i < PAGES; i++) {
    const [lo, hi] = leafAddress(of, i);
    const legacy = of.paging === PagingMode.Legacy;
    let level: number = of.paging === PagingMode.Pae ? 2 : of.paging;
    let gfn = of.paging === PagingMode.Pae ? Math.floor(context.pdpte[lo >>> 30] / 4096) : context.rootFrame;
    for (; level > 0; level--) {
      const index = legacy ? (lo >>> (2 + 10 * level)) & 1023 : tableIndex(lo, hi, level);
      const width = legacy ? 4 : 8;
      const address = (gfn + shift) * 4096 + index * width;
      found.set(address, width);
      stagePath(gfn);
      const entry = m.memory.readU32(address);
      gfn = (entry >>> 12) + (legacy ? 0 : (m.memory.readU32(address + 4) & 0xfffff) * 0x100000);
      if ((entry & 0x80) !== 0) break;
    }
    stagePath(of.paging === PagingMode.None ? (lo >>> 12) + hi * 0x100000 : gfn);
  }
  return [...found].map(([address, width]) => ({ address, width }));
}

function damage(m: TestMachine, targets: readonly Target[], { target, bit }: Mutation): void {
  if (targets.length === 0) return;
  const { address, width } = targets[target % targets.length];
  const word = address + (bit >= 32 && width === 8 ? 4 : 0);
  m.memory.writeU32(word, (m.memory.readU32(word) ^ (1 << (bit & 31))) >>> 0);
}

function flush(m: TestMachine, which: number): void {
  const { mmu } = m;
  if (which === 0) mmu.invalidateAll();
  else if (which === 1) mmu.invalidatePage(0, 0);
  else if (which === 2) mmu.invalidatePcid(0, true);
  else if (which === 3) mmu.invalidateAsid(mmu.context.asid, false);
  else if (which === 4) mmu.invalidateNested(-1);
  else mmu.flushCaches();
}

type Kind = "read" | "write" | "fetch" | "readSystem" | "writeSystem";

function fast(m: TestMachine, kind: Kind, lo: number, hi: number): Outcome {
  const at = kind === "fetch" ? m.mmu.fetch(lo, hi) : m.mmu[kind](lo, hi, 8);
  if (at >= 0) return { kind: FaultKind.None, frame: at };
  const { kind: fault, errorCode, infoHi, gfn, gfnOffset, linearLo, linearHi } = m.mmu.fault;
  expect([linearLo, linearHi]).toEqual([lo, hi]);
  if (fault === FaultKind.PageFault || fault === FaultKind.NonCanonical)
    return { kind: fault, errorCode, infoHi };
  return { kind: fault, errorCode, infoHi, gfn, gfnOffset };
}

const PROFILES: Record<string, MemoryProfile> = {
  "small caches": SMALL,
  "random and tree-plru, shared second level, no walker caches": {
    ...SMALL,
    l1Dtlb: [
      { entries: 4, ways: 2, pages: ["4k"], replacement: "tree-plru" },
      { entries: 2, ways: 2, pages: ["2m"], replacement: "random" },
    ],
    l1Itlb: [{ entries: 4, ways: 4, pages: ["4k", "2m"], replacement: "random" }],
    l2Dtlb: [{ entries: 12, ways: 4, pages: ["4k", "2m"], replacement: "random" }],
    l2Itlb: [],
    pagingStructureCaches: [],
    nestedPagingStructureCaches: [],
    nestedTlb: { entries: 0, ways: 1 },
  },
};

describe.each(Object.entries(PROFILES))("%s", (_name, profile) => {
  test("the Mmu and an uncached walker agree on every access, fault and flag", { timeout: 30_000 }, () => {
    const seen = new Set<number>();
    fc.assert(
      fc.property(
        shape,
        flags,
        fc.boolean(),
        fc.array(mutation, { maxLength: 4 }),
        fc.array(step, { minLength: 5, maxLength: 60 }),
        (shapeOfRun, bits, accessDirty, mutations, steps) => {
          const a = new TestMachine(profile);
          const b = new TestMachine(profile);
          const attributes = 7; // present, write, user: flags still clear
          const [sa, sb] = [a, b].map((m) => {
            const space = buildSpace(m, shapeOfRun, PAGES, attributes);
            Object.assign(space.context, bits);
            if (space.context.secondStage !== null) space.context.secondStage.accessDirty = accessDirty;
            return space;
          });
          const targets = targetsOf(a, sa);
          for (const m of [a, b]) for (const mutation of mutations) damage(m, targets, mutation);
          const reference = new ReferenceWalker(b.memory);
          a.mmu.activate(sa.context);
          const check = (kind: Kind, lo: number, hi: number): void => {
            const access: Access = {
              write: kind.startsWith("write"),
              fetch: kind === "fetch",
              system: kind.endsWith("System"),
            };
            const linear = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
            const expected = reference.access(sb.context, linear, access);
            let actual = fast(a, kind, lo, hi);
            if (actual.kind === FaultKind.None && expected.kind === FaultKind.None) {
              // The arena offset must be that of the very byte in the frame that the reference found.
              expect(actual.frame).toBe(a.memory.frameOffset(expected.frame!) + (lo & 4095));
              actual = expected;
            }
            expect(actual).toEqual(expected);
            seen.add(expected.kind);
          };
          for (const s of steps) {
            if (s.op === "flush") flush(a, s.which);
            else if (s.op === "mutate") {
              for (const m of [a, b]) damage(m, targets, s.mutation);
              a.mmu.invalidateAll();
            } else if (s.op === "wild") {
              const hi = shapeOfRun.paging >= 4 ? s.hi : 0;
              check("read", s.lo & ~7, hi);
            } else {
              for (const c of [sa.context, sb.context]) {
                c.user = s.user;
                c.ac = s.ac;
              }
              a.mmu.reload();
              const [lo, hi] = leafAddress(shapeOfRun, s.page);
              const within = shapeOfRun.leaf === "4k" ? 0 : s.within * 4096;
              check(s.kind as Kind, (lo + within) | (s.offset & ~7) | 0, hi);
            }
          }
          expect(a.charged).toBe(a.ledger.clock[0]);
          for (let i = 0; i < 12; i++)
            for (const frame of [TABLE_BASE + i, TABLE_GFN + GUEST_BASE + i, TABLE_GFN + i])
              expect(
                Buffer.compare(
                  a.memory.readBytes(frame * 4096, 4096),
                  b.memory.readBytes(frame * 4096, 4096),
                ),
              ).toBe(0);
        },
      ),
      { numRuns: 250 },
    );
    // The generator must reach every kind of outcome, or the comparison says little.
    for (const kind of Object.values(FaultKind)) expect([...seen]).toContain(kind);
  });
});

test("the comparison is about a walker with caches: second accesses do not walk again", () => {
  const m = new TestMachine();
  const s: Shape = { paging: 4, leaf: "4k", stage: "ept", stageLevels: 4, tableLeaf: "4k", pageLeaf: "4k" };
  m.mmu.activate(buildSpace(m, s).context);
  for (let i = 0; i < 5; i++) m.mmu.read(0, 0, 8);
  expect(m.counters[MmuCounter.Walks]).toBe(1);
  expect(m.mmu.probe(0, 0)).toBe(PAGE_GFN + GUEST_BASE);
});
