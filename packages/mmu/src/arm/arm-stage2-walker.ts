import { MmuCounter } from "../mmu-counter.js";
import { frameOf } from "../paging/pte.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { TranslationFault } from "../translation-fault.js";
import { RadixSecondStage } from "../walk/radix-second-stage.js";
import { StageAccess, StageRights } from "../walk/second-stage-walker.js";
import type { TablePort } from "../walk/table-port.js";
import type { WalkCaches } from "../walk/walk-caches.js";
import { ArmStage2, BLOCK, DESCRIPTOR_TYPE, levelSpan, TABLE_OR_PAGE } from "./arm-descriptor.js";
import { type ArmFault, FaultStatus } from "./arm-fault.js";
import type { ArmStage2Context } from "./arm-regime.js";

/** Walkers count levels from the page up, 1 to 4, as x86 does: Arm's level is this less that. */
export const LEVELS = 4;

/**
 * The second stage of the EL1&0 regime (Arm ARM DDI 0487, D8.2): 4 KiB granule, concatenated tables at the start,
 * access flags not managed by hardware. Reads of stage 1 tables need read permission and no more.
 *
 * A cached page that does not permit an access is walked again; hardware may do that or fault at once.
 */
export class ArmStage2Walker extends RadixSecondStage {
  protected readonly rootRights: number = StageRights.Read | StageRights.Write | StageRights.Execute;
  private readonly armFault: ArmFault;
  private readonly leastCached: number;
  private readonly outputFrames: number;
  private ipaFrames = 0;

  /** @param leastCached kind of the smallest page that the cache of intermediate physical addresses keeps (0: 4 KiB) */
  constructor(
    memory: PhysicalMemory,
    port: TablePort,
    caches: WalkCaches,
    fault: ArmFault,
    outputBits: number,
    leastCached: number,
  ) {
    super(memory, port, caches, new TranslationFault(), outputBits);
    this.armFault = fault;
    this.leastCached = leastCached;
    this.outputFrames = 2 ** (outputBits - 12);
  }

  /** Takes over a domain's tables. @param space of its cached entries */
  attach(stage: ArmStage2Context, space: number): void {
    this.levels = LEVELS - stage.startLevel;
    this.root = stage.rootFrame;
    this.ipaFrames = 2 ** (stage.ipaBits - 12);
    this.space = space;
    this.tag = 0;
  }

  override translate(gfn: number, offset: number, access: number): number {
    if (gfn < this.ipaFrames) return super.translate(gfn, offset, access);
    this.port.counters[MmuCounter.SecondStageTranslations]++;
    return this.stop(gfn, access, FaultStatus.Translation);
  }

  /** Nobody sets flags in a guest's tables. */
  refuseTableUpdate(): void {}

  protected needed(access: number): number {
    return (
      ((access & StageAccess.Write) !== 0 ? StageRights.Write : 0) |
      ((access & StageAccess.Fetch) !== 0 ? StageRights.Execute : StageRights.Read)
    );
  }

  protected walk(gfn: number, pageLo: number, pageHi: number, _offset: number, access: number): number {
    let level = this.startLevel;
    let table = this.startTable;
    for (;;) {
      const armLevel = LEVELS - level;
      const index = Math.floor(gfn / levelSpan(armLevel));
      // Only the start may be several tables, one after the other.
      const inTable = level === this.levels ? index : index % 512;
      const at = this.port.reference(table + Math.floor(inTable / 512), (inTable % 512) << 3);
      if (at < 0) return this.stop(gfn, access, FaultStatus.ExternalOnWalk | armLevel);
      this.port.counters[MmuCounter.SecondStageReferences]++;
      const lo = this.i32[at];
      const hi = this.i32[at + 1];
      const type = lo & DESCRIPTOR_TYPE;
      if (
        level === 1 ? type !== TABLE_OR_PAGE : type !== TABLE_OR_PAGE && (type !== BLOCK || level === LEVELS)
      )
        return this.stop(gfn, access, FaultStatus.Translation | armLevel);
      table = frameOf(lo, hi);
      if (table >= this.outputFrames) return this.stop(gfn, access, FaultStatus.AddressSize | armLevel);
      if (level > 1 && type === TABLE_OR_PAGE) {
        level--;
        this.rememberTable(level, pageLo, pageHi, this.rootRights, table);
        continue;
      }
      if ((lo & ArmStage2.AccessFlag) === 0) return this.stop(gfn, access, FaultStatus.AccessFlag | armLevel);
      const rights =
        ((lo & ArmStage2.Read) !== 0 ? StageRights.Read : 0) |
        ((lo & ArmStage2.Write) !== 0 ? StageRights.Write : 0) |
        ((hi & ArmStage2.ExecuteNever) === 0 ? StageRights.Execute : 0);
      const needed = this.needed(access);
      if ((rights & needed) !== needed) return this.stop(gfn, access, FaultStatus.Permission | armLevel);
      return this.finish(level, pageLo, pageHi, rights, table - (table % levelSpan(armLevel)), access);
    }
  }

  protected override finish(
    level: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    leafFrame: number,
    access: number,
  ): number {
    if (level - 1 >= this.leastCached) return super.finish(level, pageLo, pageHi, rights, leafFrame, access);
    this.rights = rights;
    this.kind = level - 1;
    return leafFrame + (pageLo & (levelSpan(LEVELS - level) - 1));
  }

  protected refuse(gfn: number, _offset: number, access: number, _rights: number): void {
    this.stop(gfn, access, FaultStatus.Translation);
  }

  private stop(gfn: number, access: number, status: number): number {
    const fault = this.armFault;
    fault.status = status;
    fault.stage2 = true;
    fault.onWalk = (access & StageAccess.Table) !== 0;
    fault.ipaFrame = gfn;
    return -1;
  }
}
