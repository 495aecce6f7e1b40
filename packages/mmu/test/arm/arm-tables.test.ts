import {
  Arena,
  ArmStage1Tables,
  ArmStage2Tables,
  concatenatedTables,
  PhysicalMemory,
  stage1StartLevel,
  stage2StartLevel,
} from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { NORMAL, NORMAL2 } from "./element.js";

function memoryOf(frames: number) {
  const memory = new PhysicalMemory(new Arena());
  memory.addRam(0, frames);
  let next = 0x100;
  return { memory, allocate: () => next++ };
}

describe("geometry", () => {
  it("starts stage 1 where the address has bits left", () => {
    // 48 = 12 + 4 * 9, 39 = 12 + 3 * 9, 30 = 12 + 2 * 9.
    expect([48, 40, 39, 31, 30, 25].map(stage1StartLevel)).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("starts stage 2 as Xen's table of physical address ranges does", () => {
    // setup_virt_paging: PA bits, first level, root pages.
    const xen = [
      [32, 1, 1],
      [36, 1, 1],
      [40, 1, 2],
      [42, 1, 8],
      [44, 0, 1],
      [48, 0, 1],
    ];
    for (const [bits, level, pages] of xen) {
      expect(stage2StartLevel(bits)).toBe(level);
      expect(concatenatedTables(bits, level)).toBe(pages);
    }
  });

  it("refuses what the architecture does not have", () => {
    const options = memoryOf(0x1000);
    expect(() => new ArmStage1Tables(options, 52)).toThrow(/25 to 48/);
    expect(() => new ArmStage2Tables(options, 49)).toThrow(/32 to 48/);
    expect(() => new ArmStage2Tables(options, 44, 1)).toThrow(/32 tables side by side; allowed: 1 to 16/);
    expect(() => new ArmStage2Tables(options, 40)).toThrow(/rootFrame that is a multiple of 2/);
    expect(() => new ArmStage2Tables({ ...options, rootFrame: 0x101 }, 40)).toThrow(/multiple of 2/);
    const small = new ArmStage1Tables(options, 30);
    expect(() => small.map(0, 0, "1g", NORMAL)).toThrow(/hold no page of 1g/);
    expect(() => small.map(2 ** 18, 0, "4k", NORMAL)).toThrow(/outside the 30-bit range/);
    expect(() => small.map(1, 0, "2m", NORMAL)).toThrow(/not aligned to 2m/);
  });
});

describe("editing", () => {
  it("concatenated root tables hold what lies beyond the first 512 entries", () => {
    const options = memoryOf(0x1000);
    const tables = new ArmStage2Tables({ ...options, rootFrame: 0x10 }, 40);
    const page = 2 ** 27 + 0x40000; // beyond 512 GiB
    tables.map(page, 0x40000, "1g", NORMAL2);
    expect(tables.path(page)).toMatchObject([{ table: 0x11, offset: 8, level: 1 }]);
    expect(tables.entry(page + 5)).toEqual({ size: "1g", frame: 0x40000, attributes: NORMAL2 });
    expect(tables.entry(0x40000)).toBeUndefined();
  });

  it("a split keeps every page where it was, a prepared one waits to be installed", () => {
    const options = memoryOf(0x100000);
    const tables = new ArmStage1Tables(options);
    tables.map(0, 0x40000, "1g", NORMAL);
    const prepared = tables.prepareSplit(0x234);
    expect(tables.entry(0x234)).toMatchObject({ size: "1g" });
    tables.store(prepared);
    expect(tables.entry(0x234)).toEqual({ size: "2m", frame: 0x40200, attributes: NORMAL });
    tables.map(0x234, 0x77, "4k", NORMAL);
    expect(tables.entry(0x235)).toEqual({ size: "4k", frame: 0x40235, attributes: NORMAL });
    expect(tables.entry(0x234)).toMatchObject({ size: "4k", frame: 0x77 });
    expect(tables.path(0x234).map(({ level }) => level)).toEqual([0, 1, 2, 3]);
    expect(() => tables.prepareSplit(0x234)).toThrow(/not in a block/);
    tables.unmap(0x234);
    expect(tables.entry(0x234)).toBeUndefined();
    tables.unmap(0x234);
  });
});
