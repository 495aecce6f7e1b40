import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "./errno.js";
import type { EventAbi } from "./event-abi.js";
import { EventRecord, type PortRecords } from "./event-record.js";
import { type GuestPages, mapGuestPage } from "./guest-pages.js";
import { LockMode, type SimulatedLock } from "./host/simulated-lock.js";
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EVTCHN_FIFO_PRIORITY_MIN,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";
import {
  EVTCHN_FIFO_ADD_PORT,
  EVTCHN_FIFO_APPEND,
  EVTCHN_FIFO_OTHER_QUEUE,
  EVTCHN_FIFO_READY,
  EVTCHN_FIFO_SET_LINK,
  EVTCHN_FIFO_SET_PENDING,
  EVTCHN_FIFO_SETUP_PORT,
} from "./path-cost/stages/event-fifo.js";
import type { VcpuEvents } from "./vcpu-events.js";

// event_word_t
const PENDING = 1 << EVTCHN_FIFO_PENDING;
const MASKED = 1 << EVTCHN_FIFO_MASKED;
const LINKED = 1 << EVTCHN_FIFO_LINKED;
const BUSY = 1 << EVTCHN_FIFO_BUSY;
const LINK = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
const WORD_BYTES = 4;
const WORDS_PER_PAGE = 4096 / WORD_BYTES;

/** Ports that a LINK field can name (EVTCHN_FIFO_NR_CHANNELS). */
export const FIFO_CHANNELS: number = 1 << EVTCHN_FIFO_LINK_BITS;
const MAX_PAGES = FIFO_CHANNELS / WORDS_PER_PAGE;

// struct evtchn_fifo_control_block, in the guest's memory.
const CONTROL_BLOCK_BYTES = 72;
const CONTROL_BLOCK_ALIGN = 8;
const READY = 0;
const HEAD = 8;

// struct evtchn_fifo_domain: pointers to 128 pages, then the number of words.
const WORD_COUNT = 8 * MAX_PAGES;
// struct evtchn_fifo_vcpu: a pointer to the control block, then 16 queues of head, tail, priority and lock.
const QUEUES = 8;
const QUEUE_BYTES = 24;
const QUEUE_TAIL = 8;
const VCPU_BYTES = 512;
const VCPUS_PER_FRAME = 4096 / VCPU_BYTES;

/** What is not in simulated memory, as plain data. */
export interface FifoEventsSnapshot {
  readonly enabled: boolean;
  /** By vCPU: frame and offset of its control block; frame -1: it has none. */
  readonly controlFrame: Int32Array;
  readonly controlOffset: Int32Array;
  /** Frames of event words; the first `pageCount` count. */
  readonly pages: Int32Array;
  readonly pageCount: number;
  /** Frames of Xen's own structures; 0: none yet. */
  readonly heap: Int32Array;
}

/** What FIFO queues are made with. */
export interface FifoEventsOptions {
  readonly memory: PhysicalMemory;
  readonly vcpus: number;
  readonly records: PortRecords;
  readonly vcpuEvents: VcpuEvents;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
}

/**
 * The FIFO event-channel ABI (Xen: `common/event_fifo.c`): a word for each port in pages of the guest's, linked into 16
 * queues for each vCPU; a control block in the guest's memory has their heads, Xen remembers their tails. Xen writes LINK
 * fields and heads and never follows either, so that nothing a guest writes there leads it anywhere.
 */
export class FifoEvents implements EventAbi {
  readonly maxPorts: number = FIFO_CHANNELS;
  private readonly memory: PhysicalMemory;
  private readonly vcpus: number;
  private readonly records: PortRecords;
  private readonly vcpuEvents: VcpuEvents;
  private readonly allocateFrame: () => number;
  private readonly controlFrame: Int32Array;
  private readonly controlOffset: Int32Array;
  private readonly pages: Int32Array = new Int32Array(MAX_PAGES);
  private pageCount = 0;
  private readonly heap: Int32Array; // the domain's structure, then those of eight vCPUs each; 0: none yet
  private on = false;
  /** Lock of a vCPU's queues, where several processors send. */
  lockOf: ((vcpu: number) => SimulatedLock) | undefined;

