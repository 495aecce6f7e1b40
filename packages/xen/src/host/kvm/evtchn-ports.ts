import { Errno } from "../../errno.js";
import { EVTCHNSTAT_INTERDOMAIN, EVTCHNSTAT_IPI } from "../../operations/descriptors.gen.js";
import type { EventFd, EventFds } from "./eventfd.js";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  type KvmXenAttrType,
  KvmXenEvtchnFlag,
  type KvmXenHvmAttr,
} from "./uapi.js";
import type { KvmXenEvtchn } from "./xen-events.js";

/** Of the larger layout: what the guest's layout was when a port was assigned is not kept. */
const MOST_PORTS = 4096;

type EvtchnAttr = Extract<KvmXenHvmAttr, { type: typeof KvmXenAttrType.EVTCHN }>;

/** `struct evtchnfd`: what becomes of an event that the guest sends on a port. */
export interface EvtchnTarget {
  readonly type: number;
  /** A port of the guest's own, or undefined with an eventfd. */
  readonly port: KvmXenEvtchn | undefined;
  readonly eventfd: EventFd | undefined;
}

/** The table as plain data. */
export interface EvtchnPortsSnapshot {
  readonly ports: readonly {
    readonly sendPort: number;
    readonly type: number;
    /** Port and vCPU id, or an eventfd's number. */
    readonly port: readonly [number, number] | undefined;
    readonly fd: number | undefined;
  }[];
}

/** The ports on which a guest can send without leaving the kernel: the attribute EVTCHN (`kvm->arch.xen.evtchn_ports`). */
export class EvtchnPorts {
  private readonly targets = new Map<number, EvtchnTarget>();
  private readonly eventfds: EventFds;

  constructor(eventfds: EventFds) {
    this.eventfds = eventfds;
  }

  /** `kvm_xen_setattr_evtchn`. @param maxPorts ports that the guest's layout has @returns 0 or a negative errno */
  set(attr: EvtchnAttr, maxPorts: number): number {
    const { sendPort, flags } = attr;
    if (flags === KvmXenEvtchnFlag.RESET) {
      this.targets.clear();
      return 0;
    }
    if (!isPort(sendPort, maxPorts)) return -Errno.EINVAL;
    if (flags === KvmXenEvtchnFlag.DEASSIGN) return this.targets.delete(sendPort) ? 0 : -Errno.ENOENT;
    if (flags === KvmXenEvtchnFlag.UPDATE) return this.update(attr);
    return flags === 0 ? this.assign(attr, maxPorts) : -Errno.EINVAL;
  }

  /** Where events of this port go, undefined for user space. */
  targetOf(sendPort: number): EvtchnTarget | undefined {
    return this.targets.get(sendPort);
  }

  snapshot(): EvtchnPortsSnapshot {
    const ports = [...this.targets].map(([sendPort, { type, port, eventfd }]) => ({
      sendPort,
      type,
      port: port === undefined ? undefined : ([port.port, port.vcpuId] as const),
      fd: eventfd?.fd,
    }));
    return { ports };
  }

  /** After the eventfds. @throws RangeError for a port or an eventfd that there is not */
  restore({ ports }: EvtchnPortsSnapshot): void {
    for (const { sendPort, type, port } of ports) {
      const isType = type === EVTCHNSTAT_INTERDOMAIN || type === EVTCHNSTAT_IPI;
      const isOwn = port === undefined || (isPort(port[0], MOST_PORTS) && Number.isInteger(port[1]));
      if (!isType || !isPort(sendPort, MOST_PORTS) || !isOwn)
        throw new RangeError(`event channel port ${sendPort} of type ${type} to ${port?.join(" of vCPU ")}`);
    }
    this.targets.clear();
    for (const { sendPort, type, port, fd } of ports) {
      const eventfd = fd === undefined ? undefined : this.eventfds.get(fd);
      if ((port === undefined) === (eventfd === undefined))
        throw new RangeError(`event channel port ${sendPort}: eventfd ${fd}`);
      const own = port === undefined ? undefined : { port: port[0], vcpuId: port[1], vcpuIndex: -1 };
      this.targets.set(sendPort, { type, port: own, eventfd });
    }
  }

  private assign({ sendPort, evtchnType: type, deliver }: EvtchnAttr, maxPorts: number): number {
    const port = "port" in deliver ? deliver.port : undefined;
    // An IPI comes back on the port it was sent on.
    if (type === EVTCHNSTAT_IPI ? port?.port !== sendPort : type !== EVTCHNSTAT_INTERDOMAIN)
      return -Errno.EINVAL;
    let target: EvtchnTarget;
    if ("eventfd" in deliver) {
      const eventfd = this.eventfds.get(deliver.eventfd.fd);
      if (eventfd === undefined) return -Errno.EBADF;
      target = { type, port: undefined, eventfd };
    } else {
      const { port, vcpu, priority } = deliver.port;
      if (!isPort(port, maxPorts) || priority !== KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL)
        return -Errno.EINVAL;
      target = { type, port: { port, vcpuId: vcpu, vcpuIndex: -1 }, eventfd: undefined };
    }
    if (this.targets.has(sendPort)) return -Errno.EEXIST;
    this.targets.set(sendPort, target);
    return 0;
  }

  /** Nothing but the vCPU can change. */
  private update({ sendPort, evtchnType: type, deliver }: EvtchnAttr): number {
    const target = this.targets.get(sendPort);
    if (target === undefined) return -Errno.ENOENT;
    const port = "port" in deliver ? deliver.port : undefined;
    if (target.type !== type || target.port === undefined || target.port.port !== port?.port)
      return -Errno.EINVAL;
    if (port.priority !== KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL) return -Errno.EINVAL;
    const own = { port: port.port, vcpuId: port.vcpu, vcpuIndex: -1 };
    this.targets.set(sendPort, { ...target, port: own });
    return 0;
  }
}

function isPort(port: number, maxPorts: number): boolean {
  return Number.isInteger(port) && port > 0 && port < maxPorts;
}
