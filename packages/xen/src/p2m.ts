import {
  Ept,
  EptTables,
  entryHi,
  entryLo,
  FRAME_BYTES,
  frameOf,
  NptTables,
  type PageSizeName,
  type PhysicalMemory,
  Pte,
  type SecondStage,
} from "@hyperwalk/mmu";
import type { FrameAllocator } from "./frame-allocator.js";
import { COUNT_INFO, type FrameTable, PAGE_INFO_BYTES } from "./host/frame-table.js";
import { LockMode, type SimulatedLock } from "./host/simulated-lock.js";
import type { HypervisorCounters } from "./hypervisor-counters.js";
import { isAnyRamType, isGrantMapping, P2mRights, P2mType, rightsOf } from "./p2m-type.js";
import type { PageOwnership } from "./page-ownership.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { Phase } from "./path-cost/phases.js";
import type { StagePathCost } from "./path-cost/stage-path-cost.js";
import { P2M_FOUND, P2M_MISSED, P2M_SET_ENTRY } from "./path-cost/stages/p2m.js";
import { P2M_GET_GFN, P2M_SHATTER } from "./path-cost/stages/p2m-conditions.js";

const LEVELS = 4;
const PER_TABLE = 512;
const SUPERPAGE = 0x80;
const TYPE_MASK = 0x3f;
/** Bits 63:52 of an entry, in its high word, in both formats. */
const TYPE_SHIFT = 20;
/** Bit 63 of an NPT entry, as attributes have it. */
const NPT_NO_EXECUTE = 1 << 31;

/** A range of guest frames. */
export interface GfnRange {
  readonly first: number;
  readonly count: number;
}

export interface P2mOptions {
  readonly memory: PhysicalMemory;
  readonly format: "npt" | "ept";
  /** Largest leaf; what is not aligned to it gets smaller ones. */
  readonly page: PageSizeName;
  /** Guest RAM; frame n is backed by machine frame `guestFirst + n`. */
  readonly ram: readonly GfnRange[];
  readonly guestFirst: number;
  /** Machine frames for tables; its range is declared as RAM here. */
  readonly pool: FrameAllocator;
  readonly frameTable: FrameTable;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  /** Superpages may be executed from (EPT); default true. */
  readonly execSp?: boolean | undefined;
}

/** Puts in order what a look-up found that is no memory yet: the slow path of `p2m_get_page_from_gfn`. */
export interface P2mFixups {
  /** @returns whether the frame may be looked up again: it was shared or to be populated, and is memory of its own now */
  fixUp(gfn: number, type: number, cost: PathCost): boolean;
  /** A walk of the guest's tables met a frame that is paged out. */
  requestPageIn(gfn: number, cost: PathCost): void;
}

/** Is told of frames that Xen writes to on a guest's behalf. */
export interface WriteLog {
  mark(gfn: number, cost: PathCost): void;
}

/** How many leaves of each size a p2m has. */
export interface LeafCounts {
  readonly "4k": number;
  readonly "2m": number;
  readonly "1g": number;
}

/**
 * Guest frame → machine frame, in real NPT or EPT tables: the very ones that the hardware walks (Xen:
 * `arch/x86/mm/p2m*.c`). Level-1 tables of ordinary RAM are filled when something first touches them, so that a large
 * guest with 4 KiB leaves costs only what it uses.
 *
 * {@link lookup} is what Xen does and is priced; everything else edits or reads the tables without cost.
 */
