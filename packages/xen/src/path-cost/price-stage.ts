import type { CoreTiming } from "@hyperwalk/cpu";
import { Cause, ticks } from "@hyperwalk/mmu";
import { amountFor, type PerVendor, type Stage } from "./stage.js";

/** What decides prices beside the stage itself. */
export interface StagePrices {
  readonly timing: CoreTiming;
  readonly vendor: "amd" | "intel";
  /** LFENCEs after lock operations are there. */
  readonly lockHarden: boolean;
}

/** Ticks of one run of some stages, by {@link Cause}: instructions, and those that have prices of their own. */
export function priceStages(stages: readonly Stage[], prices: StagePrices): ReadonlyMap<number, number> {
  const { timing, vendor, lockHarden } = prices;
  const sum = (pick: (stage: Stage) => PerVendor | undefined) =>
    stages.reduce((total, stage) => total + amountFor(pick(stage), vendor), 0);
  const hardening = sum((s) => s.lockLfences);
  const lfences = sum((s) => s.lfences) - (lockHarden ? 0 : hardening);
  // [count, price in cycles, cause, is an instruction of its own]
  const priced: readonly (readonly [number, number, number, boolean])[] = [
    [lfences, timing.lfence, Cause.Serialise, true],
    [sum((s) => s.atomics), timing.atomic, Cause.Atomic, true],
    [sum((s) => s.vmreads), timing.vmread, Cause.Serialise, true],
    [sum((s) => s.vmwrites), timing.vmwrite, Cause.Serialise, true],
    [sum((s) => s.wrmsrs), timing.wrmsr, Cause.Serialise, true],
    [sum((s) => s.rdmsrs), timing.rdmsr, Cause.Serialise, true],
    [sum((s) => s.serialising), timing.serialise, Cause.Serialise, true],
    [sum((s) => s.movCr3s), timing.movCr3, Cause.Serialise, true],
    [sum((s) => s.cliSti), timing.cliSti, Cause.Serialise, true],
    [sum((s) => s.clgiStgi), timing.clgiStgi, Cause.Serialise, true],
    [sum((s) => s.wrmsrSpecCtrl), timing.wrmsrSpecCtrl, Cause.PredictorBarrier, true],
    [sum((s) => s.ibpb), timing.ibpb, Cause.PredictorBarrier, true],
    [sum((s) => s.verw), timing.verw, Cause.PredictorBarrier, true],
    [sum((s) => s.strings), timing.stringStart, Cause.Microcode, false],
    [sum((s) => s.mispredicts), timing.branchMispredict, Cause.Branch, false],
  ];
  const special = priced.reduce((total, [count, , , own]) => total + (own ? count : 0), 0);
  const plain = Math.max(0, sum((s) => s.instructions) - special);
  const byCause = new Map<number, number>([[Cause.Issue, ticks(plain * timing.issue)]]);
  for (const [count, price, cause] of priced)
    if (count > 0) byCause.set(cause, (byCause.get(cause) ?? 0) + ticks(count * price));
  if (lockHarden && hardening > 0) {
    // Rounded together with the other LFENCEs, so that the switch alone moves the sum.
    const share = ticks(lfences * timing.lfence) - ticks((lfences - hardening) * timing.lfence);
    byCause.set(Cause.Serialise, byCause.get(Cause.Serialise)! - share);
    byCause.set(Cause.LockHarden, share);
  }
  return byCause;
}

/** What some stages add to others that run before them and are rounded together with them: the same sum, divided. */
export function priceStagesAfter(
  before: readonly Stage[],
  stages: readonly Stage[],
  prices: StagePrices,
): ReadonlyMap<number, number> {
  const already = priceStages(before, prices);
  const together = priceStages([...before, ...stages], prices);
  return new Map([...together].map(([cause, amount]) => [cause, amount - (already.get(cause) ?? 0)]));
}
