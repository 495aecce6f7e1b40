import type { MmioDevice } from "@hyperwalk/cpu";
import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "../path-cost/path-cost.js";
import { DOORBELL_HANDLER, RING_DRAIN, RING_MESSAGE } from "../path-cost/stages/doorbell.js";
import type { PortDevice } from "./port-device.js";

/** First I/O port of the doorbell's registers, in the range that firmware gives PCI devices. */
export const DOORBELL_PORT = 0xc040;
/** Guest frame of the doorbell's page of registers, below the firmware's hole: no RAM of any size of guest is there. */
export const DOORBELL_GFN = 0xfeb00;

/** Registers by byte offset, the same behind ports, in the page and as the hypercall's argument. Each has 4 bytes. */
export const DoorbellRegister = {
  /** Writing notifies; reads how often that was done. */
  Notify: 0,
  /** Guest frame of the ring, 0 for none. Writing it starts the ring's counts over. */
  Ring: 4,
  /** Messages that came through rings. */
  Messages: 8,
  /** Sum of the messages' lengths and identities: what the handler made of them. */
  Sum: 12,
} as const;
const REGISTER_BYTES = 16;

/**
 * The shared ring, one page: descriptors follow one another in slots, and two free-running 32-bit counts say how many were
 * put in and taken out. The counts have a cache line each.
 */
export const DoorbellRing = {
  /** Written by the guest. */
  Produced: 0,
  /** Written by the handler. */
  Consumed: 64,
  /** First slot. */
  Slots: 2048,
  /** Slots, a power of two. */
  Count: 128,
  /** Bytes of a slot: u64 guest-physical address, u32 length, u32 identity. */
  SlotBytes: 16,
  Length: 8,
  Identity: 12,
} as const;

/** Whoever runs the handler: where it runs, and how it is reached from the exit that carried the notification. */
export interface DoorbellBackend {
  /** Pays for the way to the handler and back, and runs it there. */
  deliver(handle: (cost: PathCost) => void): void;
  /** Machine frame of a guest's frame that the handler is to have mapped from now on, referenced; -1: it has none. */
  map(gfn: number): number;
  /** The handler has written to a guest frame that it has mapped: whoever keeps track of that is told. */
  wrote(gfn: number, cost: PathCost): void;
  /** Ends a {@link map}. */
  unmap(mfn: number): void;
}

const NO_FRAME = -1;

/** What is wrong with a {@link Doorbell}'s state but for the frame of its ring; undefined: nothing. */
export function doorbellProblem(state: readonly number[]): string | undefined {
  const [notifications, messages, sum, ringGfn, , consumed, broken] = state;
  if (state.length !== 7) return `${state.length} numbers`;
  const counts = [notifications, messages, ringGfn, consumed];
  const stray = counts.find((count) => !Number.isInteger(count) || count < 0 || count >= 2 ** 32);
  if (stray !== undefined) return `a count of ${stray}`;
  if (!Number.isInteger(sum) || sum !== (sum | 0)) return `a sum of ${sum}`;
  return broken === 0 || broken === 1 ? undefined : `${broken} instead of whether its ring is broken`;
}

/**
 * A device whose guest notifies it: through a port, its page of registers or a hypercall, which all lead to
 * {@link store}. The handler takes what is in the ring, if the guest has given it one. A ring whose guest says that it
 * holds more than fits is not looked at any more until another one is given.
 */
export class Doorbell implements PortDevice, MmioDevice {
  readonly first: number = DOORBELL_PORT;
  readonly count: number = REGISTER_BYTES;
  private readonly memory: PhysicalMemory;
  private backend: DoorbellBackend | undefined;
  private notifications = 0;
  private messages = 0;
  private sum = 0;
  private ringGfn = 0;
  private ringFrame = NO_FRAME;
  private consumed = 0;
  private broken = false;
  private readonly run = (cost: PathCost): void => this.handle(cost);

  /** @param memory the machine's */
  constructor(memory: PhysicalMemory) {
    this.memory = memory;
  }

  /** Before the guest runs. */
  attach(backend: DoorbellBackend): void {
    this.backend = backend;
  }

  /** A register, or all ones where there is none. Accesses of other sizes and in between read as all ones, too. */
  load(offset: number, bytes: number): number {
    if (bytes !== 4) return -1;
    switch (offset) {
      case DoorbellRegister.Notify:
        return this.notifications | 0;
      case DoorbellRegister.Ring:
        return this.ringGfn | 0;
      case DoorbellRegister.Messages:
        return this.messages | 0;
      case DoorbellRegister.Sum:
        return this.sum;
      default:
        return -1;
    }
  }

