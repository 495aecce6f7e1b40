import {
  type ModificationLog,
  PagingMode,
  type PhysicalMemory,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { TABLE_BASE } from "../machine.js";

/** Small numbers in a row from one seed (mulberry32). */
export class Draw {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 0;
  }
  /** 0 to `count` - 1. */
  below(count: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * count);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }
}

/** A table of the guest's. */
interface Table {
  /** Machine addresses of its copies, one under each second stage. */
  readonly copies: readonly number[];
  readonly level: number;
  /** Indices of the entries that accesses use. */
  readonly used: readonly number[];
}

/** A table of a second stage. */
interface StageTable {
  readonly address: number;
  readonly level: number;
  /** First guest frame that it is for. */
  readonly base: number;
  /** From guest frames to machine frames, where the entries are as they should be. */
  readonly shift: number;
  readonly below: readonly StageTable[];
}

function entriesUsed({ level, below }: StageTable): number {
  return level === 1 ? 4 : below.length;
}

/** Guest frames that everything happens in: sixteen, spread over four 2 MiB pages of two 1 GiB pages. */
const FRAMES: readonly number[] = Array.from(
  { length: 16 },
  (_, i) => ((i & 1) << 18) | (((i >> 1) & 1) << 9) | (i >> 2),
);
const SPANS = [0, 1, 512, 2 ** 18];
const SHIFTS = [0x80000, 0x100000];
const KEY_SHIFT = 59n;

/** One in so many entries is damaged in one bit: reserved ones, memory types, addresses far away, rights. */
const DAMAGE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 20, 21, 30, 38, 40, 48, 51, 52, 59, 62, 63];

/**
 * A machine with random table trees: a guest format, a second stage or none, several address spaces over them, all
 * page sizes mixed, shared and self-containing tables, rights, keys, flags and reserved bits at random.
 */
export class World {
  readonly contexts: readonly TranslationContext[];
  readonly log: ModificationLog | undefined;
  /** Every entry that an access may use, by machine address; 4 or 8 bytes wide. */
  readonly entries: Map<number, number> = new Map();
  readonly paging: number;
  readonly stage: "none" | "npt" | "ept";
  private readonly memory: PhysicalMemory;
  private readonly draw: Draw;
  private readonly guestTables: Table[] = [];
  private readonly stageTables: StageTable[] = [];
  private nextTable = TABLE_BASE;
  private readonly stageLevels: 4 | 5;
  private readonly modeBased: boolean;

  constructor(memory: PhysicalMemory, contexts: readonly TranslationContext[], draw: Draw) {
    this.memory = memory;
    this.contexts = contexts;
    this.draw = draw;
    this.paging = draw.of([0, 2, 3, 4, 4, 4, 5]);
    this.stage = draw.of(["none", "npt", "ept", "ept"]);
    this.stageLevels = draw.of([4, 4, 5]);
    this.modeBased = draw.chance(30);
    const accessDirty = draw.chance(60);
    if (this.stage === "ept" && accessDirty && draw.chance(40))
      this.log = { frame: TABLE_BASE + 0x100, index: draw.of([511, 20, 3, 0, 0xffff]) };
    const stages = this.stage === "none" ? [0] : SHIFTS;
    const stageRoots = this.stage === "none" ? [] : SHIFTS.map((shift) => this.buildStage(shift));
    const roots = this.buildGuest(stages);
    const width = draw.of([52, 48, 36]);
    for (const c of contexts) {
      c.paging = this.paging;
      const root = draw.of(roots);
      c.rootFrame = root;
      // PAE has four roots in registers, of which one is absent.
      for (let i = 0; i < 4; i++) c.pdpte[i] = i === 2 ? 0 : draw.of(roots) * 4096 + 1;
      c.asid = this.stage === "npt" ? 1 + draw.below(2) : draw.below(3);
      c.pcid = this.paging >= 4 ? draw.below(2) : 0;
      c.physicalAddressBits = width;
      c.secondStage = null;
      if (stageRoots.length > 0) {
        const tag = draw.below(2);
        c.secondStage = {
          format: this.stage as "npt" | "ept",
          rootFrame: stageRoots[tag],
          levels: this.stageLevels,
          tag: this.stage === "ept" ? tag : 0,
          accessDirty,
          modeBasedExecute: this.modeBased,
          modificationLog: this.log ?? null,
        };
      }
      this.control(c);
    }
  }

