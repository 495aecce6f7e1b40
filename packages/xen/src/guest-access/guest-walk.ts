import { Flag, State } from "@hyperwalk/cpu";
import { frameOf, PageFaultCode, type PhysicalMemory, reservedAddressBits, tableIndex } from "@hyperwalk/mmu";
import type { GuestRegisters } from "../host/guest-registers.js";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { P2m } from "../p2m.js";
import { Phase } from "../path-cost/phases.js";
import type { Stage } from "../path-cost/stage.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import {
  GUEST_WALK_FIVE_LEVELS,
  GUEST_WALK_UNPAGED,
  GUEST_WALKS,
  GUEST_WALKS_ENDED,
  SET_AD_BITS,
} from "../path-cost/stages/guest-copy.js";

const CR0_PG = 1 << 31;
const CR0_WP = 1 << 16;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;
const CR4_LA57 = 0x1000;
const CR4_SMAP = 1 << 21;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const SUPERPAGE = 0x80;
const MAX_LEVELS = 5;
/** Frames below 2^31 only: a larger one is beyond any p2m here, and -1 would be ambiguous. */
const NO_FRAME = -1;

/** Guest memory as a walk reaches it: by guest frame, with a reference while it is used. */
export type WalkedMemory = Pick<P2m, "lookup" | "putPage" | "askPager" | "writeLog" | "translate"> &
  Partial<Pick<P2m, "ownership">>;

/** What walks cost. */
export interface GuestWalkStages {
  /** By entries read, 0 to 4. */
  readonly walks: readonly Stage[];
  /** The same for those that end at an entry that is not present or has reserved bits, from 1 entry on. */
  readonly ended: readonly Stage[];
  readonly fiveLevels: Stage;
  readonly unpaged: Stage;
  readonly setBits: Stage;
}

const XEN_STAGES: GuestWalkStages = {
  walks: GUEST_WALKS,
  ended: GUEST_WALKS_ENDED,
  fiveLevels: GUEST_WALK_FIVE_LEVELS,
  unpaged: GUEST_WALK_UNPAGED,
  setBits: SET_AD_BITS,
};

/** What a walk follows: CR0, CR3, CR4 and EFER at their places in the state words, and RFLAGS. */
export type WalkRegisters = Pick<GuestRegisters, "words" | "rflags">;

/**
 * Xen's software walk of a guest's page tables (`guest_walk_tables_{2,3,4}_levels` through
 * `hap_p2m_ga_to_gfn_*_levels`) with the access rights of CPL 0, or where an emulator asks
 * of CPL 3: look-up of the CR3 frame, then at each level one guest
 * entry and a look-up of the table below, at the end a look-up of the result. Nothing is cached between two walks.
 *
 * A guest with five levels, which Xen does not let a guest have (its CPUID policy hides LA57), is walked in the same way
 * with one level more.
 */
export class GuestWalker {
  /** After a failed {@link walk}: the page-fault error code that Xen computed (`pfec`). */
  errorCode = 0;
  /** Walks have the rights of guest code at CPL 3, and not those of CPL 0. */
  user = false;
  protected readonly p2m: WalkedMemory;
  private readonly stages: GuestWalkStages;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly memory: PhysicalMemory;
  private readonly registers: WalkRegisters;
  /** Bits of an entry's high word beyond the guest's MAXPHYADDR. */
  private readonly reservedHi: number;
  private readonly phase: number;
  /** By entries read. */
  private readonly walkStages: readonly number[];
  private readonly unpagedStage: number;
  private readonly setBitsStage: number;
  // The path walked, from the root: machine frame of each table, byte offset of the entry, its index in the arena.
  private readonly tables = new Int32Array(MAX_LEVELS + 1);
  private readonly tableGfns = new Float64Array(MAX_LEVELS + 1);
  private readonly offsets = new Int32Array(MAX_LEVELS + 1);
  private readonly entries = new Int32Array(MAX_LEVELS + 1);
  private depth = 0;
  /** An entry was not present or had reserved bits: rights and flags were not looked at. */
  private ended = false;
  // Rights so far: AND of writable and user over the levels; execution does not matter for data.
  private rights = 0;

  /** @param physicalAddressBits MAXPHYADDR that the guest's CPUID reports @param stages default Xen's */
  constructor(
    p2m: WalkedMemory,
    cost: StagePathCost,
    counters: HypervisorCounters,
    memory: PhysicalMemory,
    registers: WalkRegisters,
    physicalAddressBits: number,
    stages: GuestWalkStages = XEN_STAGES,
  ) {
    this.stages = stages;
    this.p2m = p2m;
    this.cost = cost;
    this.counters = counters;
    this.memory = memory;
    this.registers = registers;
    this.reservedHi = reservedAddressBits(physicalAddressBits);
    this.phase = cost.phase(Phase.GuestWalk);
    this.walkStages = stages.walks.map((stage) => cost.compile(stage));
    this.unpagedStage = cost.compile(stages.unpaged);
    this.setBitsStage = cost.compile(stages.setBits);
  }

