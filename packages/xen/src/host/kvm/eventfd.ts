import { fromWords, u64, type Words64, wordsOf } from "./u64.js";

/** Who waits for an eventfd: told while it is signalled, and takes the count off if it wants it. */
export type EventFdWaiter = (eventfd: EventFd) => void;

/** An `eventfd(2)` of the monitor's process: a count that is added to, and waiters that are told. */
export class EventFd {
  readonly fd: number;
  private count = 0n;
  private readonly waiters: EventFdWaiter[] = [];

  constructor(fd: number) {
    this.fd = fd;
  }

  /** `eventfd_signal`, and a write of user space: adds and tells the waiters. */
  signal(by = 1n): void {
    this.count = u64(this.count + by);
    for (const waiter of [...this.waiters]) waiter(this);
  }

  /** Takes the count off. @returns what it was */
  read(): bigint {
    const { count } = this;
    this.count = 0n;
    return count;
  }

  /** What a read would give. */
  get pending(): bigint {
    return this.count;
  }

  /** Sets the count and tells nobody. */
  restore(count: bigint): void {
    this.count = count;
  }

  addWaiter(waiter: EventFdWaiter): void {
    this.waiters.push(waiter);
  }

  removeWaiter(waiter: EventFdWaiter): void {
    const at = this.waiters.indexOf(waiter);
    if (at >= 0) this.waiters.splice(at, 1);
  }
}

/** Numbers and counts, as plain data. */
export interface EventFdsSnapshot {
  readonly next: number;
  readonly fds: readonly (readonly [number, Words64])[];
}

/** Behind the standard streams. */
const FIRST_FD = 3;

/** A process's eventfds by their numbers. */
export class EventFds {
  private next = FIRST_FD;
  private readonly fds = new Map<number, EventFd>();

  /** `eventfd(0, 0)` */
  create(): EventFd {
    const eventfd = new EventFd(this.next++);
    this.fds.set(eventfd.fd, eventfd);
    return eventfd;
  }

  get(fd: number): EventFd | undefined {
    return this.fds.get(fd);
  }

  snapshot(): EventFdsSnapshot {
    return { next: this.next, fds: [...this.fds.values()].map(({ fd, pending }) => [fd, wordsOf(pending)]) };
  }

  /** Those that exist already keep their waiters. @throws RangeError for numbers that were never given out */
  restore({ next, fds }: EventFdsSnapshot): void {
    const counts = new Map(fds.map(([fd, count]) => [fd, fromWords(count)]));
    const stray = [...counts.keys()].find((fd) => !Number.isInteger(fd) || fd < FIRST_FD || fd >= next);
    if (stray !== undefined || counts.size !== fds.length)
      throw new RangeError(`eventfd ${stray}, or one twice`);
    if (!Number.isSafeInteger(next) || next < FIRST_FD) throw new RangeError(`eventfd ${next}`);
    const kept = new Map(this.fds);
    this.next = next;
    this.fds.clear();
    for (const [fd, count] of counts) {
      const eventfd = kept.get(fd) ?? new EventFd(fd);
      eventfd.restore(count);
      this.fds.set(fd, eventfd);
    }
  }
}
