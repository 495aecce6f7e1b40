import type { RunOutcome } from "./run-outcome.js";

/**
 * Software that runs a guest on one logical processor: enters it, handles what makes it leave, and enters it again.
 * Implementations: `xen/`.
 */
export interface Hypervisor {
  /**
   * Runs the guest until it ends or a budget is used up; can be called again after `budget`.
   * @param maxInstructions guest instructions from now on
   * @param untilTicks ledger clock at which to stop, in ticks
   */
  run(maxInstructions: number, untilTicks: number): RunOutcome;
}
