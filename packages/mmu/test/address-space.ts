import {
  Ept,
  LegacyTables,
  LongModeTables,
  PaeTables,
  type PageSizeName,
  PagingMode,
  Pte,
  type RadixTables,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { GUEST_BASE, type TestMachine } from "./machine.js";

/** Everything permitted, all flags set already. */
export const OPEN: number = Pte.Present | Pte.Write | Pte.User | Pte.Accessed | Pte.Dirty;
export const EPT_OPEN: number = Ept.All | Ept.WriteBack | Ept.Accessed | Ept.Dirty;

export interface Shape {
  /** A `PagingMode` number. */
  readonly paging: number;
  /** Size of the guest's leaf pages. */
  readonly leaf: PageSizeName;
  readonly stage: "none" | "npt" | "ept";
  readonly stageLevels: 4 | 5;
  /** Second-stage page size under the guest's tables … */
  readonly tableLeaf: PageSizeName;
  /** … and under its pages. */
  readonly pageLeaf: PageSizeName;
}

export interface Space {
  readonly context: TranslationContext;
  readonly stage: RadixTables | undefined;
  readonly shape: Shape;
}

/** First guest frame of the guest's tables (1 GiB in) and of its pages (2 GiB in). */
export const TABLE_GFN = 0x40000;
export const PAGE_GFN = 0x80000;
const SPAN: Record<PageSizeName, number> = { "4k": 1, "2m": 512, "1g": 0x40000 };

/** 4 KiB pages from one leaf page to the next. */
function step(shape: Shape): number {
  return shape.paging === PagingMode.Legacy && shape.leaf !== "4k" ? 1024 : SPAN[shape.leaf];
}

/** Levels that a walk of this dimension reads down to a leaf. */
export function depth(levels: number, leaf: PageSizeName): number {
  return levels - { "4k": 0, "2m": 1, "1g": 2 }[leaf];
}

/** Guest levels of a shape: PAE's PDPTEs are registers, legacy superpages are 4 MiB. */
export function guestDepth(shape: Shape): number {
  const levels = shape.paging === PagingMode.Pae ? 2 : shape.paging;
  return levels === 0 ? 0 : depth(levels, shape.leaf);
}

/** Second-stage levels for a table and for a page. */
export function stageDepths(shape: Shape): [table: number, page: number] {
  if (shape.stage === "none") return [0, 0];
  return [depth(shape.stageLevels, shape.tableLeaf), depth(shape.stageLevels, shape.pageLeaf)];
}

/**
 * An address space of the given shape: linear page `i * SPAN[leaf]` (paged) or `PAGE_GFN + i` (unpaged) lies in guest
 * frame PAGE_GFN + the same, `pages` of them. Guest frame `f` is machine frame `GUEST_BASE + f` under a second stage.
 */
export function buildSpace(machine: TestMachine, shape: Shape, pages = 2, attributes: number = OPEN): Space {
  const { memory } = machine;
  const staged = shape.stage !== "none";
  const shift = staged ? GUEST_BASE : 0;
  let stage: RadixTables | undefined;
  if (shape.stage !== "none") {
    stage = machine.stage(shape.stage, shape.stageLevels);
    const open = shape.stage === "npt" ? OPEN : EPT_OPEN;
    const tables = shape.tableLeaf === "4k" ? 64 : 1;
    stage.mapRange(TABLE_GFN, TABLE_GFN + shift, tables, shape.tableLeaf, open);
    const span = pages * step(shape);
    // Big guest pages over small second-stage pages: only their first pages are reached by tests.
    const count = Math.min(Math.ceil(span / SPAN[shape.pageLeaf]), 2048);
    stage.mapRange(PAGE_GFN, PAGE_GFN + shift, count, shape.pageLeaf, open);
    for (let i = 1; i < pages; i++) {
      const gfn = PAGE_GFN + i * step(shape);
      if (stage.find(gfn) === 0) {
        const first = gfn - (gfn % SPAN[shape.pageLeaf]);
        stage.map(first, first + shift, shape.pageLeaf, open);
      }
    }
  }
  let next = TABLE_GFN;
  const options = { memory, allocate: () => next++, locate: (gfn: number) => gfn + shift };
  const context = machine.context({ paging: shape.paging, asid: staged ? 1 : 0 });
  if (stage !== undefined && shape.stage !== "none")
    context.secondStage = {
      format: shape.stage,
      rootFrame: stage.rootFrame,
      levels: shape.stageLevels,
      tag: 0,
      accessDirty: false,
    };
  switch (shape.paging) {
    case PagingMode.None:
      break;
    case PagingMode.Legacy: {
      const tables = new LegacyTables(options);
      for (let i = 0; i < pages; i++)
        if (shape.leaf === "4k") tables.map(i, PAGE_GFN + i, "4k", attributes);
        else tables.map(i * 1024, PAGE_GFN + i * 1024, "4m", attributes);
      context.rootFrame = tables.rootFrame;
      break;
    }
    case PagingMode.Pae: {
      const tables = new PaeTables(options);
      tables.mapRange(0, PAGE_GFN, pages, shape.leaf, attributes);
      for (let i = 0; i < 4; i++)
        context.pdpte[i] = Number(memory.readU64((tables.rootFrame + shift) * 4096 + 8 * i));
      break;
    }
    default: {
      const tables = new LongModeTables(options, shape.paging as 4 | 5);
      tables.mapRange(0, PAGE_GFN, pages, shape.leaf, attributes);
      context.rootFrame = tables.rootFrame;
    }
  }
  return { context, stage, shape };
}

/** Linear address of the start of leaf page `i`, as (lo, hi). */
export function leafAddress(shape: Shape, i: number): [lo: number, hi: number] {
  if (shape.paging === PagingMode.None) {
    const page = PAGE_GFN + i * step(shape);
    return [(page << 12) | 0, page >>> 20];
  }
  const page = i * step(shape);
  return [(page << 12) | 0, page >>> 20];
}

/** Every combination of guest format, second stage and leaf sizes. */
export function allShapes(): Shape[] {
  const shapes: Shape[] = [];
  const guests: [number, PageSizeName[]][] = [
    [PagingMode.None, ["4k"]],
    [PagingMode.Legacy, ["4k", "2m"]],
    [PagingMode.Pae, ["4k", "2m"]],
    [PagingMode.FourLevel, ["4k", "2m", "1g"]],
    [PagingMode.FiveLevel, ["4k", "2m", "1g"]],
  ];
  const sizes: PageSizeName[] = ["4k", "2m", "1g"];
  for (const [paging, leaves] of guests)
    for (const leaf of leaves) {
      shapes.push({ paging, leaf, stage: "none", stageLevels: 4, tableLeaf: "4k", pageLeaf: "4k" });
      for (const stage of ["npt", "ept"] as const)
        for (const stageLevels of [4, 5] as const)
          for (const tableLeaf of sizes)
            for (const pageLeaf of sizes)
              shapes.push({ paging, leaf, stage, stageLevels, tableLeaf, pageLeaf });
    }
  return shapes;
}

/** A shape as a test's name. */
export function shapeName(shape: Shape): string {
  const guest = ["unpaged", "", "legacy", "PAE", "4-level", "5-level"][shape.paging];
  const leaf = shape.paging === PagingMode.Legacy && shape.leaf === "2m" ? "4m" : shape.leaf;
  if (shape.stage === "none") return `${guest} ${leaf}, native`;
  return `${guest} ${leaf} over ${shape.stage} ${shape.stageLevels}-level, tables ${shape.tableLeaf}, pages ${shape.pageLeaf}`;
}
