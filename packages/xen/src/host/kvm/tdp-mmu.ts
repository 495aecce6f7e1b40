import {
  Ept,
  EptTables,
  NptTables,
  type PageSizeName,
  type PhysicalMemory,
  Pte,
  type TableMemoryOptions,
} from "@hyperwalk/mmu";
import type { FrameAllocator } from "../../frame-allocator.js";
import type { SecondStageRoot } from "../vcpu-control.js";
import type { MemorySlot, MemslotListener, Memslots } from "./memslots.js";
import { KvmMemFlag } from "./uapi.js";
import type { MmuNotifier, UserAddressSpace } from "./user-address-space.js";

const PAGE = 4096;
const PER_TABLE = 512;
const LEVELS = 4;
/** Bit 63 of an NPT entry, as attributes have it. */
const NPT_NO_EXECUTE = 1 << 31;
/** Guest frames that a table of four levels names. */
const ALL_FRAMES = PER_TABLE ** LEVELS;

/** `kvm_mmu_max_gfn`: the largest guest frame that these tables and so many bits of physical addresses have. */
export function maxGfn(physicalAddressBits: number): number {
  return Math.min(ALL_FRAMES, 2 ** physicalAddressBits / PAGE) - 1;
}

export interface TdpMmuOptions {
  readonly memory: PhysicalMemory;
  readonly format: "npt" | "ept";
  /** Where table pages come from and go to. */
  readonly heap: FrameAllocator;
  readonly memslots: Memslots;
  readonly userSpace: UserAddressSpace;
  /** Largest page of the monitor's own mapping (transparent huge pages). */
  readonly hostPage: PageSizeName;
  /** Huge pages may be executed from (EPT); else the first fetch from one makes a small page of it. */
  readonly execHugePages: boolean;
  /** A slot that goes takes all mappings of the VM with it (KVM_X86_QUIRK_SLOT_ZAP_ALL). */
  readonly slotZapAll: boolean;
}

/** Counts of the second stage, as plain data; its tables are in memory. */
export interface TdpMmuSnapshot {
  readonly filled: number;
  readonly zapped: number;
}

/** What a fault of the second stage comes to. */
export const TdpFault = {
  /** The entry is there now, or was already: the guest tries again. */
  Fixed: 0,
  /** No slot, or one that is INVALID: the instruction is to be emulated. */
  NoSlot: 1,
  /** A write to a read-only slot: the same. */
  ReadOnly: 2,
  /** A slot whose memory the monitor has not mapped: KVM_RUN ends with EFAULT. */
  NoMemory: 3,
  /** The monitor's mapping is being changed: the guest tries again, and faults until that is over. */
  Retry: 4,
} as const;

/**
 * KVM's second stage with hardware support (`arch/x86/kvm/mmu/tdp_mmu.c`): EPT or NPT tables in host memory that begin empty,
 * are filled by the guest's faults from memory slots and the monitor's mappings, and lose what either of those takes away.
 */
export class TdpMmu implements SecondStageRoot, MemslotListener, MmuNotifier {
  readonly rootFrame: number;
  /** Told when entries have gone, so that cached translations can be invalidated (`kvm_flush_remote_tlbs`). */
  onFlush: (() => void) | undefined;
  /** Faults that made an entry, and entries that were zapped, so far. */
  filled = 0;
  zapped = 0;
  /** After {@link fault} made an entry: its level. */
  level = 1;
  private readonly tables: NptTables | EptTables;
  private readonly options: TdpMmuOptions;
  private readonly largest: number;

  constructor(options: TdpMmuOptions) {
    const { memory, heap, format, hostPage } = options;
    this.options = options;
    this.largest = hostPage === "1g" ? 3 : hostPage === "2m" ? 2 : 1;
    const Tables = format === "npt" ? NptTables : EptTables;
    const tables: TableMemoryOptions = {
      memory,
      allocate: () => heap.allocate(),
      release: (frame) => heap.release(frame),
    };
    this.tables = new Tables(tables);
    this.rootFrame = this.tables.rootFrame;
    options.memslots.subscribe(this);
    options.userSpace.subscribe(this);
  }

  /** Machine frame behind a guest frame, mapped yet or not; -1 for none. */
  translate(gfn: number): number {
    return this.options.memslots.translate(gfn);
  }

  /** Leaf level of the entry of a guest frame, 0 when there is none yet. */
  leafLevel(gfn: number): number {
    return this.tables.find(gfn);
  }

  /** Frames and byte offsets of the entries of the latest {@link fault}, by level from 4 down to that of the mapping. */
  entryAt(level: number): { readonly frame: number; readonly offset: number } {
    const { pathFrame, pathOffset } = this.tables;
    return { frame: pathFrame[level], offset: pathOffset[level] };
  }

