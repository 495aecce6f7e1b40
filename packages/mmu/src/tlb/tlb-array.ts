import type { Arena } from "../arena.js";
import { EVERY_SET, type Reliance } from "../line-sequences.js";
import type { Replacement } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { makeReplacement } from "../replacement/policies.js";
import type { ReplacementPolicy } from "../replacement/replacement-policy.js";
import { GUEST_PAGE_SHIFT, Rights } from "./rights.js";

/** 32-bit words of an entry, counted from the entry's index in the arena's 32-bit view. */
export const Entry = {
  /** Changes whenever the entry is refilled or invalidated. */
  Generation: 0,
  Stamp: 1,
  /** Bits 31:0 of the page number, low bits below the page size cleared. */
  KeyLo: 2,
  /** Bits 51:32 of the page number, kind in bits 23:20; -1 in an invalid entry. */
  KeyHi: 3,
  /** ASID or VPID in bits 27:12, PCID in bits 11:0. */
  Space: 4,
  /** EP4TA tag + 1 of combined and guest-physical mappings, 0 otherwise. */
  Tag: 5,
  /** See {@link Rights}. */
  Rights: 6,
  /** Next entry of the same hash bucket, 0 at the end. */
  Next: 7,
} as const;
const WORDS = 8;
const INVALID = -1;
const GLOBAL = 0x100; // Rights.Global
const KIND_SHIFT = 20;

/**
 * What a translation covers. 0, 1 and 2 are pages of 4 KiB, 2 MiB and 1 GiB; as paging-structure entries kinds 1 to 4
 * are a PDE, PDPTE, PML4E and PML5E, and 5 is a PDE of the legacy 32-bit format (4 MiB).
 */
export const Kind = { Page4K: 0, Page2M: 1, Page1G: 2, Pml4e: 3, Pml5e: 4, LegacyPde: 5 } as const;
const KINDS = 6;
const KIND_PAGE_BITS: readonly number[] = [0, 9, 18, 27, 36, 10];
/** Low page-number bits that lie inside a page of each kind, as a mask over bits 31:0. */
const INSIDE = Int32Array.from(KIND_PAGE_BITS, (bits) => (bits >= 32 ? -1 : (1 << bits) - 1));
const INSIDE_HI = Int32Array.from(KIND_PAGE_BITS, (bits) => (bits > 32 ? (1 << (bits - 32)) - 1 : 0));

/** Bits 51:32 of the page-number part that lies inside a page of `kind`. */
export function insideMaskHigh(kind: number): number {
  return INSIDE_HI[kind];
}

/** Low 32 bits of the page-number part that lies inside a page of `kind`. */
export function insideMask(kind: number): number {
  return INSIDE[kind];
}

/** Shape of one array. */
export interface TlbArrayGeometry {
  readonly entries: number;
  readonly ways: number;
  /** Kinds held, in the order in which they are looked up. */
  readonly kinds: readonly number[];
  readonly replacement: Replacement;
}

/** Contents of an array as plain data. */
export interface TlbArraySnapshot {
  readonly words: Int32Array;
  readonly frames: Float64Array;
  readonly heads: Int32Array;
  readonly policy: readonly number[];
}

/**
 * One translation cache: a TLB array, a paging-structure cache or a nested TLB. Set associativity decides who makes
 * room; lookups go through a hash chain, so that a fully associative array costs no scan. Entries are named by their
 * index in the arena's 32-bit view, which stays valid for good.
 */
export class TlbArray {
  readonly entries: number;
  readonly ways: number;
  private readonly sets: number;
  private readonly setMask: number;
  /** Kinds held, in the order in which they are looked up. */
  readonly kinds: Int32Array;
  readonly policy: ReplacementPolicy;
  /** Index of the first entry in the arena's 32-bit view. */
  readonly first: number;
  private readonly end: number;
  /** Index in the arena's 64-bit floating-point view of the first entry's frames, two numbers an entry. */
  readonly framesAt: number;
  /** Indices in the 32-bit view: of the hash buckets, and of the number of valid entries of each kind. */
  readonly headsAt: number;
  readonly liveOfKindAt: number;
  /** From a key's hash to its bucket. */
  readonly hashShift: number;
  private readonly buckets: number;
  /** Valid entries in no particular order, and where each stands in that list: flushes visit only these. */
  private readonly liveEntries: Int32Array;
  private readonly livePosition: Int32Array;
  private live = 0;
  /** Live entries that are smaller than the guest page they came from. */
  private fractured = 0;
  private reliance: Reliance | undefined;
  /** By entry: who wants to know when it goes. */
  readonly watchers: Int32Array;
  private i32!: Int32Array;
  private f64!: Float64Array;

