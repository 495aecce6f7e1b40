import { State } from "@hyperwalk/cpu";
import { PageFaultCode, type PhysicalMemory, tableIndex } from "@hyperwalk/mmu";
import type { FrameAllocator } from "../frame-allocator.js";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { P2m } from "../p2m.js";
import { discardsWrites, isRamType, P2mRights, P2mType, rightsOf } from "../p2m-type.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import {
  SHADOW_INVLPG,
  SHADOW_PAGE_FAULT,
  SHADOW_UPDATE_CR3,
  VTLB_INSERT,
} from "../path-cost/stages/shadow.js";
import { GuestControl } from "./guest-control.js";
import { type Shadow, ShadowTables } from "./shadow-tables.js";
import { DIRTY, ShadowWalk, UNPAGED, USER, WRITABLE } from "./shadow-walk.js";
import { pageOf, VirtualTlb } from "./virtual-tlb.js";

/** What a page fault of the guest came to. */
export const ShadowFault = {
  /** The shadow has the translation now: the guest does its access again. */
  Filled: 0,
  /** It is the guest's own, with {@link ShadowPaging.errorCode}. */
  Guest: 1,
  /** There is no memory at {@link ShadowPaging.gfn}. */
  Mmio: 2,
  /** The access is carried out for the guest: it writes to a page table of its own, or against write protection. */
  Write: 3,
  /** Writes to this page are dropped. */
  Dropped: 4,
  /** A page that is away, shared or watched, which is modelled under nested paging alone. */
  Refused: 5,
} as const;

/** State of a shadow-paged vCPU as plain data. */
export interface ShadowSnapshot {
  readonly control: readonly number[];
  readonly pdpte: readonly number[];
  /** Shadow tables: level, guest frame, part, base, flags, machine frame. */
  readonly tables: readonly (readonly number[])[];
  readonly root: number;
  readonly virtualTlb: Float64Array;
}

/** The vCPU's control structure, which runs with other control registers than the guest believes. */
export interface ShadowHardware {
  /** Takes over the guest's control registers and the root of its shadow. */
  followShadow(): void;
  /** Drops all of the guest's cached translations. */
  flushTlb(): void;
  /** Drops those of one page. */
  flushPage(lo: number, hi: number): void;
}

export interface ShadowPagingOptions {
  readonly memory: PhysicalMemory;
  readonly heap: FrameAllocator;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  readonly p2m: P2m;
  readonly hardware: ShadowHardware;
  /** Bits of CR4 that the guest's CPUID allows. */
  readonly validCr4: number;
  readonly addressBits: number;
}

/** Shadow tables of a domain before all of them are thrown away; Xen has a pool of a size that the toolstack sets. */
const MOST_TABLES = 1024;
const ACCESSED = 0x20;
const PERMISSIVE = 1 | WRITABLE | USER | ACCESSED;
const NX = 1 << 31;
const PDPTE_RESERVED = 0x1e6;
/** The page that PAE and 2-level guests, and those without paging, have for a root: four entries. */
const OWN_ROOT = { level: 3, gfn: -1, part: 0, base: -1, flags: 0 } as const;

/**
 * Shadow paging of one vCPU (`arch/x86/mm/shadow`). The processor runs on tables of Xen's that map linear addresses to
 * machine frames; they begin empty, and each page fault of the guest's that its own tables would not have had fills in a path.
 * Guest tables in use are write-protected: the guest's stores to them fault, are carried out for it, and take away what was
 * made from the entries that changed. Loads of CR0, CR3 and CR4, and INVLPG, exit. Long mode has shadows of four levels, all
 * else PAE ones, as in Xen.
 */
export class ShadowPaging {
  readonly guest: GuestControl;
  readonly virtualTlb: VirtualTlb = new VirtualTlb();
  /** Machine frame of the table that CR3 of the processor points to. */
  root = 0;
  /** After a fault: error code of the guest's own one, guest frame that it was about. */
  errorCode = 0;
  gfn = 0;
  private readonly tables: ShadowTables;
  private readonly walker: ShadowWalk;
  private readonly options: ShadowPagingOptions;
  /** PDPTEs of a PAE guest as CR3 loaded them, low words first. */
  private readonly pdpte = new Int32Array(8);

  constructor(options: ShadowPagingOptions) {
    const { memory, heap, cost, counters, p2m, validCr4, addressBits } = options;
    this.options = options;
    this.guest = new GuestControl(validCr4, addressBits);
    this.tables = new ShadowTables(memory, heap, cost);
    this.walker = new ShadowWalk(this.guest, p2m, cost, counters, memory, addressBits);
  }

