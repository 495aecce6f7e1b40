import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "./errno.js";
import { TwoLevelEvents, type TwoLevelEventsSnapshot } from "./event-2l.js";
import {
  EVTCHNSTAT_CLOSED,
  EVTCHNSTAT_INTERDOMAIN,
  EVTCHNSTAT_IPI,
  EVTCHNSTAT_UNBOUND,
  EVTCHNSTAT_VIRQ,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";
import type { Stage } from "./path-cost/stage.js";
import { NR_VIRQS, VIRQ_TYPES } from "./virq.js";

/** "The calling domain", where an operation names a domain. */
export const DOMID_SELF = 0x7ff0;

// struct evtchn: 64 bytes, 64 of them in a frame of Xen's heap. Offsets within one.
const RECORD = 64;
const PER_FRAME = 4096 / RECORD;
const STATE = 8; // u8, values of EVTCHNSTAT_*
const NOTIFY_VCPU = 12; // u32
const SOURCE = 16; // u32: remote domain of an unbound or interdomain port, or the VIRQ
const REMOTE_PORT = 20; // u32

/** Telling a vCPU of another domain, which runs on another processor. */
export const EVTCHN_NOTIFY_REMOTE: Stage = {
  name: "vcpu_kick (other domain)",
  phase: "operation",
  instructions: 180,
  basis: "estimate",
  source:
    "read in source: set pending in the other domain, vcpu_unblock, reschedule request and the write that sends the IPI",
  range: [80, 500],
  coldBranches: 15,
  atomics: 4,
};

/** What a domain's event channels are made with. */
export interface EventChannelsOptions {
  readonly memory: PhysicalMemory;
  /** The domain's own id. */
  readonly domainId: number;
  readonly vcpus: number;
  /** Host frame of shared_info. */
  readonly sharedInfoFrame: number;
  /** A zeroed frame of Xen's heap; one for each 64 ports in use. */
  readonly allocateFrame: () => number;
  /** Ports, port 0 included; default 1024, which is xl's `max_event_channels=1023`. At most 4096 (2-level ABI). */
  readonly ports?: number;
  /** May the domain bind VIRQs that only one domain gets? Default false. */
  readonly hardwareDomain?: boolean;
}

/** What is not in the records themselves, as plain data. */
export interface EventChannelsSnapshot {
  readonly events: TwoLevelEventsSnapshot;
  readonly callback: readonly [number, number];
  readonly upcallVectors: Uint8Array;
  /** Frames of records; 0: none yet. */
  readonly frames: Int32Array;
  readonly virqPort: Int32Array;
  /** Ports that are still connected to a backend. */
  readonly connected: readonly number[];
}

/**
 * A domain's event channels (Xen: `common/event_channel.c`) over the 2-level ABI. Per-port state lives in simulated
 * frames; with a {@link PathCost} every touch goes through the caches, without one (builders, devices, tests) it is
 * free. The only other domain that exists is dom0, and only as the backends of {@link connectBackend}.
 * Operations return 0 or a port, or a negative errno.
 */
export class EventChannels {
  readonly ports: number;
  /** Pending and mask bits, selectors and upcall flags. */
  readonly events: TwoLevelEvents;
  /** HVM_PARAM_CALLBACK_IRQ as two words: type in bits 31:24 of the high one, 2 for a vector in bits 7:0 of the low. */
  callbackLo = 0;
  callbackHi = 0;
  /** Local-APIC vector by vCPU (HVMOP_set_evtchn_upcall_vector); 0: the callback applies. */
  readonly upcallVectors: Uint8Array;
  private readonly memory: PhysicalMemory;
  private readonly domainId: number;
  private readonly vcpus: number;
  private readonly hardwareDomain: boolean;
  private readonly allocateFrame: () => number;
  private readonly frames: Int32Array; // records of 64 ports each; 0: none yet
  private readonly virqPort: Int32Array; // by vcpu * NR_VIRQS + virq
  private readonly backends: ((() => void) | undefined)[] = [];

  constructor(options: EventChannelsOptions) {
    this.ports = options.ports ?? 1024;
    if (!Number.isInteger(this.ports) || this.ports < 2 || this.ports > 4096)
      throw new RangeError(`${this.ports} event channels: allowed are 2 to 4096`);
    this.events = new TwoLevelEvents(options);
    this.memory = options.memory;
    this.domainId = options.domainId;
    this.vcpus = options.vcpus;
    this.hardwareDomain = options.hardwareDomain ?? false;
    this.allocateFrame = options.allocateFrame;
    this.frames = new Int32Array(Math.ceil(this.ports / PER_FRAME));
    this.frames[0] = this.allocateFrame(); // port 0 is never given out, but it exists
    this.upcallVectors = new Uint8Array(this.vcpus);
    this.virqPort = new Int32Array(this.vcpus * NR_VIRQS);
  }

  /** Chooses how vCPUs without a vector of their own are told of events (HVM_PARAM_CALLBACK_IRQ). */
  setCallback(lo: number, hi: number): void {
    this.callbackLo = lo;
    this.callbackHi = hi;
  }

  /** Vector of the callback, or -1 when it is not a vector. */
  get callbackVector(): number {
    return this.callbackHi >>> 24 === 2 ? this.callbackLo & 0xff : -1;
  }

  /** Can an operation name this port at all? */
  exists(port: number): boolean {
    return port >= 0 && port < this.ports && this.frames[port >>> 6] !== 0;
  }

  /** Notifies the other end of a port (EVTCHNOP_send). @returns 0, or -EINVAL for a port that cannot be sent on */
  send(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, true); // takes the port's lock
    switch (this.u8[at + STATE]) {
      case EVTCHNSTAT_INTERDOMAIN: {
        if (this.word(at + SOURCE) !== this.domainId) {
          cost?.run(cost.compile(EVTCHN_NOTIFY_REMOTE));
          this.backends[port]?.();
          return 0;
        }
        const remote = this.word(at + REMOTE_PORT);
        this.events.setPending(remote, this.word(this.record(remote, cost, false) + NOTIFY_VCPU), cost);
        return 0;
      }
      case EVTCHNSTAT_IPI:
        this.events.setPending(port, this.word(at + NOTIFY_VCPU), cost);
        return 0;
      case EVTCHNSTAT_UNBOUND:
        return 0; // silently dropped
      default:
        return -Errno.EINVAL;
    }
  }

  /** EVTCHNOP_alloc_unbound on the domain itself. @returns the port, or -EPERM, -ESRCH, -ENOSPC */
  allocUnbound(dom: number, remoteDom: number, cost?: PathCost): number {
    const error = this.checkSelf(dom);
    if (error !== 0) return error;
    return this.allocate(EVTCHNSTAT_UNBOUND, this.resolve(remoteDom), 0, 0, cost);
  }

  /** EVTCHNOP_bind_interdomain. @returns the local port, or -ESRCH, -ENOSPC, -EINVAL */
  bindInterdomain(remoteDom: number, remotePort: number, cost?: PathCost): number {
    const remote = this.resolve(remoteDom);
    if (remote !== this.domainId && remote !== 0) return -Errno.ESRCH;
    const port = this.findFree();
    if (port < 0) return port;
    if (remote !== this.domainId || !this.exists(remotePort)) return -Errno.EINVAL; // dom0 offers us no ports
    const at = this.record(remotePort, cost, true);
    if (this.u8[at + STATE] !== EVTCHNSTAT_UNBOUND || this.word(at + SOURCE) !== this.domainId)
      return -Errno.EINVAL;
    this.assign(port, EVTCHNSTAT_INTERDOMAIN, remote, remotePort, 0, cost);
    this.u8[at + STATE] = EVTCHNSTAT_INTERDOMAIN;
    this.setWord(at + REMOTE_PORT, port);
    this.events.setPending(port, 0, cost); // a notification before the binding may have been lost
    return port;
  }

  /** EVTCHNOP_bind_virq. @returns the port, or -EINVAL, -ENOENT, -EBUSY, -EEXIST, -ENOSPC */
  bindVirq(virq: number, vcpu: number, cost?: PathCost): number {
    if (virq < 0 || virq >= NR_VIRQS) return -Errno.EINVAL;
    if (VIRQ_TYPES[virq] !== "vcpu" && vcpu !== 0) return -Errno.EINVAL;
    if (!this.hasVcpu(vcpu)) return -Errno.ENOENT;
    if (VIRQ_TYPES[virq] === "global" && !this.hardwareDomain) return -Errno.EBUSY;
    if (this.virqPort[vcpu * NR_VIRQS + virq] !== 0) return -Errno.EEXIST;
    const port = this.allocate(EVTCHNSTAT_VIRQ, virq, 0, vcpu, cost);
    if (port > 0) this.virqPort[vcpu * NR_VIRQS + virq] = port;
    return port;
  }

  /** EVTCHNOP_bind_ipi. @returns the port, or -ENOENT, -ENOSPC */
  bindIpi(vcpu: number, cost?: PathCost): number {
    if (!this.hasVcpu(vcpu)) return -Errno.ENOENT;
    return this.allocate(EVTCHNSTAT_IPI, 0, 0, vcpu, cost);
  }

  /** EVTCHNOP_bind_vcpu: per-vCPU VIRQs and IPIs stay where they are. @returns 0, or -ENOENT, -EINVAL */
  bindVcpu(port: number, vcpu: number, cost?: PathCost): number {
    if (!this.hasVcpu(vcpu)) return -Errno.ENOENT;
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, true);
    const state = this.u8[at + STATE];
    const movable =
      state === EVTCHNSTAT_UNBOUND ||
      state === EVTCHNSTAT_INTERDOMAIN ||
      (state === EVTCHNSTAT_VIRQ && VIRQ_TYPES[this.word(at + SOURCE)] !== "vcpu");
    if (!movable) return -Errno.EINVAL;
    this.setWord(at + NOTIFY_VCPU, vcpu);
    return 0;
  }

  /** EVTCHNOP_close: the other end of an interdomain port becomes unbound. @returns 0 or -EINVAL */
  close(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, true);
    switch (this.u8[at + STATE]) {
      case EVTCHNSTAT_CLOSED:
        return -Errno.EINVAL;
      case EVTCHNSTAT_VIRQ:
        for (let i = 0; i < this.virqPort.length; i++) if (this.virqPort[i] === port) this.virqPort[i] = 0;
        break;
      case EVTCHNSTAT_INTERDOMAIN:
        if (this.word(at + SOURCE) === this.domainId)
          this.u8[this.record(this.word(at + REMOTE_PORT), cost, true) + STATE] = EVTCHNSTAT_UNBOUND;
        this.backends[port] = undefined;
        break;
    }
    this.u8[at + STATE] = EVTCHNSTAT_CLOSED;
    this.events.clearPending(port, cost);
    return 0;
  }

  /** EVTCHNOP_unmask: delivers the event if it is pending. @returns 0 or -EINVAL */
  unmask(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, true);
    if (this.u8[at + STATE] !== EVTCHNSTAT_CLOSED)
      this.events.unmask(port, this.word(at + NOTIFY_VCPU), cost);
    return 0;
  }

  /**
   * EVTCHNOP_status: writes four values as pairs of words: status, vCPU, and the two that depend on the status
   * (remote domain and port, or VIRQ). @returns 0, or -EPERM, -ESRCH, -EINVAL
   */
  status(dom: number, port: number, words: Int32Array, cost?: PathCost): number {
    const error = this.checkSelf(dom);
    if (error !== 0) return error;
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, true);
    const state = this.u8[at + STATE];
    const hasSource = state !== EVTCHNSTAT_CLOSED && state !== EVTCHNSTAT_IPI;
    words.fill(0, 0, 8);
    words[0] = state;
    words[2] = this.word(at + NOTIFY_VCPU);
    words[4] = hasSource ? this.word(at + SOURCE) : 0;
    words[6] = state === EVTCHNSTAT_INTERDOMAIN ? this.word(at + REMOTE_PORT) : 0;
    return 0;
  }

  /**
   * Makes a port that is connected to a backend in dom0, as the toolstack does for the console and xenstore.
   * @param remotePort port number at dom0's end, as EVTCHNOP_status reports it
   * @param notify called whenever the guest sends on the port
   * @returns the guest's port @throws RangeError when no port is free
   */
  connectBackend(remotePort: number, notify: () => void): number {
    const port = this.allocate(EVTCHNSTAT_INTERDOMAIN, 0, remotePort, 0, undefined);
    if (port < 0) throw new RangeError("no event channel is free for a backend");
    this.backends[port] = notify;
    return port;
  }

  /** Sets a port pending and tells its vCPU: what a backend or a VIRQ source does. @returns 0 or -EINVAL */
  raise(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.record(port, cost, false);
    if (this.u8[at + STATE] === EVTCHNSTAT_CLOSED) return -Errno.EINVAL;
    this.events.setPending(port, this.word(at + NOTIFY_VCPU), cost);
    return 0;
  }

  /** Raises a VIRQ on a vCPU, if it is bound there. */
  raiseVirq(virq: number, vcpu: number, cost?: PathCost): void {
    const port = this.virqPort[vcpu * NR_VIRQS + virq];
    if (port > 0) this.raise(port, cost);
  }

  snapshot(): EventChannelsSnapshot {
    return {
      events: this.events.snapshot(),
      callback: [this.callbackLo, this.callbackHi],
      upcallVectors: this.upcallVectors.slice(),
      frames: this.frames.slice(),
      virqPort: this.virqPort.slice(),
      connected: this.backends.flatMap((backend, port) => (backend === undefined ? [] : [port])),
    };
  }

  /** Puts it back where the same backends were connected. */
  restore(snapshot: EventChannelsSnapshot): void {
    this.events.restore(snapshot.events);
    [this.callbackLo, this.callbackHi] = snapshot.callback;
    this.upcallVectors.set(snapshot.upcallVectors);
    this.frames.set(snapshot.frames);
    this.virqPort.set(snapshot.virqPort);
    for (let port = 0; port < this.backends.length; port++)
      if (!snapshot.connected.includes(port)) this.backends[port] = undefined;
  }

  // Views are fetched at every use: touching a frame may grow the arena, which detaches older ones.
  private get u8(): Uint8Array {
    return this.memory.arena.u8;
  }

  private word(at: number): number {
    return this.memory.arena.i32[at >> 2];
  }

  private setWord(at: number, value: number): void {
    this.memory.arena.i32[at >> 2] = value;
  }

  private record(port: number, cost: PathCost | undefined, write: boolean): number {
    const frame = this.frames[port >>> 6];
    const offset = (port & (PER_FRAME - 1)) * RECORD;
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, RECORD, write);
  }

  private allocate(
    state: number,
    source: number,
    remote: number,
    vcpu: number,
    cost: PathCost | undefined,
  ): number {
    const port = this.findFree();
    if (port > 0) this.assign(port, state, source, remote, vcpu, cost);
    return port;
  }

  private assign(
    port: number,
    state: number,
    source: number,
    remotePort: number,
    vcpu: number,
    cost: PathCost | undefined,
  ): void {
    const at = this.record(port, cost, true);
    this.u8[at + STATE] = state;
    this.setWord(at + NOTIFY_VCPU, vcpu);
    this.setWord(at + SOURCE, source);
    this.setWord(at + REMOTE_PORT, remotePort);
  }

  /** Lowest free port; adds a frame of records when all existing ones are taken. */
  private findFree(): number {
    for (let port = 1; port < this.ports; port++) {
      if (this.frames[port >>> 6] === 0) this.frames[port >>> 6] = this.allocateFrame();
      if (this.u8[this.record(port, undefined, false) + STATE] === EVTCHNSTAT_CLOSED) return port;
    }
    return -Errno.ENOSPC;
  }

  private hasVcpu(vcpu: number): boolean {
    return vcpu >= 0 && vcpu < this.vcpus;
  }

  private resolve(dom: number): number {
    return dom === DOMID_SELF ? this.domainId : dom;
  }

  private checkSelf(dom: number): number {
    if (this.resolve(dom) === this.domainId) return 0;
    return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
  }
}
