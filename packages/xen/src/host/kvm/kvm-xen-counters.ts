/** What happened to events and to the caches behind them, counted since the VM was made. */
export class KvmXenCounters {
  /** Events that the fast path answered at its first try. */
  eventsFast = 0;
  /** Events that it could not answer and the slow path delivered, after a refresh or because somebody else made one. */
  eventsSlow = 0;
  /** Events whose slow path ended with an error: nothing was set anywhere. */
  eventsRefused = 0;
  /** Of those that were answered: the port was pending already. */
  eventsCoalesced = 0;
  /** Of those that were answered: the port is masked. */
  eventsMasked = 0;
  /** Of those that were delivered: `vcpu_info` was not there, so that the kernel keeps the selector's bit for the vCPU. */
  eventsDeferred = 0;
  /** Times that a vCPU put such bits into its `vcpu_info` itself. */
  injections = 0;
  /** Requests with a kick. */
  kicks = 0;
  /** Interrupts with a vCPU's own vector. */
  vectors = 0;
  /** Events of irqfds that were left to a worker. */
  irqfdWork = 0;
  /** Refreshes of caches that succeeded. */
  cacheRefreshes = 0;
  /** Refreshes that failed. */
  cacheRefreshFailures = 0;
  /** Refreshes that looked up a frame again because the process's mappings changed meanwhile. */
  cacheRetries = 0;
  /** Caches that were valid until an MMU notifier came. */
  cachesInvalidated = 0;
  /** Valid caches that a check found to be of a former generation of the memory slots. */
  cachesOutdated = 0;

  /** A copy of the numbers. */
  snapshot(): KvmXenCountersSnapshot {
    return { ...this };
  }

  restore(snapshot: KvmXenCountersSnapshot): void {
    Object.assign(this, snapshot);
  }
}

/** The numbers of {@link KvmXenCounters}. */
export type KvmXenCountersSnapshot = {
  readonly [K in keyof KvmXenCounters as KvmXenCounters[K] extends number ? K : never]: number;
};
