import { guestFrameOf, LARGE_PAGE_FRAMES, type ReverseMap, RmpHigh, RmpLow } from "../reverse-map.js";
import type { SecondStage } from "../translation-context.js";
import { FaultKind, NPF_ENCRYPTED, PageFaultCode } from "../translation-fault.js";
import { NestedPageTableWalker } from "./nested-page-tables.js";
import { StageAccess, StageRights } from "./second-stage-walker.js";

const PAGE_RIGHTS = StageRights.Read | StageRights.Write | StageRights.Execute | StageRights.Dirty;

/**
 * Nested paging on a machine with a reverse map (APM vol. 2, 15.36.10): behind each nested walk comes the entry of the page
 * that it found. Private accesses of an SNP-active guest need one that is assigned to it, at that guest-physical address and
 * in that page size, and validated; writes of others, and shared ones of its own, need a page of the hypervisor's. The nested
 * TLB keeps what the entry said, so that who finds a translation there reads no entry.
 */
export class SecureNestedPageTableWalker extends NestedPageTableWalker {
  /** PVALIDATE and RMPADJUST are content with pages that are not validated. */
  validating = false;
  private map!: ReverseMap;
  /** ASID of an SNP-active guest; 0 for any other. */
  private owner = 0;
  /** Byte in the page that is being translated, for the fault report. */
  private faultOffset = 0;

  use(map: ReverseMap): void {
    this.map = map;
  }

  override configure(stage: SecondStage, space: number, tag: number): void {
    super.configure(stage, space, tag);
    this.owner = stage.secure === true ? (stage.encryptionKey ?? 0) : 0;
  }

  override translate(gfn: number, offset: number, access: number): number {
    this.faultOffset = offset;
    return super.translate(gfn, offset, access);
  }

  protected override needed(access: number): number {
    const needed = super.needed(access);
    if (this.isPrivate(access))
      return needed | (this.validating ? StageRights.Assigned : StageRights.Assigned | StageRights.Validated);
    return (needed & StageRights.Write) !== 0 ? needed | StageRights.HypervisorOwned : needed;
  }

  protected override finish(
    level: number,
    pageLo: number,
    pageHi: number,
    rights: number,
    leafFrame: number,
    access: number,
  ): number {
    const isLarge = level > 1;
    const frame = leafFrame + (level === 1 ? 0 : pageLo & (level === 2 ? 0x1ff : 0x3ffff));
    // The entry of a 2 MiB page is its first one's; without one each frame in a large leaf stands for itself.
    const inside = isLarge ? frame % LARGE_PAGE_FRAMES : 0;
    let at = this.readEntry(frame - inside);
    let low = at < 0 ? 0 : this.i32[at];
    const whole = isLarge && (low & RmpLow.Assigned) !== 0 && (low & RmpLow.Large) !== 0;
    if (inside !== 0 && !whole) {
      at = this.readEntry(frame);
      low = at < 0 ? 0 : this.i32[at];
    }
    const high = at < 0 ? 0 : this.i32[at + 1];
    const gfn = (pageLo >>> 0) + pageHi * 0x100000000;
    const verdict = rights | this.verdictOf(low, high, whole ? gfn - inside : gfn, isLarge);
    if (this.isPrivate(access)) {
      if ((verdict & StageRights.Assigned) === 0) return this.violation(gfn, access, verdict);
      if ((verdict & StageRights.Validated) === 0 && !this.validating) return this.notValidated(gfn, access);
    } else if (
      (access & (StageAccess.Write | StageAccess.Table)) !== 0 &&
      (verdict & StageRights.HypervisorOwned) === 0
    )
      return this.violation(gfn, access, verdict);
    return whole
      ? super.finish(2, pageLo, pageHi, verdict, frame - inside, access)
      : super.finish(1, pageLo, pageHi, verdict, frame, access);
  }

  /** A page that others own is none to write to, whoever may read it. */
  protected override verdict(rights: number, access: number): number {
    const own = this.isPrivate(access) || (rights & StageRights.HypervisorOwned) !== 0;
    return rights & (own ? PAGE_RIGHTS : PAGE_RIGHTS & ~(StageRights.Write | StageRights.Dirty));
  }

  private isPrivate(access: number): boolean {
    return this.owner !== 0 && (access & StageAccess.Private) !== 0;
  }

  /** What an entry permits the running guest: bits of {@link StageRights}. */
  private verdictOf(low: number, high: number, gfn: number, isLarge: boolean): number {
    if ((low & RmpLow.Assigned) === 0) return StageRights.HypervisorOwned;
    const fits =
      ((high >>> RmpHigh.AsidShift) & RmpHigh.AsidMask) === this.owner &&
      guestFrameOf(low, high) === gfn &&
      ((low & RmpLow.Large) !== 0) === isLarge &&
      (low & RmpLow.Immutable) === 0 &&
      (high & RmpHigh.Vmsa) === 0;
    if (!fits) return 0;
    return (high & RmpHigh.Validated) !== 0
      ? StageRights.Assigned | StageRights.Validated
      : StageRights.Assigned;
  }

  /** Index of a frame's entry in the arena, read through the caches; -1 where the table has none. */
  private readEntry(frame: number): number {
    const table = this.map.frameOf(frame);
    return table < 0 ? -1 : this.port.reference(table, this.map.offsetOf(frame));
  }

  /** #VMEXIT(NPF) with EXITINFO1.RMP. */
  private violation(gfn: number, access: number, rights: number): number {
    this.refuse(gfn, this.faultOffset, access, rights);
    const { fault } = this;
    fault.errorCode |= PageFaultCode.Rmp | PageFaultCode.Present;
    if (this.isPrivate(access)) fault.infoHi |= NPF_ENCRYPTED;
    return -1;
  }

  /** #VC in the guest. */
  private notValidated(gfn: number, access: number): number {
    this.refuse(gfn, this.faultOffset, access, 0);
    this.fault.kind = FaultKind.NotValidated;
    return -1;
  }
}