  /** Shadow tables in use. */
  get tableCount(): number {
    return this.tables.count;
  }

  /** @returns false for #GP(0) */
  setCr0(value: number, hi: number, long64: boolean): boolean {
    const before = this.guest.snapshot();
    const changed = this.guest.setCr0(value, hi, long64);
    if (changed < 0) return false;
    const turnedOn = (before[0] ^ this.guest.words[State.Cr0]) < 0;
    if (turnedOn && this.guest.pae && !this.loadPdptes(this.guest.words[State.Cr3Lo])) {
      this.guest.restore(before);
      return false;
    }
    if (changed > 0) this.updateRoot();
    else this.options.hardware.followShadow();
    return true;
  }

  /** @returns false for #GP(0) */
  setCr3(lo: number, hi: number): boolean {
    if (this.guest.pae && !this.loadPdptes(lo)) return false;
    if (!this.guest.setCr3(lo, hi)) return false;
    this.updateRoot();
    return true;
  }

  /** @returns false for #GP(0) */
  setCr4(value: number, hi: number): boolean {
    const before = this.guest.snapshot();
    const changed = this.guest.setCr4(value, hi);
    if (changed < 0) return false;
    if (changed > 0 && this.guest.pae && !this.loadPdptes(this.guest.words[State.Cr3Lo])) {
      this.guest.restore(before);
      return false;
    }
    if (changed > 0) this.updateRoot();
    else this.options.hardware.followShadow();
    return true;
  }

  /** The processor's and the virtual TLB's entries of one page go; shadows follow their tables all the time. */
  invlpg(lo: number, hi: number): void {
    const { cost, hardware } = this.options;
    cost.run(cost.compile(SHADOW_INVLPG));
    this.virtualTlb.flush();
    hardware.flushPage(lo, hi);
  }

  /** The p2m changed: Xen removes what maps the page that did, here everything is made anew. */
  forget(): void {
    if (this.root === 0) return;
    this.tables.blow();
    this.updateRoot();
  }

  /** `sh_update_cr3` */
  updateRoot(): void {
    const { cost } = this.options;
    cost.run(cost.compile(SHADOW_UPDATE_CR3));
    const root = this.rootShadow();
    if (!this.guest.long) for (let i = 0; i < 4; i++) this.tables.clear(root, i);
    this.root = root.frame;
    this.flush();
  }

  /**
   * `sh_page_fault`.
   * @param code error code as the processor found it @param rflags the guest's
   * @returns a {@link ShadowFault} number
   */
  pageFault(code: number, lo: number, hi: number, rflags: number): number {
    const { cost, p2m, hardware } = this.options;
    const { walker, tables } = this;
    cost.run(cost.compile(SHADOW_PAGE_FAULT));
    const fetch = this.guest.tellsFetches ? PageFaultCode.Fetch : 0;
    const access = code & (PageFaultCode.Write | PageFaultCode.User | fetch);
    if (!walker.walk(lo, hi, access, rflags, this.pdpte)) {
      this.errorCode = access | walker.errorCode;
      return ShadowFault.Guest;
    }
    const { gfn } = walker;
    this.gfn = gfn;
    const mfn = p2m.lookup(gfn);
    const { type } = p2m;
    if (mfn < 0)
      return isRamType(type) || type === P2mType.PopulateOnDemand ? ShadowFault.Refused : ShadowFault.Mmio;
    p2m.putPage(mfn);
    const write = (access & PageFaultCode.Write) !== 0;
    const mayWrite = (rightsOf(type) & P2mRights.Write) !== 0;
    if (write && discardsWrites(type)) return ShadowFault.Dropped;
    if (write && !mayWrite) return ShadowFault.Refused;
    this.virtualTlb.insert(pageOf(lo, hi), gfn, access | PageFaultCode.Present);
    cost.run(cost.compile(VTLB_INSERT));
    if (write && (tables.isTable(gfn) || walker.againstProtection)) return ShadowFault.Write;
    if (tables.count > MOST_TABLES) this.forget();
    this.fill(lo, hi, mfn, mayWrite);
    // Filling may have found that the page is one of the tables on its own path.
    if (write && tables.isTable(gfn)) return ShadowFault.Write;
    hardware.flushPage(lo, hi);
    return ShadowFault.Filled;
  }

  /** An access that was carried out for the guest has written here. */
  written(gfn: number, offset: number, bytes: number): void {
    const narrow = this.guest.paging && !this.guest.long && !this.guest.pae;
    if (this.tables.written(gfn, offset, bytes, narrow)) this.flush();
  }

