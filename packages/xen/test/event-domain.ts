import type { PhysicalMemory } from "@hyperwalk/mmu";
import { DOMID_SELF, EventChannels, type EventChannelsOptions } from "../src/event-channel.ts";
import { P2mType } from "../src/p2m-type.ts";
import { xenMemory } from "./xen-memory.ts";

export const SHARED_INFO = 8;
/** Guest frames 0 to 63 are RAM, at these machine frames. */
const RAM = 0x200;
const RAM_FRAMES = 64;
/** Guest frame of a device's registers. */
export const DEVICE_GFN = 100;
const PENDING = SHARED_INFO * 4096 + 2048;
const MASK = SHARED_INFO * 4096 + 2560;
export const CONTROL_GFN = 1;
export const CONTROL_BYTES = 72;
export const FIRST_ARRAY_GFN = 2;

/** A domain's event channels and the guest that uses them, by the letter of the public headers. */
export class EventDomain {
  readonly memory: PhysicalMemory;
  readonly ports: EventChannels;
  readonly vcpus: number;
  /** vCPUs in the order in which they were told. */
  readonly upcalls: number[] = [];
  /** Ports in the order in which pollers were told. */
  readonly polled: number[] = [];
  /** References on guest frames. */
  readonly references: Map<number, number> = new Map();
  type: number = P2mType.RamRw;

  constructor(
    options: Partial<EventChannelsOptions> = {},
    memory: ReturnType<typeof xenMemory> = xenMemory(),
  ) {
    const { vcpus = 2 } = options;
    this.memory = memory.memory;
    this.vcpus = vcpus;
    const base = { ...memory, domainId: 3, vcpus, sharedInfoFrame: SHARED_INFO };
    this.ports = new EventChannels({ ...base, ...options });
    this.ports.events.onUpcall = (vcpu) => this.upcalls.push(vcpu);
    this.ports.events.onPending = (port) => this.polled.push(port);
  }

  lookupForWriting(gfn: number): number {
    const isDevice = gfn === DEVICE_GFN;
    this.type = isDevice ? P2mType.MmioDirect : P2mType.RamRw;
    if (!isDevice && (gfn < 0 || gfn >= RAM_FRAMES)) return -1;
    this.references.set(RAM + gfn, (this.references.get(RAM + gfn) ?? 0) + 1);
    return RAM + gfn;
  }

  putPage(mfn: number): void {
    this.references.set(mfn, (this.references.get(mfn) ?? 0) - 1);
  }

  get referenced(): number {
    return [...this.references.values()].reduce((sum, count) => sum + count, 0);
  }

  /** FIFO queues for every vCPU, and as many pages of event words. */
  useFifo(pages = 1): void {
    for (let vcpu = 0; vcpu < this.vcpus; vcpu++)
      must(this.ports.initControl(vcpu, CONTROL_GFN, CONTROL_BYTES * vcpu, this));
    for (let page = 0; page < pages; page++) must(this.ports.expandArray(FIRST_ARRAY_GFN + page, this));
  }

  /** A port that its other end, of the same domain, sends on: [receives, sends]. */
  pair(): [number, number] {
    const receives = must(this.ports.allocUnbound(DOMID_SELF, DOMID_SELF));
    return [receives, must(this.ports.bindInterdomain(DOMID_SELF, receives))];
  }

  wordAt(port: number): number {
    return (RAM + FIRST_ARRAY_GFN + (port >>> 10)) * 4096 + (port & 1023) * 4;
  }

  word(port: number): number {
    return this.memory.readU32(this.wordAt(port));
  }

  setWord(port: number, value: number): void {
    this.memory.writeU32(this.wordAt(port), value >>> 0);
  }

  controlAt(vcpu: number): number {
    return (RAM + CONTROL_GFN) * 4096 + CONTROL_BYTES * vcpu;
  }

  ready(vcpu: number): number {
    return this.memory.readU32(this.controlAt(vcpu));
  }

  head(vcpu: number, priority: number): number {
    return this.memory.readU32(this.controlAt(vcpu) + 8 + 4 * priority);
  }

  clearUpcall(vcpu: number): void {
    this.memory.writeU8(SHARED_INFO * 4096 + 64 * vcpu, 0);
  }
}

/** Bit of the 2-level ABI in shared_info, 64-bit layout. */
export function sharedInfoBit(which: "pending" | "mask", port: number): { at: number; bit: number } {
  return { at: (which === "pending" ? PENDING : MASK) + (port >>> 3), bit: 1 << (port & 7) };
}

export function must(result: number): number {
  if (result < 0) throw new Error(`errno ${-result}`);
  return result;
}
