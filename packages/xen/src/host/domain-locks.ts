import type { CycleLedger } from "@hyperwalk/mmu";
import { type LockSnapshot, type RunningProcessor, SimulatedLock } from "./simulated-lock.js";

/** Locks of a domain by their names in reports: `p2m`, `event` (event_lock), `grant` (grant table), `domain` (domain_lock). */
export const DOMAIN_LOCKS = ["p2m", "event", "grant", "domain"] as const;
export type DomainLockName = (typeof DOMAIN_LOCKS)[number];

/** Locks as plain data: intervals that somebody may still arrive in. */
export interface DomainLocksSnapshot {
  /** In the order of {@link DOMAIN_LOCKS}, then the event queues by vCPU. */
  readonly locks: readonly LockSnapshot[];
}

/** The locks of a domain whose vCPUs are on several processors; a domain with one has none. */
export class DomainLocks implements RunningProcessor {
  processor = -1;
  ledger: CycleLedger | undefined;
  private readonly locks: readonly SimulatedLock[];
  private readonly processors: number;

  /** @param processors as many as the domain has vCPUs */
  constructor(processors: number) {
    this.processors = processors;
    this.locks = Array.from({ length: DOMAIN_LOCKS.length + processors }, () => new SimulatedLock(this));
  }

  of(name: DomainLockName): SimulatedLock {
    return this.locks[DOMAIN_LOCKS.indexOf(name)];
  }

  /** Locks of a vCPU's FIFO event queues, which are one here. */
  ofQueues(vcpu: number): SimulatedLock {
    return this.locks[DOMAIN_LOCKS.length + vcpu];
  }

  /** From now on Xen runs there. */
  runOn(processor: number, ledger: CycleLedger): void {
    this.processor = processor;
    this.ledger = ledger;
  }

  /** @param now the clock of the processor that is furthest behind */
  snapshot(now: number): DomainLocksSnapshot {
    return { locks: this.locks.map((lock) => lock.snapshot(now)) };
  }

  /** @throws RangeError for what cannot be */
  restore({ locks }: DomainLocksSnapshot): void {
    if (locks.length !== this.locks.length) throw new RangeError(`${locks.length} locks`);
    this.locks.forEach((lock, i) => {
      lock.restore(locks[i], this.processors);
    });
  }
}
