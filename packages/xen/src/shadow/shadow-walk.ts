import { Flag, State } from "@hyperwalk/cpu";
import { frameOf, PageFaultCode, type PhysicalMemory, reservedAddressBits, tableIndex } from "@hyperwalk/mmu";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { P2m } from "../p2m.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import { GUEST_WALKS, SET_AD_BITS } from "../path-cost/stages/guest-copy.js";
import type { GuestControl } from "./guest-control.js";

const PRESENT = 1;
export const WRITABLE = 2;
export const USER = 4;
const ACCESSED = 0x20;
export const DIRTY = 0x40;
const SUPERPAGE = 0x80;
const CR0_WP = 1 << 16;
const CR4_PSE = 0x10;
const CR4_SMEP = 1 << 20;
const CR4_SMAP = 1 << 21;
const EFER_NXE = 0x800;

/** Levels of the tables of a guest whose paging is off. */
export const UNPAGED = 0;

/**
 * The walk of a guest's tables for one page fault (`guest_walk_tables` as `sh_page_fault` calls it): from the root, which is
 * known, with the rights of the access that faulted, and with all that shadowing it needs left behind.
 */
export class ShadowWalk {
  /** After a walk that failed: P and RSVD of the page fault that the guest gets. */
  errorCode = 0;
  /** Guest frame of the page that was asked for. */
  gfn = 0;
  /** Levels of the guest's tables: 2 to 4, {@link UNPAGED}. */
  levels = 0;
  /** Level of the leaf: 1, or more for a large page. */
  leafLevel = 0;
  /** AND of writable and user over the levels. */
  rights = 0;
  /** The access writes where only CR0.WP = 0 lets it. */
  againstProtection = false;
  /** By level: guest frame of the table, and flags of its entry with bit 31 for NX. */
  readonly tables: Float64Array = new Float64Array(6);
  readonly flags: Int32Array = new Int32Array(6);
  private readonly at = new Int32Array(6);
  private readonly frames = new Int32Array(6);
  private noExecute = false;
  private readonly guest: GuestControl;
  private readonly p2m: P2m;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly memory: PhysicalMemory;
  private readonly reservedHi: number;

  constructor(
    guest: GuestControl,
    p2m: P2m,
    cost: StagePathCost,
    counters: HypervisorCounters,
    memory: PhysicalMemory,
    addressBits: number,
  ) {
    this.guest = guest;
    this.p2m = p2m;
    this.cost = cost;
    this.counters = counters;
    this.memory = memory;
    this.reservedHi = reservedAddressBits(addressBits);
  }

  /**
   * @param access W, U and I of the page fault @param rflags the guest's, for SMAP
   * @param pdpte the four PDPTEs of a PAE guest, as CR3 loaded them
   * @returns false: the guest gets a page fault with {@link errorCode}
   */
  walk(lo: number, hi: number, access: number, rflags: number, pdpte: Int32Array): boolean {
    const { guest, cost } = this;
    this.againstProtection = false;
    this.noExecute = false;
    this.rights = WRITABLE | USER;
    this.errorCode = 0;
    if (!guest.paging) {
      this.levels = UNPAGED;
      this.gfn = lo >>> 12;
      return true;
    }
    this.levels = guest.long ? 4 : guest.pae ? 3 : 2;
    const found = this.descend(lo, hi, pdpte);
    const read = this.levels - this.leafLevel + (this.levels === 3 ? 0 : 1);
    cost.run(cost.compile(GUEST_WALKS[Math.min(4, read)]));
    return found && this.permits(access, rflags) && this.mark((access & PageFaultCode.Write) !== 0);
  }

