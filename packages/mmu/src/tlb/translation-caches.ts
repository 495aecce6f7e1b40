import type { Arena } from "../arena.js";
import type { MemoryProfile } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { WalkCaches, type WalkCachesSnapshot } from "../walk/walk-caches.js";
import { TlbHierarchy, type TlbHierarchySnapshot } from "./tlb-hierarchy.js";

/** Contents of every translation cache as plain data. */
export interface TranslationCachesSnapshot {
  readonly data: TlbHierarchySnapshot;
  readonly instruction: TlbHierarchySnapshot;
  readonly walk: WalkCachesSnapshot;
}

/**
 * Everything that remembers translations, and the rules for forgetting them. Sources: SDM vol. 3, 4.10.4 (INVLPG,
 * MOV CR3, INVPCID, page faults) and 29.4.3 (VMX); APM vol. 2, 5.5 and 15.16 (ASIDs). What an operation does not name
 * stays, however stale.
 */
export class TranslationCaches {
  readonly data: TlbHierarchy;
  readonly instruction: TlbHierarchy;
  readonly walk: WalkCaches;

  constructor(arena: Arena, clock: RecencyClock, profile: MemoryProfile, seed: number) {
    const { l1Dtlb, l1Itlb, l2Dtlb, l2Itlb } = profile;
    this.data = new TlbHierarchy(arena, clock, l1Dtlb, l2Dtlb, seed + 32);
    const second = l2Itlb.length > 0 ? l2Itlb : this.data.second;
    this.instruction = new TlbHierarchy(arena, clock, l1Itlb, second, seed + 64);
    this.walk = new WalkCaches(arena, clock, profile, seed + 96);
  }

  /** INVLPG: the page for one PCID, global or not, under every EP4TA; all paging-structure entries of the PCID. */
  invalidatePage(pageLo: number, pageHi: number, asid: number, pcid: number): void {
    this.data.dropPage(pageLo, pageHi, asid, pcid, -1, true);
    this.instruction.dropPage(pageLo, pageHi, asid, pcid, -1, true);
    this.walk.structures.dropSpace(asid, pcid, -1);
  }

  /** INVPCID type 0: the page for one PCID, global translations excepted. */
  invalidatePcidPage(pageLo: number, pageHi: number, asid: number, pcid: number): void {
    this.data.dropPage(pageLo, pageHi, asid, pcid, -1, false);
    this.instruction.dropPage(pageLo, pageHi, asid, pcid, -1, false);
    this.walk.structures.dropSpace(asid, pcid, -1);
  }

  /** MOV CR3 and INVPCID type 1 (`keepGlobal`): one PCID of one ASID. */
  invalidatePcid(asid: number, pcid: number, keepGlobal: boolean): void {
    this.data.dropSpace(asid, pcid, -1, !keepGlobal);
    this.instruction.dropSpace(asid, pcid, -1, !keepGlobal);
    this.walk.structures.dropSpace(asid, pcid, -1);
  }

  /**
   * All PCIDs of one ASID or VPID: INVVPID types 1 and 3, VMCB TLB_CONTROL 3 and 7, INVPCID types 2 and 3, MOV CR4.
   * Guest-physical mappings stay under EPT; under NPT they belong to the ASID and go.
   */
  invalidateAsid(asid: number, keepGlobal: boolean): void {
    this.data.dropSpace(asid, -1, -1, !keepGlobal);
    this.instruction.dropSpace(asid, -1, -1, !keepGlobal);
    this.walk.structures.dropSpace(asid, -1, -1);
    this.walk.nestedTlb.dropSpace(asid, -1, 0, true);
    this.walk.nestedStructures.dropSpace(asid, -1, 0);
  }

  /** INVVPID type 0 and INVLPGA: one page of an ASID or VPID, whatever its PCID, global or not. */
  invalidateAsidPage(pageLo: number, pageHi: number, asid: number): void {
    this.data.dropPage(pageLo, pageHi, asid, -1, -1, true);
    this.instruction.dropPage(pageLo, pageHi, asid, -1, -1, true);
    this.walk.structures.dropPage(pageLo, pageHi, asid, -1, -1);
  }

  /** INVVPID type 2: every VPID but 0. */
  invalidateGuests(): void {
    this.data.dropGuests();
    this.instruction.dropGuests();
    this.walk.structures.dropGuests();
  }

  /** INVEPT: combined and guest-physical mappings of one EP4TA tag (type 1), or with -1 of all (type 2). */
  invalidateNested(tag: number): void {
    this.data.dropTag(tag);
    this.instruction.dropTag(tag);
    this.walk.structures.dropTag(tag);
    this.walk.nestedTlb.dropTag(tag);
    this.walk.nestedStructures.dropTag(tag);
  }

  /** Everything, host entries too (VMCB TLB_CONTROL 1). */
  invalidateAll(): void {
    this.data.dropAll();
    this.instruction.dropAll();
    this.walk.dropAll();
  }

  /** What a fault on a linear address forgets about it (SDM vol. 3, 4.10.4.1), and a dirty-flag or rights re-walk. */
  forgetLinear(pageLo: number, pageHi: number, asid: number, pcid: number, tag: number): void {
    this.data.dropCovering(pageLo, pageHi, asid, pcid, tag);
    this.instruction.dropCovering(pageLo, pageHi, asid, pcid, tag);
  }

  /** What a second-stage fault forgets about the guest frame (SDM vol. 3, 29.4.3.1). */
  forgetGuestFrame(gfn: number, asid: number, tag: number): void {
    const pageLo = gfn | 0;
    const pageHi = Math.floor(gfn / 0x100000000);
    this.walk.nestedTlb.dropPage(pageLo, pageHi, asid, -1, tag, true);
    this.walk.nestedStructures.dropPage(pageLo, pageHi, asid, -1, tag);
  }

  snapshot(): TranslationCachesSnapshot {
    return {
      data: this.data.snapshot(),
      instruction: this.instruction.snapshot(),
      walk: this.walk.snapshot(),
    };
  }

  restore(snapshot: TranslationCachesSnapshot): void {
    this.data.restore(snapshot.data);
    this.instruction.restore(snapshot.instruction);
    this.walk.restore(snapshot.walk);
  }
}