  /** The instruction that writes there cannot be carried out: the page is no table any more. @returns whether it was */
  unshadow(gfn: number): boolean {
    if (!this.tables.removeTable(gfn)) return false;
    this.updateRoot();
    return true;
  }

  snapshot(): ShadowSnapshot {
    return {
      control: this.guest.snapshot(),
      pdpte: [...this.pdpte],
      tables: this.tables.snapshot(),
      root: this.root,
      virtualTlb: this.virtualTlb.snapshot(),
    };
  }

  /** After memory and heap. */
  restore(snapshot: ShadowSnapshot): void {
    this.guest.restore(snapshot.control);
    this.pdpte.set(snapshot.pdpte);
    this.tables.restore(snapshot.tables);
    this.root = snapshot.root;
    this.virtualTlb.restore(snapshot.virtualTlb);
  }

  private flush(): void {
    const { hardware } = this.options;
    this.virtualTlb.flush();
    hardware.flushTlb();
    hardware.followShadow();
  }

  private rootShadow(): Shadow {
    const { guest, tables } = this;
    if (!guest.long) return tables.obtain(OWN_ROOT, -1);
    const gfn = guest.root;
    return tables.obtain({ level: 4, gfn, part: 0, base: -1, flags: 0 }, this.options.p2m.translate(gfn));
  }

  /** Shadows along the path of the latest walk, down to the leaf. */
  private fill(lo: number, hi: number, mfn: number, mayWrite: boolean): void {
    const { tables, walker, guest } = this;
    const { levels, leafLevel, flags } = walker;
    let shadow = this.rootShadow();
    const leaf = levels === UNPAGED ? WRITABLE | USER | DIRTY : flags[leafLevel];
    for (let level = shadow.level; level > 1; level--) {
      const index = tableIndex(lo, guest.long ? hi : 0, level);
      let child = tables.child(shadow, index);
      if (child === undefined) {
        child = this.childOf(level - 1, lo, leaf);
        const top = !guest.long && level === 3;
        const own = levels !== UNPAGED && level > leafLevel && level <= levels;
        const lower = own ? (flags[level] & (WRITABLE | USER)) | 1 | ACCESSED : PERMISSIVE;
        tables.link(shadow, index, child, top ? 1 : lower, own && !top ? flags[level] & NX : 0);
        // PDPTEs are in the processor: it takes them over again.
        if (top) this.options.hardware.followShadow();
      }
      shadow = child;
    }
    const writable =
      mayWrite && (leaf & WRITABLE) !== 0 && (leaf & DIRTY) !== 0 && !tables.isTable(walker.gfn);
    const lower = 1 | ACCESSED | (leaf & USER) | (writable ? WRITABLE | DIRTY : 0);
    tables.map(shadow, tableIndex(lo, 0, 1), mfn, lower, leaf & NX);
  }

  /** The shadow of what is at a level of the latest walk's path: a table of the guest's, or a part of a large page. */
  private childOf(level: number, lo: number, leaf: number): Shadow {
    const { tables, walker } = this;
    const { levels, leafLevel, gfn } = walker;
    if (levels !== UNPAGED && level >= leafLevel) {
      const table = walker.tables[level];
      const part = levels !== 2 ? 0 : level === 2 ? lo >>> 30 : (lo >>> 21) & 1;
      return tables.obtain(
        { level, gfn: table, part, base: -1, flags: 0 },
        this.options.p2m.translate(table),
      );
    }
    const span = level === 2 ? 0x40000 : 0x200;
    const flags = leaf & (WRITABLE | USER | NX);
    return tables.obtain({ level, gfn: -1, part: 0, base: gfn - (gfn % span), flags }, -1);
  }

  /** The four PDPTEs at an address of CR3. @returns false where one of them is not to be loaded */
  private loadPdptes(cr3: number): boolean {
    const { p2m, cost, memory } = this.options;
    const mfn = p2m.lookup(cr3 >>> 12);
    if (mfn < 0) return false;
    const at = cost.access(mfn, cr3 & 0xfe0, 32, false) >> 2;
    const { i32 } = memory.arena;
    const values = Array.from({ length: 8 }, (_, i) => i32[at + i]);
    p2m.putPage(mfn);
    for (let i = 0; i < 8; i += 2)
      if ((values[i] & 1) !== 0 && ((values[i] & PDPTE_RESERVED) !== 0 || (values[i + 1] & 0xfff00000) !== 0))
        return false;
    this.pdpte.set(values);
    return true;
  }
}