export class P2m {
  readonly format: "npt" | "ept";
  readonly rootFrame: number;
  /** For `TranslationContext.secondStage`. */
  readonly secondStage: SecondStage;
  /** Largest guest frame that was ever mapped (`max_mapped_pfn`). */
  maxMappedGfn = 0;
  /** After a {@link lookup}: the entry's {@link P2mType}. */
  type: number = P2mType.Invalid;
  /** Told after an entry changed, so that cached translations can be invalidated. */
  onChange: (() => void) | undefined;
  /** Told a frame of the domain's that it gave back and that nobody holds a reference on any more. */
  onFree: ((mfn: number) => void) | undefined;
  /** Takes care of shared, paged-out and unpopulated frames; default they stay what they are. */
  fixups: P2mFixups | undefined;
  /** Set where pages may be the guest's alone (SEV-SNP). */
  ownership: PageOwnership | undefined;
  /** Its reader-writer lock, where several processors run the domain. */
  lock: SimulatedLock | undefined;
  /** Set while log-dirty mode is on. */
  writeLog: WriteLog | undefined;
  /** Type of ordinary RAM: {@link P2mType.RamRw}, or RamLogdirty in log-dirty mode. */
  private ramType: number = P2mType.RamRw;
  /** Pages of 4 KiB are writable in log-dirty mode, because the processor logs what is written (PML). */
  private logsWrites = false;
  private readonly execSp: boolean;
  private readonly lazyFirst: number;
  private readonly lazyEnd: number;
  /** High word of the entry that {@link frameOf} found. */
  private entryHi = 0;
  /** Entries that the latest {@link walk} read. */
  private reads = 0;
  private readonly ram: P2mOptions["ram"];
  private readonly guestFirst: number;
  private readonly tables: NptTables | EptTables;
  private readonly memory: PhysicalMemory;
  private readonly frameTable: FrameTable;
  private cost: StagePathCost;
  private counters: HypervisorCounters;
  private readonly presentMask: number;
  private readonly phase: number;
  /** By entries read: a look-up that found a page. */
  private readonly foundStages: readonly number[];
  private readonly missedStages: readonly number[];
  private readonly setEntryStage: number;

  constructor(options: P2mOptions) {
    const { memory, format, pool, cost } = options;
    this.format = format;
    this.memory = memory;
    this.ram = options.ram;
    this.guestFirst = options.guestFirst;
    this.frameTable = options.frameTable;
    this.frameTable.addOwner(this);
    this.cost = cost;
    this.counters = options.counters;
    this.execSp = options.execSp ?? true;
    this.presentMask = format === "npt" ? Pte.Present : Ept.All;
    const last = options.ram[options.ram.length - 1];
    const lazyTables = Math.ceil((last.first + last.count) / PER_TABLE);
    const lazyFirst = pool.allocate(lazyTables);
    this.lazyFirst = lazyFirst;
    this.lazyEnd = lazyFirst + lazyTables;
    this.declarePool(options, lazyFirst, lazyTables);
    const Tables = format === "npt" ? NptTables : EptTables;
    this.tables = new Tables({
      memory,
      allocate: () => pool.allocate(),
      release: (frame) => {
        if (frame >= lazyFirst + lazyTables) pool.release(frame);
      },
    });
    this.rootFrame = this.tables.rootFrame;
    this.secondStage = { format, rootFrame: this.rootFrame, levels: LEVELS, tag: 0, accessDirty: false };
    for (const range of options.ram) this.populate(range, options, lazyFirst);
    this.phase = cost.phase(Phase.P2mLookup);
    this.foundStages = P2M_FOUND.map((stage) => cost.compile(stage));
    this.missedStages = P2M_MISSED.map((stage) => cost.compile(stage));
    this.setEntryStage = cost.compile(P2M_SET_ENTRY);
  }

  /** From now on another processor makes the look-ups, and pays for them. Its stages and phases have the same numbers. */
  runOn(cost: StagePathCost, counters: HypervisorCounters): void {
    this.cost = cost;
    this.counters = counters;
  }

