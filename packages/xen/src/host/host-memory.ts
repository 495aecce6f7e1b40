import {
  encodeReverseMapEntry,
  FRAME_BYTES,
  LARGE_PAGE_FRAMES,
  LongModeTables,
  type Mmu,
  PagingMode,
  type PhysicalMemory,
  Pte,
  ReverseMap,
  RMP_ENTRY_BYTES,
  type TranslationContext,
} from "@hyperwalk/mmu";
import type { GuestAddressSpace } from "../boot/memory-map.js";
import { FrameAllocator } from "../frame-allocator.js";
import type { GfnRange } from "../p2m.js";
import { FrameTable } from "./frame-table.js";
import { ownedBy } from "./svm/secure-pages.js";

const MIB_FRAMES = 256;
const GIB_FRAMES = 262144;
const TEXT_FIRST = 16 * MIB_FRAMES;
const HEAP_FIRST = 32 * MIB_FRAMES;
/** Bytes of Xen's text that are mapped, in 2 MiB pages. */
export const XEN_TEXT_BYTES: number = 4 * 1024 * 1024;
const DIRECTMAP_PAGE = 0xffff830000000; // page number of 0xffff830000000000
const TEXT_PAGE = 0xffff82d040200; // page number of 0xffff82d040200000
const LEAF = Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty;

/** Where a further domain's memory and p2m tables are. */
export interface PeerFrames {
  /** First machine frame; guest frame n of ordinary RAM is at `first + n`. */
  readonly first: number;
  readonly space: GuestAddressSpace;
  readonly p2mPool: FrameAllocator;
  /** Frame of its struct domain. */
  readonly domainFrame: number;
}

/** How the RAM of an SNP guest begins in the reverse map. */
export interface SecureMemory {
  readonly asid: number;
  /** In pages of 2 MiB where it is aligned to them, as it is in the p2m. */
  readonly largePages: boolean;
}

/** What the control structure of one vCPU is made from. */
export interface HostView {
  readonly memory: PhysicalMemory;
  readonly heap: FrameAllocator;
  readonly rootFrame: number;
  /** Xen's address space on the vCPU's processor. */
  readonly context: TranslationContext;
}

/**
 * Machine memory of the host and Xen's view of it. From below: Xen's text, Xen's heap, then from 1 GiB on the guest's
 * frames and those of further domains (so that 1 GiB pages are aligned), the p2ms' table pools, the frame table. Host page tables are real: the
 * direct map in 1 GiB pages, the text in 2 MiB pages, used through one `TranslationContext` with ASID 0.
 */
export class HostMemory implements HostView {
  readonly memory: PhysicalMemory;
  /** Xen's heap: page tables, structs, control structures, bitmaps. */
  readonly heap: FrameAllocator;
  /** First machine frame of the guest; guest frame n of ordinary RAM is at `guestFirst + n`. */
  readonly guestFirst: number;
  /** Frames reserved for the domain's p2m tables. */
  readonly p2mPool: FrameAllocator;
  readonly frameTable: FrameTable;
  /** Of further domains, in their order. */
  readonly peers: readonly PeerFrames[];
  /** Frame of struct domain, the owner that page_info entries name. */
  readonly domainFrame: number;
  /** Xen's own address space, on the first processor. */
  readonly context: TranslationContext;
  /** CR3 of the host, a frame. */
  readonly rootFrame: number;
  /** Of a machine with an SNP domain: all RAM of the guest's is its own, and not validated. */
  readonly reverseMap: ReverseMap | undefined;

