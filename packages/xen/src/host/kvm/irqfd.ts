import { Errno } from "../../errno.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import type { Stage } from "../../path-cost/stage.js";
import { IRQFD_INJECT, IRQFD_QUEUE_WORK, IRQFD_WAKEUP } from "../../path-cost/stages/kvm-events.js";
import type { EventFd, EventFds, EventFdWaiter } from "./eventfd.js";
import type { KvmXenCounters } from "./kvm-xen-counters.js";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN,
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  type KvmIrqRoutingXenEvtchn,
} from "./uapi.js";
import { EWOULDBLOCK, type KvmXenEvtchn, type XenEvents } from "./xen-events.js";

/** `struct kvm_irq_routing_entry` of the type that Xen guests have. */
export interface KvmIrqRoutingEntry {
  readonly gsi: number;
  readonly type: typeof KVM_IRQ_ROUTING_XEN_EVTCHN;
  readonly xenEvtchn: KvmIrqRoutingXenEvtchn;
}

/** `struct kvm_irqfd`. */
export interface KvmIrqfd {
  readonly fd: number;
  readonly gsi: number;
  /** KVM_IRQFD_FLAG_DEASSIGN */
  readonly deassign?: boolean;
}

/** Routes and irqfds as plain data. */
export interface IrqfdsSnapshot {
  readonly routes: readonly KvmIrqRoutingEntry[];
  readonly irqfds: readonly KvmIrqfd[];
  /** GSIs of the events that wait for a worker. */
  readonly work: readonly number[];
}

/** What irqfds need of their VM. */
export interface IrqfdOwner {
  readonly cost: PathCost;
  readonly counters: KvmXenCounters;
  readonly events: XenEvents;
  readonly eventfds: EventFds;
  /** Ports that the guest's layout has. */
  readonly maxPorts: number;
}

/**
 * Interrupts by eventfd (`virt/kvm/eventfd.c`, `irqchip.c`), for GSIs whose route ends in an event channel. A signal is
 * delivered at once where that needs no sleep, else by a worker: {@link runWork}.
 */
export class Irqfds {
  private routes: readonly KvmIrqRoutingEntry[] = [];
  private targets = new Map<number, KvmXenEvtchn>(); // by GSI
  private readonly irqfds: {
    readonly request: KvmIrqfd;
    readonly eventfd: EventFd;
    waiter: EventFdWaiter;
  }[] = [];
  private work: number[] = [];
  private readonly owner: IrqfdOwner;

  constructor(owner: IrqfdOwner) {
    this.owner = owner;
  }

  /** Do events wait for a worker? */
  get hasWork(): boolean {
    return this.work.length > 0;
  }

  /** KVM_SET_GSI_ROUTING: replaces all routes. @returns 0 or -EINVAL */
  setRouting(entries: readonly KvmIrqRoutingEntry[]): number {
    const { maxPorts } = this.owner;
    const isBad = ({ type, xenEvtchn: { port, priority } }: KvmIrqRoutingEntry) =>
      type !== KVM_IRQ_ROUTING_XEN_EVTCHN ||
      !(port >= 0 && port < maxPorts) ||
      priority !== KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
    if (entries.some(isBad) || new Set(entries.map(({ gsi }) => gsi)).size !== entries.length)
      return -Errno.EINVAL;
    this.routes = entries.map((entry) => ({ ...entry }));
    this.targets = new Map(
      this.routes.map(({ gsi, xenEvtchn: { port, vcpu } }) => [gsi, { port, vcpuId: vcpu, vcpuIndex: -1 }]),
    );
    return 0;
  }

  /** KVM_IRQFD. @returns 0, -EBADF without such an eventfd, -EBUSY for one that is assigned already */
  set(request: KvmIrqfd): number {
    const { fd, gsi } = request;
    const eventfd = this.owner.eventfds.get(fd);
    if (eventfd === undefined) return -Errno.EBADF;
    if (request.deassign === true) {
      const at = this.irqfds.findIndex((each) => each.eventfd === eventfd && each.request.gsi === gsi);
      if (at >= 0) eventfd.removeWaiter(this.irqfds.splice(at, 1)[0].waiter);
      return 0;
    }
    if (this.irqfds.some((each) => each.eventfd === eventfd)) return -Errno.EBUSY;
    this.attach(eventfd, gsi);
    if (eventfd.pending !== 0n) this.wakeUp(eventfd, gsi);
    return 0;
  }

  /** The workers' turn: delivers what could not be delivered without sleeping; an error has nobody to go to. */
  runWork(): void {
    const { work } = this;
    this.work = [];
    for (const gsi of work) {
      this.run(IRQFD_INJECT);
      const target = this.targets.get(gsi);
      if (target !== undefined) this.owner.events.set(target, true);
    }
  }

  snapshot(): IrqfdsSnapshot {
    return {
      routes: this.routes,
      irqfds: this.irqfds.map(({ request }) => request),
      work: [...this.work],
    };
  }

  /** After the eventfds. @throws RangeError for routes or eventfds that cannot be */
  restore({ routes, irqfds, work }: IrqfdsSnapshot): void {
    const eventfds = irqfds.map(({ fd }) => this.owner.eventfds.get(fd));
    if (eventfds.includes(undefined) || new Set(eventfds).size !== irqfds.length)
      throw new RangeError("irqfds that cannot be");
    if (this.setRouting(routes) !== 0) throw new RangeError("routes that cannot be");
    for (const { eventfd, waiter } of this.irqfds.splice(0)) eventfd.removeWaiter(waiter);
    irqfds.forEach(({ gsi }, i) => {
      this.attach(eventfds[i]!, gsi);
    });
    this.work = [...work];
  }

  private attach(eventfd: EventFd, gsi: number): void {
    const waiter = () => this.wakeUp(eventfd, gsi);
    this.irqfds.push({ request: { fd: eventfd.fd, gsi }, eventfd, waiter });
    eventfd.addWaiter(waiter);
  }

  /** `irqfd_wakeup` */
  private wakeUp(eventfd: EventFd, gsi: number): void {
    this.run(IRQFD_WAKEUP);
    eventfd.read();
    const target = this.targets.get(gsi);
    if (target === undefined || this.owner.events.setFast(target) !== -EWOULDBLOCK) return;
    this.run(IRQFD_QUEUE_WORK);
    this.owner.counters.irqfdWork++;
    if (!this.work.includes(gsi)) this.work.push(gsi); // one piece of work an irqfd
  }

  private run(stage: Stage): void {
    const { cost } = this.owner;
    cost.run(cost.compile(stage));
  }
}
