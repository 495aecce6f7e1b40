import type { Arena } from "../arena.js";
import type { Reliance } from "../line-sequences.js";
import type { PageSizeName, TlbGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { Kind, TlbArray, type TlbArraySnapshot } from "./tlb-array.js";

const PAGE_KIND: Readonly<Record<PageSizeName, number>> = {
  "4k": Kind.Page4K,
  "2m": Kind.Page2M,
  "1g": Kind.Page1G,
};

/**
 * The arrays of one TLB level of one side, looked up together. A translation goes into the array that holds its page
 * size, or in smaller pieces where no array does (Zen 2 keeps 1 GiB pages as 2 MiB ones in its second level).
 */
export class TlbLevel {
  readonly arrays: readonly TlbArray[];
  /** Array of the entry that {@link find} or {@link insert} returned. */
  array: TlbArray;
  private readonly insertArray: (TlbArray | undefined)[] = [];
  private readonly insertKind: number[] = [];

  constructor(arena: Arena, clock: RecencyClock, geometry: readonly TlbGeometry[], seed: number) {
    const empty: TlbGeometry = { entries: 0, ways: 1, pages: [], replacement: "lru" };
    this.arrays = (geometry.length === 0 ? [empty] : geometry).map((g, i) => {
      const kinds = g.pages.map((page) => PAGE_KIND[page]).sort((a, b) => a - b);
      return new TlbArray(arena, clock, { ...g, kinds }, seed + i);
    });
    this.array = this.arrays[0];
    for (let kind = 0; kind <= Kind.Page1G; kind++)
      for (let smaller = kind; smaller >= 0; smaller--) {
        const array = this.arrays.find((a) => a.holds(smaller));
        if (array === undefined) continue;
        this.insertArray[kind] = array;
        this.insertKind[kind] = smaller;
        break;
      }
  }

  /** Has somebody rely on the entries of every array. */
  rely(reliance: Reliance): void {
    for (const array of this.arrays) array.rely(reliance);
  }

  /** Whether a translation of any page size finds a place here. */
  get holdsEverySize(): boolean {
    return this.insertArray[0] !== undefined;
  }

  /** Entry that translates a page number, or -1. */
  find(pageLo: number, pageHi: number, space: number, tag: number): number {
    const arrays = this.arrays;
    for (let i = 0; i < arrays.length; i++) {
      const entry = arrays[i].find(pageLo, pageHi, space, tag);
      if (entry >= 0) {
        this.array = arrays[i];
        return entry;
      }
    }
    return -1;
  }

  /**
   * Adds the translation of a page that {@link find} does not know.
   * @param frame of the very page (not of the start of a larger one)
   * @returns the entry, or -1 where this level holds no page of that size or smaller
   */
  insert(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
    stamp: number,
  ): number {
    const array = this.insertArray[kind];
    if (array === undefined) return -1;
    this.array = array;
    return array.insertPage(this.insertKind[kind], pageLo, pageHi, space, tag, rights, frame, stamp);
  }

  dropPage(
    pageLo: number,
    pageHi: number,
    asid: number,
    pcid: number,
    tag: number,
    withGlobal: boolean,
  ): void {
    for (const array of this.arrays) array.dropPage(pageLo, pageHi, asid, pcid, tag, withGlobal);
  }

  /** Drops entries that translate this very page: of one PCID and global ones, or with PCID -1 of all. */
  dropCovering(pageLo: number, pageHi: number, asid: number, pcid: number, tag: number): void {
    const arrays = this.arrays;
    for (let i = 0; i < arrays.length; i++) arrays[i].dropCovering(pageLo, pageHi, asid, pcid, tag, true);
  }

  dropSpace(asid: number, pcid: number, tag: number, withGlobal: boolean): void {
    for (const array of this.arrays) array.dropSpace(asid, pcid, tag, withGlobal);
  }

  dropTag(tag: number): void {
    for (const array of this.arrays) array.dropTag(tag);
  }

  dropGuests(): void {
    for (const array of this.arrays) array.dropGuests();
  }

  dropAll(): void {
    for (const array of this.arrays) array.dropAll();
  }

  snapshot(): TlbArraySnapshot[] {
    return this.arrays.map((array) => array.snapshot());
  }

  restore(snapshot: readonly TlbArraySnapshot[]): void {
    this.arrays.forEach((array, i) => {
      array.restore(snapshot[i]);
    });
  }
}
