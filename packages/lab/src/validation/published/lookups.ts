import type { GuestPage, P2mPage } from "../../result.js";
import type { ColdWalk } from "../cold-walk.js";
import type { LoopChoice } from "../experiments.js";
import type { ValidationFigure } from "../figure.js";
import type { LoopCost } from "../guest-loop.js";

/** What one copy in one page does: by Xen's source, and as counted in a run of it. */
const XEN = "Xen c447b7308b13: __hvm_copy and what it calls, read and counted in a run";

interface Copy {
  readonly what: string;
  readonly abi: "linear" | "physaddr" | "fastabi";
  readonly guestPage?: GuestPage;
  readonly p2mPage?: P2mPage;
  readonly lookups: number;
  readonly pteReads: number;
  readonly tableReads: number;
}

const COPIES: readonly Copy[] = [
  { what: "linear", abi: "linear", lookups: 6, pteReads: 4, tableReads: 24 },
  { what: "physaddr", abi: "physaddr", lookups: 1, pteReads: 0, tableReads: 4 },
  { what: "FastABI", abi: "fastabi", lookups: 0, pteReads: 0, tableReads: 0 },
  {
    what: "linear, 2 MiB guest leaves",
    abi: "linear",
    guestPage: "2m",
    lookups: 5,
    pteReads: 3,
    tableReads: 20,
  },
  { what: "linear, 2 MiB p2m leaves", abi: "linear", p2mPage: "2m", lookups: 6, pteReads: 4, tableReads: 18 },
  {
    what: "physaddr, 2 MiB p2m leaves",
    abi: "physaddr",
    p2mPage: "2m",
    lookups: 1,
    pteReads: 0,
    tableReads: 3,
  },
  {
    what: "linear, 2 MiB leaves on both sides",
    abi: "linear",
    guestPage: "2m",
    p2mPage: "2m",
    lookups: 5,
    pteReads: 3,
    tableReads: 15,
  },
];

const COUNTERS: readonly (readonly [unit: string, published: keyof Copy, found: keyof LoopCost])[] = [
  ["p2m look-ups", "lookups", "p2mLookups"],
  ["guest PTE reads", "pteReads", "guestPteReads"],
  ["p2m table reads", "tableReads", "p2mTableReads"],
];

const copyFigures = (copy: Copy): ValidationFigure[] =>
  COUNTERS.map(([unit, published, found]) => {
    const choice: LoopChoice = {
      machine: "epyc-9124",
      body: "get_runstate_info",
      abi: copy.abi,
      guestPage: copy.guestPage ?? "4k",
      p2mPage: copy.p2mPage ?? "4k",
    };
    return {
      id: `copy/${copy.what}/${unit}`,
      what: `get_runstate_info, ${copy.what}`,
      where: "SVM and VMX",
      asked: "epyc-9124",
      published: copy[published] as number,
      unit,
      mark: "X",
      source: XEN,
      likeness: "same",
      calibrated: [],
      predict: (experiments) => ({ value: experiments.loop(choice)[found] as number, estimates: [] }),
    };
  });

const WALKS: readonly (readonly [walk: ColdWalk, references: number])[] = [
  [{ guestLevels: 4, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "4k" }, 24],
  [{ guestLevels: 4, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "2m" }, 19],
  [{ guestLevels: 4, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "1g" }, 14],
  [{ guestLevels: 4, guestLeaf: "4k", nestedLevels: 5, nestedLeaf: "4k" }, 29],
  [{ guestLevels: 4, guestLeaf: "2m", nestedLevels: 4, nestedLeaf: "4k" }, 19],
  [{ guestLevels: 4, guestLeaf: "2m", nestedLevels: 4, nestedLeaf: "2m" }, 15],
  [{ guestLevels: 4, guestLeaf: "2m", nestedLevels: 4, nestedLeaf: "1g" }, 11],
  [{ guestLevels: 4, guestLeaf: "2m", nestedLevels: 5, nestedLeaf: "4k" }, 23],
  [{ guestLevels: 4, guestLeaf: "1g", nestedLevels: 4, nestedLeaf: "4k" }, 14],
  [{ guestLevels: 4, guestLeaf: "1g", nestedLevels: 4, nestedLeaf: "2m" }, 11],
  [{ guestLevels: 4, guestLeaf: "1g", nestedLevels: 4, nestedLeaf: "1g" }, 8],
  [{ guestLevels: 4, guestLeaf: "1g", nestedLevels: 5, nestedLeaf: "4k" }, 17],
  [{ guestLevels: 5, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "4k" }, 29],
  [{ guestLevels: 5, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "2m" }, 23],
  [{ guestLevels: 5, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "1g" }, 17],
  [{ guestLevels: 5, guestLeaf: "4k", nestedLevels: 5, nestedLeaf: "4k" }, 35],
  [{ guestLevels: 0, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "4k" }, 4],
  [{ guestLevels: 0, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "2m" }, 3],
  [{ guestLevels: 0, guestLeaf: "4k", nestedLevels: 4, nestedLeaf: "1g" }, 2],
  [{ guestLevels: 0, guestLeaf: "4k", nestedLevels: 5, nestedLeaf: "4k" }, 5],
];

const walkFigure = ([walk, references]: (typeof WALKS)[number]): ValidationFigure => {
  const { guestLevels, guestLeaf, nestedLevels, nestedLeaf } = walk;
  const guest = guestLevels === 0 ? "unpaged guest" : `guest of ${guestLevels} levels, ${guestLeaf} leaf`;
  return {
    id: `walk/${guestLevels}/${guestLeaf}/${nestedLevels}/${nestedLeaf}`,
    what: `${guest}; nested ${nestedLevels} levels, ${nestedLeaf} leaf`,
    where: "any part",
    asked: "the MMU, nothing cached",
    published: references,
    unit: "references",
    mark: "A",
    source: "(g+1)(n+1)−1 with the levels walked: Bhargava et al., ASPLOS 2008, and others",
    likeness: "same",
    calibrated: [],
    predict: (experiments) => ({ value: experiments.coldWalk(walk), estimates: [] }),
  };
};

/** Look-ups and reads of one guest copy: exact. */
export const COPY_FIGURES: readonly ValidationFigure[] = COPIES.flatMap(copyFigures);
/** References of a cold page walk of two dimensions: exact. */
export const WALK_FIGURES: readonly ValidationFigure[] = WALKS.map(walkFigure);