  /** @returns the guest frame of a linear address, or -1 with {@link errorCode} */
  walk(lo: number, hi: number, write: boolean): number {
    const { cost, registers } = this;
    const words = registers.words;
    cost.enter(this.phase);
    let gfn: number;
    if ((words[State.Cr0] & CR0_PG) === 0) {
      cost.run(this.unpagedStage);
      gfn = lo >>> 12;
    } else {
      this.depth = 0;
      this.rights = WRITABLE | USER;
      this.ended = false;
      this.errorCode = (write ? PageFaultCode.Write : 0) | (this.user ? PageFaultCode.User : 0);
      const cr4 = words[State.Cr4];
      if ((words[State.EferLo] & EFER_LMA) !== 0)
        gfn = this.walkLong(lo, hi, write, (cr4 & CR4_LA57) !== 0 ? 5 : 4);
      else if ((cr4 & CR4_PAE) !== 0) gfn = this.walkPae(lo, write);
      else gfn = this.walkLegacy(lo, write, (cr4 & CR4_PSE) !== 0);
      const { depth } = this;
      cost.run(this.stageOf(depth));
      for (let i = 0; i < this.depth; i++) if (this.tables[i] >= 0) this.releaseTable(this.tables[i], i);
      // hap_p2m_ga_to_gfn looks the result up once more to report paged-out and shared pages.
      if (gfn >= 0) gfn = this.confirm(gfn);
    }
    cost.leave();
    return gfn;
  }

  private walkLong(lo: number, hi: number, write: boolean, levels: number): number {
    const words = this.registers.words;
    const upper = hi >> (levels === 5 ? 24 : 15); // bits 63:56, 63:47
    if (upper !== 0 && upper !== -1) return this.fail(0);
    let table = frameOf(words[State.Cr3Lo], words[State.Cr3Hi]);
    for (let level = levels; level >= 1; level--) {
      const at = this.readEntry(table, tableIndex(lo, hi, level) << 3, 8);
      if (at < 0) return NO_FRAME;
      const { i32 } = this.memory.arena;
      const entryLo = i32[at];
      const entryHi = i32[at + 1];
      const leaf = level === 1 || (entryLo & SUPERPAGE) !== 0;
      if (!this.accept(entryLo, entryHi, level >= 4 ? SUPERPAGE : leaf ? alignmentMask(level) : 0))
        return NO_FRAME;
      table = frameOf(entryLo, entryHi);
      if (leaf) return this.finish(table, lo, level, write);
    }
    return NO_FRAME;
  }

  private walkPae(lo: number, write: boolean): number {
    const words = this.registers.words;
    // The PDPTE comes from the page at CR3, which takes a look-up like any other table.
    const top = this.readEntry(
      frameOf(words[State.Cr3Lo], 0),
      (words[State.Cr3Lo] & 0xfe0) | ((lo >>> 30) << 3),
      8,
    );
    if (top < 0) return NO_FRAME;
    const topLo = this.memory.arena.i32[top];
    const topHi = this.memory.arena.i32[top + 1];
    if ((topLo & PRESENT) === 0) return this.fail(0);
    if ((topLo & 0x1e6) !== 0 || (topHi & (0xfff00000 | this.reservedHi)) !== 0)
      return this.fail(PageFaultCode.Reserved);
    let table = frameOf(topLo, topHi);
    for (let level = 2; level >= 1; level--) {
      const at = this.readEntry(table, ((lo >>> (level === 2 ? 21 : 12)) & 511) << 3, 8);
      if (at < 0) return NO_FRAME;
      const entryLo = this.memory.arena.i32[at];
      const entryHi = this.memory.arena.i32[at + 1];
      const leaf = level === 1 || (entryLo & SUPERPAGE) !== 0;
      if (!this.accept(entryLo, entryHi, leaf ? alignmentMask(level) : 0)) return NO_FRAME;
      if ((entryHi & 0x7ff00000) !== 0) return this.fail(PageFaultCode.Reserved);
      table = frameOf(entryLo, entryHi);
      if (leaf) return this.finish(table, lo, level, write);
    }
    return NO_FRAME;
  }

  private walkLegacy(lo: number, write: boolean, pse: boolean): number {
    const words = this.registers.words;
    let table = frameOf(words[State.Cr3Lo], 0);
    for (let level = 2; level >= 1; level--) {
      const at = this.readEntry(table, ((lo >>> (level === 2 ? 22 : 12)) & 1023) << 2, 4);
      if (at < 0) return NO_FRAME;
      const entry = this.memory.arena.i32[at];
      const large = level === 2 && pse && (entry & SUPERPAGE) !== 0;
      if (!this.accept(entry, 0, large ? 1 << 21 : 0)) return NO_FRAME;
      if (large) {
        const gfn = (entry >>> 22) * 1024 + ((entry >>> 13) & 0xff) * 0x100000; // PSE-36
        return this.checkRights(write) && this.setBits(write, 4) ? gfn + ((lo >>> 12) & 1023) : NO_FRAME;
      }
      table = entry >>> 12;
      if (level === 1) return this.checkRights(write) && this.setBits(write, 4) ? table : NO_FRAME;
    }
    return NO_FRAME;
  }