  /** Control bits, keys and privilege at random. */
  control(c: TranslationContext): void {
    const { draw } = this;
    c.wp = draw.chance(50);
    c.pse = draw.chance(70);
    c.smep = draw.chance(40);
    c.smap = draw.chance(30);
    c.nxe = draw.chance(70);
    c.globalPages = draw.chance(70);
    c.pke = draw.chance(40);
    c.pks = draw.chance(40);
    c.pkru = draw.of([0, 0b1110_0100, 0x55555554, 0xaaaaaaaa | 0]);
    c.pkrs = draw.of([0, 0b1110_0100, 0x55555554, 0xaaaaaaaa | 0]);
    c.user = draw.chance(40);
    c.ac = draw.chance(30);
  }

  /** An address that the tables' used indices translate. */
  address(pick: number): bigint {
    const { paging } = this;
    const offset = BigInt((pick >>> 20) & 0xff8);
    if (paging === PagingMode.None) return (BigInt(FRAMES[pick & 15]) << 12n) | offset;
    let linear = 0n;
    const levels = paging === PagingMode.Pae ? 3 : paging;
    const bits = paging === PagingMode.Legacy ? 10 : 9;
    for (let level = 1; level <= levels; level++) {
      const used = this.used(level);
      const index = used[(pick >>> (2 * level)) % used.length];
      linear |= BigInt(index) << BigInt(12 + bits * (level - 1));
    }
    if (paging >= 4) linear = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * paging, linear));
    return linear | offset;
  }

  /** Rewrites one entry that is in use, of the guest (`pick` even) or of a second stage. */
  edit(pick: number): void {
    const which = pick >>> 1;
    if ((pick & 1) === 0 || this.stageTables.length === 0) {
      if (this.guestTables.length === 0) return;
      const table = this.guestTables[which % this.guestTables.length];
      this.writeGuest(table, table.used[(which >>> 5) % table.used.length], false);
    } else {
      const table = this.stageTables[which % this.stageTables.length];
      this.writeStage(table, (which >>> 5) % entriesUsed(table), false);
    }
  }

  private used(level: number): readonly number[] {
    const { paging } = this;
    if (level === 1) return [0, 1, 2, 3];
    if (paging === PagingMode.Legacy) return [0, 1023];
    if (paging === PagingMode.Pae) return level === 3 ? [0, 1, 2, 3] : [0, 1];
    // The top level's second index is in the upper half of the address space.
    return level === paging ? [0, 511] : [0, 1];
  }

  /** @returns guest frames of the root tables */
  private buildGuest(shifts: readonly number[]): number[] {
    const { paging } = this;
    if (paging === PagingMode.None) return [0];
    const levels = paging === PagingMode.Pae ? 2 : paging;
    let next = 0;
    for (let level = 1; level <= levels; level++)
      for (let i = 0; i < (level === 1 ? 4 : 2); i++) {
        const gfn = FRAMES[next++];
        this.guestTables.push({
          copies: shifts.map((shift) => (gfn + shift) * 4096),
          level,
          used: this.used(level),
        });
      }
    for (const table of this.guestTables) for (const index of table.used) this.writeGuest(table, index, true);
    return this.guestTables.filter((t) => t.level === levels).map((t) => this.gfnOf(t));
  }

  private gfnOf(table: Table): number {
    return table.copies[0] / 4096 - (this.stage === "none" ? 0 : SHIFTS[0]);
  }

  private writeGuest(table: Table, index: number, first: boolean): void {
    const { draw, paging } = this;
    const { level } = table;
    const legacy = paging === PagingMode.Legacy;
    const leaf = level === 1 || (level <= (paging >= 4 ? 3 : 2) && draw.chance(25));
    let entry = draw.chance(first ? 95 : 80) ? 1n : 0n;
    if (draw.chance(85)) entry |= 2n;
    if (draw.chance(75)) entry |= 4n;
    if (draw.chance(50)) entry |= 0x20n;
    if (draw.chance(50)) entry |= 0x40n;
    if (leaf && draw.chance(40)) entry |= 0x100n;
    if (leaf && level > 1) entry |= 0x80n;
    if (!legacy && draw.chance(8)) entry |= 1n << 63n;
    if (leaf && paging >= 4 && draw.chance(40)) entry |= BigInt(draw.below(4)) << KEY_SHIFT;
    let frame: number;
    if (leaf) {
      const span = legacy && level === 2 ? 1024 : SPANS[level];
      frame = draw.of(FRAMES);
      frame -= frame % span;
    } else frame = this.gfnOf(draw.of(this.guestTables.filter((t) => t.level === level - 1)));
    // Now and then any frame: a page as a table, a table that contains itself.
    if (!leaf && draw.chance(4)) frame = draw.of(FRAMES);
    entry |= BigInt(frame) << 12n;
    if (draw.chance(4)) entry ^= 1n << BigInt(draw.of(DAMAGE));
    for (const copy of table.copies) this.write(copy + index * (legacy ? 4 : 8), entry, legacy ? 4 : 8);
  }

  /** A second stage that maps FRAMES to themselves + `shift`. @returns its root frame */
  private buildStage(shift: number): number {
    const made: StageTable[] = [];
    const make = (level: number, base: number, below: readonly StageTable[]): StageTable => {
      const table = { address: this.nextTable++ * 4096, level, base, shift, below };
      made.push(table);
      return table;
    };
    const directories = [0, 2 ** 18].map((base) =>
      make(
        2,
        base,
        [base, base + 512].map((first) => make(1, first, [])),
      ),
    );
    let root = make(3, 0, directories);
    for (let level = 4; level <= this.stageLevels; level++) root = make(level, 0, [root]);
    this.stageTables.push(...made);
    for (const table of made)
      for (let index = 0; index < entriesUsed(table); index++) this.writeStage(table, index, true);
    return root.address / 4096;
  }

  private writeStage(table: StageTable, index: number, first: boolean): void {
    const { draw, stage } = this;
    const { level, shift, base, below } = table;
    const leaf = level === 1 || (level <= 3 && draw.chance(30));
    let frame: number;
    if (leaf) {
      frame = shift + base + index * SPANS[level];
      if (draw.chance(first ? 3 : 25)) frame = shift + draw.of(FRAMES);
      frame -= frame % SPANS[level];
    } else frame = below[index].address / 4096;
    let entry = BigInt(frame) << 12n;
    if (stage === "ept") {
      const r = draw.chance(first ? 96 : 85);
      if (r) entry |= 1n;
      if (r && draw.chance(leaf ? 80 : 95)) entry |= 2n;
      if (draw.chance(leaf ? 80 : 95)) entry |= 4n;
      if (draw.chance(leaf ? 70 : 90)) entry |= 0x400n;
      if (leaf) entry |= 0x30n | (level > 1 ? 0x80n : 0n);
      if (draw.chance(40)) entry |= 0x100n;
      if (leaf && draw.chance(40)) entry |= 0x200n;
    } else {
      if (draw.chance(first ? 97 : 85)) entry |= 1n;
      if (draw.chance(leaf ? 85 : 97)) entry |= 2n;
      if (draw.chance(97)) entry |= 4n;
      if (draw.chance(40)) entry |= 0x20n;
      if (leaf && draw.chance(40)) entry |= 0x40n;
      if (leaf && level > 1) entry |= 0x80n;
      if (draw.chance(6)) entry |= 1n << 63n;
    }
    if (draw.chance(first ? 2 : 6)) entry ^= 1n << BigInt(draw.of(DAMAGE));
    this.write(table.address + index * 8, entry, 8);
  }

  private write(address: number, entry: bigint, width: number): void {
    const { memory } = this;
    memory.writeU32(address, Number(entry & 0xffffffffn));
    if (width === 8) memory.writeU32(address + 4, Number(entry >> 32n));
    this.entries.set(address, width);
  }
}

/** MAXPHYADDR of the processors that worlds run on. */
export const HOST_WIDTH = 48;
