import type { ConsoleMemory } from "../console.js";
import { MAX_PAYLOAD, type StorePacket, type StoreServer, type StoreServerSnapshot } from "./store-server.js";

// struct xenstore_domain_interface (public/io/xs_wire.h)
const REQUEST = 0;
const RESPONSE = 1024;
const RING_BYTES = 1024;
const REQ_CONS = 2048;
const REQ_PROD = 2052;
const RSP_CONS = 2056;
const RSP_PROD = 2060;
const HEADER_BYTES = 16;
/** Answers that wait for room in the ring; a guest that lets more pile up is not listened to. */
const MAX_WAITING = 256 * 1024;

/** Guest memory with room for writing. */
export interface StoreMemory extends ConsoleMemory {
  writeBytes(address: number, bytes: Uint8Array): void;
}

/** The daemon's end of the rings, and the daemon, as plain data. */
export interface StoreRingSnapshot {
  readonly broken: boolean;
  /** Bytes of a request that is not whole yet. */
  readonly request: Uint8Array;
  /** Bytes of answers that wait for room. */
  readonly waiting: Uint8Array;
  readonly server: StoreServerSnapshot;
}

const ERROR = 2072;
/** XENSTORE_ERROR_* */
const ERROR_RINGIDX = 2;
const ERROR_PROTO = 3;

/**
 * The two rings between a guest and xenstored. dom0 runs on another processor, so serving costs this one nothing. The
 * indices are the guest's to write: ones that claim more than a ring holds end the connection.
 */
export class StoreRing {
  /** The guest broke the protocol: it is not served any more. */
  broken = false;
  /** There is something for the guest that it did not ask for: it has to be notified. */
  onOutput: (() => void) | undefined;
  private readonly memory: StoreMemory;
  private readonly ring: number;
  private readonly server: StoreServer;
  private request = new Uint8Array(0);
  private waiting = new Uint8Array(0);

  constructor(memory: StoreMemory, ringGfn: number, server: StoreServer) {
    this.memory = memory;
    this.ring = ringGfn * 4096;
    this.server = server;
    server.onEvent = (event) => this.deliver(event);
  }

  /** The guest notified: takes requests, puts answers. @returns whether the guest has to be notified. Never throws. */
  serve(): boolean {
    if (this.broken) return false;
    try {
      const took = this.take();
      this.process();
      return this.put() || took;
    } catch {
      this.broken = true; // the guest took the ring's frame away
      return false;
    }
  }

  snapshot(): StoreRingSnapshot {
    const { broken, request, waiting } = this;
    return { broken, request: request.slice(), waiting: waiting.slice(), server: this.server.snapshot() };
  }

  restore(snapshot: StoreRingSnapshot): void {
    this.broken = snapshot.broken;
    this.request = snapshot.request.slice();
    this.waiting = snapshot.waiting.slice();
    this.server.restore(snapshot.server);
  }

  private take(): boolean {
    const { memory, ring } = this;
    const cons = memory.readU32(ring + REQ_CONS);
    const prod = memory.readU32(ring + REQ_PROD);
    const count = (prod - cons) >>> 0;
    if (count === 0) return false;
    if (count > RING_BYTES) return this.fail(ERROR_RINGIDX);
    if (this.waiting.length > MAX_WAITING) {
      this.broken = true;
      return false;
    }
    const at = cons % RING_BYTES;
    const first = Math.min(count, RING_BYTES - at);
    const taken = new Uint8Array(this.request.length + count);
    taken.set(this.request);
    taken.set(memory.readBytes(ring + REQUEST + at, first), this.request.length);
    taken.set(memory.readBytes(ring + REQUEST, count - first), this.request.length + first);
    this.request = taken;
    memory.writeU32(ring + REQ_CONS, prod);
    return true;
  }

  /** Answers every whole request. */
  private process(): void {
    while (this.request.length >= HEADER_BYTES) {
      const { request } = this;
      const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
      const length = view.getUint32(12, true);
      if (length > MAX_PAYLOAD) {
        this.fail(ERROR_PROTO);
        return;
      }
      if (request.length < HEADER_BYTES + length) return;
      const answers = this.server.handle({
        type: view.getUint32(0, true),
        requestId: view.getUint32(4, true),
        transaction: view.getUint32(8, true),
        payload: request.slice(HEADER_BYTES, HEADER_BYTES + length),
      });
      this.request = request.slice(HEADER_BYTES + length);
      for (const answer of answers) this.queue(answer);
    }
  }

  /** A watch event that another domain caused. */
  private deliver(event: StorePacket): void {
    if (this.broken || this.waiting.length > MAX_WAITING) return;
    try {
      this.queue(event);
      if (this.put()) this.onOutput?.();
    } catch {
      this.broken = true;
    }
  }

  /** The guest broke the protocol: it is told how, and not served any more. */
  private fail(error: number): false {
    this.broken = true;
    this.memory.writeU32(this.ring + ERROR, error);
    return false;
  }

  private queue(packet: StorePacket): void {
    const { waiting } = this;
    const bytes = new Uint8Array(waiting.length + HEADER_BYTES + packet.payload.length);
    bytes.set(waiting);
    const view = new DataView(bytes.buffer, waiting.length);
    view.setUint32(0, packet.type, true);
    view.setUint32(4, packet.requestId, true);
    view.setUint32(8, packet.transaction, true);
    view.setUint32(12, packet.payload.length, true);
    bytes.set(packet.payload, waiting.length + HEADER_BYTES);
    this.waiting = bytes;
  }

  /** Puts as much as the ring has room for. */
  private put(): boolean {
    const { memory, ring, waiting } = this;
    const cons = memory.readU32(ring + RSP_CONS);
    const prod = memory.readU32(ring + RSP_PROD);
    const used = (prod - cons) >>> 0;
    if (used > RING_BYTES) return this.fail(ERROR_RINGIDX);
    const count = Math.min(RING_BYTES - used, waiting.length);
    if (count === 0) return false;
    const at = prod % RING_BYTES;
    const first = Math.min(count, RING_BYTES - at);
    memory.writeBytes(ring + RESPONSE + at, waiting.subarray(0, first));
    memory.writeBytes(ring + RESPONSE, waiting.subarray(first, count));
    memory.writeU32(ring + RSP_PROD, (prod + count) >>> 0);
    this.waiting = waiting.slice(count);
    return true;
  }
}
