import type { PathCost } from "./path-cost/path-cost.js";

/**
 * How a domain's pending and masked events are laid out in guest memory, and what Xen does there (Xen: `struct
 * evtchn_port_ops`). A domain starts with the 2-level ABI and can change to FIFO queues and back.
 *
 * Callers have checked that the port exists and, but for {@link isBusy}, that it is in use. With a {@link PathCost} each
 * touch of memory goes through the caches; without one it is free.
 */
export interface EventAbi {
  /** Ports that its words can name, port 0 included. */
  readonly maxPorts: number;
  /** A port has been bound (`init`); absent: nothing is to be done. */
  bound?(port: number, cost?: PathCost): void;
  /** Sets a port pending; tells the vCPU if that is news to it. */
  setPending(port: number, vcpu: number, cost?: PathCost): void;
  clearPending(port: number, cost?: PathCost): void;
  /** Clears a port's mask; tells the vCPU if the port is pending. */
  unmask(port: number, vcpu: number, cost?: PathCost): void;
  isPending(port: number, cost?: PathCost): boolean;
  isMasked(port: number, cost?: PathCost): boolean;
  /** Does the guest still use a port that was closed? It is not given out again until then; absent: never. */
  isBusy?(port: number, cost?: PathCost): boolean;
  /** Chooses a port's queue; absent: there is only one. @returns 0 or -EINVAL */
  setPriority?(port: number, priority: number, cost?: PathCost): number;
}
