import { MmuCounter } from "../mmu-counter.js";
import { frameOf, Pte, reservedAddressBits, tableIndex } from "../paging/pte.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { GUEST_PAGE_SHIFT, GUEST_RIGHTS, KEY_SHIFT, Rights, STAGE_SHIFT } from "../tlb/rights.js";
import { insideMask, Kind } from "../tlb/tlb-array.js";
import { PagingMode, type TranslationContext } from "../translation-context.js";
import { FaultKind, PageFaultCode, type TranslationFault } from "../translation-fault.js";
import { isCanonical } from "./canonical.js";
import { FillTarget } from "./pending-fills.js";
import { refusedByKey } from "./protection-keys.js";
import { type SecondStageWalker, StageAccess, StageRights } from "./second-stage-walker.js";
import type { TablePort } from "./table-port.js";
import type { WalkCaches } from "./walk-caches.js";

const ROOT_RIGHTS = Rights.Execute | Rights.Write | Rights.User;
const GUEST_PAGE_4M = 3;

/**
 * The hardware page walker. It reads the guest's tables (none, 32-bit, PAE, four or five levels), and every guest frame
 * it meets, table or page, goes through {@link SecondStageWalker.translate}: that call is the second dimension.
 * With `g` guest and `n` second-stage levels a cold walk makes (g+1)(n+1)-1 references.
 *
 * The result is in the fields; a fault is in the {@link TranslationFault}.
 */
export class PageWalker {
  /** Machine frame of the page that was asked for. */
  frame = 0;
  /** Kind of the translation: the smaller of the guest's page and the second stage's. */
  kind = 0;
  /** {@link Rights} word for the TLB entry. */
  rights = 0;
  private readonly port: TablePort;
  private readonly caches: WalkCaches;
  private readonly fault: TranslationFault;
  private secondStage: SecondStageWalker;
  private context!: TranslationContext;
  private space = 0;
  private tag = 0;
  private reservedHi = 0;
  /** Bits of the access that a #PF error code shows in this mode. */
  private reportedAccess = 0;
  private i32!: Int32Array;
  /** Entries of the current walk by level, for setting flags once the access is permitted. */
  private readonly entryAt = new Int32Array(6);
  private readonly entryFrame = new Float64Array(6);
  private readonly entryOffset = new Int32Array(6);
  private readonly tableGfn = new Float64Array(6);
  private readonly tableRights = new Int32Array(6);

  constructor(
    memory: PhysicalMemory,
    port: TablePort,
    caches: WalkCaches,
    fault: TranslationFault,
    secondStage: SecondStageWalker,
  ) {
    this.port = port;
    this.caches = caches;
    this.fault = fault;
    this.secondStage = secondStage;
    memory.arena.adopt(() => {
      this.i32 = memory.arena.i32;
    });
  }

  /** Takes over the active context and its second stage; `space` and `tag` are those of its TLB entries. */
  configure(context: TranslationContext, secondStage: SecondStageWalker, space: number, tag: number): void {
    this.context = context;
    this.secondStage = secondStage;
    this.space = space;
    this.tag = tag;
    this.reservedHi = reservedAddressBits(context.physicalAddressBits);
    const noExecute = context.nxe && context.paging >= PagingMode.Pae;
    // The instruction-fetch flag exists only where fetches can be told apart (SDM vol. 3, 4.7).
    this.reportedAccess =
      PageFaultCode.Write | PageFaultCode.User | (noExecute || context.smep ? PageFaultCode.Fetch : 0);
  }

  /**
   * Translates one page for one access. A fault met through cached upper entries is confirmed by a walk from the root,
   * so that a fault never rests on a stale entry (APM vol. 2, 5.5.2).
   * @param access {@link PageFaultCode} bits Write, User and Fetch that apply
   * @param mask, value rights test of this access: permitted when `(rights & mask) === value`
   * @returns false with the fault filled in
   */
  walk(lo: number, hi: number, access: number, mask: number, value: number): boolean {
    const caches = this.caches;
    this.port.counters[MmuCounter.Walks]++;
    caches.used = false;
    let done = this.attempt(lo, hi, access, mask, value);
    if (!done && caches.used) {
      caches.pending.discard();
      caches.bypass = true;
      done = this.attempt(lo, hi, access, mask, value);
      caches.bypass = false;
    }
    if (done) caches.commit();
    else caches.pending.discard();
    return done;
  }

