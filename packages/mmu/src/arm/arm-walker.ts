import { MmuCounter } from "../mmu-counter.js";
import { frameOf } from "../paging/pte.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { GUEST_PAGE_SHIFT, STAGE_SHIFT } from "../tlb/rights.js";
import { FillTarget } from "../walk/pending-fills.js";
import { StageAccess, StageRights } from "../walk/second-stage-walker.js";
import type { TablePort } from "../walk/table-port.js";
import type { WalkCaches } from "../walk/walk-caches.js";
import {
  ArmStage1,
  BLOCK,
  DESCRIPTOR_TYPE,
  levelSpan,
  stage1StartLevel,
  TABLE_OR_PAGE,
} from "./arm-descriptor.js";
import { type ArmFault, FaultStatus } from "./arm-fault.js";
import { ArmAccess, type ArmTableBase } from "./arm-regime.js";
import { type ArmStage2Walker, LEVELS } from "./arm-stage2-walker.js";
import { EL2_SPACE } from "./arm-translation-caches.js";

/**
 * Bits of the rights word of a cached Arm translation: stage 1's verdict below, stage 2's at 15:12, then the kinds of the
 * two stages' own pages (a permission fault names the level of the stage that refuses).
 */
export const ArmRights = {
  PrivilegedExecute: 0x1,
  Write: 0x2,
  User: 0x4,
  UserExecute: 0x8,
  Global: 0x100,
} as const;
const STAGE1_RIGHTS = 0xf;
const ALL_STAGE1 = 0xf;
const EXECUTE: number = ArmRights.PrivilegedExecute | ArmRights.UserExecute;
const ALL_STAGE2 = StageRights.Read | StageRights.Write | StageRights.Execute;
const STAGE2_PAGE_SHIFT = 18;
/** Kind in {@link STAGE2_PAGE_SHIFT} of a regime without stage 2. */
const NO_STAGE2 = 3;

/**
 * The table walker of one translation regime (Arm ARM DDI 0487, D8.2): stage 1 from one of its bases, and every
 * intermediate physical frame it meets, table or page, through stage 2 where there is one. With `a` stage 1 and `b`
 * stage 2 levels a cold walk makes (a+1)(b+1)-1 references.
 *
 * Table descriptors are used from the walk caches however stale: what is not invalidated may be used.
 */
export class ArmWalker {
  /** After {@link walk}: machine frame of the page. */
  frame = 0;
  /** After {@link walk}: kind of the translation, the smaller of the two stages' pages. */
  kind = 0;
  /** After {@link walk}: {@link ArmRights} word for the TLB entry. */
  rights = 0;
  /** While set, {@link frame} is the intermediate physical frame: stage 2 is asked for tables alone (AT S1E1R). */
  stopAtIpa = false;
  private readonly port: TablePort;
  private readonly caches: WalkCaches;
  private readonly fault: ArmFault;
  private stage2: ArmStage2Walker | null = null;
  private space = 0;
  private outputFrames = 0;
  private onePrivilegeLevel = false;
  private i32!: Int32Array;

  constructor(memory: PhysicalMemory, port: TablePort, caches: WalkCaches, fault: ArmFault) {
    this.port = port;
    this.caches = caches;
    this.fault = fault;
    memory.arena.adopt(() => {
      this.i32 = memory.arena.i32;
    });
  }

  /**
   * @param space of the regime's cached entries @param outputBits of a stage 1 descriptor's address
   * @param onePrivilegeLevel EL2's own regime; default the EL1&0 regime
   */
  configure(
    stage2: ArmStage2Walker | null,
    space: number,
    outputBits: number,
    onePrivilegeLevel = false,
  ): void {
    this.onePrivilegeLevel = onePrivilegeLevel;
    this.stage2 = stage2;
    this.space = space;
    this.outputFrames = 2 ** (outputBits - 12);
  }

