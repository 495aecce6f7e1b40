import type { EventDomain } from "./event-domain.ts";

const PENDING = 2 ** 31;
const MASKED = 2 ** 30;
const LINKED = 2 ** 29;
const LINK = 2 ** 17 - 1;
const PRIORITIES = 16;

/** A guest's handling of FIFO events, one vCPU's: it keeps to what the public header asks of guests. */
export class FifoGuest {
  private readonly domain: EventDomain;
  private readonly vcpu: number;
  /** First of each queue, as far as the guest has got; 0: ask the control block. */
  private readonly heads: number[] = new Array(PRIORITIES).fill(0);
  private ready = 0;

  constructor(domain: EventDomain, vcpu: number) {
    this.domain = domain;
    this.vcpu = vcpu;
  }

  /** Takes one event out of the highest queue that has any. @returns its port if it is to be handled, else 0; -1: none */
  consume(): number {
    const { domain, vcpu, heads } = this;
    this.ready |= domain.ready(vcpu);
    domain.memory.writeU32(domain.controlAt(vcpu), 0);
    for (let priority = 0; priority < PRIORITIES; priority++) {
      if ((this.ready & (1 << priority)) === 0) continue;
      const port = heads[priority] !== 0 ? heads[priority] : domain.head(vcpu, priority);
      const word = domain.word(port);
      const left = (word & ~(LINKED | LINK)) >>> 0;
      domain.setWord(port, left);
      heads[priority] = word & LINK;
      if (heads[priority] === 0) this.ready &= ~(1 << priority);
      if ((left & PENDING) === 0 || (left & MASKED) !== 0) return 0;
      domain.setWord(port, left & ~PENDING);
      return port;
    }
    return -1;
  }

  mask(port: number): void {
    this.domain.setWord(port, this.domain.word(port) | MASKED);
  }

  /** Asks Xen only if the event is pending, as guests do. */
  unmask(port: number): void {
    const { domain } = this;
    domain.setWord(port, domain.word(port) & ~MASKED);
    if ((domain.word(port) & PENDING) !== 0) domain.ports.unmask(port);
  }
}

interface ModelEvent {
  pending: boolean;
  masked: boolean;
  linked: boolean;
  vcpu: number;
  priority: number;
}

/** What the queues should hold, without words or links: lists. */
export class QueueModel {
  readonly events: Map<number, ModelEvent> = new Map();
  private readonly queues = new Map<string, number[]>();

  add(port: number, vcpu: number): void {
    this.events.set(port, { pending: false, masked: false, linked: false, vcpu, priority: 7 });
  }

  raise(port: number): void {
    const event = this.events.get(port)!;
    event.pending = true;
    if (event.masked || event.linked) return;
    event.linked = true;
    this.queue(event.vcpu, event.priority).push(port);
  }

  unmask(port: number): void {
    const event = this.events.get(port)!;
    event.masked = false;
    if (event.pending) this.raise(port);
  }

  /** As {@link FifoGuest.consume}. */
  consume(vcpu: number): number {
    for (let priority = 0; priority < PRIORITIES; priority++) {
      const port = this.queue(vcpu, priority).shift();
      if (port === undefined) continue;
      const event = this.events.get(port)!;
      event.linked = false;
      if (!event.pending || event.masked) return 0;
      event.pending = false;
      return port;
    }
    return -1;
  }

  private queue(vcpu: number, priority: number): number[] {
    const key = `${vcpu} ${priority}`;
    let queue = this.queues.get(key);
    if (queue === undefined) {
      queue = [];
      this.queues.set(key, queue);
    }
    return queue;
  }
}