  /**
   * `p2m_get_page_from_gfn`: read lock, table walk through the caches, a reference on the page.
   * @returns the machine frame, referenced until {@link putPage}; -1 for a hole ({@link type} says what it is)
   */
  lookup(gfn: number): number {
    const { cost, counters } = this;
    counters.p2mLookups++;
    cost.enter(this.phase);
    if (this.lock !== undefined) this.lock.acquire(LockMode.Shared);
    const mfn = this.walk(gfn);
    const { reads } = this;
    counters.p2mTableReads += reads;
    let found = mfn;
    if (mfn >= 0 && this.type === P2mType.RamRw) this.refer(mfn);
    else if (mfn < 0 && this.type === P2mType.Invalid) cost.run(this.missedStages[reads]);
    else found = this.lookupOther(gfn, mfn);
    if (this.lock !== undefined) this.lock.release();
    cost.leave();
    return found;
  }

  /** {@link lookup} of a page that Xen is to write to; -1 as well for one that an SNP guest owns. */
  lookupForWriting(gfn: number): number {
    const mfn = this.lookup(gfn);
    if (mfn < 0 || this.ownership === undefined || this.ownership.mayWrite(mfn)) return mfn;
    this.putPage(mfn);
    return -1;
  }

  private refer(mfn: number): void {
    this.counters.pageReferences++;
    const at = this.pageInfo(mfn);
    this.cost.run(this.foundStages[this.reads]);
    this.memory.arena.i32[at >> 2]++;
  }

  /** What is not ordinary RAM: no page, or the p2m is locked for writing while something is done about it. */
  private lookupOther(gfn: number, mfn: number): number {
    const { cost, fixups } = this;
    // A granted frame is another domain's: get_page fails.
    const isTaken = isAnyRamType(this.type) && this.type !== P2mType.RamShared && !isGrantMapping(this.type);
    if (mfn >= 0 && isTaken) {
      this.refer(mfn);
      return mfn;
    }
    cost.run(this.missedStages[this.reads]);
    const { type } = this;
    const isFixable = type === P2mType.RamShared || type === P2mType.PopulateOnDemand;
    if (!isFixable && type !== P2mType.RamPaged && type !== P2mType.RamPagingIn) return -1;
    this.lock?.release();
    this.lock?.acquire(LockMode.Exclusive);
    cost.run(cost.compile(P2M_GET_GFN));
    if (!isFixable || fixups === undefined || !fixups.fixUp(gfn, type, cost)) return -1;
    const own = this.walk(gfn);
    this.counters.p2mTableReads += this.reads;
    if (own >= 0) this.refer(own);
    return own;
  }

  /** `put_page`: drops the reference that {@link lookup} took, and whose instructions that charged already. */
  putPage(mfn: number): void {
    const { cost } = this;
    cost.enter(this.phase);
    const at = this.pageInfo(mfn) >> 2;
    const left = --this.memory.arena.i32[at];
    cost.leave();
    if (left === 0) this.frameTable.free(mfn);
  }

  /** {@link lookup}; without a cost the same for free, for those who are not simulated. */
  getPage(gfn: number, cost: PathCost | undefined): number {
    if (cost !== undefined) return this.lookup(gfn);
    const mfn = this.translate(gfn);
    this.type = this.typeAt(gfn);
    if (mfn < 0 || isGrantMapping(this.type)) return -1;
    this.frameTable.addReferences(mfn, 1);
    return mfn;
  }

  /** {@link putPage} of a frame of any domain; without a cost for free. */
  dropPage(mfn: number, cost: PathCost | undefined): void {
    if (cost !== undefined) this.putPage(mfn);
    else this.frameTable.addReferences(mfn, -1);
  }

  /** One more reference on a frame that has one, of any domain's. */
  takePage(mfn: number, cost: PathCost | undefined): void {
    if (cost === undefined) this.frameTable.addReferences(mfn, 1);
    else this.memory.arena.i32[this.pageInfo(mfn) >> 2]++;
  }

  /** Machine frame of a guest frame that the guest can reach, or -1: no cost, no reference. */
  translate(gfn: number): number {
    return gfn <= this.maxMappedGfn && this.tables.find(gfn) > 0 ? this.tables.foundFrame : -1;
  }

