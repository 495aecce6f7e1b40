import { MmuCounter } from "../mmu-counter.js";
import { reservedAddressBits } from "../paging/pte.js";
import type { PhysicalMemory } from "../physical-memory.js";
import type { ModificationLog, SecondStage } from "../translation-context.js";
import { FaultKind, type TranslationFault } from "../translation-fault.js";
import { FillTarget } from "./pending-fills.js";
import { type SecondStageWalker, StageAccess, StageRights } from "./second-stage-walker.js";
import type { TablePort } from "./table-port.js";
import type { WalkCaches } from "./walk-caches.js";

const FOUR_LEVEL_FRAMES = 2 ** 36; // 48-bit guest-physical addresses

/**
 * What the two radix second stages share: the nested TLB and the nested paging-structure caches in front of the tables.
 * Subclasses walk their own entry format.
 */
export abstract class RadixSecondStage implements SecondStageWalker {
  rights = 0;
  kind = 0;
  protected readonly port: TablePort;
  protected readonly caches: WalkCaches;
  protected readonly fault: TranslationFault;
  protected readonly reservedHi: number;
  protected i32!: Int32Array;
  protected levels = 4;
  protected root = 0;
  protected accessDirty = true;
  protected modeBased = false;
  protected log: ModificationLog | null = null;
  /** Tags of second-stage entries in the walker's caches. */
  protected space = 0;
  protected tag = 0;
  /** Where the tables of the current walk lie, by level: for setting flags once the access is permitted. */
  protected readonly entryAt: Int32Array = new Int32Array(6);
  protected readonly entryFrame: Float64Array = new Float64Array(6);
  protected readonly entryOffset: Int32Array = new Int32Array(6);
  /** Where the current walk starts: level, table and rights gathered above it. */
  protected startLevel = 4;
  protected startTable = 0;
  protected startRights = 0;

  /** @param physicalAddressBits of the processor (not the guest): wider entries are reserved */
  constructor(
    memory: PhysicalMemory,
    port: TablePort,
    caches: WalkCaches,
    fault: TranslationFault,
    physicalAddressBits: number,
  ) {
    this.port = port;
    this.caches = caches;
    this.fault = fault;
    this.reservedHi = reservedAddressBits(physicalAddressBits);
    memory.arena.adopt(() => {
      this.i32 = memory.arena.i32;
    });
  }

  /** Takes over the tables of the active context; `space` and `tag` are what its second-stage entries carry. */
  configure(stage: SecondStage, space: number, tag: number): void {
    this.levels = stage.levels;
    this.root = stage.rootFrame;
    this.accessDirty = stage.accessDirty;
    this.modeBased = stage.modeBasedExecute ?? false;
    this.log = stage.modificationLog ?? null;
    this.space = space;
    this.tag = tag;
  }

  translate(gfn: number, offset: number, access: number): number {
    const caches = this.caches;
    this.port.counters[MmuCounter.SecondStageTranslations]++;
    const pageLo = gfn | 0;
    const pageHi = gfn < 0x80000000 ? 0 : Math.floor(gfn / 0x100000000);
    if (!caches.bypass) {
      const tlb = caches.nestedTlb;
      const entry = tlb.find(pageLo, pageHi, this.space, this.tag);
      if (entry >= 0) {
        const needed = this.needed(access);
        const rights = tlb.rightsOf(entry);
        if ((rights & needed) === needed) {
          caches.touch(tlb, entry);
          this.port.counters[MmuCounter.NestedTlbHits]++;
          this.rights = this.verdict(rights, access);
          this.kind = tlb.kindOf(entry);
          return tlb.frameFor(entry, pageLo);
        }
      }
    }
    if (gfn >= FOUR_LEVEL_FRAMES && this.levels === 4) {
      this.refuse(gfn, offset, access, 0);
      return -1;
    }
    this.findStart(pageLo, pageHi);
    return this.walk(gfn, pageLo, pageHi, offset, access);
  }

  abstract refuseTableUpdate(gfn: number, offset: number, rights: number): void;

  /** Rights that a cached entry must have for `access`, Dirty included for writes. */
  protected abstract needed(access: number): number;

  /** Reads the tables from {@link startLevel} down. */
  protected abstract walk(
    gfn: number,
    pageLo: number,
    pageHi: number,
    offset: number,
    access: number,
  ): number;

  /** Fills in the fault for an entry that is absent (`rights` 0) or does not permit `access`. */
  protected abstract refuse(gfn: number, offset: number, access: number, rights: number): void;

  /** Rights that a walk begins with. */
  protected abstract readonly rootRights: number;

  protected noRam(frame: number, offset: number): number {
    this.fault.kind = FaultKind.NoRam;
    this.fault.errorCode = 0;
    this.fault.infoHi = 0;
    this.fault.gfn = frame;
    this.fault.gfnOffset = offset;
    return -1;
  }

  /** Notes a table reached through an upper entry for the nested paging-structure caches. */
  protected rememberTable(
    level: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    table: number,
  ): void {
    this.caches.pending.add(
      FillTarget.NestedPagingStructure,
      level,
      pageLo,
      pageHi,
      this.space,
      this.tag,
      rights,
      table,
      0,
    );
  }

  /** Notes the finished translation for the nested TLB and returns the machine frame of the very page. */
  protected finish(
    level: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    leafFrame: number,
    access: number,
  ): number {
    const kind = level - 1;
    this.rights = this.verdict(rights, access);
    this.kind = kind;
    this.caches.pending.add(
      FillTarget.NestedTlb,
      kind,
      pageLo,
      pageHi,
      this.space,
      this.tag,
      rights,
      leafFrame,
      0,
    );
    return leafFrame + (kind === 0 ? 0 : kind === 1 ? pageLo & 0x1ff : pageLo & 0x3ffff);
  }

  /** What a page's rights come to for the kind of linear address that leads there. */
  protected verdict(rights: number, access: number): number {
    if (!this.modeBased || (access & StageAccess.Table) !== 0) return rights;
    const { Execute, UserExecute } = StageRights;
    const executable = (access & StageAccess.UserAddress) !== 0 ? UserExecute : Execute;
    return (rights & executable) !== 0 ? (rights | Execute) & 15 : rights & ~Execute & 15;
  }

  private findStart(pageLo: number, pageHi: number): void {
    const caches = this.caches;
    this.startLevel = this.levels;
    this.startTable = this.root;
    this.startRights = this.rootRights;
    if (caches.bypass) return;
    const structures = caches.nestedStructures;
    const entry = structures.findDeepest(this.levels, pageLo, pageHi, this.space, this.tag);
    if (entry < 0) return;
    const array = structures.array!;
    caches.touch(array, entry);
    this.port.counters[MmuCounter.NestedPagingStructureHits]++;
    this.startLevel = array.kindOf(entry);
    this.startTable = array.frameOf(entry);
    this.startRights = array.rightsOf(entry);
  }
}
