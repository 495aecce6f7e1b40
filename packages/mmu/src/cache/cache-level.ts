import type { Arena } from "../arena.js";
import type { CacheGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { REPLACEMENT_POLICIES } from "../replacement/policies.js";
import type { ReplacementPolicy } from "../replacement/replacement-policy.js";

/** Bytes in a cache line. */
export const LINE_BYTES = 64;
const EMPTY = -1;

/** Contents of one cache level as plain data. */
export interface CacheLevelSnapshot {
  readonly tags: Float64Array;
  readonly marks: Int32Array;
  readonly dirty: Uint8Array;
  readonly policy: readonly number[];
}

/**
 * One set-associative cache of 64-byte lines, which it knows by (frame, line in page); it holds no data. Ways are
 * numbered through all sets. A way's *generation* changes whenever the way is refilled or invalidated, so whoever
 * remembers (way, generation) can later tell with one comparison that the line is still there.
 */
export class CacheLevel {
  readonly ways: number;
  readonly sets: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  /** 32-bit arena index of way 0's generation; its stamp follows it, way `w` is `2 * w` further. */
  readonly marksAt: number;
  /** After {@link fill}: frame of the line that made room, or -1. */
  evictedFrame = -1;
  /** After {@link fill}: line in page of the line that made room. */
  evictedLine = 0;
  /** After {@link fill} or {@link remove}: whether the line that left was dirty. */
  evictedDirty = false;
  private readonly policy: ReplacementPolicy;
  private readonly setMask: number;
  private vacant: number;
  private tags!: Float64Array;
  private marks!: Int32Array;
  private dirty!: Uint8Array;

  constructor(arena: Arena, clock: RecencyClock, geometry: CacheGeometry, seed: number) {
    const { bytes, ways, latency, replacement } = geometry;
    const sets = bytes / (LINE_BYTES * ways);
    if (!Number.isInteger(sets) || sets < 1 || !Number.isInteger(ways) || ways < 1)
      throw new RangeError(
        `a cache of ${bytes} bytes and ${ways} ways has ${sets} sets; need a positive integer`,
      );
    this.ways = ways;
    this.sets = sets;
    this.latency = latency;
    this.policy = REPLACEMENT_POLICIES[replacement](seed);
    this.setMask = (sets & (sets - 1)) === 0 ? sets - 1 : -1;
    const lines = sets * ways;
    this.vacant = lines;
    const tagsAt = arena.reserve(lines * 8);
    const marksAt = arena.reserve(lines * 8);
    const dirtyAt = arena.reserve(lines);
    this.marksAt = marksAt >>> 2;
    arena.adopt(() => {
      this.tags = arena.float64(tagsAt, lines);
      this.marks = arena.int32(marksAt, lines * 2);
      this.dirty = new Uint8Array(arena.memory.buffer, dirtyAt, lines);
    });
    this.tags.fill(EMPTY);
    clock.track(this.marksAt + 1, sets, ways, 2);
  }

  /** Lines held. */
  get occupancy(): number {
    return this.sets * this.ways - this.vacant;
  }

  /** Way that holds a line, or -1. Changes nothing. */
  find(frame: number, line: number): number {
    const tag = frame * 64 + line;
    const tags = this.tags;
    const first = this.setOf(frame, line) * this.ways;
    const end = first + this.ways;
    for (let way = first; way < end; way++) if (tags[way] === tag) return way;
    return -1;
  }

  /** Stamps a way as the newest of its set. */
  touch(way: number, stamp: number): void {
    this.marks[2 * way + 1] = stamp;
  }

  markDirty(way: number): void {
    this.dirty[way] = 1;
  }

  isDirty(way: number): boolean {
    return this.dirty[way] !== 0;
  }

  /** Stamp of a way, for tests and reports. */
  stampOf(way: number): number {
    return this.marks[2 * way + 1];
  }

  generationOf(way: number): number {
    return this.marks[2 * way];
  }

  /**
   * Brings in a line that is not there; the line that made room is in {@link evictedFrame} and its companions.
   * @returns the way that was filled
   */
  fill(frame: number, line: number, dirty: boolean, stamp: number): number {
    const tags = this.tags;
    const marks = this.marks;
    const first = this.setOf(frame, line) * this.ways;
    let way = -1;
    if (this.vacant > 0) {
      const end = first + this.ways;
      for (let at = first; at < end; at++)
        if (tags[at] === EMPTY) {
          way = at;
          this.vacant--;
          break;
        }
    }
    if (way < 0) {
      way = first + this.policy.victim(marks, 2 * first + 1, this.ways, 2);
      const old = tags[way];
      const oldFrame = Math.floor(old / 64);
      this.evictedFrame = oldFrame;
      this.evictedLine = old - oldFrame * 64;
      this.evictedDirty = this.dirty[way] !== 0;
    } else this.evictedFrame = -1;
    tags[way] = frame * 64 + line;
    marks[2 * way] = (marks[2 * way] + 1) | 0;
    marks[2 * way + 1] = stamp;
    this.dirty[way] = dirty ? 1 : 0;
    return way;
  }

  /** Invalidates a line if it is there ({@link evictedDirty} tells its state); returns whether it was. */
  remove(frame: number, line: number): boolean {
    const way = this.find(frame, line);
    if (way < 0) return false;
    this.evictedDirty = this.dirty[way] !== 0;
    this.clear(way);
    return true;
  }

  /** Invalidates every line, as WBINVD does. */
  removeAll(): void {
    const lines = this.sets * this.ways;
    for (let way = 0; way < lines; way++) if (this.tags[way] !== EMPTY) this.clear(way);
  }

  snapshot(): CacheLevelSnapshot {
    return {
      tags: this.tags.slice(),
      marks: this.marks.slice(),
      dirty: this.dirty.slice(),
      policy: this.policy.snapshot(),
    };
  }

  restore(snapshot: CacheLevelSnapshot): void {
    this.tags.set(snapshot.tags);
    this.marks.set(snapshot.marks);
    this.dirty.set(snapshot.dirty);
    this.policy.restore(snapshot.policy);
    this.vacant = this.tags.reduce((count, tag) => (tag === EMPTY ? count + 1 : count), 0);
  }

  private clear(way: number): void {
    this.tags[way] = EMPTY;
    this.dirty[way] = 0;
    this.marks[2 * way] = (this.marks[2 * way] + 1) | 0;
    this.vacant++;
  }

  private setOf(frame: number, line: number): number {
    // Set counts that are no power of two (sliced server L3s) are indexed by remainder.
    if (this.setMask >= 0) return ((frame << 6) | line) & this.setMask;
    const tag = frame * 64 + line;
    return tag < 0x7fffffff ? (tag | 0) % this.sets : tag - Math.floor(tag / this.sets) * this.sets;
  }
}