  /** Whether a machine frame is one of those that the domain was built with. */
  isRam(mfn: number): boolean {
    return this.ram.some(({ first, count }) => {
      const at = mfn - this.guestFirst - first;
      return at >= 0 && at < count;
    });
  }

  /** `put_page_alloc_ref`: the domain gives a frame back, which is free once nobody has a reference on it. */
  releasePage(mfn: number): void {
    this.frameTable.release(mfn);
  }

  /** A free frame is the domain's again. */
  allocatePage(mfn: number): void {
    this.frameTable.allocate(mfn);
  }

  /** Leaf level of a guest frame: 1 (4 KiB), 2 (2 MiB), 3 (1 GiB), or 0 for a hole. No cost. */
  leafLevel(gfn: number): number {
    return this.tables.find(gfn);
  }

  /**
   * Maps one 4 KiB page; a superpage around it is shattered. Priced only with `priced` (hypercalls; builders are free).
   */
  setEntry(gfn: number, mfn: number, priced = false, type: number = P2mType.RamRw): void {
    this.leavePlace(gfn);
    this.beginChange(gfn, priced);
    this.tables.map(gfn, mfn, "4k", this.attributes(type === P2mType.RamRw ? this.ramType : type, 1));
    this.endChange(priced);
    if (gfn > this.maxMappedGfn) this.maxMappedGfn = gfn;
    this.onChange?.();
  }

  /** Makes a hole of one 4 KiB page; a superpage around it is shattered. */
  removeEntry(gfn: number, priced = false): void {
    this.leavePlace(gfn);
    this.beginChange(gfn, priced);
    const { tables } = this;
    tables.unmap(gfn);
    // A typed entry that is not present is no mapping to the table editor.
    tables.find(gfn);
    const { pathFrame, pathOffset, lastLevel } = tables;
    if (lastLevel === 1) this.memory.writeU32(pathFrame[1] * FRAME_BYTES + pathOffset[1] + 4, 0);
    this.endChange(priced);
    this.onChange?.();
  }

  /**
   * Asked before a guest has entries changed: 0, or the negative errno of whoever keeps more of them than these tables.
   * @param _other a second guest frame, or -1
   */
  changeError(_gfn: number, _other = -1): number {
    return 0;
  }

  /** What was at a guest frame is no private page of the guest's any more. */
  private leavePlace(gfn: number): void {
    const { ownership } = this;
    if (ownership === undefined) return;
    const mfn = this.frameOf(gfn);
    if (mfn >= 0) ownership.leave(mfn);
  }

  /** Under the write lock: what a change of an entry costs, and of what it is in. */
  private beginChange(gfn: number, priced: boolean): void {
    if (priced) {
      this.lock?.acquire(LockMode.Exclusive);
      this.cost.run(this.setEntryStage);
    }
    this.shatter(gfn, priced);
  }

  private endChange(priced: boolean): void {
    if (priced) this.lock?.release();
  }

  /**
   * Gives one 4 KiB page a type of its own and the rights that go with it (`p2m_change_type_one`); a superpage around it is
   * shattered. Types that are no memory keep the frame's number. Free unless `priced`.
   * @throws RangeError for a hole
   */
  setType(gfn: number, type: number, priced = false): void {
    const mfn = this.frameOf(gfn);
    if (mfn < 0) throw new RangeError(`guest frame 0x${gfn.toString(16)} is a hole`);
    this.beginChange(gfn, priced);
    this.tables.map(gfn, mfn, "4k", this.attributes(type, 1));
    this.endChange(priced);
    this.onChange?.();
  }

  /** `get_gfn_query_unlocked`: the priced walk, without a page. @returns the type */
  queryType(gfn: number): number {
    const { cost } = this;
    cost.enter(this.phase);
    this.lock?.acquire(LockMode.Shared);
    this.walk(gfn);
    this.counters.p2mTableReads += this.reads;
    cost.run(this.missedStages[this.reads]);
    this.lock?.release();
    cost.leave();
    return this.type;
  }

