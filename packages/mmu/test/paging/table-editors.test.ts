import {
  Ept,
  EptTables,
  LegacyTables,
  LongModeTables,
  linearPage,
  NptTables,
  PaeTables,
  Pte,
  type RadixTables,
  TableEditError,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TestMachine } from "../machine.js";

const FORMATS: Record<string, (m: TestMachine, release?: (frame: number) => void) => RadixTables> = {
  "4-level": (m, release) => new LongModeTables({ ...base(m), ...(release && { release }) }),
  "5-level": (m, release) => new LongModeTables({ ...base(m), ...(release && { release }) }, 5),
  NPT: (m, release) => new NptTables({ ...base(m), ...(release && { release }) }),
  EPT: (m, release) => new EptTables({ ...base(m), ...(release && { release }) }),
  "EPT 5-level": (m, release) => new EptTables({ ...base(m), ...(release && { release }) }, 5),
};

function base(m: TestMachine): ConstructorParameters<typeof LongModeTables>[0] {
  return { memory: m.memory, allocate: m.allocate };
}

const SPAN = { "4k": 1, "2m": 512, "1g": 512 * 512 } as const;
type Size = keyof typeof SPAN;
// Valid leaf attributes in every format: present or readable, writable, user or executable.
const A = 7;
const B = 7 | (1 << 20);

