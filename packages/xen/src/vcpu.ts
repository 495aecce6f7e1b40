import { type CycleLedger, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { Domain } from "./domain.js";
import { RUNSTATE_RUNNING } from "./operations/descriptors.gen.js";
import type { OperationCall } from "./operations/operation.js";
import { Runstate, type RunstateSnapshot } from "./runstate.js";

/** Values of one call; more than any operation has. */
const CALL_WORDS = 64;

/** A vCPU's accounting and clock as plain data. */
export interface VcpuSnapshot {
  readonly runstate: RunstateSnapshot;
  /** System time of the latest look at it. */
  readonly time: readonly [number, number];
}

/** A virtual CPU: its accounting, its clock, and the hypercall it is making. */
export class Vcpu {
  readonly id: number;
  readonly domain: Domain;
  readonly runstate: Runstate;
  /** The hypercall being handled; reused. `access` and `cost` are the domain's. */
  readonly call: OperationCall;
  /** System time of the latest {@link systemTimeNs}, nanoseconds since the domain was built. */
  timeLo = 0;
  timeHi = 0;
  private readonly ledger: CycleLedger;
  private readonly ticksPerNs: number;
  private readonly flush: () => void;

  /** @param ghz cycles a nanosecond @param flush drops the vCPU's cached translations */
  constructor(id: number, domain: Domain, ledger: CycleLedger, ghz: number, flush: () => void) {
    this.id = id;
    this.domain = domain;
    this.ledger = ledger;
    this.ticksPerNs = TICKS_PER_CYCLE * ghz;
    this.flush = flush;
    this.runstate = new Runstate(RUNSTATE_RUNNING, 0, 0);
    this.call = {
      inputs: new Int32Array(CALL_WORDS),
      outputs: new Int32Array(CALL_WORDS),
      vcpu: this,
      domain,
      cost: domain.cost,
      compat: false,
      access: domain.access,
    };
  }

  /** Reads the system time, which follows the ledger, into {@link timeLo} and {@link timeHi}. Allocates nothing. */
  systemTimeNs(): void {
    const ns = Math.floor(this.ledger.clock[0] / this.ticksPerNs);
    this.timeLo = ns | 0;
    this.timeHi = Math.floor(ns / 2 ** 32) | 0;
  }

  snapshot(): VcpuSnapshot {
    return { runstate: this.runstate.snapshot(), time: [this.timeLo, this.timeHi] };
  }

  restore(snapshot: VcpuSnapshot): void {
    this.runstate.restore(snapshot.runstate);
    [this.timeLo, this.timeHi] = snapshot.time;
  }

  /** Drops cached translations of the vCPU (HVMOP_flush_tlbs). */
  flushTlb(): void {
    this.flush();
  }
}
