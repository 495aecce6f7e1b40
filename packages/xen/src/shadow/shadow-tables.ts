import { entryHi, entryLo, frameOf, type PhysicalMemory } from "@hyperwalk/mmu";
import type { FrameAllocator } from "../frame-allocator.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import { SHADOW_NEW_TABLE, SHADOW_SET_ENTRY, SHADOW_UNSHADOW } from "../path-cost/stages/shadow.js";

const ENTRIES = 512;
const LINES = 64;
const PRESENT = 1;
const WRITABLE = 2;

/** What a shadow table stands for. */
export interface ShadowOf {
  /** 1 to 4. */
  readonly level: number;
  /** Guest frame of the table, or -1 where the guest has none: inside a large page, with paging off, PAE's root. */
  readonly gfn: number;
  /** Which part of a table with 1024 entries. */
  readonly part: number;
  /** Without a guest table: first guest frame that it maps, and the flags of its entries. */
  readonly base: number;
  readonly flags: number;
}

/** A shadow table and the machine frame that it is in. */
export interface Shadow extends ShadowOf {
  readonly frame: number;
}

/**
 * The shadow tables of a domain: real ones, in machine memory, which the processor walks. Guest tables that have shadows are
 * never mapped writable. What links what is known both ways, so that a table that goes leaves nothing behind; all of it
 * can be found again in the tables themselves.
 */
export class ShadowTables {
  private readonly known = new Map<string, Shadow>();
  private readonly byFrame = new Map<number, Shadow>();
  /** By guest frame of a table. */
  private readonly ofTable = new Map<number, Set<Shadow>>();
  /** Entries that point to a shadow, by its frame: frame · 512 + index. */
  private readonly parents = new Map<number, Set<number>>();
  /** Entries that map a machine frame writable. */
  private readonly writers = new Map<number, Set<number>>();
  private readonly memory: PhysicalMemory;
  private readonly heap: FrameAllocator;
  private readonly cost: StagePathCost;

  constructor(memory: PhysicalMemory, heap: FrameAllocator, cost: StagePathCost) {
    this.memory = memory;
    this.heap = heap;
    this.cost = cost;
  }

  get count(): number {
    return this.known.size;
  }

  /** Has a guest frame shadows, as a page table? */
  isTable(gfn: number): boolean {
    return this.ofTable.has(gfn);
  }

  /**
   * The shadow of something, empty where it is new.
   * @param mfn machine frame of the guest's table, which loses its writable mappings; -1: none
   */
  obtain(of: ShadowOf, mfn: number): Shadow {
    const key = keyOf(of);
    const found = this.known.get(key);
    if (found !== undefined) return found;
    const { cost } = this;
    cost.run(cost.compile(SHADOW_NEW_TABLE));
    const frame = this.heap.allocate();
    for (let line = 0; line < LINES; line++) {
      const at = cost.access(frame, 64 * line, 64, true);
      this.memory.arena.u8.fill(0, at, at + 64);
    }
    const shadow = { ...of, frame };
    this.remember(shadow);
    if (mfn >= 0) this.protect(mfn);
    return shadow;
  }

  /** What an entry points to, or undefined. */
  child(shadow: Shadow, index: number): Shadow | undefined {
    const at = this.memory.frameOffset(shadow.frame) + 8 * index;
    const { i32 } = this.memory.arena;
    if ((i32[at >> 2] & PRESENT) === 0) return undefined;
    return this.byFrame.get(frameIn(i32, at >> 2));
  }

  /** Points an entry to a table. */
  link(shadow: Shadow, index: number, child: Shadow, flagsLo: number, flagsHi: number): void {
    this.clear(shadow, index);
    this.write(shadow, index, child.frame, flagsLo, flagsHi);
    add(this.parents, child.frame, shadow.frame * ENTRIES + index);
  }

  /** Makes a leaf. */
  map(shadow: Shadow, index: number, mfn: number, flagsLo: number, flagsHi: number): void {
    this.clear(shadow, index);
    this.write(shadow, index, mfn, flagsLo, flagsHi);
    if ((flagsLo & WRITABLE) !== 0) add(this.writers, mfn, shadow.frame * ENTRIES + index);
  }

  /** Empties an entry. @returns whether there was something */
  clear(shadow: Shadow, index: number): boolean {
    const at = (this.memory.frameOffset(shadow.frame) + 8 * index) >> 2;
    const { i32 } = this.memory.arena;
    const lo = i32[at];
    if ((lo & PRESENT) === 0) return false;
    const frame = frameIn(i32, at);
    const slot = shadow.frame * ENTRIES + index;
    if (shadow.level > 1) this.parents.get(frame)?.delete(slot);
    else if ((lo & WRITABLE) !== 0) this.writers.get(frame)?.delete(slot);
    this.write(shadow, index, 0, 0, 0);
    return true;
  }

  /**
   * The guest has written to a table of its own: what was made from these bytes goes.
   * @param narrow its entries have 4 bytes @returns whether anything went
   */
  written(gfn: number, offset: number, bytes: number, narrow: boolean): boolean {
    let gone = false;
    const shift = narrow ? 2 : 3;
    const last = (offset + bytes - 1) >> shift;
    for (const shadow of this.ofTable.get(gfn) ?? [])
      for (let entry = offset >> shift; entry <= last; entry++)
        for (const index of placesOf(shadow, entry, narrow)) gone = this.clear(shadow, index) || gone;
    return gone;
  }