  /**
   * Reads a guest entry outside a linear-address walk (PDPTE loads by MOV CR3).
   * @returns its index in the arena's 32-bit view, or -1 with the fault filled in
   */
  readTable(gfn: number, offset: number): number {
    this.caches.used = false;
    const table = this.secondStage.translate(gfn, offset, StageAccess.Table);
    if (table < 0) {
      this.caches.pending.discard();
      return -1;
    }
    this.caches.commit();
    const at = this.port.reference(table, offset);
    if (at < 0) this.noRam(table, offset);
    else this.port.counters[MmuCounter.GuestReferences]++;
    return at;
  }

  private attempt(lo: number, hi: number, access: number, mask: number, value: number): boolean {
    const context = this.context;
    switch (context.paging) {
      case PagingMode.None:
        return this.finish(
          (lo >>> 12) + (hi & 0xfffff) * 0x100000,
          Kind.Page1G,
          ROOT_RIGHTS | Rights.Dirty | (Kind.Page4K << GUEST_PAGE_SHIFT),
          lo,
          access,
        );
      case PagingMode.Legacy:
        return this.walkLegacy(lo, access, mask, value);
      case PagingMode.Pae: {
        const entry = context.pdpte[lo >>> 30];
        if ((entry & Pte.Present) === 0) return this.pageFault(access, 0);
        return this.walkTables(2, Math.floor(entry / 4096), lo, 0, access, mask, value);
      }
      default:
        if (!isCanonical(hi, context.paging)) return this.nonCanonical();
        return this.walkTables(context.paging, context.rootFrame, lo, hi, access, mask, value);
    }
  }

  /** Formats with 8-byte entries: PAE below its PDPTEs, four and five levels. */
  private walkTables(
    levels: number,
    root: number,
    lo: number,
    hi: number,
    access: number,
    mask: number,
    value: number,
  ): boolean {
    const caches = this.caches;
    const stage = this.secondStage;
    const pageLo = (lo >>> 12) | (hi << 20);
    const pageHi = hi >>> 12;
    let start = levels;
    let gfn = root;
    let table = -1;
    let tableRights = 0;
    let rights: number = ROOT_RIGHTS;
    if (!caches.bypass) {
      const cached = caches.structures.findDeepest(levels, pageLo, pageHi, this.space, this.tag);
      if (cached >= 0) {
        const array = caches.structures.array!;
        caches.touch(array, cached);
        this.port.counters[MmuCounter.PagingStructureHits]++;
        start = array.kindOf(cached);
        gfn = array.guestFrameOf(cached);
        table = array.frameOf(cached);
        rights = array.rightsOf(cached) & GUEST_RIGHTS;
        tableRights = array.rightsOf(cached) >>> STAGE_SHIFT;
      }
    }
    let level = start;
    let entryLo = 0;
    let entryHi = 0;
    for (;;) {
      const offset = tableIndex(lo, hi, level) << 3;
      if (table < 0) {
        table = stage.translate(gfn, offset, StageAccess.Table);
        if (table < 0) return false;
        tableRights = stage.rights;
        if (level < levels)
          this.rememberTable(level, pageLo, pageHi, rights | (tableRights << STAGE_SHIFT), table, gfn);
      }
      const at = this.port.reference(table, offset);
      if (at < 0) return this.noRam(table, offset);
      this.port.counters[MmuCounter.GuestReferences]++;
      entryLo = this.i32[at];
      entryHi = this.i32[at + 1];
      if ((entryLo & Pte.Present) === 0) return this.pageFault(access, 0);
      const leaf = level === 1 || (entryLo & Pte.PageSize) !== 0;
      if (this.isReserved(entryLo, entryHi, level, leaf))
        return this.pageFault(access, PageFaultCode.Present | PageFaultCode.Reserved);
      this.note(level, at, table, offset, gfn, tableRights);
      rights &= entryLo | Rights.Execute;
      if (entryHi < 0) rights &= ~Rights.Execute;
      gfn = frameOf(entryLo, entryHi);
      if (leaf) break;
      level--;
      table = -1;
    }
    const kind = level - 1;
    const key = levels >= 4 ? (entryHi >>> 27) & 15 : 0;
    if (!this.permits(rights, key, access, mask, value)) return false;
    if (!this.setAccessedDirty(start, level, access)) return false;
    const inside = insideMask(kind);
    gfn += (pageLo & inside) - (gfn & inside);
    return this.finish(gfn, kind, this.leafRights(rights, level, kind, key), lo, access);
  }

