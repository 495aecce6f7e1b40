import type { PhysicalMemory } from "@hyperwalk/mmu";
import { EVTCHN_NOTIFY_REMOTE, type EventChannels } from "./event-channel.js";

// struct shared_info and vcpu_info of 64-bit guests: a peer keeps the layout that a domain starts with.
const UPCALL_PENDING = 0;
const PENDING_SEL = 8;
const PENDING = 2048;
const MASK = 2560;
const PORT_BYTES = 512;

/**
 * What a peer's kernel would do with its events: the upcall handler of the 2-level ABI, in shared_info as a guest finds
 * it. It runs as soon as an event is there, and takes no simulated time.
 */
export class PeerEvents {
  private readonly memory: PhysicalMemory;
  private readonly sharedInfo: number;
  private readonly handlers = new Map<number, () => void>();
  private handling = false;

  /** @param sharedInfoFrame machine frame of shared_info */
  constructor(memory: PhysicalMemory, sharedInfoFrame: number, channels: EventChannels) {
    this.memory = memory;
    this.sharedInfo = sharedInfoFrame * 4096;
    const { events } = channels;
    // The peer's vCPU is on a processor of its own: the sender tells that one.
    events.onUpcall = (_vcpu, cost) => {
      cost?.run(cost.compile(EVTCHN_NOTIFY_REMOTE));
      this.handle();
    };
  }

  /** Has events of a port handled from now on; what is pending already is handled at once. Without a handler they wait. */
  on(port: number, handler: (() => void) | undefined): void {
    if (handler === undefined) this.handlers.delete(port);
    else this.handlers.set(port, handler);
    this.handle();
  }

  /** Masks a port, or not. */
  mask(port: number, masked: boolean): void {
    const at = this.sharedInfo + MASK + (port >>> 3);
    const bit = 1 << (port & 7);
    const before = this.memory.readU8(at);
    this.memory.writeU8(at, masked ? before | bit : before & ~bit);
  }

  /** Takes the pending events that nobody handles. @returns ports in ascending order */
  take(): readonly number[] {
    const ports = this.pending().filter((port) => !this.handlers.has(port));
    for (const port of ports) this.clear(port);
    this.acknowledge();
    return ports;
  }

  private handle(): void {
    if (this.handling) return;
    this.handling = true;
    try {
      for (;;) {
        const port = this.pending().find((each) => this.handlers.has(each));
        if (port === undefined) break;
        this.clear(port);
        this.handlers.get(port)?.();
      }
      this.acknowledge();
    } finally {
      this.handling = false;
    }
  }

  /** Unmasked ports with an event. */
  private pending(): number[] {
    const ports: number[] = [];
    for (let at = 0; at < PORT_BYTES; at++) {
      const base = this.sharedInfo + at;
      const bits = this.memory.readU8(base + PENDING) & ~this.memory.readU8(base + MASK);
      for (let bit = 0; bits >>> bit !== 0; bit++) if ((bits >>> bit) & 1) ports.push(8 * at + bit);
    }
    return ports;
  }

  private clear(port: number): void {
    const at = this.sharedInfo + PENDING + (port >>> 3);
    this.memory.writeU8(at, this.memory.readU8(at) & ~(1 << (port & 7)));
  }

  /** The handler is done: the next event makes a new upcall. */
  private acknowledge(): void {
    this.memory.writeU8(this.sharedInfo + UPCALL_PENDING, 0);
    this.memory.writeBytes(this.sharedInfo + PENDING_SEL, new Uint8Array(8));
  }
}