  /** Gives a page back what ordinary RAM has, log-dirty mode or not. @throws RangeError for a hole */
  setOrdinary(gfn: number): void {
    this.setType(gfn, this.ramType);
  }

  /** After a {@link lookup} by a walk of the guest's tables that found no page: has the pager bring it, if it is out. */
  askPager(gfn: number): void {
    if (this.type === P2mType.RamPaged || this.type === P2mType.RamPagingIn)
      this.fixups?.requestPageIn(gfn, this.cost);
  }

  /** Type of a guest frame, whether the guest can reach it or not. No cost. */
  typeAt(gfn: number): number {
    if (this.frameOf(gfn) < 0) return P2mType.Invalid;
    return (this.entryHi >>> TYPE_SHIFT) & TYPE_MASK;
  }

  /** Machine frame in the entry of a guest frame, also when it is not present; -1 for a hole. No cost. */
  frameOf(gfn: number): number {
    if (gfn < 0 || gfn > this.maxMappedGfn) return -1;
    const { tables, memory } = this;
    const level = tables.find(gfn);
    const { lastLevel, pathFrame, pathOffset } = tables;
    const at = pathFrame[lastLevel] * FRAME_BYTES + pathOffset[lastLevel];
    this.entryHi = memory.readU32(at + 4);
    if (level > 0) return tables.foundFrame;
    if (this.entryHi >>> TYPE_SHIFT === 0) return -1;
    return frameOf(memory.readU32(at), this.entryHi);
  }

  /**
   * All ordinary RAM becomes watched for writes, or ordinary again (`p2m_change_entry_type_global`). Xen leaves entries to be
   * recalculated when something next uses them; here they change at once. Costs nothing: dom0 asked for it.
   * @param logsWrites the processor logs writes to pages of 4 KiB, which therefore stay writable
   */
  watchWrites(watched: boolean, logsWrites: boolean): void {
    const from = watched ? P2mType.RamRw : P2mType.RamLogdirty;
    this.ramType = watched ? P2mType.RamLogdirty : P2mType.RamRw;
    this.logsWrites = watched && logsWrites;
    this.changeBelow(this.rootFrame, LEVELS, from, this.ramType);
    this.onChange?.();
  }

  /** How many leaves of each size map the domain's memory. No cost; tables that nothing touched count as full. */
  leafCounts(): LeafCounts {
    const counts = { "4k": 0, "2m": 0, "1g": 0 };
    this.eachLeaf(this.rootFrame, LEVELS, (level) => {
      if (level === 1) counts["4k"]++;
      else if (level === 2) counts["2m"]++;
      else counts["1g"]++;
    });
    return counts;
  }

  /** Splits the superpage around a guest frame down to 4 KiB pages, whose rights are those of their type. */
  shatter(gfn: number, priced = false): void {
    const { tables, cost } = this;
    for (let level = tables.find(gfn); level > 1; level--) {
      if (priced) cost.run(cost.compile(P2M_SHATTER));
      const type = (tables.foundAttributes >>> TYPE_SHIFT) & TYPE_MASK;
      tables.split(gfn);
      if (priced) this.writeTable(gfn, level - 1);
      if (level !== 2 || this.attributes(type, 2) === this.attributes(type, 1)) continue;
      tables.find(gfn);
      for (let i = 0; i < PER_TABLE; i++)
        this.setAttributes(tables.pathFrame[1] * FRAME_BYTES + 8 * i, this.attributes(type, 1));
    }
    if (priced) this.onChange?.();
  }

  /** Every line of a new table through the caches. */
  private writeTable(gfn: number, level: number): void {
    const { tables, cost } = this;
    tables.find(gfn);
    const table = tables.pathFrame[level];
    for (let at = 0; at < FRAME_BYTES; at += 64) cost.access(table, at, 64, true);
  }

