import type { Arena } from "../arena.js";
import type { MemoryProfile } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { TlbHierarchy, type TlbHierarchySnapshot } from "../tlb/tlb-hierarchy.js";
import { WalkCaches, type WalkCachesSnapshot } from "../walk/walk-caches.js";

/** Address space of EL2's own translations. */
export const EL2_SPACE = 0;
/** Largest ASID (TCR_EL1.AS = 0) and VMID. */
export const MAX_ASID = 255;
export const MAX_VMID = 65534;

/** Address space of an EL1&0 translation: VMID + 1 in the place of the array's ASID, ASID in that of its PCID. */
export function guestSpace(vmid: number, asid: number): number {
  return ((vmid + 1) << 12) | asid;
}

/** Contents of every translation cache as plain data. */
export interface ArmTranslationCachesSnapshot {
  readonly data: TlbHierarchySnapshot;
  readonly instruction: TlbHierarchySnapshot;
  readonly walk: WalkCachesSnapshot;
}

/**
 * One operation of TLB maintenance on the EL1&0 or EL2 regime (Arm ARM DDI 0487, D8.14; C5.5). Whether it acts on one
 * processing element or on all of the inner shareable domain is the caller's business.
 */
export type Tlbi =
  /** Stage 1 and combined entries of one address: of one ASID, global ones too. `last`: VALE1, leaves only. */
  | { readonly op: "vae1"; readonly page: number; readonly asid: number; readonly last?: boolean }
  /** The same whatever the ASID: VAAE1, VAALE1. */
  | { readonly op: "vaae1"; readonly page: number; readonly last?: boolean }
  /** Entries of one ASID, global leaves excepted. */
  | { readonly op: "aside1"; readonly asid: number }
  /** All stage 1 and combined entries of the VMID; what stage 2 alone gave stays. */
  | { readonly op: "vmalle1" }
  /** Those and the stage 2 entries of the VMID. */
  | { readonly op: "vmalls12e1" }
  /** Stage 2 entries of one intermediate physical frame; combined entries stay. `last`: IPAS2LE1. */
  | { readonly op: "ipas2e1"; readonly page: number; readonly last?: boolean }
  /** Everything of EL1&0, whatever the VMID. */
  | { readonly op: "alle1" }
  /** One address of EL2. */
  | { readonly op: "vae2"; readonly page: number }
  /** Everything of EL2. */
  | { readonly op: "alle2" };

/**
 * Everything that one processing element remembers of translations: combined (or EL2) entries in two TLB levels, stage 1
 * table descriptors with the machine frame that they lead to, stage 2 pages and stage 2 table descriptors. What an
 * operation does not name stays, however stale.
 */
export class ArmTranslationCaches {
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

  /** @param vmid of the operations that act on the present one */
  invalidate(tlbi: Tlbi, vmid: number): void {
    const slot = vmid + 1;
    const { walk } = this;
    switch (tlbi.op) {
      case "vae1":
        this.dropAddress(tlbi.page, slot, tlbi.asid, tlbi.last === true);
        break;
      case "vaae1":
        this.dropAddress(tlbi.page, slot, -1, tlbi.last === true);
        break;
      case "aside1":
        this.dropStage1(slot, tlbi.asid, false);
        break;
      case "vmalle1":
        this.dropStage1(slot, -1, true);
        break;
      case "vmalls12e1":
        this.dropStage1(slot, -1, true);
        walk.nestedTlb.dropSpace(slot, -1, -1, true);
        walk.nestedStructures.dropSpace(slot, -1, -1);
        break;
      case "ipas2e1":
        this.dropIntermediate(tlbi.page, slot, tlbi.last === true);
        break;
      case "alle1":
        this.data.dropGuests();
        this.instruction.dropGuests();
        walk.structures.dropGuests();
        walk.nestedTlb.dropAll();
        walk.nestedStructures.dropAll();
        break;
      case "vae2":
        this.dropAddress(tlbi.page, EL2_SPACE, -1, false);
        break;
      case "alle2":
        this.dropStage1(EL2_SPACE, -1, true);
        break;
    }
  }

  /** Everything, EL2's too: what a processing element knows after a reset. */
  dropAll(): void {
    this.data.dropAll();
    this.instruction.dropAll();
    this.walk.dropAll();
  }

  snapshot(): ArmTranslationCachesSnapshot {
    return {
      data: this.data.snapshot(),
      instruction: this.instruction.snapshot(),
      walk: this.walk.snapshot(),
    };
  }

  restore(snapshot: ArmTranslationCachesSnapshot): void {
    this.data.restore(snapshot.data);
    this.instruction.restore(snapshot.instruction);
    this.walk.restore(snapshot.walk);
  }

  private dropAddress(page: number, slot: number, asid: number, last: boolean): void {
    const { lo, hi } = words(page);
    this.data.dropPage(lo, hi, slot, asid, -1, true);
    this.instruction.dropPage(lo, hi, slot, asid, -1, true);
    if (!last) this.walk.structures.dropPage(lo, hi, slot, asid, -1);
  }

  private dropIntermediate(page: number, slot: number, last: boolean): void {
    const { lo, hi } = words(page);
    this.walk.nestedTlb.dropPage(lo, hi, slot, -1, -1, true);
    if (!last) this.walk.nestedStructures.dropPage(lo, hi, slot, -1, -1);
  }

  private dropStage1(slot: number, asid: number, withGlobal: boolean): void {
    this.data.dropSpace(slot, asid, -1, withGlobal);
    this.instruction.dropSpace(slot, asid, -1, withGlobal);
    this.walk.structures.dropSpace(slot, asid, -1);
  }
}

function words(page: number): { readonly lo: number; readonly hi: number } {
  return { lo: page | 0, hi: Math.floor(page / 0x100000000) };
}
