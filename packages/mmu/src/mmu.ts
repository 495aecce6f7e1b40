import { AccessMode, type AccessRights } from "./access-modes.js";
import type { AccessWatch } from "./access-watch.js";
import type { Arena } from "./arena.js";
import { CacheHierarchy, type CacheHierarchySnapshot } from "./cache/cache-hierarchy.js";
import { lineHigh, lineLow } from "./cache/line-number.js";
import { MissPrices } from "./cache/miss-prices.js";
import { Cause, type CycleLedger, ticks } from "./cycle-ledger.js";
import { FilterEpochs } from "./filter-epochs.js";
import { filterRow, LineFilter, WRITE_OK } from "./line-filter.js";
import { EVERY_SET, LineSequences, type SequenceLine } from "./line-sequences.js";
import type { MemoryProfile } from "./memory-profile.js";
import { MmuCounter } from "./mmu-counter.js";
import { PageFilter, pageRow } from "./page-filter.js";
import type { PhysicalMemory } from "./physical-memory.js";
import { RecencyClock } from "./recency-clock.js";
import { type ReverseMap, RmpLow } from "./reverse-map.js";
import { hasRefillPath, REFILLED, refillPath } from "./tlb/refill-path.js";
import { GUEST_PAGE_SHIFT, KEY_SHIFT, Rights } from "./tlb/rights.js";
import type { TlbHierarchy } from "./tlb/tlb-hierarchy.js";
import { TranslationCaches, type TranslationCachesSnapshot } from "./tlb/translation-caches.js";
import { PagingMode, type TranslationContext } from "./translation-context.js";
import { EptQualification, FaultKind, TranslationFault } from "./translation-fault.js";
import { UntimedAccess } from "./untimed-access.js";
import { EncryptedSecondStage } from "./walk/encrypted-second-stage.js";
import { ExtendedPageTableWalker } from "./walk/extended-page-tables.js";
import { NestedPageTableWalker } from "./walk/nested-page-tables.js";
import { NoSecondStage } from "./walk/no-second-stage.js";
import { PageValidation, PageValidator } from "./walk/page-validation.js";
import { PageWalker } from "./walk/page-walker.js";
import { PdpteLoad, PdpteLoader } from "./walk/pdpte-registers.js";
import { probeFrame } from "./walk/probe.js";
import { refusedByKey } from "./walk/protection-keys.js";
import type { SecondStageWalker } from "./walk/second-stage-walker.js";
import { SecureNestedPageTableWalker } from "./walk/secure-nested-page-tables.js";
import { TablePort } from "./walk/table-port.js";

/** Options that a machine sets once. */
export interface MmuOptions {
  /** Seed of random replacement; default 1. */
  readonly seed?: number;
  /** Every access takes the full path; state, costs and counters must come out the same. For tests. */
  readonly bypassFilter?: boolean;
  /** Recency counter value at which stamps are renormalised; default 2^30. For tests. */
  readonly recencyLimit?: number;
}

/** State of one `Mmu` beyond memory and ledger, as plain data. Contexts belong to their owners. */
export interface MmuSnapshot {
  readonly caches: CacheHierarchySnapshot;
  readonly translations: TranslationCachesSnapshot;
  readonly recency: number;
  readonly counters: Float64Array;
}

const SCRATCH_BYTES = 128;

/**
 * A data access of 1 to 64 bytes. @param mode an `AccessMode` but fetches
 * @returns arena byte offset, or -1
 */
export type DataAccess = (lo: number, hi: number, bytes: number, mode: number) => number;

/**
 * Memory as one logical processor reaches it: translation, caches and their costs. Guest code, page walkers and the
 * modelled hypervisor all go through one `Mmu` and charge its ledger.
 *
 * Linear addresses are pairs of 32-bit integers. An access returns the arena byte offset where its bytes lie, or -1
 * with {@link fault} filled in. Nothing on these paths allocates.
 */
