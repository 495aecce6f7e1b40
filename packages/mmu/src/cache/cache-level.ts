import type { Arena } from "../arena.js";
import type { Reliance } from "../line-sequences.js";
import type { CacheGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { REPLACEMENT_POLICIES } from "../replacement/policies.js";
import type { ReplacementPolicy } from "../replacement/replacement-policy.js";

/** Bytes in a cache line. */
export const LINE_BYTES = 64;
/** Tag of an invalid way; the generation word's Valid bit tells it from a line that has this very tag. */
const EMPTY = -1;
/** Lines of frames below this one (256 GiB) have their whole number (frame * 64 + line) in a 32-bit tag. */
const WIDE_FRAME = 0x4000000;

/** Tags behind the last set that {@link CacheLevel.find} may look at. */
const PADDING = 4;

const MAX_WAYS = 0xffff;
// Bits of a way's flags, and of its generation word below the counter.
const DIRTY = 1;
const VALID = 2;
const STEP = 4;

/** Contents of one cache level as plain data. */
export interface CacheLevelSnapshot {
  readonly tags: Int32Array;
  /** Tag bits above 32; absent while every line lies below 256 GiB. */
  readonly highTags: Int16Array | undefined;
  readonly marks: Int32Array;
  /** Valid and dirty bits by way. */
  readonly flags: Uint8Array;
  readonly policy: readonly number[];
}

/**
 * One set-associative cache of 64-byte lines, which it knows by (frame, line in page); it holds no data. Ways are
 * numbered through all sets. A first-level way's *generation* changes whenever the way is refilled, invalidated or becomes dirty,
 * so whoever remembers (way, generation) can later tell with one comparison that the line is still there as it was.
 */
export class CacheLevel {
  readonly ways: number;
  readonly sets: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  /**
   * 32-bit arena index of way 0's generation; its stamp follows it, way `w` is `2 * w` further. Without generations
   * there are only stamps.
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
  /** Invalid ways of each set. */
  private readonly vacant: Uint16Array;
  private vacantWays: number;
  /** Whether a line beyond 256 GiB was ever brought in; until then the high tags are all zero and not looked at. */
  private wide = false;
  private reliance: Reliance | undefined;
  /** By way: who wants to know when it is given to another line. */
  private watchers = new Int32Array(0);
  private tags!: Int32Array;
  private highTags!: Int16Array;
  private marks!: Int32Array;
  private flags!: Uint8Array;
  /** Words of a way in `marks`, and which of them is the stamp. */
  private readonly step: number;
  private readonly stamp: number;

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
    const lines = sets * ways;
    this.step = generations ? 2 : 1;
    this.stamp = generations ? 1 : 0;
    this.vacant = new Uint16Array(sets).fill(ways);
    this.vacantWays = lines;
    const tagsAt = arena.reserve((lines + PADDING) * 4);
    const highTagsAt = arena.reserve(lines * 2);
    const marksAt = arena.reserve(lines * this.step * 4);
    const flagsAt = arena.reserve(lines);
    this.marksAt = marksAt >>> 2;
    arena.adopt(() => {
      this.tags = arena.int32(tagsAt, lines + PADDING);
      this.highTags = new Int16Array(arena.memory.buffer, highTagsAt, lines);
      this.marks = arena.int32(marksAt, lines * this.step);
      this.flags = new Uint8Array(arena.memory.buffer, flagsAt, lines);
    });
    this.tags.fill(EMPTY);
    clock.track(this.marksAt + this.stamp, sets, ways, this.step, this.policy);
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
    return this.sets * this.ways - this.vacantWays;
  }

  /** Way that holds a line, or -1. Changes nothing. */
  find(frame: number, line: number): number {
    const tag = (frame << 6) | line;
    const tags = this.tags;
    const first = this.setOf(frame, line) * this.ways;
    const end = first + this.ways;
    // Four at a time; the last group may look into the next set (or the padding), which `decide` sorts out.
    for (let way = first; way < end; way += 4)
      if (tags[way] === tag || tags[way + 1] === tag || tags[way + 2] === tag || tags[way + 3] === tag)
        return this.decide(way, end, tag, frame);
    return -1;
  }

  /** Stamps a way as the newest of its set. */
  touch(way: number, stamp: number): void {
    this.marks[this.step * way + this.stamp] = stamp;
  }

  markDirty(way: number): void {
    if ((this.flags[way] & DIRTY) !== 0) return;
    this.flags[way] |= DIRTY;
    if (this.step === 2) this.marks[2 * way] = (this.marks[2 * way] + STEP) | DIRTY;
  }

  isDirty(way: number): boolean {
    return (this.flags[way] & DIRTY) !== 0;
  }

  /** Stamp of a way, for tests and reports. */
  stampOf(way: number): number {
    return this.marks[this.step * way + this.stamp];
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
    const { tags, marks, flags, step } = this;
    const set = this.setOf(frame, line);
    const first = set * this.ways;
    let way = first;
    if (this.vacant[set] !== 0) {
      way = this.vacantWay(first);
      this.vacant[set]--;
      this.vacantWays--;
      this.evictedFrame = -1;
    } else {
      if (this.reliance !== undefined) this.reliance.settle(set);
      way = first + this.policy.victim(marks, step * first + this.stamp, this.ways, step);
      if (this.reliance !== undefined && this.watchers[way] !== 0) this.unwatch(way, this.reliance);
      this.evictedFrame = (tags[way] >>> 6) + (this.wide ? this.highTags[way] * WIDE_FRAME : 0);
      this.evictedLine = tags[way] & 63;
      this.evictedDirty = (flags[way] & DIRTY) !== 0;
    }
    if (this.wide || frame >= WIDE_FRAME) this.setHighTag(way, frame);
    tags[way] = (frame << 6) | line;
    flags[way] = dirty ? VALID | DIRTY : VALID;
    if (step === 2) marks[2 * way] = ((marks[2 * way] + STEP) & ~DIRTY) | VALID | (dirty ? DIRTY : 0);
    marks[step * way + this.stamp] = stamp;
    return way;
  }

  /** Invalidates a line if it is there ({@link evictedDirty} tells its state); returns whether it was. */
  remove(frame: number, line: number): boolean {
    const way = this.find(frame, line);
    if (way < 0) return false;
    this.evictedDirty = this.isDirty(way);
    this.clear(way, this.setOf(frame, line));
    return true;
  }

  /** Invalidates every line, as WBINVD does. */
  removeAll(): void {
    const lines = this.sets * this.ways;
    for (let way = 0; way < lines; way++)
      if ((this.flags[way] & VALID) !== 0) this.clear(way, Math.floor(way / this.ways));
  }

  snapshot(): CacheLevelSnapshot {
    return {
      tags: this.tags.slice(),
      highTags: this.wide ? this.highTags.slice() : undefined,
      marks: this.marks.slice(),
      flags: this.flags.slice(),
      policy: this.policy.snapshot(),
    };
  }

  restore(snapshot: CacheLevelSnapshot): void {
    const lines = this.sets * this.ways;
    if (snapshot.tags.length !== lines + PADDING)
      throw new RangeError(
        `a snapshot of ${snapshot.tags.length - PADDING} lines does not fit a cache of ${lines}`,
      );
    this.tags.set(snapshot.tags);
    this.marks.set(snapshot.marks);
    this.flags.set(snapshot.flags);
    this.wide = snapshot.highTags !== undefined;
    if (snapshot.highTags !== undefined) this.highTags.set(snapshot.highTags);
    else this.highTags.fill(0);
    this.policy.restore(snapshot.policy);
    this.vacant.fill(0);
    this.vacantWays = 0;
    for (let way = 0; way < lines; way++)
      if ((this.flags[way] & VALID) === 0) this.addVacant(Math.floor(way / this.ways));
  }

  /** The rest of {@link find}, from a way on where some 32-bit tag matches. */
  private decide(from: number, end: number, tag: number, frame: number): number {
    const narrow = tag !== EMPTY && !this.wide && frame < WIDE_FRAME;
    for (let way = from; way < end; way++)
      if (this.tags[way] === tag && (narrow || this.holds(way, frame))) return way;
    return -1;
  }

  /** The full comparison, where the 32-bit tag alone does not decide. */
  private holds(way: number, frame: number): boolean {
    return (this.flags[way] & VALID) !== 0 && this.highTags[way] === Math.floor(frame / WIDE_FRAME);
  }

  private setHighTag(way: number, frame: number): void {
    this.wide = true;
    this.highTags[way] = Math.floor(frame / WIDE_FRAME);
  }

  private vacantWay(first: number): number {
    const { tags, flags } = this;
    let way = first;
    while (tags[way] !== EMPTY || (flags[way] & VALID) !== 0) way++;
    return way;
  }

  private unwatch(way: number, reliance: Reliance): void {
    const watchers = this.watchers[way];
    this.watchers[way] = 0;
    reliance.lost(watchers);
  }

  private clear(way: number, set: number): void {
    if (this.reliance !== undefined && this.watchers[way] !== 0) this.unwatch(way, this.reliance);
    this.tags[way] = EMPTY;
    this.flags[way] = 0;
    if (this.step === 2) this.marks[2 * way] = (this.marks[2 * way] + STEP) & ~(DIRTY | VALID);
    this.addVacant(set);
  }

  private addVacant(set: number): void {
    this.vacant[set]++;
    this.vacantWays++;
  }

  private setOf(frame: number, line: number): number {
    // Set counts that are no power of two (sliced server L3s) are indexed by remainder.
    if (this.setMask >= 0) return ((frame << 6) | line) & this.setMask;
    const tag = frame * 64 + line;
    return tag < 0x7fffffff ? (tag | 0) % this.sets : tag - Math.floor(tag / this.sets) * this.sets;
  }
}
