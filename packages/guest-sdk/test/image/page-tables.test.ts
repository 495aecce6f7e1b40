import { type LeafSize, leafBytes, MappingError, PageTables } from "@hyperwalk/guest-sdk";
import { Arena, PhysicalMemory } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const BASE = 0x300000;

/** An independent four-level walk: the physical address and rights, or undefined. */
function walk(
  memory: PhysicalMemory,
  root: number,
  linear: bigint,
): { physical: number; entry: bigint; reads: number } | undefined {
  let table = BigInt(root);
  for (let level = 4, reads = 1; level >= 1; level--, reads++) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = memory.readU64(Number(table + ((linear >> shift) & 511n) * 8n));
    if (!(entry & 1n)) return undefined;
    if (level === 1 || entry & 0x80n) {
      const mask = (1n << shift) - 1n;
      return { physical: Number((entry & 0xffffffffff000n & ~mask) | (linear & mask)), entry, reads };
    }
    table = entry & 0xffffffffff000n;
  }
  return undefined;
}

function load(tables: PageTables): PhysicalMemory {
  const memory = new PhysicalMemory(new Arena());
  memory.addRam(0, 2048);
  memory.writeBytes(tables.root, tables.bytes());
  return memory;
}

describe("page tables", () => {
  it("walk to the mapped addresses, whatever the leaf, and nowhere else", () => {
    const cases = fc.record({
      leaf: fc.constantFrom<LeafSize>("4k", "2m", "1g"),
      slot: fc.integer({ min: 0, max: 511 }),
      high: fc.boolean(),
      frame: fc.integer({ min: 0, max: 1000 }),
      pages: fc.integer({ min: 1, max: 3 }),
      writable: fc.boolean(),
      user: fc.boolean(),
      executable: fc.boolean(),
      within: fc.integer({ min: 0, max: 4095 }),
    });
    fc.assert(
      fc.property(cases, ({ leaf, slot, high, frame, pages, writable, user, executable, within }) => {
        const step = leafBytes(leaf);
        const linear = (high ? 0xffff800000000000n : 0n) + (BigInt(slot) << 30n);
        const physical = frame * step;
        const tables = new PageTables(BASE);
        tables.map({ linear, physical, bytes: pages * step, leaf, writable, user, executable });
        const memory = load(tables);
        for (let page = 0; page < pages; page++) {
          const found = walk(memory, tables.root, linear + BigInt(page * step + within));
          expect(found?.physical).toBe(physical + page * step + within);
          expect(found?.reads).toBe({ "4k": 4, "2m": 3, "1g": 2 }[leaf]);
          expect([(found!.entry >> 1n) & 1n, (found!.entry >> 2n) & 1n, found!.entry >> 63n]).toEqual(
            [writable, user, !executable].map((bit) => (bit ? 1n : 0n)),
          );
        }
        expect(walk(memory, tables.root, linear + BigInt(pages * step))).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  it("refuse what they cannot express", () => {
    const tables = new PageTables(BASE);
    expect(() => new PageTables(BASE + 8)).toThrow(MappingError);
    expect(() => tables.map({ linear: 0x1000n, physical: 0, bytes: 0x200000, leaf: "2m" })).toThrow(
      /aligned/,
    );
    tables.map({ linear: 0n, physical: 0, bytes: 0x200000, leaf: "2m" });
    expect(() => tables.map({ linear: 0n, physical: 0, bytes: 0x1000, leaf: "4k" })).toThrow(/already/);
    expect(() => tables.map({ linear: 0n, physical: 0x200000, bytes: 0x200000, leaf: "2m" })).toThrow(
      /already/,
    );
  });
});