export class Mmu {
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly caches: CacheHierarchy;
  readonly translations: TranslationCaches;
  /** By {@link MmuCounter}. */
  readonly counters: Float64Array = new Float64Array(MmuCounter.Length);
  /** Why the latest access returned -1. */
  readonly fault: TranslationFault = new TranslationFault();
  /** 1 after a write that crosses a page returned scratch: call {@link commitWrite} once the bytes are stored. */
  writePending = 0;
  /**
   * What {@link read} and {@link fetch} look at first, for an engine that does the same in its own loop: indices of the
   * recency counter and of both filters' first rows in the arena's 32-bit view, and the counter's limit.
   */
  readonly recencyAt: number;
  readonly recencyLimit: number;
  readonly dataRows: number;
  readonly fetchRows: number;
  /** Epoch of the active context at its privilege level, as filter rows note it. */
  epoch = 0;
  /** A data access that the line filter did not answer. */
  access!: DataAccess;
  private active: TranslationContext;
  private readonly clock: RecencyClock;
  private readonly sequences: LineSequences;
  private readonly dataFilter: LineFilter;
  private readonly fetchFilter: LineFilter;
  private readonly dataPages: PageFilter;
  private readonly fetchPages: PageFilter;
  private readonly filterWanted: boolean;
  private useFilter: boolean;
  private watcher: AccessWatch | null = null;
  private readonly dataWays: number;
  private readonly fetchWays: number;
  private readonly walker: PageWalker;
  private readonly noSecondStage: NoSecondStage;
  private readonly nestedPageTables: NestedPageTableWalker;
  private readonly extendedPageTables: ExtendedPageTableWalker;
  private readonly encryptedSecondStage: EncryptedSecondStage;
  /** On a machine with a reverse map, in the place of {@link nestedPageTables}. */
  private secureNestedPageTables: SecureNestedPageTableWalker | null = null;
  private validator: PageValidator | null = null;
  private reverse: ReverseMap | null = null;
  private readonly epochs: FilterEpochs;
  private readonly pdptes: PdpteLoader;
  private readonly physicalAddressBits: number;
  private space = 0;
  private tag = 0;
  /** Protection keys apply: CR4.PKE or CR4.PKS, and a long-mode format. */
  private keysActive = false;
  private rights: AccessRights;
  /** The walkers have yet to take over the active context. */
  private walkersStale = true;
  private readonly prices: MissPrices;
  private readonly secondLevelPrice: number;
  /** Machine frame of the latest translation. */
  private frame = 0;
  private readonly port: TablePort;
  /** Made when timing is first switched off. */
  private untimedAccess: UntimedAccess | null = null;
  /** The same while timing is off, otherwise null. */
  private untimed: UntimedAccess | null = null;
  /** The recency counter as timing left it, while it is off. */
  private timedRecency = 0;
  private readonly scratchAt: number;
  private pendingFirst = 0;
  private pendingSecond = 0;
  private pendingFirstBytes = 0;
  private pendingBytes = 0;
  private i32!: Int32Array;
  private u8!: Uint8Array;