  /**
   * Translates a page through stage 1, or, with `base` null and stage 1 off, through stage 2 alone.
   * @param page number within the base's range @param pageLo,pageHi 52-bit page number of the whole address
   * @returns false with the fault filled in
   */
  walk(base: ArmTableBase | null, page: number, pageLo: number, pageHi: number, access: number): boolean {
    this.port.counters[MmuCounter.Walks]++;
    const done =
      base === null
        ? this.finish(page, 2, ALL_STAGE1, access)
        : this.stage1(base, page, pageLo, pageHi, access);
    if (done) this.caches.commit();
    else this.caches.pending.discard();
    return done;
  }

  /** Whether a cached translation permits an access; if not, the fault is filled in. */
  permits(rights: number, access: number): boolean {
    const refused = refusedStage1(rights, access);
    if (refused) return this.stop(FaultStatus.Permission | (3 - ((rights >>> GUEST_PAGE_SHIFT) & 3)));
    const needed =
      ((access & ArmAccess.Write) !== 0 ? StageRights.Write : 0) |
      ((access & ArmAccess.Fetch) !== 0 ? StageRights.Execute : StageRights.Read);
    if (((rights >>> STAGE_SHIFT) & needed) === needed) return true;
    this.stop(FaultStatus.Permission | (3 - ((rights >>> STAGE2_PAGE_SHIFT) & 3)));
    this.fault.stage2 = true;
    return false;
  }

  /** A stage 1 fault that no descriptor caused (an address outside both halves). */
  refuse(status: number): false {
    return this.stop(status);
  }

  private stage1(base: ArmTableBase, page: number, pageLo: number, pageHi: number, access: number): boolean {
    const { caches, stage2, port, onePrivilegeLevel } = this;
    const levels = LEVELS - stage1StartLevel(base.inputBits);
    let level = levels;
    let ipaFrame = base.rootFrame;
    let table = -1;
    let gathered = ALL_STAGE1;
    const cached = caches.structures.findDeepest(levels, pageLo, pageHi, this.space, 0);
    if (cached >= 0) {
      const array = caches.structures.array!;
      caches.touch(array, cached);
      port.counters[MmuCounter.PagingStructureHits]++;
      level = array.kindOf(cached);
      table = array.frameOf(cached);
      ipaFrame = array.guestFrameOf(cached);
      gathered = array.rightsOf(cached) & STAGE1_RIGHTS;
    } else if (ipaFrame >= this.outputFrames) return this.stop(FaultStatus.AddressSize);
    for (;;) {
      const armLevel = LEVELS - level;
      const offset = (Math.floor(page / levelSpan(armLevel)) % 512) << 3;
      if (table < 0) {
        table = stage2 === null ? ipaFrame : stage2.translate(ipaFrame, offset, StageAccess.Table);
        if (table < 0) return false;
        if (level < levels) this.rememberTable(level, pageLo, pageHi, gathered, table, ipaFrame);
      }
      const at = port.reference(table, offset);
      if (at < 0) return this.stop(FaultStatus.ExternalOnWalk | armLevel);
      if (this.space !== EL2_SPACE) port.counters[MmuCounter.GuestReferences]++;
      const lo = this.i32[at];
      const hi = this.i32[at + 1];
      const type = lo & DESCRIPTOR_TYPE;
      if (
        level === 1 ? type !== TABLE_OR_PAGE : type !== TABLE_OR_PAGE && (type !== BLOCK || level === LEVELS)
      )
        return this.stop(FaultStatus.Translation | armLevel);
      ipaFrame = frameOf(lo, hi);
      if (ipaFrame >= this.outputFrames) return this.stop(FaultStatus.AddressSize | armLevel);
      if (level > 1 && type === TABLE_OR_PAGE) {
        gathered &= onePrivilegeLevel ? tableRightsEl2(hi) : tableRights(hi);
        level--;
        table = -1;
        continue;
      }
      if ((lo & ArmStage1.AccessFlag) === 0) return this.stop(FaultStatus.AccessFlag | armLevel);
      const rights = gathered & (onePrivilegeLevel ? leafRightsEl2(lo, hi) : leafRights(lo, hi));
      if (refusedStage1(rights, access)) return this.stop(FaultStatus.Permission | armLevel);
      const span = levelSpan(armLevel);
      const global = (lo & ArmStage1.NotGlobal) === 0 ? ArmRights.Global : 0;
      return this.finish(ipaFrame - (ipaFrame % span) + (page % span), level - 1, rights | global, access);
    }
  }