  /** What `snapshot` of the domain has to keep beside memory. */
  get watching(): { readonly watched: boolean; readonly logsWrites: boolean } {
    return { watched: this.ramType !== P2mType.RamRw, logsWrites: this.logsWrites };
  }

  /** After memory was put back: its entries are as they were. */
  restoreWatching({ watched, logsWrites }: P2m["watching"]): void {
    this.ramType = watched ? P2mType.RamLogdirty : P2mType.RamRw;
    this.logsWrites = logsWrites;
  }

  /** Bits 11:0 and 63:52 of a leaf (the latter in bits 31:20): type, rights, accessed and dirty flags. */
  private attributes(type: number, level: number): number {
    const rights = rightsOf(type);
    const typed = (type << TYPE_SHIFT) | 0;
    const isLogged = type === P2mType.RamLogdirty && this.logsWrites && level === 1;
    if (this.format === "npt") {
      if (rights === 0) return typed;
      const execute = (rights & P2mRights.Execute) !== 0 ? 0 : NPT_NO_EXECUTE;
      const write = (rights & P2mRights.Write) !== 0 ? Pte.Write | Pte.Dirty : 0;
      return typed | execute | write | Pte.Present | Pte.User | Pte.Accessed;
    }
    if (rights === 0) return typed;
    const executable = (rights & P2mRights.Execute) !== 0 && (level === 1 || this.execSp);
    const write = (rights & P2mRights.Write) !== 0 ? Ept.Write | Ept.Dirty : isLogged ? Ept.Write : 0;
    return typed | Ept.Read | write | (executable ? Ept.Execute : 0) | Ept.WriteBack | Ept.Accessed;
  }

  /** Rewrites the attributes of an entry that points to a page, page-size bit and frame excepted. */
  private setAttributes(at: number, attributes: number): void {
    const { memory } = this;
    const lo = memory.readU32(at);
    const hi = memory.readU32(at + 4);
    memory.writeU32(at, ((lo & ~0xfff) | (lo & SUPERPAGE) | (attributes & 0xfff)) >>> 0);
    memory.writeU32(at + 4, ((hi & 0xfffff) | (attributes & 0xfff00000)) >>> 0);
  }

  private changeBelow(table: number, level: number, from: number, to: number): void {
    const { memory } = this;
    // What was never touched fills itself with the new type.
    if (level === 1 && table >= this.lazyFirst && table < this.lazyEnd && !memory.isTouched(table)) return;
    for (let i = 0; i < PER_TABLE; i++) {
      const at = table * FRAME_BYTES + 8 * i;
      const lo = memory.readU32(at);
      if ((lo & this.presentMask) === 0) continue;
      const hi = memory.readU32(at + 4);
      if (level > 1 && (lo & SUPERPAGE) === 0) this.changeBelow(frameOf(lo, hi), level - 1, from, to);
      else if (((hi >>> TYPE_SHIFT) & TYPE_MASK) === from) this.setAttributes(at, this.attributes(to, level));
    }
  }

  private eachLeaf(table: number, level: number, tell: (level: number) => void): void {
    const { memory } = this;
    for (let i = 0; i < PER_TABLE; i++) {
      const at = table * FRAME_BYTES + 8 * i;
      const lo = memory.readU32(at);
      if ((lo & this.presentMask) === 0) continue;
      if (level === 1 || (lo & SUPERPAGE) !== 0) tell(level);
      else this.eachLeaf(frameOf(lo, memory.readU32(at + 4)), level - 1, tell);
    }
  }