  constructor(
    arena: Arena,
    memory: PhysicalMemory,
    ledger: CycleLedger,
    profile: MemoryProfile,
    options: MmuOptions = {},
  ) {
    const seed = options.seed ?? 1;
    this.memory = memory;
    this.ledger = ledger;
    this.filterWanted = options.bypassFilter !== true;
    this.useFilter = this.filterWanted;
    this.clock = new RecencyClock(arena, options.recencyLimit);
    this.recencyAt = this.clock.at;
    this.recencyLimit = this.clock.limit;
    this.caches = new CacheHierarchy(arena, this.clock, profile, seed);
    this.translations = new TranslationCaches(arena, this.clock, profile, seed);
    this.sequences = new LineSequences(this.clock);
    this.caches.l1d.rely(this.sequences);
    this.translations.data.first.rely(this.sequences);
    this.dataFilter = new LineFilter(arena);
    this.fetchFilter = new LineFilter(arena);
    this.dataPages = new PageFilter(arena);
    this.fetchPages = new PageFilter(arena);
    this.dataRows = this.dataFilter.at;
    this.fetchRows = this.fetchFilter.at;
    this.dataWays = this.caches.l1d.marksAt;
    this.fetchWays = this.caches.l1i.marksAt;
    const port = new TablePort(memory, this.caches, ledger, this.clock, this.counters, profile);
    this.port = port;
    const walkCaches = this.translations.walk;
    const bits = profile.physicalAddressBits;
    this.physicalAddressBits = bits;
    this.noSecondStage = new NoSecondStage();
    this.nestedPageTables = new NestedPageTableWalker(memory, port, walkCaches, this.fault, bits);
    this.extendedPageTables = new ExtendedPageTableWalker(memory, port, walkCaches, this.fault, bits);
    this.encryptedSecondStage = new EncryptedSecondStage();
    this.walker = new PageWalker(memory, port, walkCaches, this.fault, this.noSecondStage);
    this.pdptes = new PdpteLoader(this.walker);
    this.epochs = new FilterEpochs(() => this.clearFilters());
    this.prices = new MissPrices(profile);
    this.secondLevelPrice = ticks(profile.l2TlbLatency);
    this.scratchAt = arena.reserve(SCRATCH_BYTES);
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.u8 = arena.u8;
      this.access = this.dataAccess(arena.i32, arena.f64);
    });
    // Of processors that share memory, all give up what they remember of a frame that one of them decoded.
    const others = memory.onCodeTaken;
    memory.onCodeTaken = (frameOffset) => {
      others?.(frameOffset);
      this.dataFilter.protectFrame(frameOffset);
      this.sequences.forgetAll();
    };
    const viewers = memory.onViewChange;
    memory.onViewChange = (name) => {
      viewers?.(name);
      for (let line = 0; line < 64; line++) this.caches.flushLine(lineLow(name, line), lineHigh(name));
      this.clearFilters();
    };
    memory.grow();
    this.active = this.createContext();
    this.rights = this.active.rights[0];
    this.reload();
  }

  /** Whether caches, TLBs and their costs are modelled; see {@link setTimed}. */
  get timed(): boolean {
    return this.untimed === null;
  }

  /**
   * Switches timing on or off. While it is off, accesses come to the same bytes and the same faults, set the same flags in
   * the tables, and neither cost anything nor fill or order caches and TLBs; what empties those goes on emptying them.
   * Call it outside an engine's run loop only: the first time takes memory from the arena.
   */
  setTimed(on: boolean): void {
    if (on === this.timed) return;
    this.clearFilters();
    const { i32, recencyAt } = this;
    if (on) {
      i32[recencyAt] = this.timedRecency;
      this.untimed = null;
    } else {
      this.sequences.settle(EVERY_SET);
      this.timedRecency = i32[recencyAt];
      this.untimedAccess ??= this.createUntimedAccess();
      this.untimed = this.untimedAccess;
      this.untimed.forget();
    }
    this.port.setTimed(on);
    this.translations.walk.bypass = !on;
  }

  /** The context that accesses go through now. */
  get context(): TranslationContext {
    return this.active;
  }

  /** A new address space with paging off; {@link activate} it before use. */
  createContext(): TranslationContext {
    return this.epochs.createContext();
  }

  /** Makes a context the active one: VM entry and exit, or a change of owner. Costs nothing and flushes nothing. */
  activate(context: TranslationContext): void {
    this.active = context;
    this.reload();
  }

  /** Takes over changed fields of the active context. Flushes nothing: that is the changing instruction's business. */
  reload(): void {
    const c = this.active;
    const stage = c.secondStage;
    this.space = (c.asid << 12) | c.pcid;
    this.tag = stage !== null && stage.format === "ept" ? stage.tag + 1 : 0;
    this.walkersStale = true;
    this.keysActive = (c.pke || c.pks) && c.paging >= PagingMode.FourLevel;
    const level = this.epochs.level(c);
    this.epoch = this.epochs.of(c, level, this.space, this.tag);
    this.rights = c.rights[level];
  }

  /**
   * Reads 1 to 64 bytes with the privilege of the context. A read that crosses a page is gathered into a scratch area
   * that the next such access overwrites.
   * @returns arena byte offset, or -1
   */
  read(lo: number, hi: number, bytes: number): number {
    const i32 = this.i32;
    const row = this.dataRows + ((((lo >>> 6) ^ (lo >>> 15)) & 511) << 3);
    if (
      i32[row] === (lo & -64) &&
      i32[(row + 2) | 0] === this.epoch &&
      i32[(row + 1) | 0] === hi &&
      (lo & 63) + bytes <= 64
    ) {
      const way = i32[(row + 4) | 0];
      const entry = i32[(row + 6) | 0];
      if (i32[way] === i32[(row + 5) | 0] && i32[entry] === i32[(row + 7) | 0]) {
        const stamp = (i32[this.recencyAt] + 1) | 0;
        if (stamp < this.recencyLimit) {
          i32[this.recencyAt] = stamp;
          i32[(way + 1) | 0] = stamp;
          i32[(entry + 1) | 0] = stamp;
          return (i32[(row + 3) | 0] & -64) | (lo & 63);
        }
      }
    }
    return this.access(lo | 0, hi | 0, bytes, AccessMode.Read);
  }

  /**
   * Prepares a write of 1 to 64 bytes with the privilege of the context: the bytes at the returned offset are the
   * current ones, so read-modify-writes need no separate read. See {@link writePending} for writes that cross a page.
   * @returns arena byte offset, or -1
   */
  write(lo: number, hi: number, bytes: number): number {
    const i32 = this.i32;
    const row = this.dataRows + ((((lo >>> 6) ^ (lo >>> 15)) & 511) << 3);
    if (
      i32[row] === (lo & -64) &&
      i32[(row + 2) | 0] === this.epoch &&
      i32[(row + 1) | 0] === hi &&
      (lo & 63) + bytes <= 64
    ) {
      const way = i32[(row + 4) | 0];
      const entry = i32[(row + 6) | 0];
      const offset = i32[(row + 3) | 0];
      if ((offset & WRITE_OK) !== 0 && i32[way] === i32[(row + 5) | 0] && i32[entry] === i32[(row + 7) | 0]) {
        const stamp = (i32[this.recencyAt] + 1) | 0;
        if (stamp < this.recencyLimit) {
          i32[this.recencyAt] = stamp;
          i32[(way + 1) | 0] = stamp;
          i32[(entry + 1) | 0] = stamp;
          return (offset & -64) | (lo & 63);
        }
      }
    }
    return this.access(lo | 0, hi | 0, bytes, AccessMode.Write);
  }

  /**
   * Prepares lines that {@link touchLines} will touch, in this order, many times.
   * @throws RangeError beyond 1024 sequences
   */
  defineLines(lines: readonly SequenceLine[]): number {
    return this.sequences.define(lines);
  }

  /**
   * Does what a {@link read} or {@link write} of each line of a sequence would do, if all of them are first-level hits;
   * nothing while timing is off.
   * @returns false when nothing was done: make the accesses one by one, then {@link noteLines}
   */
  touchLines(sequence: number): boolean {
    return this.untimed !== null || this.sequences.run(sequence, this.epoch, this.i32);
  }

  /** Whether {@link touchLines} would find every line of a sequence where it was noted; touches nothing. */
  holdsLines(sequence: number): boolean {
    return this.untimed !== null || this.sequences.holds(sequence, this.epoch);
  }

  /** Finds the lines of a sequence in L1D and the first-level TLB, for {@link touchLines}; changes nothing else. */
  noteLines(sequence: number): void {
    if (!this.useFilter || this.untimed !== null) return;
    const { sequences, caches, memory } = this;
    const { l1d } = caches;
    const first = this.translations.data.first;
    const from = sequences.firstLine(sequence);
    const end = from + sequences.lineCount(sequence);
    const watcher = sequences.watcher(sequence);
    sequences.begin(sequence);
    for (let i = from; i < end; i++) {
      const { lo, hi, write } = sequences.lines[i];
      const pageLo = (lo >>> 12) | (hi << 20);
      const entry = first.find(pageLo, hi >>> 12, this.space, this.tag);
      if (entry < 0 || !this.permits(entry, write ? AccessMode.Write : AccessMode.Read)) return;
      const { array } = first;
      const frame = array.frameFor(entry, pageLo);
      const way = l1d.find(lineLow(frame, (lo >>> 6) & 63), lineHigh(frame));
      if (way < 0) return;
      if (write && (!l1d.isDirty(way) || memory.codeSlots[memory.frameOffset(frame) >>> 12] !== 0)) return;
      sequences.noteLine(sequence, i, Math.floor(way / l1d.ways), this.dataWays + 2 * way + 1, entry + 1);
      l1d.watch(way, watcher);
      array.watch(entry, watcher);
    }
    sequences.complete(sequence, this.epoch);
  }

  /** {@link read} as an implicit supervisor access (descriptor tables, TSS), whatever the CPL and EFLAGS.AC. */
  readSystem(lo: number, hi: number, bytes: number): number {
    return this.access(lo | 0, hi | 0, bytes, AccessMode.SystemRead);
  }

  /** {@link write} as an implicit supervisor access. */
  writeSystem(lo: number, hi: number, bytes: number): number {
    return this.access(lo | 0, hi | 0, bytes, AccessMode.SystemWrite);
  }

  /** Stores the bytes of a write that crossed a page to where they belong; no-op when none is pending. */
  commitWrite(): void {
    if (this.writePending === 0) return;
    this.writePending = 0;
    const { scratchAt, pendingFirstBytes: split } = this;
    this.u8.copyWithin(this.pendingFirst, scratchAt, scratchAt + split);
    this.u8.copyWithin(this.pendingSecond, scratchAt + split, scratchAt + this.pendingBytes);
  }

  /**
   * Instruction fetch of the 64-byte line that holds (lo, hi).
   * @returns arena offset of that very byte, or -1
   */
  fetch(lo: number, hi: number): number {
    const i32 = this.i32;
    const row = this.fetchRows + ((((lo >>> 6) ^ (lo >>> 15)) & 511) << 3);
    if (i32[row] === (lo & -64) && i32[(row + 2) | 0] === this.epoch && i32[(row + 1) | 0] === hi) {
      const way = i32[(row + 4) | 0];
      const entry = i32[(row + 6) | 0];
      if (i32[way] === i32[(row + 5) | 0] && i32[entry] === i32[(row + 7) | 0]) {
        const stamp = (i32[this.recencyAt] + 1) | 0;
        if (stamp < this.recencyLimit) {
          i32[this.recencyAt] = stamp;
          i32[(way + 1) | 0] = stamp;
          i32[(entry + 1) | 0] = stamp;
          return (i32[(row + 3) | 0] & -64) | (lo & 63);
        }
      }
    }
    return this.instruction(lo | 0, hi | 0);
  }

  /**
   * Shows every data access to `watch` from now on; null: nobody's business. Accesses then take the full path, to the
   * same effect and cost.
   */
  watch(watch: AccessWatch | null): void {
    if (watch === this.watcher) return;
    this.watcher = watch;
    this.useFilter = this.filterWanted && watch === null;
    this.clearFilters();
  }

  /** Machine frame of a linear address or -1, by reading the tables alone: no cost, no flags, no cached entries. */
  probe(lo: number, hi: number): number {
    return probeFrame(this.memory, this.active, lo | 0, hi | 0);
  }

  /**
   * Decoded code was taken from this frame (arena offset of its first byte): from now on a write to it first tells
   * `memory.onCodeWrite`.
   */
  noteCode(frameOffset: number): void {
    const slot = frameOffset >>> 12;
    if (this.memory.codeSlots[slot] !== 0) return;
    this.memory.codeSlots[slot] = 1;
    this.memory.onCodeTaken?.(slot << 12);
  }

  /**
   * Loads the context's PDPTE registers from the table at CR3 bits 31:5, as MOV CR3 does in PAE mode (SDM vol. 3,
   * 4.4.1). The registers change only on success.
   * @returns 0; 1 when a present entry has reserved bits set (#GP); -1 with a second-stage {@link fault}
   */
  loadPdptes(cr3: number): number {
    if (this.walkersStale) this.configureWalkers();
    const result = this.pdptes.load(this.active, this.i32, cr3);
    if (result === PdpteLoad.Fault) {
      // The address was not reached by translating a linear one: qualification bits 7 and 8 are clear.
      if (this.fault.kind === FaultKind.EptViolation)
        this.fault.errorCode &= ~(EptQualification.LinearAddressValid | EptQualification.Final);
      this.noteFault(0, 0);
    }
    return result;
  }

  /** Translations are about to be dropped. */
  private invalidating(): void {
    this.counters[MmuCounter.Invalidations]++;
    this.untimed?.forget();
  }

  /** INVLPG in the active context. */
  invalidatePage(lo: number, hi: number): void {
    this.counters[MmuCounter.Invalidations]++;
    this.untimed?.invalidatePage(lo, hi);
    this.translations.invalidatePage((lo >>> 12) | (hi << 20), hi >>> 12, this.active.asid, this.active.pcid);
  }

  /** INVPCID type 0 in the active context's ASID. */
  invalidatePcidPage(pcid: number, lo: number, hi: number): void {
    this.invalidating();
    this.translations.invalidatePcidPage((lo >>> 12) | (hi << 20), hi >>> 12, this.active.asid, pcid);
  }

  /** MOV CR3 or INVPCID type 1 (both keep global entries) in the active context's ASID. */
  invalidatePcid(pcid: number, keepGlobal: boolean): void {
    this.invalidating();
    this.translations.invalidatePcid(this.active.asid, pcid, keepGlobal);
  }

  /** All PCIDs of an ASID or VPID: INVVPID types 1 and 3, TLB_CONTROL 3 and 7, INVPCID types 2 and 3, MOV CR4. */
  invalidateAsid(asid: number, keepGlobal: boolean): void {
    this.invalidating();
    this.translations.invalidateAsid(asid, keepGlobal);
  }

  /** Every cached translation (TLB_CONTROL 1). */
  invalidateAll(): void {
    this.invalidating();
    this.translations.invalidateAll();
  }

  /** INVEPT: one EP4TA tag, or -1 for all. */
  invalidateNested(tag: number): void {
    this.invalidating();
    this.translations.invalidateNested(tag < 0 ? -1 : tag + 1);
  }

  /** The machine's reverse map (SEV-SNP), or null. */
  get reverseMap(): ReverseMap | null {
    return this.reverse;
  }

  /** SYSCFG.SNPEn: from now on the table is looked at, by every guest's nested walks and {@link hostMayWrite}. */
  useReverseMap(map: ReverseMap): void {
    const { memory, port, translations, fault, walker, encryptedSecondStage: encrypted } = this;
    const { physicalAddressBits } = this;
    const secure = new SecureNestedPageTableWalker(
      memory,
      port,
      translations.walk,
      fault,
      physicalAddressBits,
    );
    secure.use(map);
    this.reverse = map;
    this.secureNestedPageTables = secure;
    this.validator = new PageValidator({ memory, walker, encrypted, secure, port, map, fault });
    this.walkersStale = true;
  }

  /**
   * The check of a write by the hypervisor (APM vol. 2, 15.36.10): the page's entry through the caches, charged like a
   * table reference. Without a reverse map nothing is read, and everything is the hypervisor's.
   * @returns false where hardware would raise #PF with the RMP bit: a guest owns the page
   */
  hostMayWrite(frame: number): boolean {
    const { reverse, port } = this;
    const table = reverse === null ? -1 : reverse.frameOf(frame);
    if (reverse === null || table < 0) return true;
    const at = port.reference(table, reverse.offsetOf(frame));
    return (this.i32[at] & RmpLow.Assigned) === 0;
  }

  /**
   * PVALIDATE of the page at a linear address, by an SNP-active guest. Taking a validation back drops the guest's
   * translations. @returns a `PageValidation` number, `Fault` with {@link fault} filled in
   */
  validatePage(lo: number, hi: number, isLarge: boolean, valid: boolean): number {
    const { validator, rights } = this;
    if (validator === null) return PageValidation.Unchanged;
    if (this.walkersStale) this.configureWalkers();
    const result = validator.validate(lo | 0, hi | 0, isLarge, valid, rights);
    if (result === PageValidation.Fault) this.noteFault(lo | 0, hi | 0);
    else if (result === PageValidation.Changed && !valid) this.invalidateAsid(this.active.asid, false);
    return result;
  }

  /** RMPADJUST, likewise. @param vmpl 1 to 3 */
  adjustPage(
    lo: number,
    hi: number,
    isLarge: boolean,
    vmpl: number,
    permissions: number,
    vmsa: boolean,
  ): number {
    const { validator, rights } = this;
    if (validator === null) return PageValidation.Unchanged;
    if (this.walkersStale) this.configureWalkers();
    const result = validator.adjust(lo | 0, hi | 0, isLarge, vmpl, permissions, vmsa, rights);
    if (result === PageValidation.Fault) this.noteFault(lo | 0, hi | 0);
    else if (result === PageValidation.Changed) this.invalidateAsid(this.active.asid, false);
    return result;
  }

  /** INVLPGA. */
  invlpga(lo: number, hi: number, asid: number): void {
    this.invalidating();
    this.translations.invalidateAsidPage((lo >>> 12) | (hi << 20), hi >>> 12, asid);
  }

  /** INVVPID type 0. */
  invvpidAddress(vpid: number, lo: number, hi: number): void {
    this.invlpga(lo, hi, vpid);
  }

  /** INVVPID type 2: linear and combined mappings of every VPID but 0. */
  invvpidAll(): void {
    this.invalidating();
    this.translations.invalidateGuests();
  }

  /** WBINVD. */
  flushCaches(): void {
    this.caches.flushAll();
  }

  /** CLFLUSH: checked like a read of one byte. @returns 0, or -1 with {@link fault} */
  flushLine(lo: number, hi: number): number {
    const { data } = this.translations;
    const found = this.timed
      ? this.translate(data, lo | 0, hi | 0, AccessMode.Read)
      : this.untimedPage(lo | 0, hi | 0, AccessMode.Read);
    if (found < 0) return -1;
    this.caches.flushLine(lineLow(this.frame, (lo >>> 6) & 63), lineHigh(this.frame));
    return 0;
  }

  snapshot(): MmuSnapshot {
    this.sequences.settle(EVERY_SET);
    return {
      caches: this.caches.snapshot(),
      translations: this.translations.snapshot(),
      recency: this.timed ? this.i32[this.recencyAt] : this.timedRecency,
      counters: this.counters.slice(),
    };
  }

  /** Puts the state back; contexts are their owners' to restore, followed by {@link activate}. */
  restore(snapshot: MmuSnapshot): void {
    this.sequences.discard();
    this.caches.restore(snapshot.caches);
    this.translations.restore(snapshot.translations);
    this.i32[this.recencyAt] = snapshot.recency;
    this.timedRecency = snapshot.recency;
    this.counters.set(snapshot.counters);
    this.writePending = 0;
    this.clearFilters();
  }

  /** Makes {@link access}: a closure, because V8 takes what the first one of a process captures for constants. */
  private dataAccess(arena32: Int32Array, arena64: Float64Array): DataAccess {
    const { clock, caches, counters, ledger, memory, dataRows, dataWays, secondLevelPrice } = this;
    const { recencyAt, recencyLimit } = this;
    const { data } = this.translations;
    const { array: firstLevel } = data.first;
    const lookUp =
      this.filterWanted && hasRefillPath(data) ? refillPath(arena32, arena64, data, clock) : undefined;
    const { load, store } = this.prices;
    const { cells, clock: ticked } = ledger;
    const pages = this.dataPages.at;

    return (low, high, bytes, mode) => {
      // Captured names are checked for being there at each use, locals are not.
      const i32 = arena32;
      const lo = low | 0;
      const hi = high | 0;
      if ((lo & 4095) + bytes > 4096) return this.crossPage(lo, hi, bytes, mode);
      if (this.watcher !== null && mode < 2) this.watcher.note(lo, hi, bytes, mode === AccessMode.Write);
      if (this.untimed !== null) return this.untimedData(this.untimed, lo, hi, mode);
      const { epoch } = this;
      const remember = this.useFilter === true && mode < 2;
      const write = (mode & 1) !== 0;
      const pageLo = (lo >>> 12) | (hi << 20);
      const row = (pages + pageRow(pageLo)) | 0;
      let entry = i32[(row + 3) | 0];
      // Number of the page's first line.
      let firstLo = 0;
      let firstHi = 0;
      let page = 0;
      // Reads (mode 0) need bit 0 of the row's modes, writes (mode 1) bit 1; system accesses have no rows.
      if (
        i32[row] === pageLo &&
        i32[(row + 2) | 0] === epoch &&
        i32[(row + 1) | 0] === hi >>> 12 &&
        i32[entry] === i32[(row + 4) | 0] &&
        mode < 2 &&
        (i32[(row + 6) | 0] & (mode + 1)) !== 0
      ) {
        firstLo = i32[(row + 5) | 0];
        firstHi = i32[(row + 7) | 0];
        page = i32[(row + 6) | 0] & -4096;
      } else {
        entry = lookUp === undefined ? -1 : lookUp(pageLo, hi >>> 12, this.space, this.tag);
        if (entry >= REFILLED) {
          entry ^= REFILLED;
          counters[MmuCounter.DtlbMisses]++;
          counters[MmuCounter.DtlbMisses + 1]++;
          cells[(ledger.base + Cause.Tlb) | 0] += secondLevelPrice;
          ticked[0] += secondLevelPrice;
        }
        let frame = 0;
        if (entry >= 0 && this.permits(entry, mode)) frame = firstLevel.frameFor(entry, pageLo);
        else {
          entry = this.translate(data, lo, hi, mode);
          if (entry < 0) return -1;
          frame = this.frame;
        }
        page = memory.frameOffset(frame);
        if (page < 0) return this.noRam(frame, lo, hi);
        firstLo = lineLow(frame, 0);
        firstHi = lineHigh(frame) | 0;
        if (remember) {
          i32[row] = pageLo;
          i32[(row + 1) | 0] = hi >>> 12;
          i32[(row + 2) | 0] = epoch;
          i32[(row + 3) | 0] = entry;
          i32[(row + 4) | 0] = i32[entry];
          i32[(row + 5) | 0] = firstLo;
          i32[(row + 6) | 0] = page | (2 * mode + 1);
          i32[(row + 7) | 0] = firstHi;
        }
      }
      if (write && memory.codeSlots[page >>> 12] !== 0) memory.onCodeWrite?.(page);
      // Each line that it touches, two at most: cache, cost, recency and filter row.
      for (let at = lo; ; at = ((lo | 63) + 1) | 0) {
        let stamp = (i32[recencyAt] + 1) | 0;
        if (stamp < recencyLimit) i32[recencyAt] = stamp;
        else stamp = clock.next();
        i32[(entry + 1) | 0] = stamp;
        const level = caches.data(firstLo | ((at >>> 6) & 63), firstHi, write, stamp);
        if (level !== 1) {
          const price = write ? store[level] : load[level];
          counters[(MmuCounter.DataL2 - 2 + level) | 0]++;
          // Causes L2, L3 and Dram follow each other like the levels.
          cells[(ledger.base + Cause.L2 - 2 + level) | 0] += price;
          ticked[0] += price;
        }
        if (remember) {
          const way = (dataWays + 2 * caches.way) | 0;
          const line = (dataRows + filterRow(at)) | 0;
          i32[line] = at & -64;
          i32[(line + 1) | 0] = hi;
          i32[(line + 2) | 0] = epoch;
          i32[(line + 3) | 0] =
            page | (at & 0xfc0) | (write && memory.codeSlots[page >>> 12] === 0 ? WRITE_OK : 0);
          i32[(line + 4) | 0] = way;
          i32[(line + 5) | 0] = i32[way];
          i32[(line + 6) | 0] = entry;
          i32[(line + 7) | 0] = i32[entry];
        }
        if (at !== lo || (lo & 63) + bytes <= 64) return page | (lo & 4095);
      }
    };
  }

  /** An instruction fetch that the line filter did not answer. */
  private instruction(lo: number, hi: number): number {
    if (this.untimed !== null) return this.untimedFetch(this.untimed, lo, hi);
    const i32 = this.i32;
    const pageLo = (lo >>> 12) | (hi << 20);
    const pages = this.fetchPages.at + pageRow(pageLo);
    let entry = i32[pages + 3];
    let firstLo = 0;
    let firstHi = 0;
    let page = 0;
    if (
      i32[pages] === pageLo &&
      i32[pages + 2] === this.epoch &&
      i32[pages + 1] === hi >>> 12 &&
      i32[entry] === i32[pages + 4]
    ) {
      firstLo = i32[pages + 5];
      firstHi = i32[pages + 7];
      page = i32[pages + 6] & -4096;
    } else {
      entry = this.translate(this.translations.instruction, lo, hi, AccessMode.Fetch);
      if (entry < 0) return -1;
      const frame = this.frame;
      page = this.memory.frameOffset(frame);
      if (page < 0) return this.noRam(frame, lo, hi);
      firstLo = lineLow(frame, 0);
      firstHi = lineHigh(frame);
      if (this.useFilter)
        this.fetchPages.remember(pageLo, hi >>> 12, this.epoch, entry, firstLo, firstHi, page, 1);
    }
    const stamp = this.clock.next();
    i32[entry + 1] = stamp;
    const level = this.caches.instruction(firstLo | ((lo >>> 6) & 63), firstHi, stamp);
    if (level !== 1) this.chargeMiss(MmuCounter.FetchL2, level, this.prices.fetch[level]);
    if (this.useFilter) {
      const way = this.fetchWays + 2 * this.caches.way;
      const row = this.fetchRows + filterRow(lo);
      i32[row] = lo & -64;
      i32[row + 1] = hi;
      i32[row + 2] = this.epoch;
      i32[row + 3] = page | (lo & 0xfc0);
      i32[row + 4] = way;
      i32[row + 5] = i32[way];
      i32[row + 6] = entry;
      i32[row + 7] = i32[entry];
    }
    return page | (lo & 4095);
  }

  /** @param counter of the L2 hits of this side; those of L3 and DRAM follow it */
  private chargeMiss(counter: number, level: number, price: number): void {
    this.counters[counter - 2 + level]++;
    // Causes L2, L3 and Dram follow each other like the levels.
    this.ledger.charge(Cause.L2 - 2 + level, price);
  }

  /** An access to the end of one page and the beginning of the next. */
  private crossPage(lo: number, hi: number, bytes: number, mode: number): number {
    this.port.counters[MmuCounter.PageCrossings]++;
    const firstBytes = 4096 - (lo & 4095);
    const nextLo = ((lo | 4095) + 1) | 0;
    // Linear addresses wrap at 4 GiB outside the long-mode formats.
    const nextHi = nextLo === 0 && this.active.paging >= PagingMode.FourLevel ? (hi + 1) | 0 : hi;
    // The form of the whole address range is checked before either page is looked up.
    if (nextLo === 0 && nextHi === (this.active.paging === PagingMode.FiveLevel ? 0x1000000 : 0x8000))
      return this.access(nextLo, nextHi, bytes - firstBytes, mode);
    const first = this.access(lo, hi, firstBytes, mode);
    if (first < 0) return -1;
    const second = this.access(nextLo, nextHi, bytes - firstBytes, mode);
    if (second < 0) return -1;
    const { scratchAt, u8 } = this;
    u8.copyWithin(scratchAt, first, first + firstBytes);
    u8.copyWithin(scratchAt + firstBytes, second, second + bytes - firstBytes);
    if ((mode & 1) !== 0) {
      this.writePending = 1;
      this.pendingFirst = first;
      this.pendingSecond = second;
      this.pendingFirstBytes = firstBytes;
      this.pendingBytes = bytes;
    }
    return scratchAt;
  }

  /**
   * First-level TLB, second level, walk. Leaves the machine frame in {@link frame}.
   * @returns first-level entry, or -1
   */
  private translate(side: TlbHierarchy, lo: number, hi: number, mode: number): number {
    const pageLo = (lo >>> 12) | (hi << 20);
    const pageHi = hi >>> 12;
    let entry = side.first.find(pageLo, pageHi, this.space, this.tag);
    if (entry < 0) {
      const misses = mode === AccessMode.Fetch ? MmuCounter.ItlbMisses : MmuCounter.DtlbMisses;
      this.counters[misses]++;
      entry = side.refill(pageLo, pageHi, this.space, this.tag);
      if (entry >= 0) {
        this.counters[misses + 1]++;
        this.ledger.charge(Cause.Tlb, this.secondLevelPrice);
      }
    }
    if (entry >= 0 && !this.permits(entry, mode)) {
      this.counters[MmuCounter.Rewalks]++;
      this.translations.forgetLinear(pageLo, pageHi, this.active.asid, this.active.pcid, this.tag);
      entry = -1;
    }
    if (entry < 0) {
      const { walker, rights: test } = this;
      if (this.walkersStale) this.configureWalkers();
      if (!walker.walk(lo, hi, test.access[mode], test.mask[mode], test.value[mode])) {
        this.noteFault(lo, hi);
        return -1;
      }
      entry = side.fill(walker.kind, pageLo, pageHi, this.space, this.tag, walker.rights, walker.frame);
    }
    this.frame = side.first.array.frameFor(entry, pageLo);
    return entry;
  }

  private untimedData(untimed: UntimedAccess, lo: number, hi: number, mode: number): number {
    if (this.i32[this.recencyAt] + 1 >= this.recencyLimit) this.i32[this.recencyAt] = 0;
    return untimed.data(lo, hi, mode, this.epoch, this.useFilter);
  }

  private untimedFetch(untimed: UntimedAccess, lo: number, hi: number): number {
    if (this.i32[this.recencyAt] + 1 >= this.recencyLimit) this.i32[this.recencyAt] = 0;
    return untimed.instruction(lo, hi, this.epoch, this.useFilter);
  }

  private createUntimedAccess(): UntimedAccess {
    const { memory, dataFilter, fetchFilter } = this;
    return new UntimedAccess(memory.arena, memory, dataFilter, fetchFilter, (lo, hi, mode) =>
      this.untimedPage(lo, hi, mode),
    );
  }

  /** A page by the tables alone. @returns its arena offset, the guest's page size below it, with {@link frame} set; or -1 */
  private untimedPage(lo: number, hi: number, mode: number): number {
    const { walker, rights } = this;
    if (this.walkersStale) this.configureWalkers();
    if (!walker.walk(lo, hi, rights.access[mode], rights.mask[mode], rights.value[mode])) {
      this.noteFault(lo, hi);
      return -1;
    }
    this.frame = walker.frame;
    const page = this.memory.frameOffset(walker.frame);
    return page < 0 ? this.noRam(walker.frame, lo, hi) : page | ((walker.rights >>> GUEST_PAGE_SHIFT) & 3);
  }

  private configureWalkers(): void {
    const c = this.active;
    const stage = c.secondStage;
    let secondStage: SecondStageWalker = this.noSecondStage;
    if (stage !== null) {
      const ept = stage.format === "ept";
      const nested = this.secureNestedPageTables ?? this.nestedPageTables;
      const walker = ept ? this.extendedPageTables : nested;
      walker.configure(stage, ept ? 0 : c.asid << 12, this.tag);
      secondStage = walker;
      const key = stage.encryptionKey ?? 0;
      if (key !== 0) {
        this.encryptedSecondStage.configure(walker, key, c.paging < PagingMode.Pae);
        secondStage = this.encryptedSecondStage;
      }
    }
    this.walker.configure(c, secondStage, this.space, this.tag);
    this.walkersStale = false;
  }

  private permits(entry: number, mode: number): boolean {
    const rights = this.i32[entry + 6];
    if ((rights & this.rights.mask[mode]) !== this.rights.value[mode]) return false;
    if (!this.keysActive) return true;
    const access = this.rights.access[mode];
    return !refusedByKey(this.active, (rights >>> KEY_SHIFT) & 15, access, rights & Rights.User);
  }

  private noRam(frame: number, lo: number, hi: number): number {
    const fault = this.fault;
    fault.kind = FaultKind.NoRam;
    fault.errorCode = 0;
    fault.infoHi = 0;
    fault.linearLo = lo;
    fault.linearHi = hi;
    fault.gfn = frame;
    fault.gfnOffset = lo & 4095;
    return -1;
  }

  /** Completes the fault report and forgets what the architecture says a fault forgets. */
  private noteFault(lo: number, hi: number): void {
    const { fault, translations, untimed } = this;
    const { counters } = this.port;
    const { asid, pcid } = this.active;
    fault.linearLo = lo;
    fault.linearHi = hi;
    const kind = fault.kind;
    if (kind === FaultKind.PageFault) counters[MmuCounter.PageFaults]++;
    else if (
      kind === FaultKind.EptViolation ||
      kind === FaultKind.NestedPageFault ||
      kind === FaultKind.NotValidated
    ) {
      counters[MmuCounter.SecondStageFaults]++;
      translations.forgetGuestFrame(fault.gfn, kind === FaultKind.EptViolation ? 0 : asid, this.tag);
    } else {
      if (kind === FaultKind.EptMisconfig) counters[MmuCounter.SecondStageFaults]++;
      return;
    }
    const pageLo = (lo >>> 12) | (hi << 20);
    const pageHi = hi >>> 12;
    if (kind === FaultKind.PageFault) untimed?.forgetPage(lo, hi);
    else untimed?.forget();
    translations.forgetLinear(pageLo, pageHi, asid, pcid, this.tag);
    translations.walk.structures.dropPage(pageLo, pageHi, asid, pcid, this.tag);
  }

  private clearFilters(): void {
    this.dataFilter.clear();
    this.fetchFilter.clear();
    this.dataPages.clear();
    this.fetchPages.clear();
    this.sequences.forgetAll();
    this.untimed?.forget();
  }
}
