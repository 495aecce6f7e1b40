import {
  LongModeTables,
  type Mmu,
  PagingMode,
  type PhysicalMemory,
  Pte,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { FrameAllocator } from "../frame-allocator.js";
import { FrameTable } from "./frame-table.js";

const MIB_FRAMES = 256;
const GIB_FRAMES = 262144;
const TEXT_FIRST = 16 * MIB_FRAMES;
const HEAP_FIRST = 32 * MIB_FRAMES;
/** Bytes of Xen's text that are mapped, in 2 MiB pages. */
export const XEN_TEXT_BYTES: number = 4 * 1024 * 1024;
const DIRECTMAP_PAGE = 0xffff830000000; // page number of 0xffff830000000000
const TEXT_PAGE = 0xffff82d040200; // page number of 0xffff82d040200000
const LEAF = Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty;

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
 * frames (so that 1 GiB pages are aligned), the p2m's table pool, the frame table. Host page tables are real: the
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
  /** Frame of struct domain, the owner that page_info entries name. */
  readonly domainFrame: number;
  /** Xen's own address space, on the first processor. */
  readonly context: TranslationContext;
  /** CR3 of the host, a frame. */
  readonly rootFrame: number;

  /**
   * @param guestFrames guest-physical address space in frames, holes included
   * @param ram ranges of guest frames that are RAM
   */
  constructor(
    mmu: Mmu,
    guestFrames: number,
    ram: readonly { readonly first: number; readonly count: number }[],
  ) {
    const { memory } = mmu;
    this.memory = memory;
    this.guestFirst = GIB_FRAMES;
    const guestEnd = this.guestFirst + guestFrames;
    const p2mFirst = Math.ceil(guestEnd / GIB_FRAMES) * GIB_FRAMES;
    const p2mCount = Math.ceil(guestFrames / 512) * 2 + 4096;
    const tableFirst = p2mFirst + Math.ceil(p2mCount / GIB_FRAMES) * GIB_FRAMES;
    memory.addRam(TEXT_FIRST, GIB_FRAMES - TEXT_FIRST);
    for (const { first, count } of ram) memory.addRam(this.guestFirst + first, count);
    this.heap = new FrameAllocator("Xen's heap", HEAP_FIRST, GIB_FRAMES - HEAP_FIRST);
    this.p2mPool = new FrameAllocator("the domain's p2m pool", p2mFirst, p2mCount);
    this.domainFrame = this.heap.allocate();
    this.frameTable = new FrameTable(memory, tableFirst, guestEnd, this.domainFrame);
    const tables = new LongModeTables({ memory, allocate: () => this.heap.allocate() });
    const end = tableFirst + Math.ceil((guestEnd * 32) / 4096);
    for (let frame = 0; frame < end; frame += GIB_FRAMES)
      tables.map(DIRECTMAP_PAGE + frame, frame, "1g", LEAF | Pte.NoExecute);
    for (let frame = 0; frame < XEN_TEXT_BYTES / 4096; frame += 512)
      tables.map(TEXT_PAGE + frame, TEXT_FIRST + frame, "2m", Pte.Present | Pte.Accessed | Pte.Dirty);
    this.rootFrame = tables.rootFrame;
    this.context = this.contextFor(mmu);
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
