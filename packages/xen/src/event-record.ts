import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "./path-cost/path-cost.js";

/** Bytes of a `struct evtchn`; 64 of them are in a frame of Xen's heap (a bucket). */
export const RECORD_BYTES = 64;
const PER_FRAME = 4096 / RECORD_BYTES;

/** Offsets within a `struct evtchn`, in Xen's memory. */
export const EventRecord = {
  /** u8, values of EVTCHNSTAT_* */
  State: 8,
  /** u8: FIFO queue. */
  Priority: 9,
  /** u8: FIFO only; it became pending while there was no event word for it. */
  Pending: 10,
  /** u32 */
  NotifyVcpu: 12,
  /** u32: remote domain of an unbound or interdomain port, or the VIRQ. */
  Source: 16,
  /** u32 */
  RemotePort: 20,
  /** u8 and u16: FIFO queue that it was last linked to (`fifo_lastq`). */
  LastPriority: 24,
  LastVcpu: 26,
} as const;

/** Where a domain's `struct evtchn` are kept. */
export interface PortRecordsOptions {
  readonly memory: PhysicalMemory;
  /** Ports, port 0 included. */
  readonly ports: number;
  /** A zeroed frame of Xen's heap; one for each 64 ports in use. */
  readonly allocateFrame: () => number;
}

/**
 * Xen's own state of each port of a domain, in simulated frames that are added in order when ports are needed and never
 * given back. With a {@link PathCost} each touch goes through the caches.
 */
export class PortRecords {
  readonly ports: number;
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: () => number;
  private readonly frames: Int32Array; // 0: none yet

  constructor(options: PortRecordsOptions) {
    this.memory = options.memory;
    this.ports = options.ports;
    this.allocateFrame = options.allocateFrame;
    this.frames = new Int32Array(Math.ceil(this.ports / PER_FRAME));
    this.add(0); // port 0 is never given out, but it exists
  }

  /** Can an operation name this port at all (`port_is_valid`)? */
  exists(port: number): boolean {
    return port >= 0 && port < this.ports && this.frames[port >>> 6] !== 0;
  }

  /** Has the records of a port that may not exist yet. */
  add(port: number): void {
    if (this.frames[port >>> 6] === 0) this.frames[port >>> 6] = this.allocateFrame();
  }

  /** Arena offset of the record of a port that exists. */
  at(port: number, cost: PathCost | undefined, write: boolean): number {
    const frame = this.frames[port >>> 6];
    const offset = (port & (PER_FRAME - 1)) * RECORD_BYTES;
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, RECORD_BYTES, write);
  }

  /** Frames of records; 0: none yet. */
  snapshot(): Int32Array {
    return this.frames.slice();
  }

  restore(frames: Int32Array): void {
    this.frames.set(frames);
  }
}
