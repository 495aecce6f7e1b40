import type { Processor } from "@hyperwalk/cpu";
import type { XenSystem } from "@hyperwalk/xen";
import { check } from "./fuzz-kind.js";

/** Instructions that the rest of a block and a string's units may add to a budget. */
const SLACK = 4096;

/** What holds after every run: the ledger adds up, no phase is left open, the budget was kept. */
export function checkProcessor(processor: Processor, instructions: number, budget: number): void {
  const { ledger } = processor;
  check(ledger.phaseDepth === 0, () => `${ledger.phaseDepth} phases are open`);
  const sum = ledger.rows().reduce((total, row) => total + row.ticks, 0);
  check(sum === ledger.clock[0], () => `the ledger's cells sum to ${sum}, its clock is ${ledger.clock[0]}`);
  check(instructions <= budget + SLACK, () => `${instructions} instructions ran, of ${budget}`);
  check(processor.guestMode === null, () => "guest mode was not left");
}

const REASONS = ["shutdown", "exit-port", "budget", "triple-fault", "invalid-state", "halted"];

/** Runs a system for a while. @throws FuzzFailure when the end is none that a guest can bring about */
export function runSystem(system: XenSystem, maxInstructions: number): void {
  const before = system.counters().guestInstructions;
  const outcome = system.run({ maxInstructions, maxCycles: 2e7 });
  check(REASONS.includes(outcome.reason), () => `it ended with ${JSON.stringify(outcome)}`);
  checkProcessor(system.processor, system.counters().guestInstructions - before, maxInstructions);
}
