import type { Arena } from "../arena.js";
import type { CacheGeometry } from "../memory-profile.js";

/** Bytes in a cache line. */
export const LINE_BYTES = 64;
/** Complemented tag of a vacant way; the set's mask tells it from a line that has this very tag. */
const EMPTY = 0;
/** Ways behind the last set that a search may look at. */
const PADDING = 4;
const MAX_WAYS = 0xffff;

/** Which lines a cache holds, as plain data. */
export interface LineTagsSnapshot {
  readonly tags: Int32Array;
  /** Tag bits above 32; absent while every line lies below 256 GiB. */
  readonly highTags: Int32Array | undefined;
  readonly states: Int32Array;
}

/**
 * Which lines a set-associative cache holds, and which of them are dirty. Lines are named by the pair of `line-number.ts`,
 * ways are numbered through all sets. The tags of a set lie together (16 ways fill one line of the host), and so do the
 * words of its state: one for each sixteen ways (bits 15:0 vacant, 31:16 dirty) and one for the owner's use.
 */
export class LineTags {
  readonly ways: number;
  readonly sets: number;
  /** Whether the line that left latest was dirty. */
  leftDirty = false;
  /** Words of a set's state. */
  readonly stride: number;
  /** Index of the state of set 0 in the arena's 32-bit view; a set's last word is the owner's. */
  readonly statesAt: number;
  /** Bits of a line's number that choose its set; -1 where the number of sets is no power of two. */
  readonly setMask: number;
  private readonly maskWords: number;
  /** Index of the complemented low part of the number of the line in way 0, 0 while it is vacant. */
  readonly tagsAt: number;
  /** Whether a line beyond 256 GiB was ever brought in; until then the high tags are all zero and not looked at. */
  wide = false;
  private highTags!: Int16Array;
  private i32!: Int32Array;