  /** The 32-bit format: 4-byte entries, 4 MiB pages with PSE, their frame bits 39:32 with PSE-36. */
  private walkLegacy(lo: number, access: number, mask: number, value: number): boolean {
    const caches = this.caches;
    const context = this.context;
    const stage = this.secondStage;
    const pageLo = lo >>> 12;
    let start = 2;
    let gfn = context.rootFrame;
    let table = -1;
    let tableRights = 0;
    let rights: number = ROOT_RIGHTS;
    if (!caches.bypass) {
      const cached = caches.structures.findLegacy(pageLo, this.space, this.tag);
      if (cached >= 0) {
        const array = caches.structures.array!;
        caches.touch(array, cached);
        this.port.counters[MmuCounter.PagingStructureHits]++;
        start = 1;
        gfn = array.guestFrameOf(cached);
        table = array.frameOf(cached);
        rights = array.rightsOf(cached) & GUEST_RIGHTS;
        tableRights = array.rightsOf(cached) >>> STAGE_SHIFT;
      }
    }
    let level = start;
    let entry = 0;
    for (;;) {
      const offset = (level === 2 ? lo >>> 22 : (lo >>> 12) & 1023) << 2;
      if (table < 0) {
        table = stage.translate(gfn, offset, StageAccess.Table);
        if (table < 0) return false;
        tableRights = stage.rights;
        if (level === 1)
          this.rememberTable(Kind.LegacyPde, pageLo, 0, rights | (tableRights << STAGE_SHIFT), table, gfn);
      }
      const at = this.port.reference(table, offset);
      if (at < 0) return this.noRam(table, offset);
      this.port.counters[MmuCounter.GuestReferences]++;
      entry = this.i32[at];
      if ((entry & Pte.Present) === 0) return this.pageFault(access, 0);
      this.note(level, at, table, offset, gfn, tableRights);
      rights &= entry | Rights.Execute;
      if (level === 2 && (entry & Pte.PageSize) !== 0 && context.pse) {
        // Bit 21, and frame bits that the guest's physical address width lacks, are reserved (SDM vol. 3, table 4-4).
        const high = (entry >>> 13) & 0xff;
        const width = Math.min(context.physicalAddressBits, 40) - 32;
        if ((entry & 0x200000) !== 0 || high >>> width !== 0)
          return this.pageFault(access, PageFaultCode.Present | PageFaultCode.Reserved);
        gfn = (entry >>> 22) * 1024 + high * 0x100000 + (pageLo & 1023);
        break;
      }
      gfn = entry >>> 12;
      if (level === 1) break;
      level--;
      table = -1;
    }
    if (!this.permits(rights, 0, access, mask, value)) return false;
    if (!this.setAccessedDirty(start, level, access)) return false;
    // The TLB keeps a 4 MiB page as 2 MiB halves.
    const kind = level === 2 ? Kind.Page2M : Kind.Page4K;
    const guestPage = level === 2 ? GUEST_PAGE_4M : Kind.Page4K;
    return this.finish(gfn, kind, this.leafRights(rights, level, guestPage, 0), lo, access);
  }

