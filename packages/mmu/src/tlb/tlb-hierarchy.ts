import type { Arena } from "../arena.js";
import type { TlbGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { Rights } from "./rights.js";
import { Entry, type TlbArraySnapshot } from "./tlb-array.js";
import { TlbLevel } from "./tlb-level.js";

/** Contents of one side's own levels as plain data; a shared second level belongs to the data side. */
export interface TlbHierarchySnapshot {
  readonly first: readonly TlbArraySnapshot[];
  readonly second: readonly TlbArraySnapshot[];
}

/** Two TLB levels of one side (data or instructions). */
export class TlbHierarchy {
  readonly first: TlbLevel;
  readonly second: TlbLevel;
  private readonly ownsSecond: boolean;
  private readonly clock: RecencyClock;
  private i32!: Int32Array;

  /** @param second geometry of this side's own second level, or the level that it shares with the other side */
  constructor(
    arena: Arena,
    clock: RecencyClock,
    first: readonly TlbGeometry[],
    second: readonly TlbGeometry[] | TlbLevel,
    seed: number,
  ) {
    this.clock = clock;
    this.first = new TlbLevel(arena, clock, first, seed);
    if (!this.first.holdsEverySize) throw new RangeError("a first-level TLB must hold 4k pages");
    this.ownsSecond = !(second instanceof TlbLevel);
    this.second = second instanceof TlbLevel ? second : new TlbLevel(arena, clock, second, seed + 16);
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /**
   * After a miss in {@link first}: looks in the second level and copies what it finds to the first.
   * @returns the first-level entry, or -1
   */
  refill(pageLo: number, pageHi: number, space: number, tag: number): number {
    const second = this.second;
    const entry = second.find(pageLo, pageHi, space, tag);
    if (entry < 0) return -1;
    const i32 = this.i32;
    const array = second.array;
    array.touch(entry, this.clock.next());
    const own = i32[entry + Entry.Space];
    const rights = i32[entry + Entry.Rights];
    return this.fillFirst(
      array.kindOf(entry),
      pageLo,
      pageHi,
      own,
      tag,
      rights,
      array.frameFor(entry, pageLo),
    );
  }

  /** Adds the result of a walk to both levels; returns the first-level entry. */
  fill(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
  ): number {
    this.second.insert(kind, pageLo, pageHi, space, tag, rights, frame, this.clock.next());
    return this.fillFirst(kind, pageLo, pageHi, space, tag, rights, frame);
  }

  dropPage(
    pageLo: number,
    pageHi: number,
    asid: number,
    pcid: number,
    tag: number,
    withGlobal: boolean,
  ): void {
    this.first.dropPage(pageLo, pageHi, asid, pcid, tag, withGlobal);
    if (this.ownsSecond) this.second.dropPage(pageLo, pageHi, asid, pcid, tag, withGlobal);
  }

  dropCovering(pageLo: number, pageHi: number, asid: number, pcid: number, tag: number): void {
    this.first.dropCovering(pageLo, pageHi, asid, pcid, tag);
    if (this.ownsSecond) this.second.dropCovering(pageLo, pageHi, asid, pcid, tag);
  }

  dropSpace(asid: number, pcid: number, tag: number, withGlobal: boolean): void {
    this.first.dropSpace(asid, pcid, tag, withGlobal);
    if (this.ownsSecond) this.second.dropSpace(asid, pcid, tag, withGlobal);
  }

  dropTag(tag: number): void {
    this.first.dropTag(tag);
    if (this.ownsSecond) this.second.dropTag(tag);
  }

  dropGuests(): void {
    this.first.dropGuests();
    if (this.ownsSecond) this.second.dropGuests();
  }

  dropAll(): void {
    this.first.dropAll();
    if (this.ownsSecond) this.second.dropAll();
  }

  snapshot(): TlbHierarchySnapshot {
    return { first: this.first.snapshot(), second: this.ownsSecond ? this.second.snapshot() : [] };
  }

  restore(snapshot: TlbHierarchySnapshot): void {
    this.first.restore(snapshot.first);
    if (this.ownsSecond) this.second.restore(snapshot.second);
  }

  /** Adds to the first level what the second holds or a walk found. */
  fillFirst(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
  ): number {
    // A global entry is about to answer for every PCID of this ASID: what the others hold for that page goes, so that
    // a remembered first-level hit stays the hit that a fresh lookup would find.
    if ((rights & Rights.Global) !== 0) this.first.dropCovering(pageLo, pageHi, space >>> 12, -1, tag);
    return this.first.insert(kind, pageLo, pageHi, space, tag, rights, frame, this.clock.next());
  }
}