  /** @throws RangeError for a shape that makes no whole sets */
  constructor(arena: Arena, { bytes, ways }: CacheGeometry) {
    const sets = bytes / (LINE_BYTES * ways);
    if (!Number.isInteger(sets) || sets < 1 || !Number.isInteger(ways) || ways < 1 || ways > MAX_WAYS)
      throw new RangeError(
        `a cache of ${bytes} bytes and ${ways} ways has ${sets} sets; need a positive integer, and 1 to ${MAX_WAYS} ways`,
      );
    // `| 0`: V8 keeps what came out of a division as a floating-point number, and every index made of it too.
    this.ways = ways | 0;
    this.sets = sets | 0;
    this.setMask = (sets & (sets - 1)) === 0 ? (sets - 1) | 0 : -1;
    this.maskWords = Math.ceil(ways / 16);
    this.stride = this.maskWords + 1;
    const lines = sets * ways;
    this.tagsAt = arena.reserve((lines + PADDING) * 4) >>> 2;
    const highTagsAt = arena.reserve(lines * 2);
    this.statesAt = arena.reserve(sets * this.stride * 4) >>> 2;
    // All of it through one view: V8 looks at every other array anew wherever code touches it.
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.highTags = new Int16Array(arena.memory.buffer, highTagsAt, lines);
    });
    for (let set = 0; set < sets; set++)
      for (let i = 0; i < this.maskWords; i++)
        this.i32[this.statesAt + set * this.stride + i] = (1 << Math.min(16, ways - 16 * i)) - 1;
  }

  /** Lines held. */
  get occupancy(): number {
    let held = 0;
    for (let way = this.sets * this.ways - 1; way >= 0; way--) if (this.isValid(way)) held++;
    return held;
  }

  /** Whether some line held is not known by a 32-bit tag other than 0 alone. */
  get needsWholeTags(): boolean {
    if (this.wide) return true;
    for (let way = this.sets * this.ways - 1; way >= 0; way--)
      if (this.i32[this.tagsAt + way] === EMPTY && this.isValid(way)) return true;
    return false;
  }

  /** Set that a line belongs to. */
  setOf(lo: number, hi: number): number {
    if (this.setMask >= 0) return lo & this.setMask;
    // Set counts that are no power of two (sliced server L3s) are indexed by remainder.
    return (hi === 0 && lo >= 0 ? lo : hi * 0x100000000 + (lo >>> 0)) % this.sets;
  }

  /** Way that holds a line, or -1. @param set {@link setOf} the line */
  find(set: number, lo: number, hi: number): number {
    const tag = ~lo;
    const { i32, tagsAt, ways } = this;
    const first = (tagsAt + set * ways) | 0;
    const end = (first + ways) | 0;
    if (tag === EMPTY || this.wide || hi !== 0) return this.findWhole((first - tagsAt) | 0, ways, tag, hi);
    // Four at a time; the last group may look into the next set (or the padding).
    for (let at = first; at < end; at = (at + 4) | 0) {
      const a = i32[at] ^ tag;
      const b = i32[(at + 1) | 0] ^ tag;
      const c = i32[(at + 2) | 0] ^ tag;
      if (a !== 0 && b !== 0 && c !== 0 && i32[(at + 3) | 0] !== tag) continue;
      // Which of the four it is, without branches that the host would have to guess: count those before it.
      const notFirst = 1 ^ (Math.clz32(a) >> 5);
      const notSecond = notFirst & ~(Math.clz32(b) >> 5);
      const found = (at + notFirst + notSecond + (notSecond & ~(Math.clz32(c) >> 5))) | 0;
      return found < end ? (found - tagsAt) | 0 : -1;
    }
    return -1;
  }

  /** Number in its set of the first vacant way, or -1. */
  vacantWay(set: number): number {
    const { i32 } = this;
    const at = (this.statesAt + set * this.stride) | 0;
    const vacant = i32[at] & 0xffff;
    if (vacant !== 0) return 31 - Math.clz32(vacant & -vacant);
    for (let i = 1; i < this.maskWords; i++) {
      const others = i32[at + i] & 0xffff;
      if (others !== 0) return 16 * i + 31 - Math.clz32(others & -others);
    }
    return -1;
  }

  /** Low part of the number of the line in a way. */
  lowOf(way: number): number {
    return ~this.i32[(this.tagsAt + way) | 0];
  }

  highOf(way: number): number {
    return this.wide ? this.highTags[way] : 0;
  }

  /** Puts a line into a way, whatever was there; {@link leftDirty} tells whether that was dirty. @param inSet number of the way in its set */
  place(set: number, inSet: number, lo: number, hi: number, dirty: boolean): void {
    const { i32 } = this;
    const way = (set * this.ways + inSet) | 0;
    i32[(this.tagsAt + way) | 0] = ~lo;
    if (this.wide || hi !== 0) {
      this.wide = true;
      this.highTags[way] = hi;
    }
    const mask = (this.statesAt + set * this.stride + (inSet >> 4)) | 0;
    const dirtyBit = 0x10000 << (inSet & 15);
    const before = i32[mask];
    const others = before & ~(0x10001 << (inSet & 15));
    this.leftDirty = (before & dirtyBit) !== 0;
    i32[mask] = dirty ? others | dirtyBit : others;
  }

  /** Empties a valid way; {@link leftDirty} tells whether its line was dirty. */
  clear(set: number, way: number): void {
    const { i32 } = this;
    const inSet = (way - set * this.ways) | 0;
    const mask = (this.statesAt + set * this.stride + (inSet >> 4)) | 0;
    const dirtyBit = 0x10000 << (inSet & 15);
    const before = i32[mask];
    this.leftDirty = (before & dirtyBit) !== 0;
    i32[mask] = (before & ~dirtyBit) | (1 << (inSet & 15));
    i32[(this.tagsAt + way) | 0] = EMPTY;
  }

  markDirty(way: number): void {
    const set = (way / this.ways) | 0;
    const inSet = (way - set * this.ways) | 0;
    this.i32[(this.statesAt + set * this.stride + (inSet >> 4)) | 0] |= 0x10000 << (inSet & 15);
  }

  isDirty(way: number): boolean {
    return (this.stateOf(way) & 0x10000) !== 0;
  }

  isValid(way: number): boolean {
    return (this.stateOf(way) & 1) === 0;
  }

  snapshot(): LineTagsSnapshot {
    return {
      tags: this.i32.slice(this.tagsAt, this.tagsAt + this.sets * this.ways + PADDING),
      highTags: this.wide ? Int32Array.from(this.highTags) : undefined,
      states: this.i32.slice(this.statesAt, this.statesAt + this.sets * this.stride),
    };
  }

  /** @throws RangeError for a snapshot of a cache of another shape */
  restore({ tags, highTags, states }: LineTagsSnapshot): void {
    if (tags.length !== this.sets * this.ways + PADDING || states.length !== this.sets * this.stride)
      throw new RangeError(
        `a snapshot of ${tags.length - PADDING} lines does not fit a cache of ${this.sets * this.ways}`,
      );
    this.i32.set(tags, this.tagsAt);
    this.i32.set(states, this.statesAt);
    this.wide = highTags !== undefined;
    if (highTags !== undefined) this.highTags.set(highTags);
    else this.highTags.fill(0);
  }

  /** The full comparison, where the 32-bit tag alone does not decide. */
  private findWhole(first: number, ways: number, tag: number, hi: number): number {
    for (let way = first; way < first + ways; way++)
      if (this.i32[this.tagsAt + way] === tag && this.highTags[way] === hi && this.isValid(way)) return way;
    return -1;
  }

  /** Bit 0: vacant, bit 16: dirty. */
  private stateOf(way: number): number {
    const set = (way / this.ways) | 0;
    const inSet = (way - set * this.ways) | 0;
    return this.i32[(this.statesAt + set * this.stride + (inSet >> 4)) | 0] >> (inSet & 15);
  }
}