  constructor(arena: Arena, clock: RecencyClock, geometry: TlbArrayGeometry, seed: number) {
    const { entries, ways, kinds, replacement } = geometry;
    if (!Number.isInteger(entries) || entries < 0 || (entries > 0 && (ways < 1 || entries % ways !== 0)))
      throw new RangeError(`a TLB array of ${entries} entries cannot have ${ways} ways`);
    // `| 0`: V8 keeps what came out of a division as a floating-point number, and every index made of it too.
    this.entries = entries | 0;
    this.ways = entries === 0 ? 1 : ways | 0;
    this.sets = (entries / this.ways) | 0;
    this.setMask = (this.sets & (this.sets - 1)) === 0 ? (this.sets - 1) | 0 : -1;
    this.kinds = Int32Array.from(kinds);
    this.policy = makeReplacement(replacement, seed);
    this.first = arena.reserve(Math.max(1, entries) * WORDS * 4) >>> 2;
    this.end = (this.first + this.entries * WORDS) | 0;
    this.framesAt = arena.reserve(Math.max(1, entries) * 16) >>> 3;
    const bucketBits = Math.max(4, 32 - Math.clz32(Math.max(1, 2 * entries - 1)));
    this.buckets = 1 << bucketBits;
    this.hashShift = 32 - bucketBits;
    this.headsAt = arena.reserve(this.buckets * 4) >>> 2;
    this.liveOfKindAt = arena.reserve(KINDS * 4) >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.f64 = arena.f64;
    });
    this.watchers = new Int32Array(entries);
    this.liveEntries = new Int32Array(entries);
    this.livePosition = new Int32Array(entries);
    for (let e = this.first; e < this.end; e += WORDS) this.i32[e + Entry.KeyHi] = INVALID;
    if (entries > 0) clock.track(this.first + Entry.Stamp, this.sets, this.ways, WORDS, this.policy);
  }

  /** Has somebody rely on entries; see {@link watch}. */
  rely(reliance: Reliance): void {
    this.reliance = reliance;
  }

  /** `reliance.lost` will be told when this entry goes. @param watcher bits of its argument */
  watch(entry: number, watcher: number): void {
    this.watchers[(entry - this.first) >> 3] |= watcher;
  }

  /** Valid entries. */
  get occupancy(): number {
    return this.live;
  }

  /** Has stamps that somebody put off stored: they are about to be compared. */
  settle(): void {
    if (this.reliance !== undefined) this.reliance.settle(EVERY_SET);
  }

  /** Whether this array was built to hold entries of a kind. */
  holds(kind: number): boolean {
    return this.entries > 0 && this.kinds.includes(kind);
  }

  /** Entry that translates a page number (20 + 32 bits) in an address space, or -1. Changes nothing. */
  find(pageLo: number, pageHi: number, space: number, tag: number): number {
    const kinds = this.kinds;
    for (let i = 0; i < kinds.length; i++) {
      const kind = kinds[i];
      if (this.i32[(this.liveOfKindAt + kind) | 0] === 0) continue;
      const entry = this.findKind(kind, pageLo, pageHi, space, tag);
      if (entry >= 0) return entry;
    }
    return -1;
  }

  /** The same for one kind. */
  findKind(kind: number, pageLo: number, pageHi: number, space: number, tag: number): number {
    const i32 = this.i32;
    const keyLo = pageLo & ~INSIDE[kind];
    const keyHi = (pageHi & ~INSIDE_HI[kind]) | (kind << 20);
    // Words of an entry by number (see Entry): V8 does not fold the fields of a bundled object.
    let entry = i32[this.headsAt + (hash(keyLo, keyHi, space) >>> this.hashShift)];
    while (entry !== 0) {
      if (i32[entry + 2] === keyLo && i32[entry + 3] === keyHi && i32[entry + 5] === tag) {
        const difference = i32[entry + 4] ^ space;
        // A global entry answers for every PCID of its ASID (SDM vol. 3, 4.10.2.4).
        if (difference === 0 || (difference >>> 12 === 0 && (i32[entry + 6] & GLOBAL) !== 0)) return entry;
      }
      entry = i32[entry + 7];
    }
    return -1;
  }

  kindOf(entry: number): number {
    return this.i32[entry + Entry.KeyHi] >>> KIND_SHIFT;
  }

  rightsOf(entry: number): number {
    return this.i32[entry + Entry.Rights];
  }

  /** Frame that the entry maps its first page to (or the table it points to). */
  frameOf(entry: number): number {
    return this.f64[this.framesAt + ((entry - this.first) >> 2)];
  }

  /** Second payload: for a guest paging-structure entry, the table's guest frame. */
  guestFrameOf(entry: number): number {
    return this.f64[this.framesAt + ((entry - this.first) >> 2) + 1];
  }

  /** Frame of one page inside what the entry maps. */
  frameFor(entry: number, pageLo: number): number {
    const base = this.f64[this.framesAt + ((entry - this.first) >> 2)];
    return base + (pageLo & INSIDE[this.i32[entry + Entry.KeyHi] >>> KIND_SHIFT]);
  }

  touch(entry: number, stamp: number): void {
    this.i32[entry + Entry.Stamp] = stamp;
  }

  /**
   * Adds a translation; the caller knows that none of that kind for that page and space is there.
   * @returns the entry
   */
  insert(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
    guestFrame: number,
    stamp: number,
  ): number {
    const entry = this.room(kind, pageLo & ~INSIDE[kind], pageHi);
    this.place(entry, kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
    return entry;
  }

  /** Gives an entry to a translation, whatever it holds. */
  place(
    entry: number,
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
    const i32 = this.i32;
    const keyLo = pageLo & ~INSIDE[kind];
    const keyHi = (pageHi & ~INSIDE_HI[kind]) | (kind << KIND_SHIFT);
    if (i32[entry + 3] === INVALID) {
      this.livePosition[(entry - this.first) >> 3] = this.live;
      this.liveEntries[this.live++] = entry;
    } else this.unlink(entry);
    i32[entry] = (i32[entry] + 1) | 0;
    i32[entry + 1] = stamp;
    i32[entry + 2] = keyLo;
    i32[entry + 3] = keyHi;
    i32[entry + 4] = space;
    i32[entry + 5] = tag;
    i32[entry + 6] = rights;
    const bucket = this.headsAt + (hash(keyLo, keyHi, space) >>> this.hashShift);
    i32[entry + 7] = i32[bucket];
    i32[bucket] = entry;
    const payload = this.framesAt + ((entry - this.first) >> 2);
    this.f64[payload] = frame;
    this.f64[payload + 1] = guestFrame;
    i32[(this.liveOfKindAt + kind) | 0]++;
    if (((rights >>> GUEST_PAGE_SHIFT) & 3) > kind) this.fractured++;
  }

  /**
   * Adds the translation of a page to `frame`, widened to the whole page of `kind` around it.
   */
  insertPage(
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
    stamp: number,
  ): number {
    const base = frame - (pageLo & INSIDE[kind]);
    return this.insert(kind, pageLo, pageHi, space, tag, rights, base, 0, stamp);
  }

  /** Adds a translation or replaces the one of the same kind, page and space. */
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
  ): number {
    if (this.entries === 0) return -1;
    const old = this.findKind(kind, pageLo, pageHi, space, tag);
    if (old >= 0) this.drop(old);
    return this.insert(kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
  }

  /** Invalidates one valid entry. */
  drop(entry: number): void {
    const { i32 } = this;
    this.unlink(entry);
    i32[entry] = (i32[entry] + 1) | 0;
    i32[entry + 3] = INVALID;
    i32[entry + 7] = 0;
    const position = this.livePosition[(entry - this.first) >> 3];
    const last = this.liveEntries[--this.live];
    this.liveEntries[position] = last;
    this.livePosition[(last - this.first) >> 3] = position;
  }

  /**
   * Invalidates what translates one page.
   * @param pcid -1: whatever the PCID; otherwise entries of that PCID, and global ones if `withGlobal`
   * @param tag -1: whatever the tag
   */
  dropPage(
    pageLo: number,
    pageHi: number,
    asid: number,
    pcid: number,
    tag: number,
    withGlobal: boolean,
  ): void {
    if (this.live === 0) return;
    if (this.fractured > 0) {
      // One page of the guest may be here in many smaller pieces, and all of them go (SDM vol. 3, 4.10.2.3).
      for (let i = this.live - 1; i >= 0; i--) {
        const entry = this.liveEntries[i];
        if (this.guestPageCovers(entry, pageLo, pageHi) && this.selected(entry, asid, pcid, tag, withGlobal))
          this.drop(entry);
      }
      return;
    }
    this.dropCovering(pageLo, pageHi, asid, pcid, tag, withGlobal);
  }

  /** The same without the rule on pages that are here in pieces: only entries that translate this very page. */
  dropCovering(
    pageLo: number,
    pageHi: number,
    asid: number,
    pcid: number,
    tag: number,
    withGlobal: boolean,
  ): void {
    for (let i = 0; i < this.kinds.length; i++) {
      const kind = this.kinds[i];
      if (this.i32[(this.liveOfKindAt + kind) | 0] === 0) continue;
      const keyLo = pageLo & ~INSIDE[kind];
      const keyHi = (pageHi & ~INSIDE_HI[kind]) | (kind << KIND_SHIFT);
      let entry = this.i32[this.headsAt + (hash(keyLo, keyHi, asid << 12) >>> this.hashShift)];
      while (entry !== 0) {
        const next = this.i32[entry + Entry.Next];
        if (
          this.i32[entry + Entry.KeyLo] === keyLo &&
          this.i32[entry + Entry.KeyHi] === keyHi &&
          this.selected(entry, asid, pcid, tag, withGlobal)
        )
          this.drop(entry);
        entry = next;
      }
    }
  }

  /** Invalidates all entries of an address space; parameters as in {@link dropPage}, and -1 for every ASID. */
  dropSpace(asid: number, pcid: number, tag: number, withGlobal: boolean): void {
    // Backwards, because dropping an entry moves the last one of the list into its place.
    for (let i = this.live - 1; i >= 0; i--) {
      const entry = this.liveEntries[i];
      if (this.selected(entry, asid, pcid, tag, withGlobal)) this.drop(entry);
    }
  }

  /** Invalidates the entries of one EP4TA tag, or with -1 of every tag; entries without a tag stay. */
  dropTag(tag: number): void {
    for (let i = this.live - 1; i >= 0; i--) {
      const entry = this.liveEntries[i];
      const own = this.i32[entry + 5];
      if (own !== 0 && (tag < 0 || own === tag)) this.drop(entry);
    }
  }

  /** Invalidates linear and combined mappings of every ASID but 0 (INVVPID type 2). */
  dropGuests(): void {
    for (let i = this.live - 1; i >= 0; i--) {
      const entry = this.liveEntries[i];
      if (this.i32[entry + 4] >>> 12 !== 0) this.drop(entry);
    }
  }

  dropAll(): void {
    this.dropSpace(-1, -1, -1, true);
  }

  /** Links between entries are kept relative, because another machine's arena is laid out differently. */
  snapshot(): TlbArraySnapshot {
    const words = this.i32.slice(this.first, this.end);
    for (let at = Entry.Next; at < words.length; at += WORDS)
      if (words[at] !== 0) words[at] -= this.first - 1;
    const heads = this.i32.slice(this.headsAt, this.headsAt + this.buckets);
    for (let at = 0; at < heads.length; at++) if (heads[at] !== 0) heads[at] -= this.first - 1;
    const frames = this.f64.slice(this.framesAt, this.framesAt + 2 * this.entries);
    return { words, frames, heads, policy: this.policy.snapshot() };
  }

  restore(snapshot: TlbArraySnapshot): void {
    const i32 = this.i32;
    i32.set(snapshot.words, this.first);
    i32.set(snapshot.heads, this.headsAt);
    this.f64.set(snapshot.frames, this.framesAt);
    this.policy.restore(snapshot.policy);
    for (let at = 0; at < this.buckets; at++)
      if (i32[this.headsAt + at] !== 0) i32[this.headsAt + at] += this.first - 1;
    this.live = 0;
    this.fractured = 0;
    i32.fill(0, this.liveOfKindAt, this.liveOfKindAt + KINDS);
    for (let entry = this.first; entry < this.end; entry += WORDS) {
      if (i32[entry + Entry.Next] !== 0) i32[entry + Entry.Next] += this.first - 1;
      if (i32[entry + Entry.KeyHi] === INVALID) continue;
      const kind = i32[entry + Entry.KeyHi] >>> KIND_SHIFT;
      this.livePosition[(entry - this.first) >> 3] = this.live;
      this.liveEntries[this.live++] = entry;
      i32[this.liveOfKindAt + kind]++;
      if (((i32[entry + Entry.Rights] >>> GUEST_PAGE_SHIFT) & 3) > kind) this.fractured++;
    }
  }

  private guestPageCovers(entry: number, pageLo: number, pageHi: number): boolean {
    const i32 = this.i32;
    const keyHi = i32[entry + Entry.KeyHi];
    const kind = keyHi >>> KIND_SHIFT;
    const guest = (i32[entry + Entry.Rights] >>> GUEST_PAGE_SHIFT) & 3;
    // Kind 3 in that field is a 4 MiB page.
    const inside = INSIDE[kind] | (guest === 3 ? 1023 : INSIDE[guest]);
    const insideHi = INSIDE_HI[kind];
    return (
      ((i32[entry + Entry.KeyLo] ^ pageLo) & ~inside) === 0 &&
      (((keyHi & 0xfffff) ^ pageHi) & ~insideHi) === 0
    );
  }

  private selected(entry: number, asid: number, pcid: number, tag: number, withGlobal: boolean): boolean {
    const i32 = this.i32;
    const space = i32[entry + Entry.Space];
    if (asid >= 0 && space >>> 12 !== asid) return false;
    if (tag >= 0 && i32[entry + Entry.Tag] !== tag) return false;
    if ((i32[entry + Entry.Rights] & Rights.Global) !== 0) return withGlobal;
    return pcid < 0 || (space & 0xfff) === pcid;
  }

  /** Takes a valid entry out of its bucket and of the counts: it is about to be invalidated or replaced. */
  private unlink(entry: number): void {
    const { i32, reliance } = this;
    if (reliance !== undefined) {
      const watchers = this.watchers[(entry - this.first) >> 3];
      this.watchers[(entry - this.first) >> 3] = 0;
      if (watchers !== 0) reliance.lost(watchers);
    }
    const keyHi = i32[entry + 3];
    let link = this.headsAt + (hash(i32[entry + 2], keyHi, i32[entry + 4]) >>> this.hashShift);
    while (i32[link] !== entry) link = i32[link] + 7;
    i32[link] = i32[entry + 7];
    const kind = keyHi >>> 20;
    i32[(this.liveOfKindAt + kind) | 0]--;
    if (((i32[entry + 6] >>> GUEST_PAGE_SHIFT) & 3) > kind) this.fractured--;
  }

  /** An entry of the right set for a new translation: an invalid one, or else the policy's victim. */
  private room(kind: number, keyLo: number, pageHi: number): number {
    const i32 = this.i32;
    let set = 0;
    if (this.sets > 1) {
      const bits = KIND_PAGE_BITS[kind];
      const page = bits >= 32 ? pageHi >>> (bits - 32) : keyLo >>> bits;
      set = this.setMask >= 0 ? page & this.setMask : page % this.sets;
    }
    const first = this.first + set * this.ways * WORDS;
    if (this.live < this.entries) {
      const end = first + this.ways * WORDS;
      for (let entry = first; entry < end; entry += WORDS)
        if (i32[entry + Entry.KeyHi] === INVALID) return entry;
    }
    this.settle();
    return first + this.policy.victim(i32, first + Entry.Stamp, this.ways, WORDS) * WORDS;
  }
}

/** Spreads a key over 32 bits; the PCID takes no part, so that global entries are found from every PCID. */
export function hash(keyLo: number, keyHi: number, space: number): number {
  const high = Math.imul(keyHi ^ ((space >>> 12) << 4), 0x85ebca6b);
  return Math.imul(keyLo ^ high ^ (high >>> 15), 0x9e3779b1);
}