  /** A guest frame is no table any more. @returns whether it was one */
  removeTable(gfn: number): boolean {
    const shadows = [...(this.ofTable.get(gfn) ?? [])];
    for (const shadow of shadows) this.remove(shadow);
    return shadows.length > 0;
  }

  /** All of them go (`shadow_blow_tables`). */
  blow(): void {
    for (const shadow of [...this.known.values()]) this.remove(shadow);
  }

  /** In the order in which they were made. */
  snapshot(): readonly (readonly number[])[] {
    return [...this.known.values()].map(({ level, gfn, part, base, flags, frame }) => [
      level,
      gfn,
      part,
      base,
      flags,
      frame,
    ]);
  }

  /** After memory and heap. @throws RangeError for frames that are no heap's */
  restore(shadows: readonly (readonly number[])[]): void {
    for (const map of [this.known, this.byFrame, this.ofTable, this.parents, this.writers]) map.clear();
    for (const [level, gfn, part, base, flags, frame] of shadows) {
      if (!(level >= 1 && level <= 4) || !(frame >= this.heap.first && frame < this.heap.end))
        throw new RangeError("a shadow table outside Xen's heap");
      this.remember({ level, gfn, part, base, flags, frame });
    }
    for (const shadow of this.known.values())
      for (let index = 0; index < ENTRIES; index++) {
        const at = (this.memory.frameOffset(shadow.frame) + 8 * index) >> 2;
        const { i32 } = this.memory.arena;
        if ((i32[at] & PRESENT) === 0) continue;
        const slot = shadow.frame * ENTRIES + index;
        if (shadow.level > 1) add(this.parents, frameIn(i32, at), slot);
        else if ((i32[at] & WRITABLE) !== 0) add(this.writers, frameIn(i32, at), slot);
      }
  }

  /** No shadow maps it writable any more (`sh_remove_write_access`). */
  private protect(mfn: number): void {
    const slots = this.writers.get(mfn);
    if (slots === undefined) return;
    this.writers.delete(mfn);
    const { cost, memory } = this;
    for (const slot of slots) {
      const index = slot % ENTRIES;
      cost.run(cost.compile(SHADOW_SET_ENTRY));
      memory.arena.i32[cost.access((slot - index) / ENTRIES, 8 * index, 8, true) >> 2] &= ~WRITABLE;
    }
  }

  private remove(shadow: Shadow): void {
    const { cost } = this;
    cost.run(cost.compile(SHADOW_UNSHADOW));
    for (const slot of [...(this.parents.get(shadow.frame) ?? [])]) {
      const index = slot % ENTRIES;
      const parent = this.byFrame.get((slot - index) / ENTRIES);
      if (parent !== undefined) this.clear(parent, index);
    }
    this.parents.delete(shadow.frame);
    const { i32 } = this.memory.arena;
    const first = this.memory.frameOffset(shadow.frame) >> 2;
    for (let index = 0; index < ENTRIES; index++)
      if ((i32[first + 2 * index] & PRESENT) !== 0) this.clear(shadow, index);
    this.known.delete(keyOf(shadow));
    this.byFrame.delete(shadow.frame);
    if (shadow.gfn >= 0) {
      const others = this.ofTable.get(shadow.gfn);
      others?.delete(shadow);
      if (others?.size === 0) this.ofTable.delete(shadow.gfn);
    }
    this.heap.release(shadow.frame);
  }

  private remember(shadow: Shadow): void {
    this.known.set(keyOf(shadow), shadow);
    this.byFrame.set(shadow.frame, shadow);
    if (shadow.gfn >= 0) add(this.ofTable, shadow.gfn, shadow);
  }

  private write(shadow: Shadow, index: number, frame: number, flagsLo: number, flagsHi: number): void {
    const { cost, memory } = this;
    cost.run(cost.compile(SHADOW_SET_ENTRY));
    const at = cost.access(shadow.frame, 8 * index, 8, true) >> 2;
    const { i32 } = memory.arena;
    i32[at] = entryLo(frame, flagsLo);
    i32[at + 1] = entryHi(frame, flagsHi);
  }
}

/** Entries of a shadow that an entry of its guest table is in. */
function placesOf({ level, part }: Shadow, entry: number, narrow: boolean): readonly number[] {
  if (!narrow) return [entry];
  // 1024 entries of 4 MiB in four shadows, or of 4 KiB in two.
  if (level === 2) return entry >> 8 === part ? [2 * (entry & 255), 2 * (entry & 255) + 1] : [];
  return entry >> 9 === part ? [entry & 511] : [];
}

function keyOf({ level, gfn, part, base, flags }: ShadowOf): string {
  return `${level}:${gfn}:${part}:${base}:${flags}`;
}

function frameIn(i32: Int32Array, at: number): number {
  return frameOf(i32[at], i32[at + 1]);
}

function add<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}
