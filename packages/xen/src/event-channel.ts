import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "./errno.js";
import { TwoLevelEvents, type TwoLevelEventsOptions } from "./event-2l.js";
import type { EventAbi } from "./event-abi.js";
import { FIFO_CHANNELS, FifoEvents, type FifoEventsSnapshot } from "./event-fifo.js";
import { EventRecord, PortRecords } from "./event-record.js";
import type { GuestPages } from "./guest-pages.js";
import type { DomainLocks } from "./host/domain-locks.js";
import {
  EVTCHNSTAT_CLOSED,
  EVTCHNSTAT_INTERDOMAIN,
  EVTCHNSTAT_IPI,
  EVTCHNSTAT_PIRQ,
  EVTCHNSTAT_UNBOUND,
  EVTCHNSTAT_VIRQ,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";
import type { Stage } from "./path-cost/stage.js";
import { VcpuEvents, type VcpuEventsSnapshot } from "./vcpu-events.js";
import { NR_VIRQS, VIRQ_TYPES } from "./virq.js";

/** "The calling domain", where an operation names a domain. */
export const DOMID_SELF = 0x7ff0;

const { State: STATE, NotifyVcpu: NOTIFY_VCPU, Source: SOURCE, RemotePort: REMOTE_PORT } = EventRecord;

/** Ports between two looks at what waits. */
const RESET_STEP = 64;

/** See {@link EventChannels.reset}. */
export interface ResetRoom {
  readonly resuming: boolean;
  readonly preempts: () => boolean;
}

const NO_ROOM: ResetRoom = { resuming: false, preempts: () => false };

/** `nr_pirqs` of a domain: pins of one I/O APIC (estimate, as the host has none) and `extra_guest_irqs`. */
const NR_PIRQS = 24 + 32;

/** Telling a vCPU of another domain, which runs on another processor. */
export const EVTCHN_NOTIFY_REMOTE: Stage = {
  name: "vcpu_kick (other domain)",
  phase: "operation",
  instructions: 180,
  basis: "estimate",
  source:
    "read in source: set pending in the other domain, vcpu_unblock, reschedule request and the write that sends the IPI",
  range: [80, 500],
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
  /**
   * Ports, port 0 included; default 1024, which is xl's `max_event_channels=1023`. At most 131072 (2^17, FIFO); of those
   * the 2-level ABI gives out 4096, or 1024 to 32-bit guests.
   */
  readonly ports?: number;
  /** May the domain bind VIRQs that only one domain gets, and change other domains' ports? Default false. */
  readonly hardwareDomain?: boolean;
  /** Makes the 2-level ABI; default Xen's own. */
  readonly twoLevel?: ((options: TwoLevelEventsOptions) => TwoLevelEvents) | undefined;
  /** Event channels of another domain, undefined for one that does not exist; default there are no others. */
  readonly remote?: (domain: number) => EventChannels | undefined;
}

/** What is not in the records themselves, as plain data. */
export interface EventChannelsSnapshot {
  readonly events: VcpuEventsSnapshot;
  readonly fifo: FifoEventsSnapshot;
  readonly callback: readonly [number, number];
  readonly upcallVectors: Uint8Array;
  /** Frames of records; 0: none yet. */
  readonly frames: Int32Array;
  readonly virqPort: Int32Array;
  /** Ports that are still connected to a backend. */
  readonly connected: readonly number[];
  /** Port at which a reset goes on, or 0. */
  readonly resetAt: number;
}

/**
 * A domain's event channels (Xen: `common/event_channel.c`) over the ABI that it uses. Per-port state lives in simulated
 * frames; with a {@link PathCost} every touch goes through the caches, without one (builders, devices, tests) it is
 * free. dom0 may exist only as the backends of {@link connectBackend}.
 * Operations return 0 or a port, or a negative errno.
 */
export class EventChannels {
  readonly ports: number;
  /** How vCPUs are told: selectors and upcall flags. */
  readonly events: VcpuEvents;
  /** HVM_PARAM_CALLBACK_IRQ as two words: type in bits 31:24 of the high one, 2 for a vector in bits 7:0 of the low. */
  callbackLo = 0;
  callbackHi = 0;
  /** Local-APIC vector by vCPU (HVMOP_set_evtchn_upcall_vector); 0: the callback applies. */
  readonly upcallVectors: Uint8Array;
  private readonly memory: PhysicalMemory;
  private readonly domainId: number;
  private readonly vcpus: number;
  private readonly hardwareDomain: boolean;
  private readonly remote: (domain: number) => EventChannels | undefined;
  private readonly records: PortRecords;
  private readonly twoLevel: TwoLevelEvents;
  private readonly fifo: FifoEvents;
  private abi: EventAbi;
  /** Port at which a reset that made room goes on, or 0 (`next_evtchn`). */
  private resetAt = 0;
  /** Every port below is in use. */
  private lowest = 1;
  private readonly virqPort: Int32Array; // by vcpu * NR_VIRQS + virq
  private readonly backends: ((() => void) | undefined)[] = [];

  constructor(options: EventChannelsOptions) {
    this.ports = options.ports ?? 1024;
    if (!Number.isInteger(this.ports) || this.ports < 2 || this.ports > FIFO_CHANNELS)
      throw new RangeError(`${this.ports} event channels: allowed are 2 to ${FIFO_CHANNELS}`);
    const { memory, allocateFrame, sharedInfoFrame } = options;
    this.memory = memory;
    this.domainId = options.domainId;
    this.vcpus = options.vcpus;
    this.hardwareDomain = options.hardwareDomain ?? false;
    this.remote = options.remote ?? (() => undefined);
    this.records = new PortRecords({ memory, allocateFrame, ports: this.ports });
    this.events = new VcpuEvents(options);
    const parts = { memory, vcpuEvents: this.events };
    const twoLevel = { ...parts, sharedInfoFrame };
    this.twoLevel = options.twoLevel?.(twoLevel) ?? new TwoLevelEvents(twoLevel);
    this.fifo = new FifoEvents({ ...parts, records: this.records, vcpus: this.vcpus, allocateFrame });
    this.abi = this.twoLevel;
    this.upcallVectors = new Uint8Array(this.vcpus);
    this.virqPort = new Int32Array(this.vcpus * NR_VIRQS);
  }

  /** Several processors send: queues have locks. */
  useLocks(locks: DomainLocks): void {
    this.fifo.lockOf = (vcpu) => locks.ofQueues(vcpu);
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
    return this.records.exists(port);
  }

  /** Is a port that exists pending? */
  isPending(port: number, cost?: PathCost): boolean {
    return this.abi.isPending(port, cost);
  }

  /** Is a port that exists masked? */
  isMasked(port: number, cost?: PathCost): boolean {
    return this.abi.isMasked(port, cost);
  }

  /** Notifies the other end of a port (EVTCHNOP_send). @returns 0, or -EINVAL for a port that cannot be sent on */
  send(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.records.at(port, cost, true); // takes the port's lock
    switch (this.u8[at + STATE]) {
      case EVTCHNSTAT_INTERDOMAIN: {
        if (this.word(at + SOURCE) !== this.domainId) {
          this.notifyRemote(port, at, cost);
          return 0;
        }
        this.receive(this.word(at + REMOTE_PORT), cost);
        return 0;
      }
      case EVTCHNSTAT_IPI:
        this.abi.setPending(port, this.word(at + NOTIFY_VCPU), cost);
        return 0;
      case EVTCHNSTAT_UNBOUND:
        return 0; // silently dropped
      default:
        return -Errno.EINVAL;
    }
  }

  /** EVTCHNOP_alloc_unbound. @returns the port, one of `dom`'s, or -EPERM, -ESRCH, -ENOSPC */
  allocUnbound(dom: number, remoteDom: number, cost?: PathCost): number {
    const target = this.target(dom);
    if (typeof target === "number") return target;
    return target.allocate(EVTCHNSTAT_UNBOUND, this.resolve(remoteDom), 0, 0, cost);
  }

  /** EVTCHNOP_bind_interdomain. @returns the local port, or -ESRCH, -ENOSPC, -EINVAL */
  bindInterdomain(remoteDom: number, remotePort: number, cost?: PathCost): number {
    const remote = this.resolve(remoteDom);
    const other = remote === this.domainId ? this : this.remote(remote);
    if (other === undefined && remote !== 0) return -Errno.ESRCH;
    const port = this.findFree();
    if (port < 0) return port;
    if (other === undefined || !other.exists(remotePort)) return -Errno.EINVAL; // such a dom0 offers no ports
    const at = other.records.at(remotePort, cost, true);
    if (this.u8[at + STATE] !== EVTCHNSTAT_UNBOUND || this.word(at + SOURCE) !== this.domainId)
      return -Errno.EINVAL;
    this.u8[at + STATE] = EVTCHNSTAT_INTERDOMAIN;
    this.setWord(at + REMOTE_PORT, port);
    this.assign(port, EVTCHNSTAT_INTERDOMAIN, remote, remotePort, 0, cost);
    this.abi.setPending(port, 0, cost); // a notification before the binding may have been lost
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

  /**
   * EVTCHNOP_bind_pirq: an HVM domain may bind any number that there is, whether or not an interrupt is behind it, which
   * none is here. @returns the port, or -EINVAL, -EEXIST, -ENOSPC
   */
  bindPirq(pirq: number, cost?: PathCost): number {
    if (pirq >>> 0 >= NR_PIRQS) return -Errno.EINVAL;
    for (let port = 1; this.exists(port); port++) {
      const at = this.records.at(port, undefined, false);
      if (this.u8[at + STATE] === EVTCHNSTAT_PIRQ && this.word(at + SOURCE) === pirq) return -Errno.EEXIST;
    }
    return this.allocate(EVTCHNSTAT_PIRQ, pirq, 0, 0, cost);
  }

  /** EVTCHNOP_bind_vcpu: per-vCPU VIRQs and IPIs stay where they are. @returns 0, or -ENOENT, -EINVAL */
  bindVcpu(port: number, vcpu: number, cost?: PathCost): number {
    if (!this.hasVcpu(vcpu)) return -Errno.ENOENT;
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.records.at(port, cost, true);
    const state = this.u8[at + STATE];
    const movable =
      state === EVTCHNSTAT_UNBOUND ||
      state === EVTCHNSTAT_INTERDOMAIN ||
      state === EVTCHNSTAT_PIRQ ||
      (state === EVTCHNSTAT_VIRQ && VIRQ_TYPES[this.word(at + SOURCE)] !== "vcpu");
    if (!movable) return -Errno.EINVAL;
    this.setWord(at + NOTIFY_VCPU, vcpu);
    return 0;
  }

  /** EVTCHNOP_close: the other end of an interdomain port becomes unbound. @returns 0 or -EINVAL */
  close(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.records.at(port, cost, true);
    switch (this.u8[at + STATE]) {
      case EVTCHNSTAT_CLOSED:
        return -Errno.EINVAL;
      case EVTCHNSTAT_VIRQ:
        for (let i = 0; i < this.virqPort.length; i++) if (this.virqPort[i] === port) this.virqPort[i] = 0;
        break;
      case EVTCHNSTAT_INTERDOMAIN:
        this.unbindRemote(port, at, cost);
        break;
    }
    this.abi.clearPending(port, cost);
    this.u8[at + STATE] = EVTCHNSTAT_CLOSED;
    this.setWord(at + NOTIFY_VCPU, 0);
    this.lowest = Math.min(this.lowest, port);
    return 0;
  }

  /** EVTCHNOP_unmask: delivers the event if it is pending. @returns 0 or -EINVAL */
  unmask(port: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const at = this.records.at(port, cost, true);
    if (this.u8[at + STATE] !== EVTCHNSTAT_CLOSED) this.abi.unmask(port, this.word(at + NOTIFY_VCPU), cost);
    return 0;
  }

  /** EVTCHNOP_set_priority, for events to come. @returns 0, or -EINVAL, -ENOSYS, -EACCES */
  setPriority(port: number, priority: number, cost?: PathCost): number {
    if (!this.exists(port)) return -Errno.EINVAL;
    const { abi } = this;
    const at = this.records.at(port, cost, true);
    if (abi.setPriority === undefined) return -Errno.ENOSYS;
    if (this.u8[at + STATE] === EVTCHNSTAT_CLOSED) return -Errno.EACCES;
    return abi.setPriority(port, priority, cost);
  }

  /**
   * EVTCHNOP_init_control: a vCPU gets its control block, at an offset of a guest frame. The domain's first one changes it
   * from the 2-level ABI to FIFO queues. @returns 0, or -ENOENT, -EINVAL
   */
  initControl(vcpu: number, gfn: number, offset: number, guest: GuestPages, cost?: PathCost): number {
    if (!this.hasVcpu(vcpu)) return -Errno.ENOENT;
    const { fifo, twoLevel } = this;
    const first = !fifo.enabled;
    const error = fifo.mapControlBlock(vcpu, gfn, offset, guest);
    if (error !== 0 || !first) return error;
    fifo.takeOver(twoLevel, cost);
    this.abi = fifo;
    return 0;
  }

  /** EVTCHNOP_expand_array: 1024 more event words. @returns 0, or -EOPNOTSUPP, -ENOSPC, -EINVAL */
  expandArray(gfn: number, guest: GuestPages, cost?: PathCost): number {
    return this.fifo.enabled ? this.fifo.addPage(gfn, guest, cost) : -Errno.EOPNOTSUPP;
  }

  /**
   * EVTCHNOP_reset of the domain itself: closes every port and goes back to the 2-level ABI. Another domain's ports
   * are not reset, since no domain is ever paused.
   * @param closing told before each port that Xen looks at
   * @param room whether this goes on with a reset that made room, and whether something waits that one makes room for, every
   * 64 ports; default neither
   * @returns 0, or -EPERM, -ESRCH, -EINVAL, -ERESTART after having made room, -EBUSY for another one meanwhile
   */
  reset(
    dom: number,
    guest: GuestPages,
    closing: () => void,
    cost?: PathCost,
    { resuming, preempts }: ResetRoom = NO_ROOM,
  ): number {
    const target = this.target(dom);
    if (typeof target === "number") return target;
    if (target !== this) return -Errno.EINVAL;
    if (resuming === (this.resetAt === 0)) return -Errno.EBUSY;
    let active = 0;
    for (let port = 1; this.exists(port); port++) if (this.isOpen(port)) active++;
    for (let port = Math.max(1, this.resetAt); active > 0 && this.exists(port); port++) {
      closing();
      if (this.close(port, cost) === 0) active--;
      if (port % RESET_STEP !== 0 || !preempts()) continue;
      this.resetAt = port;
      return -Errno.ERESTART;
    }
    this.resetAt = 0;
    if (active > 0) return -Errno.EAGAIN; // made meanwhile, below where it went on
    if (this.fifo.enabled) this.fifo.disable(guest);
    this.abi = this.twoLevel;
    return 0;
  }

  /**
   * EVTCHNOP_status: writes four values as pairs of words: status, vCPU, and the two that depend on the status
   * (remote domain and port, or VIRQ). @returns 0, or -EPERM, -ESRCH, -EINVAL
   */
  status(dom: number, port: number, words: Int32Array, cost?: PathCost): number {
    const target = this.target(dom);
    if (typeof target === "number") return target;
    if (!target.exists(port)) return -Errno.EINVAL;
    const at = target.records.at(port, cost, true);
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
    const at = this.records.at(port, cost, false);
    if (this.u8[at + STATE] === EVTCHNSTAT_CLOSED) return -Errno.EINVAL;
    this.abi.setPending(port, this.word(at + NOTIFY_VCPU), cost);
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
      fifo: this.fifo.snapshot(),
      frames: this.records.snapshot(),
      virqPort: this.virqPort.slice(),
      connected: this.backends.flatMap((backend, port) => (backend === undefined ? [] : [port])),
      resetAt: this.resetAt,
    };
  }

  /** Puts it back where the same backends were connected. */
  restore(snapshot: EventChannelsSnapshot): void {
    this.events.restore(snapshot.events);
    [this.callbackLo, this.callbackHi] = snapshot.callback;
    this.upcallVectors.set(snapshot.upcallVectors);
    this.fifo.restore(snapshot.fifo);
    this.abi = this.fifo.enabled ? this.fifo : this.twoLevel;
    this.records.restore(snapshot.frames);
    this.lowest = 1;
    if (!Number.isInteger(snapshot.resetAt) || snapshot.resetAt < 0)
      throw new RangeError(`a reset that goes on at port ${snapshot.resetAt}`);
    this.resetAt = snapshot.resetAt;
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

  private isOpen(port: number): boolean {
    const at = this.records.at(port, undefined, false);
    return this.u8[at + STATE] !== EVTCHNSTAT_CLOSED;
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
    const at = this.records.at(port, cost, true);
    this.u8[at + STATE] = state;
    this.setWord(at + NOTIFY_VCPU, vcpu);
    this.setWord(at + SOURCE, source);
    this.setWord(at + REMOTE_PORT, remotePort);
    this.abi.bound?.(port, cost);
  }

  /** Lowest free port; adds a frame of records when all existing ones are taken. */
  private findFree(): number {
    const { abi, records } = this;
    const end = Math.min(this.ports, abi.maxPorts);
    for (let port = this.lowest; port < end; port++) {
      records.add(port);
      if (this.isOpen(port)) {
        if (port === this.lowest) this.lowest++;
      } else if (!abi.isBusy?.(port)) return port;
    }
    return -Errno.ENOSPC;
  }

  private hasVcpu(vcpu: number): boolean {
    return vcpu >= 0 && vcpu < this.vcpus;
  }

  private resolve(dom: number): number {
    return dom === DOMID_SELF ? this.domainId : dom;
  }

  /** Whose ports an operation is about: the domain's own, and for dom0 anybody's. @returns or -EPERM, -ESRCH */
  private target(dom: number): EventChannels | number {
    const id = this.resolve(dom);
    if (id === this.domainId) return this;
    const other = this.remote(id);
    if (other === undefined) return id === 0 ? -Errno.EPERM : -Errno.ESRCH;
    return this.hardwareDomain ? other : -Errno.EPERM;
  }

  /** The other end is another domain's. */
  private notifyRemote(port: number, at: number, cost: PathCost | undefined): void {
    const backend = this.backends[port];
    if (backend !== undefined) {
      cost?.run(cost.compile(EVTCHN_NOTIFY_REMOTE));
      backend();
      return;
    }
    const remotePort = this.word(at + REMOTE_PORT);
    this.remote(this.word(at + SOURCE))?.receive(remotePort, cost);
  }

  /** A port of the domain's that is somebody's other end has an event. */
  private receive(port: number, cost: PathCost | undefined): void {
    this.abi.setPending(port, this.word(this.records.at(port, cost, false) + NOTIFY_VCPU), cost);
  }

  /** The other end of an interdomain port that is closed waits for this domain again. */
  private unbindRemote(port: number, at: number, cost: PathCost | undefined): void {
    if (this.backends[port] !== undefined) {
      this.backends[port] = undefined;
      return;
    }
    const source = this.word(at + SOURCE);
    const remotePort = this.word(at + REMOTE_PORT);
    const other = source === this.domainId ? this : this.remote(source);
    if (other === undefined) return;
    const remote = other.records.at(remotePort, cost, true);
    this.u8[remote + STATE] = EVTCHNSTAT_UNBOUND;
    this.setWord(remote + SOURCE, this.domainId);
  }
}
