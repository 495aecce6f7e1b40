import type { ProcessorProfile } from "@hyperwalk/cpu";
import { type Guest, type NotifyTransport, notifyLoop } from "@hyperwalk/guest-sdk";
import type { LedgerRow, LedgerSnapshot } from "@hyperwalk/mmu";
import {
  createXenSystem,
  type DomainConfig,
  type DoorbellConfig,
  type RunOutcome,
  type XenSystem,
} from "@hyperwalk/xen";

export const ITERATIONS = 16;

/** One notification of a measured loop: the guest's own figure, and the ledger's rows of the same interval. */
export interface Notification {
  readonly system: XenSystem;
  readonly outcome: RunOutcome;
  /** Cycles of one, by the guest's time stamps, over the whole loop. */
  readonly cycles: number;
  /** Cycles of the first one alone, time stamps included. */
  readonly first: number;
  readonly rows: readonly LedgerRow[];
}

export interface NotifyRequest {
  readonly transport: NotifyTransport;
  readonly doorbell?: Partial<DoorbellConfig>;
  readonly domain?: Partial<DomainConfig>;
  readonly batch?: number;
}

/** A system with a doorbell and that guest. */
export function doorbellSystem(
  profile: ProcessorProfile,
  guest: Guest,
  { doorbell, domain }: Omit<NotifyRequest, "transport">,
): XenSystem {
  const image = guest.build({ abi: "linear", vendor: profile.vendor, iterations: ITERATIONS });
  return createXenSystem({
    profile,
    domain: {
      image,
      memoryBytes: 16 * 2 ** 20,
      abi: "linear",
      doorbell: { handler: "hypervisor", ...doorbell },
      ...domain,
    },
    measureWindow: false,
  });
}

const done = new Map<string, Notification>();

/** Runs the notification loop to its end; the same request again gives the same object. */
export function notified(profile: ProcessorProfile, request: NotifyRequest): Notification {
  const key = `${profile.id} ${JSON.stringify(request)}`;
  const known = done.get(key) ?? run(profile, request);
  done.set(key, known);
  return known;
}

function run(profile: ProcessorProfile, request: NotifyRequest): Notification {
  const { transport, batch } = request;
  const system = doorbellSystem(profile, notifyLoop({ transport, batch }), request);
  const { ledger, probes } = system.processor;
  const instants: { readonly snapshot: LedgerSnapshot; readonly timestamp: number }[] = [];
  let rows: readonly LedgerRow[] = [];
  probes.onTimestamp = (timestamp) => {
    if (instants.length === 5) rows = ledger.rows(instants[4].snapshot);
    instants.push({ snapshot: ledger.snapshot(), timestamp });
  };
  const outcome = system.run({ maxInstructions: 2_000_000 });
  const between = (from: number): number => instants[from + 1].timestamp - instants[from].timestamp;
  return { system, outcome, cycles: between(4) / ITERATIONS, first: between(0), rows };
}