  constructor(options: FifoEventsOptions) {
    this.memory = options.memory;
    this.vcpus = options.vcpus;
    this.records = options.records;
    this.vcpuEvents = options.vcpuEvents;
    this.allocateFrame = options.allocateFrame;
    this.controlFrame = new Int32Array(this.vcpus).fill(-1);
    this.controlOffset = new Int32Array(this.vcpus);
    this.heap = new Int32Array(1 + Math.ceil(this.vcpus / VCPUS_PER_FRAME));
  }

  /** Does the domain use this ABI? */
  get enabled(): boolean {
    return this.on;
  }

  /**
   * Gives a vCPU that exists its control block. The first one enables the ABI; the reference on its page stays until
   * {@link disable}. @returns 0, or -EINVAL: not within a page, not aligned, not RAM, or it has one
   */
  mapControlBlock(vcpu: number, gfn: number, offset: number, guest: GuestPages): number {
    if (!isWithinPage(offset) || this.controlFrame[vcpu] >= 0) return -Errno.EINVAL;
    const frame = mapGuestPage(gfn, guest);
    if (frame < 0) return frame;
    for (let i = 0; i < this.heap.length; i++) if (this.heap[i] === 0) this.heap[i] = this.allocateFrame();
    this.controlFrame[vcpu] = frame;
    this.controlOffset[vcpu] = offset;
    this.on = true;
    return 0;
  }

