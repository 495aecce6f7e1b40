import { Processor, type ProcessorProfile, type ProcessorStorage } from "@hyperwalk/cpu";
import { defineGuest, type GuestProgram } from "@hyperwalk/guest-sdk";
import type { LedgerSnapshot } from "@hyperwalk/mmu";
import {
  type ConfidentialKind,
  createKvmSystem,
  createXenSystem,
  type DomainConfig,
  type KvmConfig,
  type SystemCounters,
  type XenConfig,
} from "@hyperwalk/xen";
import { DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import { estimatesUsed } from "../estimates.js";
import type { AbiName, EstimateUsed, GuestPage, HostName, LedgerCell, P2mPage } from "../result.js";
import { cellsPerCall, runExit } from "../run-guest.js";

/** Passes of the loop: a power of two, so that figures per pass are exact. */
const PASSES = 64;
const WARM_UP = 16;
const MEMORY_BYTES = 16 * 2 ** 20;
const MAX_INSTRUCTIONS = 10_000_000;

/** What a loop does in each pass. Called once, before the loop, to set things up. */
export type LoopBody = (g: GuestProgram) => () => void;

/** A guest that does one thing again and again, and the machine that it does it on. */
export interface GuestLoop {
  readonly machine: ProcessorProfile;
  readonly body: LoopBody;
  /** Default "xen". */
  readonly host?: HostName | undefined;
  /** Default "linear". */
  readonly abi?: AbiName | undefined;
  readonly guestPage?: GuestPage | undefined;
  readonly p2mPage?: P2mPage | undefined;
  readonly mmioHandlers?: number | undefined;
  readonly xen?: XenConfig | undefined;
  readonly kvm?: KvmConfig | undefined;
  readonly confidential?: ConfidentialKind | undefined;
}

/** One pass in the steady state. */
export interface LoopCost {
  readonly cycles: number;
  readonly hypervisorInstructions: number;
  readonly p2mLookups: number;
  readonly p2mTableReads: number;
  readonly guestPteReads: number;
  /** They sum to `cycles`. */
  readonly ledger: readonly LedgerCell[];
  readonly estimates: readonly EstimateUsed[];
}

/**
 * Runs a loop between two time stamps of its guest, after a warm-up, and divides what ledger and counters saw between them.
 * @param storage host memory that another machine had before
 * @throws Error when the guest does not end as it should
 */
export function measureLoop(loop: GuestLoop, storage?: ProcessorStorage): LoopCost {
  const { machine, host = "xen", abi = "linear", confidential } = loop;
  const guest = defineGuest("loop", (g) => {
    const pass = loop.body(g);
    g.repeat(WARM_UP, pass);
    g.measure(() => g.repeat(PASSES, pass)).release();
  });
  const domain: DomainConfig = {
    image: guest.build({ abi, vendor: machine.vendor, leaf: loop.guestPage ?? "4k", confidential }),
    memoryBytes: MEMORY_BYTES,
    abi,
    p2mPage: loop.p2mPage ?? "4k",
    mmioHandlers: loop.mmioHandlers ?? DEFAULT_MMIO_HANDLERS,
    confidential,
  };
  const parts = {
    profile: machine,
    processor: new Processor({ profile: machine, storage }),
    domain,
    measureWindow: false,
  };
  const system =
    host === "kvm"
      ? createKvmSystem({ ...parts, kvm: loop.kvm })
      : createXenSystem({ ...parts, xen: loop.xen ?? {} });
  const { ledger, probes } = system.processor;
  const instants: {
    readonly ledger: LedgerSnapshot;
    readonly cycles: number;
    readonly counters: SystemCounters;
  }[] = [];
  probes.onTimestamp = () => {
    instants.push({ ledger: ledger.snapshot(), cycles: ledger.cycles, counters: system.counters() });
  };
  const exit = runExit(system.run({ maxInstructions: MAX_INSTRUCTIONS }));
  const [begin, end] = instants.slice(-2);
  if (!exit.ok || begin === undefined || end === undefined)
    throw new Error(`a guest of the validation ended badly: ${JSON.stringify(exit)}`);
  const perPass = (key: keyof SystemCounters) => (end.counters[key] - begin.counters[key]) / PASSES;
  return {
    cycles: (end.cycles - begin.cycles) / PASSES,
    hypervisorInstructions: perPass("hypervisorInstructions"),
    p2mLookups: perPass("p2mLookups"),
    p2mTableReads: perPass("p2mTableReads"),
    guestPteReads: perPass("guestPteReads"),
    ledger: cellsPerCall(ledger.rows(begin.ledger, end.ledger), PASSES),
    estimates: estimatesUsed(system),
  };
}