  /** The last translation of the second dimension: the page itself. */
  private finish(gfn: number, kind: number, rights: number, lo: number, access: number): boolean {
    const stage = this.secondStage;
    const user = (rights & Rights.User) !== 0 ? StageAccess.UserAddress : 0;
    const stageAccess = (access & (StageAccess.Write | StageAccess.Fetch)) | user;
    const frame = stage.translate(gfn, lo & 4095, stageAccess);
    if (frame < 0) return false;
    this.frame = frame;
    this.kind = Math.min(kind, stage.kind);
    this.rights = rights | (stage.rights << STAGE_SHIFT);
    return true;
  }

  private note(
    level: number,
    at: number,
    table: number,
    offset: number,
    gfn: number,
    tableRights: number,
  ): void {
    this.entryAt[level] = at;
    this.entryFrame[level] = table;
    this.entryOffset[level] = offset;
    this.tableGfn[level] = gfn;
    this.tableRights[level] = tableRights;
  }

  private rememberTable(
    kind: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    table: number,
    gfn: number,
  ): void {
    const { space, tag } = this;
    this.caches.pending.add(FillTarget.PagingStructure, kind, pageLo, pageHi, space, tag, rights, table, gfn);
  }

  /** SDM vol. 3, 4.6: the rights of all levels together, then protection keys. */
  private permits(rights: number, key: number, access: number, mask: number, value: number): boolean {
    if ((rights & mask & GUEST_RIGHTS) !== (value & GUEST_RIGHTS))
      return this.pageFault(access, PageFaultCode.Present);
    const context = this.context;
    const keyed = context.paging >= PagingMode.FourLevel;
    if (keyed && refusedByKey(context, key, access, rights & Rights.User))
      return this.pageFault(access, PageFaultCode.Present | PageFaultCode.ProtectionKey);
    return true;
  }

  /** Sets accessed flags at every level read and the leaf's dirty flag for a write. */
  private setAccessedDirty(start: number, leafLevel: number, access: number): boolean {
    for (let level = start; level >= leafLevel; level--) {
      const at = this.entryAt[level];
      const flags =
        level === leafLevel && (access & PageFaultCode.Write) !== 0 ? Pte.Accessed | Pte.Dirty : Pte.Accessed;
      if ((this.i32[at] & flags) === flags) continue;
      if ((this.tableRights[level] & StageRights.Write) === 0) {
        this.secondStage.refuseTableUpdate(
          this.tableGfn[level],
          this.entryOffset[level],
          this.tableRights[level],
        );
        return false;
      }
      this.port.setFlags(this.entryFrame[level], this.entryOffset[level], at, flags);
    }
    return true;
  }

  /** The guest part of the TLB entry's rights word, from the leaf as it is now. */
  private leafRights(rights: number, level: number, guestPage: number, key: number): number {
    const leaf = this.i32[this.entryAt[level]];
    const global = this.context.globalPages ? leaf & Rights.Global : 0;
    return rights | (leaf & Rights.Dirty) | global | (guestPage << GUEST_PAGE_SHIFT) | (key << KEY_SHIFT);
  }

  private isReserved(lo: number, hi: number, level: number, leaf: boolean): boolean {
    if ((hi & this.reservedHi) !== 0) return true;
    if (hi < 0 && !this.context.nxe) return true;
    // PAE entries ignore nothing above the address: bits 62:52 are reserved.
    if (this.context.paging === PagingMode.Pae && (hi & 0x7ff00000) !== 0) return true;
    if (!leaf || level === 1) return false;
    if (level > 3) return true;
    return (lo & (level === 3 ? 0x3fffe000 : 0x001fe000)) !== 0;
  }

  private pageFault(access: number, code: number): boolean {
    const fault = this.fault;
    fault.kind = FaultKind.PageFault;
    fault.errorCode = (access & this.reportedAccess) | code;
    fault.infoHi = 0;
    return false;
  }

  private nonCanonical(): boolean {
    this.fault.kind = FaultKind.NonCanonical;
    this.fault.errorCode = 0;
    this.fault.infoHi = 0;
    return false;
  }

  private noRam(frame: number, offset: number): boolean {
    const fault = this.fault;
    fault.kind = FaultKind.NoRam;
    fault.errorCode = 0;
    fault.infoHi = 0;
    fault.gfn = frame;
    fault.gfnOffset = offset;
    return false;
  }
}
