import { TOUR_REPEATS } from "@hyperwalk/guest-sdk";
import type { LedgerRow, LedgerSnapshot } from "@hyperwalk/mmu";
import type { GuestSystem } from "@hyperwalk/xen";
import type { LedgerCell } from "./result.js";
import { cellsPerCall } from "./run-guest.js";

/** Who served an operation under KVM; `refused`: the monitor has nobody for it, and the guest gets -ENOSYS. */
export type ServedBy = "kernel" | "monitor" | "refused";

/** What the last of an operation's calls was. */
export interface TourCall {
  /** Sums to what the guest's time stamps saw, less those of two time stamps with nothing between. */
  readonly ledger: readonly LedgerCell[];
  /** Only under KVM. */
  readonly servedBy?: ServedBy;
}

/** What lies between two time stamps of a tour. */
interface Stretch {
  rows: readonly LedgerRow[];
  servedBy: ServedBy | undefined;
}

/**
 * Takes the ledger of each operation of a tour from between the guest's time stamps, which come in pairs: {@link TOUR_REPEATS}
 * with nothing between, then as many for each operation in turn. Made before the system runs, which nobody else may watch.
 */
export class TourMeter {
  private readonly system: GuestSystem;
  private readonly stretches: Stretch[] = [];
  private timestamps = 0;
  private before: LedgerSnapshot | undefined;
  private servedBy: ServedBy | undefined;

  constructor(system: GuestSystem) {
    this.system = system;
    system.processor.probes.onTimestamp = () => this.timestamp();
    system.on("hypercall", ({ abi, operation }) => {
      this.servedBy =
        abi === "kernel"
          ? "kernel"
          : abi !== "monitor"
            ? undefined
            : operation === undefined
              ? "refused"
              : "monitor";
    });
  }

  /** The call of the n-th operation whose figure the guest has printed, from 0. */
  call(n: number): TourCall {
    const nothing = this.stretches[0];
    const { rows, servedBy } = this.stretches[n + 1];
    return {
      ledger: cellsPerCall([...rows, ...nothing.rows.map(negative)], 1).filter(
        ({ cyclesPerCall }) => cyclesPerCall !== 0,
      ),
      ...(servedBy === undefined ? {} : { servedBy }),
    };
  }

  private timestamp(): void {
    const { ledger } = this.system;
    const at = this.timestamps++;
    if (at % 2 === 0) {
      this.before = ledger.snapshot(this.before);
      this.servedBy = undefined;
      return;
    }
    const pair = (at - 1) / 2;
    if (pair % TOUR_REPEATS !== TOUR_REPEATS - 1) return;
    this.stretches.push({ rows: ledger.rows(this.before), servedBy: this.servedBy });
  }
}

function negative({ ticks, ...row }: LedgerRow): LedgerRow {
  return { ...row, ticks: -ticks };
}