describe.each(Object.entries(FORMATS))("%s", (_name, make) => {
  test("maps, splits, replaces and unmaps like a page-by-page list", () => {
    const edit = fc.record({
      kind: fc.constantFrom("map", "map", "unmap", "split", "attributes"),
      size: fc.constantFrom<Size>("4k", "2m", "1g"),
      page: fc.integer({ min: 0, max: 3 * SPAN["1g"] }),
      frame: fc.integer({ min: 0, max: 5 }),
      attributes: fc.constantFrom(A, B),
    });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 12 }), (edits) => {
        const tables = make(new TestMachine());
        // The latest edit that covers a page decides.
        const history: { first: number; count: number; frame: number; attributes: number }[] = [];
        const lookup = (page: number): { frame: number; attributes: number } | undefined => {
          for (let i = history.length - 1; i >= 0; i--) {
            const h = history[i];
            if (page < h.first || page >= h.first + h.count) continue;
            return h.frame < 0 ? undefined : { frame: h.frame + page - h.first, attributes: h.attributes };
          }
          return undefined;
        };
        const probes: number[] = [];
        for (const { kind, size, page, frame, attributes } of edits) {
          const span = SPAN[size];
          const first = page - (page % span);
          probes.push(first, first + span - 1, first + span, Math.max(0, first - 1));
          if (kind === "map") {
            tables.map(first, frame * span, size, attributes);
            history.push({ first, count: span, frame: frame * span, attributes });
          } else if (kind === "unmap") {
            tables.unmap(first, size);
            // Unmapping a larger size over a table removes the whole table; over a hole it does nothing.
            if (lookup(first) !== undefined) history.push({ first, count: span, frame: -1, attributes: 0 });
          } else if (tables.find(page) >= (kind === "split" ? 2 : 1)) {
            const whole = SPAN[tables.entry(page)!.size];
            const start = page - (page % whole);
            if (kind === "split") tables.split(page);
            else {
              tables.setAttributes(page, attributes);
              history.push({ first: start, count: whole, frame: lookup(start)!.frame, attributes });
            }
          }
          for (const probe of probes) {
            const level = tables.find(probe);
            const expected = lookup(probe);
            expect(level > 0).toBe(expected !== undefined);
            if (expected === undefined) continue;
            expect(tables.foundFrame).toBe(expected.frame);
            expect(tables.entry(probe)!.attributes & (A | B)).toBe(expected.attributes);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("find leaves the path of entries it read", () => {
    const m = new TestMachine();
    const tables = make(m);
    tables.map(0x12345, 0x777, "4k", A);
    expect(tables.find(0x12345)).toBe(1);
    for (let level = tables.levels; level >= 1; level--) {
      const index = Math.floor(0x12345 / 512 ** (level - 1)) % 512;
      expect(tables.pathOffset[level]).toBe(8 * index);
      const entry = m.memory.readU64(tables.pathFrame[level] * 4096 + tables.pathOffset[level]);
      expect(Number((entry >> 12n) & 0xffffffffffn)).toBe(level === 1 ? 0x777 : tables.pathFrame[level - 1]);
    }
    expect(tables.pathFrame[tables.levels]).toBe(tables.rootFrame);
    expect(tables.find(0x400 << 18)).toBe(0);
    expect(tables.lastLevel).toBeGreaterThan(1);
  });

  test("gives back the tables that a superpage or an unmap replaces", () => {
    const released: number[] = [];
    const m = new TestMachine();
    const tables = make(m, (frame) => released.push(frame));
    tables.map(0, 0, "1g", A);
    tables.split(0);
    tables.split(5);
    expect(tables.find(5)).toBe(1);
    expect(released).toEqual([]);
    tables.map(0, 0, "1g", A);
    expect(released).toHaveLength(2);
    expect(tables.find(5)).toBe(3);
  });

  test("refuses misalignment and addresses it does not have", () => {
    const tables = make(new TestMachine());
    expect(() => tables.map(1, 0, "2m", A)).toThrow(TableEditError);
    expect(() => tables.map(0, 1, "2m", A)).toThrow(TableEditError);
    expect(() => tables.map(-1, 0, "4k", A)).toThrow(TableEditError);
    expect(() => tables.map(0.5, 0, "4k", A)).toThrow(TableEditError);
    expect(() => tables.split(0)).toThrow(TableEditError);
    expect(() => tables.setAttributes(0, A)).toThrow(TableEditError);
    tables.map(0, 0, "4k", A);
    expect(() => tables.split(0)).toThrow(TableEditError);
    expect(() => tables.unmap(77)).not.toThrow();
  });
});

test("linear page numbers of both halves", () => {
  expect(linearPage(0x7fff_ffff_ffffn)).toBe(0x7ffffffff);
  expect(linearPage(0xffff_8000_0000_0000n)).toBe(0xffff800000000);
  expect(linearPage(-4096n)).toBe(2 ** 52 - 1);
  const tables = new LongModeTables(base(new TestMachine()));
  tables.map(linearPage(-4096n), 7, "4k", A);
  expect(tables.find(linearPage(-4096n))).toBe(1);
  expect(() => tables.map(2 ** 36, 7, "4k", A)).toThrow(TableEditError);
  expect(() => tables.map(2 ** 52, 7, "4k", A)).toThrow(TableEditError);
});

test("NPT leaves are user pages; EPT leaves keep what they are given", () => {
  const m = new TestMachine();
  const npt = new NptTables(base(m));
  npt.map(0, 9, "4k", Pte.Present);
  expect(npt.entry(0)?.attributes).toBe(Pte.Present | Pte.User);
  npt.map(1, 9, "4k", 0);
  expect(npt.find(1)).toBe(0);
  const ept = new EptTables(base(m));
  ept.map(512, 512, "2m", Ept.Execute | Ept.WriteBack);
  expect(ept.entry(600)).toEqual({ size: "2m", frame: 512, attributes: Ept.Execute | Ept.WriteBack });
});

test("PAE tables have four gigabytes and PDPTEs without write and user bits", () => {
  const m = new TestMachine();
  const tables = new PaeTables(base(m));
  tables.map(0xfffff, 3, "4k", A);
  expect(m.memory.readU64(tables.rootFrame * 4096 + 24) & 0xfffn).toBe(1n);
  expect(() => tables.map(0x100000, 3, "4k", A)).toThrow(TableEditError);
  expect(() => tables.map(0, 0, "1g", A)).toThrow(TableEditError);
});

test("legacy tables: 4 KiB and 4 MiB pages, PSE-36 frames", () => {
  const m = new TestMachine();
  const tables = new LegacyTables(base(m));
  tables.map(0x400, 0x12345, "4k", A);
  const pde = m.memory.readU32(tables.rootFrame * 4096 + 4);
  expect(m.memory.readU32((pde >>> 12) * 4096)).toBe(0x12345007);
  tables.map(0x800, 0x1400400, "4m", A);
  expect(m.memory.readU32(tables.rootFrame * 4096 + 8)).toBe(0x00400000 | (0x14 << 13) | 0x87);
  tables.unmap(0x400);
  expect(m.memory.readU32((pde >>> 12) * 4096)).toBe(0);
  tables.unmap(0x900);
  expect(m.memory.readU32(tables.rootFrame * 4096 + 8)).toBe(0);
  expect(() => tables.map(0x100000, 0, "4k", A)).toThrow(TableEditError);
  expect(() => tables.map(0x401, 0x400, "4m", A)).toThrow(TableEditError);
  expect(() => tables.map(0, 0x100000, "4k", A)).toThrow(TableEditError);
  tables.map(0, 0, "4m", A);
  expect(() => tables.map(5, 5, "4k", A)).toThrow(TableEditError);
});