  /** The table walk of `p2m_pt_get_entry` and `ept_get_entry`. */
  private walk(gfn: number): number {
    const { cost, memory } = this;
    this.type = P2mType.Invalid;
    this.reads = 0;
    if (gfn > this.maxMappedGfn) return -1; // early out, before any table is read
    let table = this.rootFrame;
    let reads = 0;
    let mfn = -1;
    for (let level = LEVELS; ; level--) {
      const at = cost.access(table, ((gfn >>> (9 * (level - 1))) & 511) << 3, 8, false);
      reads++;
      const { i32 } = memory.arena;
      const lo = i32[at >> 2];
      const hi = i32[(at >> 2) + 1];
      if ((lo & this.presentMask) === 0) {
        const type = (hi >>> TYPE_SHIFT) & TYPE_MASK;
        if (type !== 0) this.type = type; // the entry is there for Xen alone
        break;
      }
      table = frameOf(lo, hi);
      if (level > 1 && (lo & SUPERPAGE) === 0) continue;
      const within = (1 << (9 * (level - 1))) - 1;
      mfn = table - (table & within) + (gfn & within);
      this.type = (hi >>> TYPE_SHIFT) & TYPE_MASK;
      break;
    }
    this.reads = reads;
    return mfn;
  }

  /** Arena offset of a frame's count_info, through the caches. */
  private pageInfo(mfn: number): number {
    const { frameTable } = this;
    return (
      this.cost.access(frameTable.frameOf(mfn), frameTable.offsetOf(mfn), PAGE_INFO_BYTES, true) + COUNT_INFO
    );
  }

  /** Level-1 tables fill themselves with the plain mapping; what is changed later is an ordinary write. */
  private declarePool(options: P2mOptions, lazyFirst: number, lazyTables: number): void {
    const { memory, pool, ram, guestFirst } = options;
    memory.addRam(lazyFirst, lazyTables, (frame, bytes) => {
      const first = (frame - lazyFirst) * PER_TABLE;
      const attributes = this.attributes(this.ramType, 1);
      const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES);
      for (const range of ram) {
        const from = Math.max(first, range.first);
        const end = Math.min(first + PER_TABLE, range.first + range.count);
        for (let gfn = from; gfn < end; gfn++) {
          const mfn = guestFirst + gfn;
          const at = (gfn - first) * 8;
          view.setInt32(at, entryLo(mfn, attributes), true);
          view.setInt32(at + 4, entryHi(mfn, attributes), true);
        }
      }
    });
    memory.addRam(lazyFirst + lazyTables, pool.end - lazyFirst - lazyTables);
  }

  /** Maps a range of RAM with leaves as large as alignment and configuration allow, as the toolstack populates it. */
  private populate(range: GfnRange, options: P2mOptions, lazyFirst: number): void {
    const { page, guestFirst } = options;
    const end = range.first + range.count;
    const large = this.attributes(P2mType.RamRw, 2);
    for (let gfn = range.first; gfn < end; ) {
      const fits = (span: number) => gfn % span === 0 && gfn + span <= end;
      if (page === "1g" && fits(PER_TABLE ** 2)) {
        this.tables.map(gfn, guestFirst + gfn, "1g", large);
        gfn += PER_TABLE ** 2;
      } else if (page !== "4k" && fits(PER_TABLE)) {
        this.tables.map(gfn, guestFirst + gfn, "2m", large);
        gfn += PER_TABLE;
      } else {
        const block = gfn - (gfn % PER_TABLE);
        this.linkLazyTable(block, guestFirst + block, lazyFirst + block / PER_TABLE);
        gfn = block + PER_TABLE;
      }
    }
    this.maxMappedGfn = Math.max(this.maxMappedGfn, end - 1);
  }

  /** Points the level-2 entry of a 2 MiB block to its self-filling table. */
  private linkLazyTable(block: number, mfn: number, table: number): void {
    this.tables.map(block, mfn, "2m", this.attributes(P2mType.RamRw, 2));
    this.tables.find(block);
    const address = this.tables.pathFrame[2] * FRAME_BYTES + this.tables.pathOffset[2];
    const flags = this.format === "npt" ? Pte.Present | Pte.Write | Pte.User | Pte.Accessed : Ept.All;
    this.memory.writeU32(address, (((table % 0x100000) << 12) | flags) >>> 0);
    this.memory.writeU32(address + 4, Math.floor(table / 0x100000));
  }
}
