import { MmuCounter } from "../mmu-counter.js";
import { frameOf, Pte, tableIndex } from "../paging/pte.js";
import { FaultKind, NPF_FINAL, NPF_TABLE_WALK, PageFaultCode } from "../translation-fault.js";
import { RadixSecondStage } from "./radix-second-stage.js";
import { StageAccess, StageRights } from "./second-stage-walker.js";

const ACCESS_RIGHTS = StageRights.Read | StageRights.Write | StageRights.Execute;

/**
 * AMD nested paging (APM vol. 2, 15.25): the host's own long-mode format, every access taken as a user access, guest
 * table accesses taken as user writes, accessed and dirty flags always kept.
 */
export class NestedPageTableWalker extends RadixSecondStage {
  protected readonly rootRights: number = StageRights.Read | StageRights.Write | StageRights.Execute;

  refuseTableUpdate(gfn: number, offset: number, rights: number): void {
    this.refuse(gfn, offset, StageAccess.Table, rights);
  }

  protected needed(access: number): number {
    let needed = StageRights.Read as number;
    if ((access & (StageAccess.Write | StageAccess.Table)) !== 0)
      needed |= StageRights.Write | StageRights.Dirty;
    if ((access & StageAccess.Fetch) !== 0) needed |= StageRights.Execute;
    return needed;
  }

  protected walk(gfn: number, pageLo: number, pageHi: number, offset: number, access: number): number {
    const gpaLo = pageLo << 12;
    const gpaHi = (pageHi << 12) | (pageLo >>> 20);
    const write = (access & (StageAccess.Write | StageAccess.Table)) !== 0;
    const start = this.startLevel;
    let level = start;
    let table = this.startTable;
    let rights = this.startRights;
    for (;;) {
      const entryOffset = tableIndex(gpaLo, gpaHi, level) << 3;
      const at = this.port.reference(table, entryOffset);
      if (at < 0) return this.noRam(table, entryOffset);
      this.port.counters[MmuCounter.SecondStageReferences]++;
      const lo = this.i32[at];
      const hi = this.i32[at + 1];
      if ((lo & Pte.Present) === 0) {
        this.refuse(gfn, offset, access, 0);
        return -1;
      }
      this.entryAt[level] = at;
      this.entryFrame[level] = table;
      this.entryOffset[level] = entryOffset;
      const leaf = level === 1 || (lo & Pte.PageSize) !== 0;
      if (this.isReserved(lo, hi, level, leaf)) {
        this.refuse(gfn, offset, access, 0);
        this.fault.errorCode |= PageFaultCode.Reserved | PageFaultCode.Present;
        return -1;
      }
      if ((lo & Pte.Write) === 0) rights &= ~StageRights.Write;
      if (hi < 0) rights &= ~StageRights.Execute;
      // A supervisor page is out of reach for every guest access.
      if ((lo & Pte.User) === 0) rights = 0;
      table = frameOf(lo, hi);
      if (leaf) break;
      level--;
      this.rememberTable(level, pageLo, pageHi, rights, table);
    }
    const needed = this.needed(access) & ACCESS_RIGHTS;
    if ((rights & needed) !== needed) {
      this.refuse(gfn, offset, access, rights);
      this.fault.errorCode |= PageFaultCode.Present;
      return -1;
    }
    for (let l = start; l >= level; l--) {
      const at = this.entryAt[l];
      const flags = l === level && write ? Pte.Accessed | Pte.Dirty : Pte.Accessed;
      if ((this.i32[at] & flags) !== flags)
        this.port.setFlags(this.entryFrame[l], this.entryOffset[l], at, flags);
    }
    if ((this.i32[this.entryAt[level]] & Pte.Dirty) !== 0) rights |= StageRights.Dirty;
    return this.finish(
      level,
      pageLo,
      pageHi,
      rights,
      level === 1 ? table : this.alignedFrame(table, level),
      access,
    );
  }

  protected refuse(gfn: number, offset: number, access: number, _rights: number): void {
    const fault = this.fault;
    const table = (access & StageAccess.Table) !== 0;
    fault.kind = FaultKind.NestedPageFault;
    fault.errorCode =
      PageFaultCode.User |
      (table || (access & StageAccess.Write) !== 0 ? PageFaultCode.Write : 0) |
      ((access & StageAccess.Fetch) !== 0 ? PageFaultCode.Fetch : 0);
    fault.infoHi = table ? NPF_TABLE_WALK : NPF_FINAL;
    fault.gfn = gfn;
    fault.gfnOffset = offset;
  }

  private isReserved(lo: number, hi: number, level: number, leaf: boolean): boolean {
    if ((hi & this.reservedHi) !== 0) return true;
    if (!leaf || level === 1) return false;
    // Bit 7 is reserved above the PDPTE; large pages reserve the frame bits below their size, but for PAT (bit 12).
    if (level > 3) return true;
    return (lo & (level === 3 ? 0x3fffe000 : 0x001fe000)) !== 0;
  }

  /** The frame field of a large page's entry without its PAT bit. */
  private alignedFrame(frame: number, level: number): number {
    return frame - (level === 2 ? frame & 0x1ff : frame & 0x3ffff);
  }
}