  /** `kvm_tdp_page_fault`: puts the entry of a guest frame in order. @returns a {@link TdpFault} */
  fault(gfn: number, write: boolean, fetch: boolean): number {
    const { memslots, userSpace, execHugePages } = this.options;
    const slot = memslots.slotOf(gfn);
    if (slot === undefined || memslots.hvaOf(gfn, false) < 0) return TdpFault.NoSlot;
    const isReadOnly = (slot.flags & KvmMemFlag.READONLY) !== 0;
    if (write && isReadOnly) return TdpFault.ReadOnly;
    if (userSpace.isChanging) return TdpFault.Retry;
    const frame = memslots.translate(gfn);
    if (frame < 0) return TdpFault.NoMemory;
    const logs = (slot.flags & KvmMemFlag.LOG_DIRTY_PAGES) !== 0;
    const small = logs || (!execHugePages && (fetch || this.isSplit(gfn)));
    const level = small ? 1 : this.levelOf(gfn, slot, frame);
    const span = PER_TABLE ** (level - 1);
    const writable = !isReadOnly && (!logs || write);
    if (logs && write) memslots.markDirty(gfn);
    this.tables.map(
      gfn - (gfn % span),
      frame - (gfn % span),
      level === 3 ? "1g" : level === 2 ? "2m" : "4k",
      this.attributes(writable, level === 1 || execHugePages),
    );
    this.tables.find(gfn);
    this.level = level;
    this.filled++;
    return TdpFault.Fixed;
  }

  snapshot(): TdpMmuSnapshot {
    return { filled: this.filled, zapped: this.zapped };
  }

  /** After memory. */
  restore({ filled, zapped }: TdpMmuSnapshot): void {
    this.filled = filled;
    this.zapped = zapped;
  }

  flushShadowMemslot({ baseGfn, npages }: MemorySlot): void {
    if (this.options.slotZapAll) this.zap(0, ALL_FRAMES);
    else this.zap(baseGfn, npages);
  }

  commitMemoryRegion(_old: MemorySlot | undefined, now: MemorySlot | undefined): void {
    // A slot that begins to log loses its write rights; here its mappings, which come back with the next faults.
    if (now !== undefined && (now.flags & KvmMemFlag.LOG_DIRTY_PAGES) !== 0)
      this.zap(now.baseGfn, now.npages);
  }

  /** Pages of a slot that logs are small: those with a bit go, and come back with the next faults. */
  enableLogDirty({ baseGfn, npages }: MemorySlot, bitmap: Uint8Array): void {
    const before = this.zapped;
    for (let page = 0; page < npages; page++)
      if ((bitmap[page >>> 3] & (1 << (page & 7))) !== 0) this.zapped += this.unmap(baseGfn + page, 1);
    if (this.zapped > before) this.onFlush?.();
  }

  invalidateRangeStart(start: number, end: number): void {
    for (const { baseGfn, npages, userspaceAddr } of this.options.memslots.all) {
      const from = Math.max(start, userspaceAddr);
      const to = Math.min(end, userspaceAddr + npages * PAGE);
      if (from >= to) continue;
      const first = Math.floor((from - userspaceAddr) / PAGE);
      this.zap(baseGfn + first, Math.ceil((to - userspaceAddr) / PAGE) - first);
    }
  }

  invalidateRangeEnd(): void {
    // What went has gone already.
  }

  /** Small pages around it were made for a fetch: they stay small (`disallowed_hugepage_adjust`). */
  private isSplit(gfn: number): boolean {
    return this.tables.find(gfn) <= 1 && this.tables.lastLevel === 1;
  }

  /** Leaves of a range go, huge ones that reach beyond it too. */
  private zap(first: number, count: number): void {
    const gone = this.unmap(first, count);
    this.zapped += gone;
    if (gone > 0) this.onFlush?.();
  }

  /** The same without the flush. @returns how many */
  private unmap(first: number, count: number): number {
    const { tables } = this;
    const end = first + count;
    let gone = 0;
    for (let gfn = first; gfn < end; ) {
      const leaf = tables.find(gfn);
      const level = leaf === 0 ? tables.lastLevel : leaf;
      const span = PER_TABLE ** (level - 1);
      const at = gfn - (gfn % span);
      if (leaf > 0) {
        tables.unmap(at, level === 3 ? "1g" : level === 2 ? "2m" : "4k");
        gone++;
      }
      gfn = at + span;
    }
    return gone;
  }

  /**
   * `kvm_mmu_max_mapping_level`: as large as the slot's own bounds, its alignment to the host addresses and the host's own
   * mapping allow.
   */
  private levelOf(gfn: number, slot: MemorySlot, frame: number): number {
    const { userSpace } = this.options;
    for (let level = this.largest; level > 1; level--) {
      const span = PER_TABLE ** (level - 1);
      const first = gfn - (gfn % span);
      const isInside = first >= slot.baseGfn && first + span <= slot.baseGfn + slot.npages;
      if (!isInside || frame % span !== gfn % span) continue;
      const hva = slot.userspaceAddr + (first - slot.baseGfn) * PAGE;
      if ((hva / PAGE) % span !== 0) continue;
      if (userSpace.isContiguous(hva, span * PAGE)) return level;
    }
    return 1;
  }

  /** Bits 11:0 and 63:52 of a leaf. Accessed and dirty flags are set with it, as KVM prefers for what has faulted. */
  private attributes(writable: boolean, executable: boolean): number {
    if (this.options.format === "npt") {
      const write = writable ? Pte.Write | Pte.Dirty : 0;
      return write | (executable ? 0 : NPT_NO_EXECUTE) | Pte.Present | Pte.User | Pte.Accessed;
    }
    const write = writable ? Ept.Write | Ept.Dirty : 0;
    return write | (executable ? Ept.Execute : 0) | Ept.Read | Ept.WriteBack | Ept.Accessed;
  }
}