  /** Writes a register. A notification's value means nothing, and its size is free: it may be what a bus carries. */
  store(offset: number, bytes: number, value: number): void {
    if (offset === DoorbellRegister.Notify) this.notify();
    else if (offset === DoorbellRegister.Ring && bytes === 4) this.setRing(value >>> 0);
  }

  /** Rings. */
  notify(): void {
    this.notifications = (this.notifications + 1) >>> 0;
    this.backend?.deliver(this.run);
  }

  read(port: number, bytes: number): number {
    const value = this.load(port - DOORBELL_PORT, bytes);
    return bytes === 4 ? value >>> 0 : (value & (2 ** (8 * bytes) - 1)) >>> 0;
  }

  write(port: number, bytes: number, value: number): void {
    this.store(port - DOORBELL_PORT, bytes, value);
  }

  /** Counts, the ring's guest and machine frame, how far it was read, whether it is broken. */
  snapshot(): readonly number[] {
    const { notifications, messages, sum, ringGfn, ringFrame, consumed, broken } = this;
    return [notifications, messages, sum, ringGfn, ringFrame, consumed, broken ? 1 : 0];
  }

  /** Puts it back, its ring mapped as the frame table has it already. @throws RangeError for what cannot be */
  restore(state: readonly number[]): void {
    const [notifications, messages, sum, ringGfn, ringFrame, consumed, broken] = state;
    const wrong = doorbellProblem(state);
    if (wrong !== undefined) throw new RangeError(`a doorbell with ${wrong}`);
    if (
      ringFrame !== NO_FRAME &&
      (ringGfn === 0 || !Number.isInteger(ringFrame) || !this.memory.isRam(ringFrame))
    )
      throw new RangeError(`a doorbell's ring in machine frame ${ringFrame}`);
    this.notifications = notifications;
    this.messages = messages;
    this.sum = sum;
    this.ringGfn = ringGfn;
    this.ringFrame = ringFrame;
    this.consumed = consumed;
    this.broken = broken === 1;
  }

  /** The state of another machine's doorbell: the ring is mapped anew. @throws RangeError for what cannot be */
  migrate(state: readonly number[]): void {
    const wrong = doorbellProblem(state);
    if (wrong !== undefined) throw new RangeError(`a doorbell with ${wrong}`);
    const [, , , ringGfn, , consumed, broken] = state;
    this.restore([...state.slice(0, 3), 0, NO_FRAME, 0, 0]);
    this.setRing(ringGfn);
    this.consumed = consumed;
    this.broken = broken === 1;
  }

  private setRing(gfn: number): void {
    const { backend } = this;
    if (this.ringFrame >= 0) backend?.unmap(this.ringFrame);
    this.ringGfn = gfn;
    this.ringFrame = gfn === 0 ? NO_FRAME : (backend?.map(gfn) ?? NO_FRAME);
    this.consumed = 0;
    this.broken = false;
  }

  private handle(cost: PathCost): void {
    cost.run(cost.compile(DOORBELL_HANDLER));
    if (this.ringFrame >= 0 && !this.broken) this.drain(cost);
  }

  /** Takes what is in the ring, and says so to the guest. */
  private drain(cost: PathCost): void {
    const { memory, ringFrame } = this;
    const { Produced, Consumed, Slots, Count, SlotBytes, Length, Identity } = DoorbellRing;
    const message = cost.compile(RING_MESSAGE);
    cost.run(cost.compile(RING_DRAIN));
    const produced = memory.arena.i32[cost.access(ringFrame, Produced, 4, false) >> 2] >>> 0;
    if ((produced - this.consumed) >>> 0 > Count) {
      this.broken = true;
      return;
    }
    while (this.consumed !== produced) {
      cost.run(message);
      const at = cost.access(ringFrame, Slots + (this.consumed % Count) * SlotBytes, SlotBytes, false) >> 2;
      const { i32 } = memory.arena;
      this.sum = (this.sum + i32[at + Length / 4] + i32[at + Identity / 4]) | 0;
      this.messages = (this.messages + 1) >>> 0;
      this.consumed = (this.consumed + 1) >>> 0;
    }
    memory.arena.i32[cost.access(ringFrame, Consumed, 4, true) >> 2] = this.consumed | 0;
    this.backend?.wrote(this.ringGfn, cost);
  }
}
