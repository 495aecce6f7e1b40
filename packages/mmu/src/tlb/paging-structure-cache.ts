import type { Arena } from "../arena.js";
import type { PagingStructureCacheGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { Kind, TlbArray, type TlbArraySnapshot } from "./tlb-array.js";

/**
 * Paging-structure caches of one dimension: entries of upper table levels, each leading a walk straight to a lower
 * table (SDM vol. 3, 4.10.3). An entry is found by the linear (or guest-physical) page number above its level and
 * holds the next table's frame and the rights gathered so far.
 */
export class PagingStructureCache {
  private readonly arrays: readonly TlbArray[];
  private readonly arrayOfKind: (TlbArray | undefined)[] = [];
  /** Array of the entry that {@link findDeepest} returned. */
  array: TlbArray | undefined;

  constructor(
    arena: Arena,
    clock: RecencyClock,
    geometry: readonly PagingStructureCacheGeometry[],
    seed: number,
  ) {
    this.arrays = geometry.map(({ levels, entries, ways }, i) => {
      const kinds = levels.map((level) => level - 1);
      // A processor in legacy mode keeps its 4 MiB-spanning PDEs where the others' PDEs are.
      if (levels.includes(2)) kinds.push(Kind.LegacyPde);
      return new TlbArray(arena, clock, { entries, ways, kinds, replacement: "lru" }, seed + i);
    });
    for (let kind = 1; kind <= Kind.LegacyPde; kind++)
      this.arrayOfKind[kind] = this.arrays.find((array) => array.holds(kind));
  }

  /** Valid entries. */
  get occupancy(): number {
    return this.arrays.reduce((sum, array) => sum + array.occupancy, 0);
  }

  /**
   * The entry that skips most levels, or -1.
   * @param highest level of the root table: entries above it do not exist in this format
   */
  findDeepest(highest: number, pageLo: number, pageHi: number, space: number, tag: number): number {
    for (let kind = 1; kind < highest; kind++) {
      const array = this.arrayOfKind[kind];
      if (array === undefined) continue;
      const entry = array.findKind(kind, pageLo, pageHi, space, tag);
      if (entry < 0) continue;
      this.array = array;
      return entry;
    }
    return -1;
  }

  /** The cached PDE of the legacy 32-bit format, or -1. */
  findLegacy(pageLo: number, space: number, tag: number): number {
    const array = this.arrayOfKind[Kind.LegacyPde];
    if (array === undefined) return -1;
    this.array = array;
    return array.findKind(Kind.LegacyPde, pageLo, 0, space, tag);
  }

  put(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
    guestFrame: number,
    stamp: number,
  ): void {
    this.arrayOfKind[kind]?.put(kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
  }

  dropPage(pageLo: number, pageHi: number, asid: number, pcid: number, tag: number): void {
    for (const array of this.arrays) array.dropPage(pageLo, pageHi, asid, pcid, tag, true);
  }

  dropSpace(asid: number, pcid: number, tag: number): void {
    for (const array of this.arrays) array.dropSpace(asid, pcid, tag, true);
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