  private stageOf(depth: number): number {
    const { cost, stages } = this;
    if (this.ended && depth > 0 && depth <= stages.ended.length) return cost.compile(stages.ended[depth - 1]);
    return depth === MAX_LEVELS ? cost.compile(stages.fiveLevels) : this.walkStages[depth];
  }

  /** Looks up and reads one table; remembers it. @returns index of the entry's low word in the arena, or -1 */
  private readEntry(table: number, offset: number, bytes: number): number {
    const mfn = this.lookupTable(table, this.depth);
    if (mfn < 0) {
      this.p2m.askPager(table);
      return this.fail(0);
    }
    const at = this.cost.access(mfn, offset, bytes, false) >> 2;
    const { depth } = this;
    this.tables[depth] = mfn;
    this.tableGfns[depth] = table;
    this.offsets[depth] = offset;
    this.entries[depth] = at;
    this.depth = depth + 1;
    this.counters.guestPteReads++;
    return at;
  }

  /** Present, reserved bits; collects the rights. @param mustBeClear further reserved bits of the low word */
  private accept(lo: number, hi: number, mustBeClear: number): boolean {
    if ((lo & PRESENT) === 0) return this.end(0);
    const noExecute = (this.registers.words[State.EferLo] & EFER_NXE) === 0 && hi < 0;
    if ((lo & mustBeClear) !== 0 || (hi & this.reservedHi) !== 0 || noExecute)
      return this.end(PageFaultCode.Present | PageFaultCode.Reserved);
    this.rights &= lo;
    return true;
  }

  private finish(base: number, lo: number, level: number, write: boolean): number {
    if (!this.checkRights(write) || !this.setBits(write, 8)) return NO_FRAME;
    if (level === 1) return base;
    const within = level === 2 ? 0x1ff : 0x3ffff;
    return base - (base & within) + ((lo >>> 12) & within);
  }

  /** CPL 3: what it may have and write. CPL 0: write protection by CR0.WP, user pages by SMAP unless EFLAGS.AC. */
  private checkRights(write: boolean): boolean {
    const { registers, rights } = this;
    const words = registers.words;
    if (this.user) {
      const wanted = write ? USER | WRITABLE : USER;
      return (rights & wanted) === wanted || this.fail(PageFaultCode.Present) === 0;
    }
    if (write && (rights & WRITABLE) === 0 && (words[State.Cr0] & CR0_WP) !== 0)
      return this.fail(PageFaultCode.Present) === 0;
    if ((rights & USER) !== 0 && (words[State.Cr4] & CR4_SMAP) !== 0 && (registers.rflags & Flag.Ac) === 0)
      return this.fail(PageFaultCode.Present) === 0;
    return true;
  }

  /** Accessed everywhere, dirty at the leaf of a write: only once the walk has succeeded, by LOCK CMPXCHG. */
  private setBits(write: boolean, entryBytes: number): boolean {
    const { cost, depth } = this;
    // PAE's PDPTEs have neither bit.
    const words = this.registers.words;
    const first = entryBytes === 8 && (words[State.EferLo] & EFER_LMA) === 0 ? 1 : 0;
    for (let i = first; i < depth; i++) {
      const wanted = i === depth - 1 && write ? ACCESSED | DIRTY : ACCESSED;
      if ((this.memory.arena.i32[this.entries[i]] & wanted) === wanted) continue;
      if (this.p2m.ownership?.mayWrite(this.tables[i]) === false) return this.fail(0) === 0;
      this.counters.accessedDirtyUpdates++;
      cost.run(this.setBitsStage);
      this.p2m.writeLog?.mark(this.tableGfns[i], cost);
      this.memory.arena.i32[cost.access(this.tables[i], this.offsets[i], entryBytes, true) >> 2] |= wanted;
    }
    return true;
  }

  /** Machine frame of a table, at this depth below the root. */
  protected lookupTable(gfn: number, _depth: number): number {
    return this.p2m.lookup(gfn);
  }

  protected releaseTable(mfn: number, _depth: number): void {
    this.p2m.putPage(mfn);
  }

  /** The result, once it is known to be there. */
  protected confirm(gfn: number): number {
    const mfn = this.p2m.lookup(gfn);
    if (mfn < 0) {
      this.p2m.askPager(gfn);
      this.errorCode = 0;
      return NO_FRAME;
    }
    this.p2m.putPage(mfn);
    return gfn;
  }

  private end(code: number): boolean {
    this.ended = true;
    return this.fail(code) === 0;
  }

  private fail(code: number): number {
    this.errorCode |= code;
    return NO_FRAME;
  }
}

/** Address bits of a superpage entry that must be clear (bit 12 is PAT). */
function alignmentMask(level: number): number {
  return level === 2 ? 0x1fe000 : level === 3 ? 0x3fffe000 : 0;
}
