import { resolveProfile } from "@hyperwalk/cpu";
import {
  Arena,
  CycleLedger,
  LongModeTables,
  Mmu,
  MmuCounter,
  NptTables,
  type PageSizeName,
  PagingMode,
  PhysicalMemory,
  Pte,
} from "@hyperwalk/mmu";
import { profileOf } from "./experiments.js";

/** A page walk of two dimensions with nothing cached. */
export interface ColdWalk {
  /** Levels of the guest's tables; 0: paging is off. */
  readonly guestLevels: 0 | 4 | 5;
  readonly guestLeaf: PageSizeName;
  readonly nestedLevels: 4 | 5;
  /** Leaves of the second stage, under tables and pages alike. */
  readonly nestedLeaf: PageSizeName;
}

const OPEN = Pte.Present | Pte.Write | Pte.User | Pte.Accessed | Pte.Dirty;
const ARENA_BYTES = 8 * 2 ** 20;
/** Frames: the second stage's tables, the guest's, the guest's pages. */
const HOST_TABLES = 0x1000;
const GUEST_TABLES = 0x40000;
const PAGES = 0x80000;
const FRAMES = 0xc0000;
const TABLE_PAGES = 64;
const PAGES_OF: Readonly<Record<PageSizeName, number>> = { "4k": TABLE_PAGES, "2m": 1, "1g": 1 };

/** Table references of the first access to a page: in the simulated MMU, whose tables lie in simulated memory. */
export function coldWalkReferences({ guestLevels, guestLeaf, nestedLevels, nestedLeaf }: ColdWalk): number {
  const arena = new Arena(ARENA_BYTES);
  const memory = new PhysicalMemory(arena);
  memory.addRam(0, FRAMES);
  const { memory: profile } = resolveProfile(profileOf({ machine: "epyc-9124" }));
  const mmu = new Mmu(arena, memory, new CycleLedger(arena), profile);
  let nextHost = HOST_TABLES;
  const stage = new NptTables({ memory, allocate: () => nextHost++ }, nestedLevels);
  for (const first of [GUEST_TABLES, PAGES])
    stage.mapRange(first, first, PAGES_OF[nestedLeaf], nestedLeaf, OPEN);
  const context = Object.assign(mmu.createContext(), {
    paging: guestLevels === 0 ? PagingMode.None : guestLevels,
    asid: 1,
    secondStage: {
      format: "npt" as const,
      rootFrame: stage.rootFrame,
      levels: nestedLevels,
      tag: 0,
      accessDirty: false,
    },
  });
  let page = PAGES;
  if (guestLevels !== 0) {
    let nextGuest = GUEST_TABLES;
    const tables = new LongModeTables({ memory, allocate: () => nextGuest++ }, guestLevels);
    tables.map(0, PAGES, guestLeaf, OPEN);
    context.rootFrame = tables.rootFrame;
    page = 0;
  }
  mmu.activate(context);
  const address = page * 4096;
  if (mmu.read(address | 0, 0, 8) < 0) throw new Error("the walk ended early");
  return mmu.counters[MmuCounter.WalkReferences];
}