  /** The last translation of the second dimension: the page itself. */
  private finish(ipaFrame: number, kind: number, rights: number, access: number): boolean {
    const { stage2 } = this;
    if (stage2 === null || this.stopAtIpa) {
      this.frame = ipaFrame;
      this.kind = kind;
      this.rights =
        rights | (ALL_STAGE2 << STAGE_SHIFT) | (kind << GUEST_PAGE_SHIFT) | (NO_STAGE2 << STAGE2_PAGE_SHIFT);
      return true;
    }
    const frame = stage2.translate(ipaFrame, 0, access & (StageAccess.Write | StageAccess.Fetch));
    if (frame < 0) return false;
    this.frame = frame;
    this.kind = Math.min(kind, stage2.kind);
    this.rights =
      rights |
      (stage2.rights << STAGE_SHIFT) |
      (kind << GUEST_PAGE_SHIFT) |
      (stage2.kind << STAGE2_PAGE_SHIFT);
    return true;
  }

  private rememberTable(
    kind: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    table: number,
    ipaFrame: number,
  ): void {
    const { space, caches } = this;
    caches.pending.add(FillTarget.PagingStructure, kind, pageLo, pageHi, space, 0, rights, table, ipaFrame);
  }

  private stop(status: number): false {
    const { fault } = this;
    fault.status = status;
    fault.stage2 = false;
    fault.onWalk = false;
    fault.ipaFrame = 0;
    return false;
  }
}

/** D8.4: AP, PXN and UXN of a leaf. What EL0 may write, EL1 may not execute. */
function leafRights(lo: number, hi: number): number {
  const user = (lo & ArmStage1.User) !== 0;
  const write = (lo & ArmStage1.ReadOnly) === 0;
  const privileged = (hi & ArmStage1.PrivilegedExecuteNever) === 0 && !(user && write);
  return (
    (privileged ? ArmRights.PrivilegedExecute : 0) |
    (write ? ArmRights.Write : 0) |
    (user ? ArmRights.User : 0) |
    ((hi & ArmStage1.UserExecuteNever) === 0 ? ArmRights.UserExecute : 0)
  );
}

/** The same where there is one privilege level: XN for everybody, AP[1] is RES1 and PXN RES0. */
function leafRightsEl2(lo: number, hi: number): number {
  return (
    ArmRights.User |
    ((lo & ArmStage1.ReadOnly) === 0 ? ArmRights.Write : 0) |
    ((hi & ArmStage1.UserExecuteNever) === 0 ? EXECUTE : 0)
  );
}

/** The same of a table descriptor: XNTable and APTable[1]. */
function tableRightsEl2(hi: number): number {
  return (
    ArmRights.User |
    ((hi & ArmStage1.TableReadOnly) === 0 ? ArmRights.Write : 0) |
    ((hi & ArmStage1.TableUserExecuteNever) === 0 ? EXECUTE : 0)
  );
}

/** What a table descriptor leaves to the levels below it. */
function tableRights(hi: number): number {
  return (
    ((hi & ArmStage1.TablePrivilegedExecuteNever) === 0 ? ArmRights.PrivilegedExecute : 0) |
    ((hi & ArmStage1.TableReadOnly) === 0 ? ArmRights.Write : 0) |
    ((hi & ArmStage1.TableNoUser) === 0 ? ArmRights.User : 0) |
    ((hi & ArmStage1.TableUserExecuteNever) === 0 ? ArmRights.UserExecute : 0)
  );
}

function refusedStage1(rights: number, access: number): boolean {
  const user = (access & ArmAccess.Unprivileged) !== 0;
  if (user && (rights & ArmRights.User) === 0) return true;
  if ((access & ArmAccess.Write) !== 0 && (rights & ArmRights.Write) === 0) return true;
  if ((access & ArmAccess.Fetch) === 0) return false;
  return (rights & (user ? ArmRights.UserExecute : ArmRights.PrivilegedExecute)) === 0;
}
