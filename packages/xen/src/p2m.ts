import {
  Ept,
  EptTables,
  FRAME_BYTES,
  NptTables,
  type PageSizeName,
  type PhysicalMemory,
  Pte,
  type SecondStage,
} from "@hyperwalk/mmu";
import type { FrameAllocator } from "./frame-allocator.js";
import { COUNT_INFO, type FrameTable, PAGE_INFO_BYTES } from "./host/frame-table.js";
import type { HypervisorCounters } from "./hypervisor-counters.js";
import { isGrantMapping, P2mType } from "./p2m-type.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { Phase } from "./path-cost/phases.js";
import type { StagePathCost } from "./path-cost/stage-path-cost.js";
import { P2M_FOUND, P2M_MISSED, P2M_SET_ENTRY } from "./path-cost/stages/p2m.js";

const LEVELS = 4;
const PER_TABLE = 512;
const SUPERPAGE = 0x80;
const TYPE_MASK = 0x3f;

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
  private readonly typeShift: number;
  private readonly leafAttributes: number;
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
    this.presentMask = format === "npt" ? Pte.Present : Ept.All;
    this.typeShift = 20; // bits 63:52 of an entry are bits 31:20 of its high word, in both formats
    this.leafAttributes =
      format === "npt"
        ? Pte.Present | Pte.Write | Pte.User | Pte.Accessed | Pte.Dirty
        : Ept.All | Ept.WriteBack | Ept.Accessed | Ept.Dirty;
    const last = options.ram[options.ram.length - 1];
    const lazyTables = Math.ceil((last.first + last.count) / PER_TABLE);
    const lazyFirst = pool.allocate(lazyTables);
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
    let mfn = this.walk(gfn);
    if (mfn >= 0 && isGrantMapping(this.type)) mfn = -1; // get_page: the frame is another domain's
    const { reads } = this;
    counters.p2mTableReads += reads;
    if (mfn >= 0) {
      counters.pageReferences++;
      const at = this.pageInfo(mfn);
      cost.run(this.foundStages[reads]);
      this.memory.arena.i32[at >> 2]++;
    } else cost.run(this.missedStages[reads]);
    cost.leave();
    return mfn;
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

  /** Type of a guest frame's entry: no cost. */
  typeAt(gfn: number): number {
    if (gfn > this.maxMappedGfn || this.tables.find(gfn) === 0) return P2mType.Invalid;
    return (this.tables.foundAttributes >>> this.typeShift) & TYPE_MASK;
  }

  /** Machine frame of a guest frame, or -1: no cost, no reference. */
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
    if (priced) this.cost.run(this.setEntryStage);
    this.tables.map(gfn, mfn, "4k", this.attributes(type));
    if (gfn > this.maxMappedGfn) this.maxMappedGfn = gfn;
    this.onChange?.();
  }

  /** Makes a hole of one 4 KiB page; a superpage around it is shattered. */
  removeEntry(gfn: number, priced = false): void {
    if (priced) this.cost.run(this.setEntryStage);
    this.tables.unmap(gfn);
    this.onChange?.();
  }

  /** What the guest may do with a page of that type (`p2m_type_to_flags`, `ept_p2m_type_to_flags`). */
  private attributes(type: number): number {
    const typed = this.leafAttributes | (type << this.typeShift);
    const isForeign = isGrantMapping(type) || type === P2mType.MapForeign;
    if (!isForeign) return typed;
    const isNpt = this.format === "npt";
    const noFetch = isNpt ? typed | Pte.NoExecute : typed & ~Ept.Execute;
    return type === P2mType.GrantMapRo ? noFetch & ~(isNpt ? Pte.Write : Ept.Write) : noFetch;
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
      if ((lo & this.presentMask) === 0) break;
      const hi = i32[(at >> 2) + 1];
      table = (lo >>> 12) + (hi & 0xfffff) * 0x100000;
      if (level > 1 && (lo & SUPERPAGE) === 0) continue;
      const within = (1 << (9 * (level - 1))) - 1;
      mfn = table - (table & within) + (gfn & within);
      this.type = (hi >>> this.typeShift) & TYPE_MASK;
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
      const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES);
      for (const range of ram) {
        const from = Math.max(first, range.first);
        const end = Math.min(first + PER_TABLE, range.first + range.count);
        for (let gfn = from; gfn < end; gfn++) {
          const mfn = guestFirst + gfn;
          const at = (gfn - first) * 8;
          view.setInt32(at, ((mfn % 0x100000) << 12) | (this.leafAttributes & 0xfff), true);
          view.setInt32(at + 4, Math.floor(mfn / 0x100000), true);
        }
      }
    });
    memory.addRam(lazyFirst + lazyTables, pool.end - lazyFirst - lazyTables);
  }

  /** Maps a range of RAM with leaves as large as alignment and configuration allow, as the toolstack populates it. */
  private populate(range: GfnRange, options: P2mOptions, lazyFirst: number): void {
    const { page, guestFirst } = options;
    const end = range.first + range.count;
    const attributes = this.attributes(P2mType.RamRw);
    for (let gfn = range.first; gfn < end; ) {
      const fits = (span: number) => gfn % span === 0 && gfn + span <= end;
      if (page === "1g" && fits(PER_TABLE ** 2)) {
        this.tables.map(gfn, guestFirst + gfn, "1g", attributes);
        gfn += PER_TABLE ** 2;
      } else if (page !== "4k" && fits(PER_TABLE)) {
        this.tables.map(gfn, guestFirst + gfn, "2m", attributes);
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
    this.tables.map(block, mfn, "2m", this.attributes(P2mType.RamRw));
    this.tables.find(block);
    const address = this.tables.pathFrame[2] * FRAME_BYTES + this.tables.pathOffset[2];
    const flags = this.format === "npt" ? Pte.Present | Pte.Write | Pte.User | Pte.Accessed : Ept.All;
    this.memory.writeU32(address, (((table % 0x100000) << 12) | flags) >>> 0);
    this.memory.writeU32(address + 4, Math.floor(table / 0x100000));
  }
}