  /**
   * @param guestFrames guest-physical address space in frames, holes included
   * @param ram ranges of guest frames that are RAM
   * @param peers address spaces of further domains @param secure how the guest's RAM is its own; default it is not
   */
  constructor(
    mmu: Mmu,
    guestFrames: number,
    ram: readonly GfnRange[],
    peers: readonly GuestAddressSpace[] = [],
    secure?: SecureMemory,
  ) {
    const { memory } = mmu;
    this.memory = memory;
    this.guestFirst = GIB_FRAMES;
    const guestEnd = this.guestFirst + guestFrames;
    let ramEnd = guestEnd;
    const peerFirst = peers.map(({ frames }) => {
      const first = nextGib(ramEnd);
      ramEnd = first + frames;
      return first;
    });
    const p2mFirst = nextGib(ramEnd);
    const p2mCount = tablePool(guestFrames);
    let poolEnd = p2mFirst + p2mCount;
    const poolFirst = peers.map(({ frames }) => {
      const first = nextGib(poolEnd);
      poolEnd = first + tablePool(frames);
      return first;
    });
    const tableFirst = nextGib(poolEnd);
    memory.addRam(TEXT_FIRST, GIB_FRAMES - TEXT_FIRST);
    for (const { first, count } of ram) memory.addRam(this.guestFirst + first, count);
    this.heap = new FrameAllocator("Xen's heap", HEAP_FIRST, GIB_FRAMES - HEAP_FIRST);
    this.p2mPool = new FrameAllocator("the domain's p2m pool", p2mFirst, p2mCount);
    this.domainFrame = this.heap.allocate();
    this.peers = peers.map((space, i) => {
      const first = peerFirst[i];
      for (const range of space.ram) memory.addRam(first + range.first, range.count);
      const p2mPool = new FrameAllocator(`the p2m pool of peer ${i}`, poolFirst[i], tablePool(space.frames));
      return { first, space, p2mPool, domainFrame: this.heap.allocate() };
    });
    const others = this.peers.map(({ first, domainFrame }) => ({ first, owner: domainFrame }));
    this.frameTable = new FrameTable(memory, tableFirst, ramEnd, this.domainFrame, others);
    const tables = new LongModeTables({ memory, allocate: () => this.heap.allocate() });
    const end = tableFirst + Math.ceil((ramEnd * 32) / 4096);
    for (let frame = 0; frame < end; frame += GIB_FRAMES)
      tables.map(DIRECTMAP_PAGE + frame, frame, "1g", LEAF | Pte.NoExecute);
    for (let frame = 0; frame < XEN_TEXT_BYTES / 4096; frame += 512)
      tables.map(TEXT_PAGE + frame, TEXT_FIRST + frame, "2m", Pte.Present | Pte.Accessed | Pte.Dirty);
    if (secure !== undefined) this.reverseMap = this.createReverseMap(nextGib(end), ramEnd, ram, secure);
    this.rootFrame = tables.rootFrame;
    this.context = this.contextFor(mmu);
  }

  /** RMPUPDATE of all the guest's RAM, as the toolstack has it done: pages come into being with the first entry that is read. */
  private createReverseMap(
    first: number,
    frames: number,
    ram: readonly GfnRange[],
    { asid, largePages }: SecureMemory,
  ): ReverseMap {
    const { memory, guestFirst } = this;
    const map = new ReverseMap(memory, first, frames);
    memory.addRam(first, ReverseMap.sizeInFrames(frames), (table, bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const described = map.firstDescribed(table);
      for (let i = 0; i < FRAME_BYTES / RMP_ENTRY_BYTES && described >= 0; i++) {
        const gfn = described + i - guestFirst;
        const range = ram.find((each) => gfn >= each.first && gfn < each.first + each.count);
        if (range === undefined) continue;
        const base = gfn - (gfn % LARGE_PAGE_FRAMES);
        const isLarge =
          largePages && base >= range.first && base + LARGE_PAGE_FRAMES <= range.first + range.count;
        encodeReverseMapEntry(ownedBy(asid, isLarge ? base : gfn, isLarge, false)).forEach((word, n) => {
          view.setUint32(RMP_ENTRY_BYTES * i + 4 * n, word, true);
        });
      }
    });
    return map;
  }

  /** Xen's address space as a processor of its own sees it. */
  contextFor(mmu: Mmu): TranslationContext {
    const context = mmu.createContext();
    context.paging = PagingMode.FourLevel;
    context.rootFrame = this.rootFrame;
    context.asid = 0;
    context.wp = true;
    context.nxe = true;
    context.globalPages = true;
    context.user = false;
    return context;
  }
}

/** Frames rounded up to whole GiB. */
function nextGib(frame: number): number {
  return Math.ceil(frame / GIB_FRAMES) * GIB_FRAMES;
}

/** Frames for the p2m tables of a domain of so many frames. */
function tablePool(frames: number): number {
  return Math.ceil(frames / 512) * 2 + 4096;
}