  private descend(lo: number, hi: number, pdpte: Int32Array): boolean {
    const { guest, levels } = this;
    const narrow = levels === 2;
    let table = guest.root;
    for (let level = levels; level >= 1; level--) {
      this.leafLevel = level;
      let entryLo: number;
      let entryHi = 0;
      if (levels === 3 && level === 3) {
        const i = 2 * (lo >>> 30);
        entryLo = pdpte[i];
        entryHi = pdpte[i + 1];
        this.frames[level] = -1;
        if ((entryLo & PRESENT) === 0) return false;
        entryLo |= WRITABLE | USER; // PDPTEs have no rights
      } else {
        const mfn = this.p2m.lookup(table);
        if (mfn < 0) return false;
        const index = narrow ? (lo >>> (level === 2 ? 22 : 12)) & 1023 : tableIndex(lo, hi, level);
        const offset = index * (narrow ? 4 : 8);
        const at = this.cost.access(mfn, offset, narrow ? 4 : 8, false) >> 2;
        this.p2m.putPage(mfn);
        this.counters.guestPteReads++;
        this.at[level] = offset;
        this.frames[level] = mfn;
        entryLo = this.memory.arena.i32[at];
        if (!narrow) entryHi = this.memory.arena.i32[at + 1];
      }
      this.tables[level] = table;
      if ((entryLo & PRESENT) === 0) return false;
      if (!this.acceptable(entryLo, entryHi, level)) return false;
      this.flags[level] = (entryLo & 0x7fffffff) | (entryHi < 0 ? 1 << 31 : 0);
      this.rights &= entryLo;
      if (entryHi < 0) this.noExecute = true;
      table = narrow ? entryLo >>> 12 : frameOf(entryLo, entryHi);
      if (level === 1) {
        this.gfn = table;
        return true;
      }
      if (!this.isLarge(entryLo, level)) continue;
      const within = narrow ? 0x3ff : level === 2 ? 0x1ff : 0x3ffff;
      const base = narrow
        ? (entryLo >>> 22) * 1024 + ((entryLo >>> 13) & 0xff) * 0x100000
        : table - (table & within);
      this.gfn = base + ((lo >>> 12) & within);
      return true;
    }
    return false;
  }

  private isLarge(entryLo: number, level: number): boolean {
    if ((entryLo & SUPERPAGE) === 0 || level === 1) return false;
    return this.levels !== 2 || (this.guest.words[State.Cr4] & CR4_PSE) !== 0;
  }

  /** Reserved bits; a shadow-paged guest has no pages of 1 GiB. */
  private acceptable(lo: number, hi: number, level: number): boolean {
    const large = this.isLarge(lo, level);
    const wrong =
      (hi & this.reservedHi) !== 0 ||
      (hi < 0 && (this.guest.words[State.EferLo] & EFER_NXE) === 0) ||
      (large && level > 2) ||
      (large && level === 2 && (lo & (this.levels === 2 ? 1 << 21 : 0x1fe000)) !== 0) ||
      (this.levels === 3 && (hi & 0x7ff00000) !== 0);
    if (wrong) this.errorCode = PageFaultCode.Present | PageFaultCode.Reserved;
    return !wrong;
  }

  private permits(access: number, rflags: number): boolean {
    const { words } = this.guest;
    const { rights } = this;
    const write = (access & PageFaultCode.Write) !== 0;
    const user = (access & PageFaultCode.User) !== 0;
    const fetch = (access & PageFaultCode.Fetch) !== 0;
    const userPage = (rights & USER) !== 0;
    const protectedPage = write && (rights & WRITABLE) === 0;
    const cr4 = words[State.Cr4];
    const refused =
      (user && !userPage) ||
      (protectedPage && (user || (words[State.Cr0] & CR0_WP) !== 0)) ||
      (fetch && this.noExecute) ||
      (!user && userPage && fetch && (cr4 & CR4_SMEP) !== 0) ||
      (!user && userPage && !fetch && (cr4 & CR4_SMAP) !== 0 && (rflags & Flag.Ac) === 0);
    this.againstProtection = protectedPage && !refused;
    if (refused) this.errorCode = PageFaultCode.Present;
    return !refused;
  }

  /** Accessed at every level, dirty at the leaf of a write. */
  private mark(write: boolean): boolean {
    const { cost, levels } = this;
    const bytes = levels === 2 ? 4 : 8;
    for (let level = levels; level >= this.leafLevel; level--) {
      if (this.frames[level] < 0) continue;
      const wanted = level === this.leafLevel && write ? ACCESSED | DIRTY : ACCESSED;
      if ((this.flags[level] & wanted) === wanted) continue;
      this.flags[level] |= wanted;
      this.counters.accessedDirtyUpdates++;
      cost.run(cost.compile(SET_AD_BITS));
      this.memory.arena.i32[cost.access(this.frames[level], this.at[level], bytes, true) >> 2] |= wanted;
    }
    return true;
  }
}
