import { MmuCounter } from "../mmu-counter.js";
import { Ept, frameOf, tableIndex } from "../paging/pte.js";
import type { ModificationLog } from "../translation-context.js";
import { EptQualification, FaultKind } from "../translation-fault.js";
import { RadixSecondStage } from "./radix-second-stage.js";
import { StageAccess, StageRights } from "./second-stage-walker.js";

const LAST_LOG_ENTRY = 511;

/**
 * Intel extended page tables (SDM vol. 3, 29.3): separate read, write and execute permissions, accessed and dirty
 * flags as an option (EPTP bit 6) under which every access to a guest table counts as a write, mode-based execute
 * control and page-modification logging as options too. Execute-only pages are supported.
 */
export class ExtendedPageTableWalker extends RadixSecondStage {
  protected readonly rootRights: number =
    StageRights.Read | StageRights.Write | StageRights.Execute | StageRights.UserExecute;

  /** Without EPT accessed and dirty flags a guest flag update is a write of its own. */
  refuseTableUpdate(gfn: number, offset: number, rights: number): void {
    this.refuse(gfn, offset, StageAccess.Table, rights);
    this.fault.errorCode = (this.fault.errorCode & ~EptQualification.Read) | EptQualification.Write;
  }

  protected needed(access: number): number {
    if ((access & StageAccess.Fetch) !== 0) {
      const user = this.modeBased && (access & StageAccess.UserAddress) !== 0;
      return user ? StageRights.UserExecute : StageRights.Execute;
    }
    if ((access & StageAccess.Table) !== 0)
      return this.accessDirty ? StageRights.Read | StageRights.Write | StageRights.Dirty : StageRights.Read;
    return (access & StageAccess.Write) !== 0 ? StageRights.Write | StageRights.Dirty : StageRights.Read;
  }

  protected walk(gfn: number, pageLo: number, pageHi: number, offset: number, access: number): number {
    const gpaLo = pageLo << 12;
    const gpaHi = (pageHi << 12) | (pageLo >>> 20);
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
      const permissions = (lo & Ept.All) | (this.modeBased ? (lo & Ept.UserExecute) >>> 6 : 0);
      if (permissions === 0) {
        this.refuse(gfn, offset, access, 0);
        return -1;
      }
      const leaf = level === 1 || (lo & Ept.PageSize) !== 0;
      if (this.isMisconfigured(lo, hi, level, leaf)) return this.misconfigured(gfn, offset);
      this.entryAt[level] = at;
      this.entryFrame[level] = table;
      this.entryOffset[level] = entryOffset;
      rights &= permissions;
      table = frameOf(lo, hi);
      if (leaf) break;
      level--;
      this.rememberTable(level, pageLo, pageHi, rights, table);
    }
    const needed = this.needed(access) & ~StageRights.Dirty;
    if ((rights & needed) !== needed) {
      this.refuse(gfn, offset, access, rights);
      return -1;
    }
    if (this.accessDirty) {
      const write = (access & (StageAccess.Write | StageAccess.Table)) !== 0;
      if (this.log !== null && !this.logged(this.log, gfn, offset, start, level, write)) return -1;
      for (let l = start; l >= level; l--) {
        const at = this.entryAt[l];
        const flags = l === level && write ? Ept.Accessed | Ept.Dirty : Ept.Accessed;
        if ((this.i32[at] & flags) !== flags)
          this.port.setFlags(this.entryFrame[l], this.entryOffset[l], at, flags);
      }
      if ((this.i32[this.entryAt[level]] & Ept.Dirty) !== 0) rights |= StageRights.Dirty;
    } else rights |= StageRights.Dirty;
    return this.finish(level, pageLo, pageHi, rights, table, access);
  }

  /**
   * Page-modification logging before flags are set (SDM vol. 3, 29.3.6): a full log stops the access, whichever flag it
   * would set; a dirty flag that is about to be set is noted.
   */
  private logged(
    log: ModificationLog,
    gfn: number,
    offset: number,
    start: number,
    leaf: number,
    write: boolean,
  ): boolean {
    let missing = 0;
    for (let l = start; l >= leaf; l--)
      missing |= ~this.i32[this.entryAt[l]] & (l === leaf && write ? Ept.Accessed | Ept.Dirty : Ept.Accessed);
    if (missing === 0) return true;
    if (log.index > LAST_LOG_ENTRY) {
      const fault = this.fault;
      fault.kind = FaultKind.ModificationLogFull;
      fault.errorCode = 0;
      fault.infoHi = 0;
      fault.gfn = gfn;
      fault.gfnOffset = offset;
      return false;
    }
    if ((missing & Ept.Dirty) !== 0) {
      this.port.store(log.frame, log.index << 3, gfn << 12, Math.floor(gfn / 0x100000));
      log.index = (log.index - 1) & 0xffff;
    }
    return true;
  }

  protected refuse(gfn: number, offset: number, access: number, rights: number): void {
    const fault = this.fault;
    const table = (access & StageAccess.Table) !== 0;
    let qualification =
      EptQualification.LinearAddressValid |
      ((rights & Ept.All) << 3) |
      ((rights & StageRights.UserExecute) << 2);
    if (table) {
      // With accessed and dirty flags both access bits are set (SDM vol. 3, table 28-7, note 1).
      qualification |= this.accessDirty
        ? EptQualification.Read | EptQualification.Write
        : EptQualification.Read;
    } else {
      qualification |= EptQualification.Final;
      if ((access & StageAccess.Fetch) !== 0) qualification |= EptQualification.Fetch;
      else if ((access & StageAccess.Write) !== 0) qualification |= EptQualification.Write;
      else qualification |= EptQualification.Read;
    }
    fault.kind = FaultKind.EptViolation;
    fault.errorCode = qualification;
    fault.infoHi = 0;
    fault.gfn = gfn;
    fault.gfnOffset = offset;
  }

  /** EPT misconfigurations leave no exit qualification (SDM vol. 3, 28.2.1). */
  private misconfigured(gfn: number, offset: number): number {
    const fault = this.fault;
    fault.kind = FaultKind.EptMisconfig;
    fault.errorCode = 0;
    fault.infoHi = 0;
    fault.gfn = gfn;
    fault.gfnOffset = offset;
    return -1;
  }

  /** SDM vol. 3, 29.3.3.1. */
  private isMisconfigured(lo: number, hi: number, level: number, leaf: boolean): boolean {
    if ((lo & (Ept.Read | Ept.Write)) === Ept.Write) return true;
    if ((hi & this.reservedHi) !== 0) return true;
    if (!leaf) return (lo & (level > 3 ? 0xf8 : 0x78)) !== 0;
    if (level > 3) return true;
    const memoryType = (lo >>> 3) & 7;
    if (memoryType === 2 || memoryType === 3 || memoryType === 7) return true;
    if (level === 1) return false;
    return (lo & (level === 3 ? 0x3ffff000 : 0x001ff000)) !== 0;
  }
}
