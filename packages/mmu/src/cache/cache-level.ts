import type { Arena } from "../arena.js";
import type { Reliance } from "../line-sequences.js";
import type { CacheGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { REPLACEMENT_POLICIES } from "../replacement/policies.js";
import type { ReplacementPolicy } from "../replacement/replacement-policy.js";

/** Bytes in a cache line. */
export const LINE_BYTES = 64;
/** Complemented tag of an invalid way; the set's mask tells it from a line that has this very tag. */
const EMPTY = 0;
/** Lines of frames below this one (256 GiB) have their whole number (frame * 64 + line) in a 32-bit tag. */
const WIDE_FRAME = 0x4000000;

/** Ways behind the last set that {@link CacheLevel.find} may look at. */
const PADDING = 4;

const MAX_WAYS = 0xffff;
// Bits of a generation word below the counter.
const DIRTY = 1;
const VALID = 2;
const STEP = 4;

/** Contents of one cache level as plain data. */
export interface CacheLevelSnapshot {
  /** Tags of a first level; the others have them in `marks`. */
  readonly tags: Int32Array;
  /** Tag bits above 32; absent while every line lies below 256 GiB. */
  readonly highTags: Int16Array | undefined;
  readonly marks: Int32Array;
  /** A word for each sixteen ways of a set: bits 15:0 vacant, 31:16 dirty. */
  readonly masks: Int32Array;
  readonly policy: readonly number[];
}

/**
 * One set-associative cache of 64-byte lines, which it knows by (frame, line in page); it holds no data. Ways are
 * numbered through all sets. A first-level way's *generation* changes whenever the way is refilled, invalidated or becomes
 * dirty, so whoever remembers (way, generation) can later tell with one comparison that the line is still there as it was.
 */
export class CacheLevel {
  readonly ways: number;
  readonly sets: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  /**
   * 32-bit arena index of way 0's generation, or without generations of its complemented tag; its stamp follows it,
   * way `w` is `2 * w` further.
   */
  readonly marksAt: number;
  /** After {@link fill}: frame of the line that made room, or -1. */
  evictedFrame = -1;
  /** After {@link fill}: line in page of the line that made room. */
  evictedLine = 0;
  /** After {@link fill} or {@link remove}: whether the line that left was dirty. */
  evictedDirty = false;
  private readonly policy: ReplacementPolicy;
  private readonly setMask: number;
  private readonly generations: boolean;
  /** `maskWords` for each set, a word for sixteen ways: bits 15:0 vacant, 31:16 dirty. */
  private readonly masks: Int32Array;
  private readonly maskWords: number;
  /** Whether a line beyond 256 GiB was ever brought in; until then the high tags are all zero and not looked at. */
  private wide = false;
  private reliance: Reliance | undefined;
  /** By way: who wants to know when it is given to another line. */
  private watchers = new Int32Array(0);
  /** Complemented tags, `1 << tagShift` apart: between the stamps where no generations are, so that a set is in one place. */
  private tags!: Int32Array;
  private readonly tagShift: number;
  private highTags!: Int16Array;
  private marks!: Int32Array;

  /** @param generations whether anybody asks for them: L1 */
  constructor(
    arena: Arena,
    clock: RecencyClock,
    geometry: CacheGeometry,
    seed: number,
    generations: boolean = true,
  ) {
    const { bytes, ways, latency, replacement } = geometry;
    const sets = bytes / (LINE_BYTES * ways);
    if (!Number.isInteger(sets) || sets < 1 || !Number.isInteger(ways) || ways < 1 || ways > MAX_WAYS)
      throw new RangeError(
        `a cache of ${bytes} bytes and ${ways} ways has ${sets} sets; need a positive integer, and 1 to ${MAX_WAYS} ways`,
      );
    this.ways = ways;
    this.sets = sets;
    this.latency = latency;
    this.policy = REPLACEMENT_POLICIES[replacement](seed);
    this.setMask = (sets & (sets - 1)) === 0 ? sets - 1 : -1;
    this.generations = generations;
    this.tagShift = generations ? 0 : 1;
    this.maskWords = Math.ceil(ways / 16);
    this.masks = new Int32Array(sets * this.maskWords);
    this.vacateAll();
    const lines = sets * ways;
    const tagsAt = arena.reserve(generations ? (lines + PADDING) * 4 : 0);
    const highTagsAt = arena.reserve(lines * 2);
    const marksAt = arena.reserve((lines + PADDING) * 8);
    this.marksAt = marksAt >>> 2;
    arena.adopt(() => {
      this.highTags = new Int16Array(arena.memory.buffer, highTagsAt, lines);
      this.marks = arena.int32(marksAt, (lines + PADDING) * 2);
      this.tags = generations ? arena.int32(tagsAt, lines + PADDING) : this.marks;
    });
    clock.track(this.marksAt + 1, sets, ways, 2, this.policy);
  }

  /** Has somebody rely on where lines are; see {@link watch}. */
  rely(reliance: Reliance): void {
    this.reliance = reliance;
    this.watchers = new Int32Array(this.sets * this.ways);
  }

  /** `reliance.lost` will be told when the line in this way leaves. @param watcher bits of its argument */
  watch(way: number, watcher: number): void {
    this.watchers[way] |= watcher;
  }

  /** Lines held. */
  get occupancy(): number {
    let held = 0;
    for (let way = this.sets * this.ways - 1; way >= 0; way--) if (this.isValid(way)) held++;
    return held;
  }

  /** Way that holds a line, or -1. Changes nothing. */
  find(frame: number, line: number): number {
    return this.findIn(this.setOf(frame, line), frame, line);
  }

  /** Stamps a way as the newest of its set. */
  touch(way: number, stamp: number): void {
    this.marks[2 * way + 1] = stamp;
  }

  markDirty(way: number): void {
    const { generations, marks } = this;
    if (generations && (marks[2 * way] & DIRTY) !== 0) return;
    const set = Math.floor(way / this.ways);
    const inSet = way - set * this.ways;
    this.masks[set * this.maskWords + (inSet >> 4)] |= 0x10000 << (inSet & 15);
    if (generations) marks[2 * way] = (marks[2 * way] + STEP) | DIRTY;
  }

  isDirty(way: number): boolean {
    return (this.stateOf(way) & 0x10000) !== 0;
  }

  /** Stamp of a way, for tests and reports. */
  stampOf(way: number): number {
    return this.marks[2 * way + 1];
  }

  /** Only where there are generations. */
  generationOf(way: number): number {
    return this.marks[2 * way];
  }

  /**
   * Brings in a line that is not there; the line that made room is in {@link evictedFrame} and its companions.
   * @returns the way that was filled
   */
  fill(frame: number, line: number, dirty: boolean, stamp: number): number {
    const { tags, tagShift, marks, masks, maskWords } = this;
    const set = this.setOf(frame, line);
    const first = set * this.ways;
    let inSet = this.vacantWay(set * maskWords);
    if (inSet >= 0) this.evictedFrame = -1;
    else {
      const { reliance } = this;
      if (reliance !== undefined) reliance.settle(set);
      inSet = this.policy.victim(marks, 2 * first + 1, this.ways, 2);
      const way = first + inSet;
      if (reliance !== undefined && this.watchers[way] !== 0) this.unwatch(way, reliance);
      const left = ~tags[way << tagShift];
      this.evictedFrame = (left >>> 6) + (this.wide ? this.highTags[way] * WIDE_FRAME : 0);
      this.evictedLine = left & 63;
    }
    const way = first + inSet;
    if (this.wide || frame >= WIDE_FRAME) this.setHighTag(way, frame);
    const mask = set * maskWords + (inSet >> 4);
    const dirtyBit = 0x10000 << (inSet & 15);
    const before = masks[mask];
    const others = before & ~(0x10001 << (inSet & 15));
    this.evictedDirty = (before & dirtyBit) !== 0;
    masks[mask] = dirty ? others | dirtyBit : others;
    tags[way << tagShift] = ~((frame << 6) | line);
    if (this.generations) marks[2 * way] = ((marks[2 * way] + STEP) & ~DIRTY) | VALID | (dirty ? DIRTY : 0);
    marks[2 * way + 1] = stamp;
    return way;
  }

  /** Invalidates a line if it is there ({@link evictedDirty} tells its state); returns whether it was. */
  remove(frame: number, line: number): boolean {
    const set = this.setOf(frame, line);
    const way = this.findIn(set, frame, line);
    if (way < 0) return false;
    this.clear(way, set);
    return true;
  }

  /** Invalidates every line, as WBINVD does. */
  removeAll(): void {
    const lines = this.sets * this.ways;
    for (let way = 0; way < lines; way++) if (this.isValid(way)) this.clear(way, Math.floor(way / this.ways));
  }

  snapshot(): CacheLevelSnapshot {
    return {
      tags: this.generations ? this.tags.slice() : new Int32Array(0),
      highTags: this.wide ? this.highTags.slice() : undefined,
      marks: this.marks.slice(),
      masks: this.masks.slice(),
      policy: this.policy.snapshot(),
    };
  }

  restore(snapshot: CacheLevelSnapshot): void {
    if (snapshot.marks.length !== this.marks.length)
      throw new RangeError(
        `a snapshot of ${snapshot.marks.length / 2 - PADDING} lines does not fit a cache of ${this.sets * this.ways}`,
      );
    this.tags.set(snapshot.tags);
    this.marks.set(snapshot.marks);
    this.masks.set(snapshot.masks);
    this.wide = snapshot.highTags !== undefined;
    if (snapshot.highTags !== undefined) this.highTags.set(snapshot.highTags);
    else this.highTags.fill(0);
    this.policy.restore(snapshot.policy);
  }

  private findIn(set: number, frame: number, line: number): number {
    const tag = ~((frame << 6) | line);
    const { tags, tagShift } = this;
    const step = 1 << tagShift;
    const first = set * this.ways;
    const end = (first + this.ways) << tagShift;
    // Four at a time; the last group may look into the next set (or the padding), which `decide` sorts out.
    for (let at = first << tagShift; at < end; at += 4 << tagShift)
      if (
        tags[at] === tag ||
        tags[at + step] === tag ||
        tags[at + 2 * step] === tag ||
        tags[at + 3 * step] === tag
      )
        return this.decide(at, first + this.ways, tag, frame);
    return -1;
  }

  /** The rest of a search, from the four tags on among which the 32-bit one is. */
  private decide(at: number, end: number, tag: number, frame: number): number {
    const { tags, tagShift } = this;
    const from = at >> tagShift;
    if (tag === EMPTY || this.wide || frame >= WIDE_FRAME) {
      for (let way = from; way < end; way++)
        if (tags[way << tagShift] === tag && this.holds(way, frame)) return way;
      return -1;
    }
    // Which of the four it is, without branches that the host would have to guess: count those before it.
    const step = 1 << tagShift;
    const first = tags[at] ^ tag;
    const second = tags[at + step] ^ tag;
    const third = tags[at + 2 * step] ^ tag;
    const notFirst = (first | -first) >>> 31;
    const notSecond = notFirst & ((second | -second) >>> 31);
    const way = from + notFirst + notSecond + (notSecond & ((third | -third) >>> 31));
    return way < end ? way : -1;
  }

  /** The full comparison, where the 32-bit tag alone does not decide. */
  private holds(way: number, frame: number): boolean {
    return this.isValid(way) && this.highTags[way] === Math.floor(frame / WIDE_FRAME);
  }

  private setHighTag(way: number, frame: number): void {
    this.wide = true;
    this.highTags[way] = Math.floor(frame / WIDE_FRAME);
  }

  /** Number in its set of the first vacant way, or -1. @param mask index of the set's masks */
  private vacantWay(mask: number): number {
    const { masks, maskWords } = this;
    for (let i = 0; i < maskWords; i++) {
      const vacant = masks[mask + i] & 0xffff;
      if (vacant !== 0) return 16 * i + 31 - Math.clz32(vacant & -vacant);
    }
    return -1;
  }

  private unwatch(way: number, reliance: Reliance): void {
    const watchers = this.watchers[way];
    this.watchers[way] = 0;
    reliance.lost(watchers);
  }

  private clear(way: number, set: number): void {
    const { marks, masks, maskWords } = this;
    if (this.reliance !== undefined && this.watchers[way] !== 0) this.unwatch(way, this.reliance);
    const inSet = way - set * this.ways;
    const mask = set * maskWords + (inSet >> 4);
    const dirtyBit = 0x10000 << (inSet & 15);
    const before = masks[mask];
    this.evictedDirty = (before & dirtyBit) !== 0;
    masks[mask] = (before & ~dirtyBit) | (1 << (inSet & 15));
    this.tags[way << this.tagShift] = EMPTY;
    if (this.generations) marks[2 * way] = (marks[2 * way] + STEP) & ~(DIRTY | VALID);
  }

  private isValid(way: number): boolean {
    return (this.stateOf(way) & 1) === 0;
  }

  /** Bit 0: vacant, bit 16: dirty. */
  private stateOf(way: number): number {
    const set = Math.floor(way / this.ways);
    const inSet = way - set * this.ways;
    return this.masks[set * this.maskWords + (inSet >> 4)] >> (inSet & 15);
  }

  private vacateAll(): void {
    const { masks, maskWords, ways } = this;
    for (let at = 0; at < masks.length; at++)
      masks[at] = (1 << Math.min(16, ways - 16 * (at % maskWords))) - 1;
  }

  private setOf(frame: number, line: number): number {
    // Set counts that are no power of two (sliced server L3s) are indexed by remainder.
    if (this.setMask >= 0) return ((frame << 6) | line) & this.setMask;
    const tag = frame * 64 + line;
    return tag < 0x7fffffff ? (tag | 0) % this.sets : tag - Math.floor(tag / this.sets) * this.sets;
  }
}
