import { Cause, type LedgerRow, type LedgerSnapshot, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { GuestSystem, HypercallEvent, VmExitEvent } from "@hyperwalk/xen";

/** Cells of one ledger node, see `CycleLedger.cells`. */
const STRIDE = 32;
/** Phases that a hypercall's time is not in, or whose cells belong to the exit before the one that is looked at. */
const GUEST = "guest";
const VM_EXIT = "vm-exit";

/** One hypercall with what it took. */
export interface MeteredCall {
  /** Number of the vCPU. */
  readonly vcpu: number;
  readonly event: HypercallEvent;
  /** Of the instruction, as a hexadecimal number. */
  readonly rip: string;
  /** Cycle at which the guest left off, on its processor's clock. */
  readonly cycle: number;
  /** From there to the moment the guest went on, idle time excluded; of one that was continued, all its parts together. */
  readonly cycles: number;
  /** Cycles that its processor slept in between. */
  readonly idle: number;
  /** Guest instructions retired since the hypercall before went on, on the same vCPU. */
  readonly sinceInstructions: number;
  /** Cycles from there to {@link cycle}, other VM exits among them. */
  readonly sinceCycles: number;
  /** How often the guest made it, more than once when it was continued. */
  readonly parts: number;
  /** It was to be continued, and never was. */
  readonly unfinished: boolean;
}

/** What a meter tells as it goes. */
export interface MeterListener {
  /** A VM exit of any kind. */
  readonly onExit?: (event: VmExitEvent) => void;
  /** A hypercall is over; calls of one vCPU come in their order. */
  readonly onCall: (call: MeteredCall) => void;
}

/** A part of a call whose end has not come yet. */
interface Open {
  readonly event: HypercallEvent;
  /** Ledger clock in ticks when the guest left off. */
  readonly leftAt: number;
  readonly rip: string;
  /** That the guest has retired. */
  readonly instructions: number;
}

/** A call of which parts are done. */
interface Begun extends Open {
  readonly since: { readonly instructions: number; readonly ticks: number };
  readonly ticks: number;
  readonly idleTicks: number;
  readonly parts: number;
}

/**
 * Takes the time of each hypercall of a system from its ledgers, from the moment a guest leaves off to the moment it goes on.
 * Only while timing is on: hypercalls of a fast-forward are not there. Made before the system runs; {@link finish} after its end.
 */
export class HypercallMeter {
  private readonly meters: readonly VcpuMeter[];

  constructor(system: GuestSystem, listener: MeterListener) {
    this.meters = system.vcpus.map(({ pcpu }, vcpu) => new VcpuMeter(vcpu, pcpu, listener));
    let current = 0;
    system.on("vm-exit", (event) => {
      current = event.vcpu;
      if (!this.meters[current].isTimed) return;
      this.meters[current].exit(event);
      listener.onExit?.(event);
    });
    system.on("hypercall", (event) => {
      if (this.meters[current].isTimed) this.meters[current].hypercall({ ...event });
    });
  }

  /** Ends the calls that nothing came after. */
  finish(): void {
    for (const meter of this.meters) meter.finish();
  }

  /** The ledger of all hypercalls so far, of all vCPUs, in ticks; idle time is left out. */
  rows(): readonly LedgerRow[] {
    return this.meters.flatMap((meter) => meter.rows());
  }

  /** Forgets what {@link rows} has summed up; calls that are running belong to what comes. */
  clear(): void {
    for (const meter of this.meters) meter.clear();
  }
}

/** One vCPU's clock. */
class VcpuMeter {
  private readonly vcpu: number;
  private readonly pcpu: GuestSystem["vcpus"][number]["pcpu"];
  private readonly listener: MeterListener;
  private open: Open | undefined;
  private begun: Begun | undefined;
  /** Of the latest exit. */
  private leftAt = 0;
  private rip = "";
  /** Where the latest hypercall went on. */
  private wentOnAt = 0;
  private wentOnInstructions = 0;
  /** The ledger at the latest exit, the one before, and the one before that. */
  private latest: LedgerSnapshot;
  private before: LedgerSnapshot;
  private earlier: LedgerSnapshot;
  /** Cells of the time from the exits of hypercalls to the next exits, and of the time before those exits. */
  private readonly after: Float64Array;
  private readonly until: Float64Array;

  constructor(vcpu: number, pcpu: VcpuMeter["pcpu"], listener: MeterListener) {
    this.vcpu = vcpu;
    this.pcpu = pcpu;
    this.listener = listener;
    this.latest = pcpu.ledger.snapshot();
    this.before = pcpu.ledger.snapshot();
    this.earlier = pcpu.ledger.snapshot();
    this.after = new Float64Array(this.latest.cells.length);
    this.until = new Float64Array(this.latest.cells.length);
  }

  get isTimed(): boolean {
    return this.pcpu.processor.timed;
  }

  exit({ exit, rip }: VmExitEvent): void {
    this.takeSnapshot();
    this.close(exit.enteredAt);
    this.leftAt = exit.leftAt;
    this.rip = rip;
  }

  hypercall(event: HypercallEvent): void {
    const { instructions } = this.pcpu.processor.engine;
    this.open = { event, leftAt: this.leftAt, rip: this.rip, instructions };
  }

  finish(): void {
    this.takeSnapshot();
    this.close(this.pcpu.ledger.clock[0]);
    const { begun } = this;
    this.begun = undefined;
    if (begun !== undefined) this.tell(begun, true);
  }

  rows(): readonly LedgerRow[] {
    const { ledger } = this.pcpu;
    const rows = (cells: Float64Array) => ledger.rows(undefined, { clock: 0, cells });
    return [
      // The processor's part of an exit comes before anybody is told of it.
      ...rows(this.until).filter(({ phase }) => phase === VM_EXIT),
      ...rows(this.after).filter(
        ({ phase, cause }) => phase !== GUEST && phase !== VM_EXIT && cause !== "idle",
      ),
    ];
  }

  clear(): void {
    this.after.fill(0);
    this.until.fill(0);
  }

  private takeSnapshot(): void {
    const { latest, before, earlier } = this;
    this.earlier = before;
    this.before = latest;
    this.latest = this.pcpu.ledger.snapshot(earlier);
  }

  /** The call that the exit before this one was is over. @param enteredAt when the guest went on, ledger clock in ticks */
  private close(enteredAt: number): void {
    const { open, latest, before, earlier, after, until } = this;
    if (open === undefined) return;
    this.open = undefined;
    let idle = 0;
    const { usedCells } = this.pcpu.ledger;
    for (let node = 0; node < usedCells; node += STRIDE)
      idle += latest.cells[node + Cause.Idle] - before.cells[node + Cause.Idle];
    for (let cell = 0; cell < usedCells; cell++) {
      after[cell] += latest.cells[cell] - before.cells[cell];
      until[cell] += before.cells[cell] - earlier.cells[cell];
    }
    const since = {
      instructions: open.instructions - this.wentOnInstructions,
      ticks: open.leftAt - this.wentOnAt,
    };
    this.wentOnAt = enteredAt;
    this.wentOnInstructions = open.instructions;
    const ticks = enteredAt - open.leftAt - idle;
    const { begun } = this;
    const goesOn = begun !== undefined && begun.rip === open.rip;
    if (goesOn) this.begun = undefined;
    const call: Begun = goesOn
      ? {
          ...begun,
          event: open.event,
          ticks: begun.ticks + ticks,
          idleTicks: begun.idleTicks + idle,
          parts: begun.parts + 1,
        }
      : { ...open, since, ticks, idleTicks: idle, parts: 1 };
    if (open.event.continues) this.begun = call;
    else this.tell(call, false);
  }

  private tell({ event, rip, leftAt, ticks, idleTicks, since, parts }: Begun, unfinished: boolean): void {
    this.listener.onCall({
      vcpu: this.vcpu,
      event,
      rip,
      cycle: leftAt / TICKS_PER_CYCLE,
      cycles: ticks / TICKS_PER_CYCLE,
      idle: idleTicks / TICKS_PER_CYCLE,
      sinceInstructions: since.instructions,
      sinceCycles: since.ticks / TICKS_PER_CYCLE,
      parts,
      unfinished,
    });
  }
}