  /** Ports that were in use before this ABI was: saves what is pending there, all in the default queue. */
  takeOver(before: EventAbi, cost?: PathCost): void {
    const { records } = this;
    for (let port = 1; port < before.maxPorts && records.exists(port); port++) {
      cost?.run(cost.compile(EVTCHN_FIFO_SETUP_PORT));
      const pending = before.isPending(port, cost);
      const at = records.at(port, cost, true);
      if (pending) this.u8[at + EventRecord.Pending] = 1;
      this.u8[at + EventRecord.Priority] = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
  }

  /**
   * Adds a page of 1024 event words; what became pending before they were there is raised now. The flag that says so is
   * never cleared, as in Xen. @returns 0, or -ENOSPC, -EINVAL
   */
  addPage(gfn: number, guest: GuestPages, cost?: PathCost): number {
    if (this.pageCount === MAX_PAGES) return -Errno.ENOSPC;
    const frame = mapGuestPage(gfn, guest);
    if (frame < 0) return frame;
    let port = this.pageCount * WORDS_PER_PAGE;
    this.pages[this.pageCount++] = frame;
    for (const end = port + WORDS_PER_PAGE; port < end && this.records.exists(port); port++) {
      cost?.run(cost.compile(EVTCHN_FIFO_ADD_PORT));
      const at = this.records.at(port, cost, false);
      if (this.u8[at + EventRecord.Pending] !== 0)
        this.setPending(port, this.memory.arena.i32[(at + EventRecord.NotifyVcpu) >> 2], cost);
    }
    return 0;
  }

  /** Forgets queues, control blocks and event words, and drops the references on their pages (`evtchn_fifo_destroy`). */
  disable(guest: GuestPages): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++)
      if (this.controlFrame[vcpu] >= 0) guest.putPage(this.controlFrame[vcpu]);
    for (let i = 0; i < this.pageCount; i++) guest.putPage(this.pages[i]);
    this.controlFrame.fill(-1);
    this.controlOffset.fill(0);
    this.pages.fill(0);
    this.pageCount = 0;
    for (const frame of this.heap)
      if (frame !== 0) this.memory.writeBytes(frame * 4096, new Uint8Array(4096));
    this.on = false;
  }

  bound(port: number, cost?: PathCost): void {
    const at = this.records.at(port, cost, true);
    this.u8[at + EventRecord.Priority] = EVTCHN_FIFO_PRIORITY_DEFAULT;
    this.wordAt(port, false, cost); // Xen warns of one that is linked still
  }

  setPending(port: number, vcpu: number, cost?: PathCost): void {
    // What the toolstack's backends send is on no processor of the domain's.
    const lock = cost === undefined || this.lockOf === undefined ? undefined : this.lockOf(vcpu);
    lock?.acquire(LockMode.Exclusive);
    this.setPendingLocked(port, vcpu, cost);
    lock?.release();
  }

  private setPendingLocked(port: number, vcpu: number, cost: PathCost | undefined): void {
    cost?.run(cost.compile(EVTCHN_FIFO_SET_PENDING));
    const word = this.wordAt(port, true, cost);
    const record = this.records.at(port, cost, word < 0);
    if (word < 0) {
      this.u8[record + EventRecord.Pending] = 1; // raised when its page is added
      return;
    }
    const queue = this.queueAt(vcpu, this.u8[record + EventRecord.Priority], cost);
    const last = this.u16(record + EventRecord.LastVcpu);
    const lastQueue = this.queueAt(last, this.u8[record + EventRecord.LastPriority], cost);
    if (lastQueue !== queue) cost?.run(cost.compile(EVTCHN_FIFO_OTHER_QUEUE));
    if (this.controlFrame[vcpu] < 0) return; // the event is lost
    const before = this.i32[word >> 2];
    this.i32[word >> 2] = before | PENDING;
    if ((before & (MASKED | LINKED)) === 0 && this.link(port, vcpu, word, queue, lastQueue, cost))
      this.ready(vcpu, this.u8[record + EventRecord.Priority], cost);
    if ((before & PENDING) === 0) this.vcpuEvents.onPending?.(port, cost);
  }

  /** The guest finds out by itself that nothing is pending when it comes to the word in its queue. */
  clearPending(port: number, cost?: PathCost): void {
    const word = this.wordAt(port, true, cost);
    if (word >= 0) this.i32[word >> 2] &= ~PENDING;
  }

  unmask(port: number, vcpu: number, cost?: PathCost): void {
    const word = this.wordAt(port, true, cost);
    if (word < 0) return;
    this.i32[word >> 2] &= ~MASKED;
    if ((this.i32[word >> 2] & PENDING) !== 0) this.setPending(port, vcpu, cost);
  }

  isPending(port: number, cost?: PathCost): boolean {
    const word = this.wordAt(port, false, cost);
    return word >= 0 && (this.i32[word >> 2] & PENDING) !== 0;
  }

  isMasked(port: number, cost?: PathCost): boolean {
    const word = this.wordAt(port, false, cost);
    return word < 0 || (this.i32[word >> 2] & MASKED) !== 0;
  }

  isBusy(port: number, cost?: PathCost): boolean {
    const word = this.wordAt(port, false, cost);
    return word >= 0 && (this.i32[word >> 2] & LINKED) !== 0;
  }

  /** For events to come: one that is linked stays in the queue where it is. */
  setPriority(port: number, priority: number, cost?: PathCost): number {
    if (priority >>> 0 > EVTCHN_FIFO_PRIORITY_MIN) return -Errno.EINVAL;
    const at = this.records.at(port, cost, true);
    this.u8[at + EventRecord.Priority] = priority;
    return 0;
  }

  snapshot(): FifoEventsSnapshot {
    return {
      enabled: this.on,
      controlFrame: this.controlFrame.slice(),
      controlOffset: this.controlOffset.slice(),
      pages: this.pages.slice(),
      pageCount: this.pageCount,
      heap: this.heap.slice(),
    };
  }

  /** @throws RangeError for frames that are no memory and counts that cannot be */
  restore(snapshot: FifoEventsSnapshot): void {
    this.check(snapshot);
    this.on = snapshot.enabled;
    this.controlFrame.set(snapshot.controlFrame);
    this.controlOffset.set(snapshot.controlOffset);
    this.pages.set(snapshot.pages);
    this.pageCount = snapshot.pageCount;
    this.heap.set(snapshot.heap);
  }

  private check({ enabled, controlFrame, controlOffset, pages, pageCount, heap }: FifoEventsSnapshot): void {
    const { memory } = this;
    if (!Number.isInteger(pageCount) || pageCount < 0 || pageCount > (enabled ? MAX_PAGES : 0))
      throw new RangeError(`${pageCount} pages of event words`);
    const stray =
      pages.subarray(0, pageCount).find((frame) => !memory.isRam(frame)) ??
      heap.find((frame) => (frame !== 0 || enabled) && !memory.isRam(frame)) ??
      controlFrame.find((frame) => frame !== -1 && !(enabled && memory.isRam(frame)));
    if (stray !== undefined) throw new RangeError(`frame ${stray} of FIFO event channels is not RAM`);
    const outside = controlOffset.find((offset) => !isWithinPage(offset));
    if (outside !== undefined) throw new RangeError(`a control block at offset ${outside}`);
  }

  /** Appends a port to a queue. @returns whether the queue was empty before */
  private link(
    port: number,
    vcpu: number,
    word: number,
    queue: number,
    lastQueue: number,
    cost: PathCost | undefined,
  ): boolean {
    cost?.run(cost.compile(EVTCHN_FIFO_APPEND));
    this.i32[word >> 2] |= LINKED;
    // It may have been a tail; the old queue is empty then, and must not be appended to behind it.
    if (this.tail(lastQueue) === port) this.setTail(lastQueue, 0);
    const record = this.records.at(port, cost, lastQueue !== queue);
    const priority = this.u8[record + EventRecord.Priority];
    if (lastQueue !== queue) {
      this.u8[record + EventRecord.LastPriority] = priority;
      this.u8[record + EventRecord.LastVcpu] = vcpu & 0xff;
      this.u8[record + EventRecord.LastVcpu + 1] = vcpu >>> 8;
    }
    const tail = this.tail(queue);
    const appended = tail !== 0 && this.setLink(tail, port, cost);
    if (!appended) {
      const head = this.controlAt(vcpu, HEAD + 4 * priority, cost) >> 2;
      this.i32[head] = port;
    }
    this.setTail(queue, port);
    return !appended;
  }

  /**
   * Points a tail at the next port, unless the guest has taken it out of its queue. Xen repeats its compare-and-exchange a
   * few times when the guest changes the word at the same moment, which on one thread it never does.
   */
  private setLink(tail: number, port: number, cost: PathCost | undefined): boolean {
    cost?.run(cost.compile(EVTCHN_FIFO_SET_LINK));
    const word = this.wordAt(tail, true, cost) >> 2;
    const value = this.i32[word];
    if ((value & LINKED) === 0) return false;
    this.i32[word] = (value & ~(BUSY | LINK)) | port;
    return true;
  }

  /** Sets a queue's READY bit; tells the vCPU if it was clear. */
  private ready(vcpu: number, priority: number, cost: PathCost | undefined): void {
    cost?.run(cost.compile(EVTCHN_FIFO_READY));
    const at = this.controlAt(vcpu, READY, cost) >> 2;
    const before = this.i32[at];
    this.i32[at] = before | (1 << priority);
    if ((before & (1 << priority)) === 0) this.vcpuEvents.markUpcall(vcpu, cost);
  }

  /** Arena offset of a port's event word, or -1 while there is none. */
  private wordAt(port: number, write: boolean, cost: PathCost | undefined): number {
    cost?.access(this.heap[0], WORD_COUNT, 4, false);
    const slot = Math.floor(port / WORDS_PER_PAGE);
    if (slot >= this.pageCount) return -1;
    cost?.access(this.heap[0], 8 * slot, 8, false);
    return this.touch(this.pages[slot], (port % WORDS_PER_PAGE) * WORD_BYTES, WORD_BYTES, write, cost);
  }

  private controlAt(vcpu: number, offset: number, cost: PathCost | undefined): number {
    return this.touch(this.controlFrame[vcpu], this.controlOffset[vcpu] + offset, 4, true, cost);
  }

  private queueAt(vcpu: number, priority: number, cost: PathCost | undefined): number {
    const frame = this.heap[1 + Math.floor(vcpu / VCPUS_PER_FRAME)];
    const offset = (vcpu % VCPUS_PER_FRAME) * VCPU_BYTES + QUEUES + priority * QUEUE_BYTES;
    return this.touch(frame, offset, QUEUE_BYTES, true, cost);
  }

  private tail(queue: number): number {
    return this.i32[(queue + QUEUE_TAIL) >> 2];
  }

  private setTail(queue: number, port: number): void {
    this.i32[(queue + QUEUE_TAIL) >> 2] = port;
  }

  private touch(
    frame: number,
    offset: number,
    bytes: number,
    write: boolean,
    cost: PathCost | undefined,
  ): number {
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, bytes, write);
  }

  // Views are fetched at every use: touching a frame may grow the arena, which detaches older ones.
  private get u8(): Uint8Array {
    return this.memory.arena.u8;
  }

  private get i32(): Int32Array {
    return this.memory.arena.i32;
  }

  private u16(at: number): number {
    return this.u8[at] | (this.u8[at + 1] << 8);
  }
}

/** Can a control block be at this offset of a page? */
function isWithinPage(offset: number): boolean {
  return offset >= 0 && offset <= 4096 - CONTROL_BLOCK_BYTES && offset % CONTROL_BLOCK_ALIGN === 0;
}
