import type { RunOutcome } from "./host/run-outcome.js";

/** Where a fast-forward ends: at the first of what is given, and at least one must be. */
export interface FastForwardTarget {
  /** After the guest's next marker, the instruction `XCHG BX, BX` (66 87 DB in 32- and 64-bit code), which does nothing. */
  readonly untilMarker?: boolean | undefined;
  /** Before the instruction whose first byte is at this linear address, 0 to 2^64 - 1. */
  readonly untilAddress?: number | bigint | undefined;
  /** After at least so many more guest instructions, 1 or more; looked at between basic blocks. */
  readonly instructions?: number | undefined;
}

/** How a fast-forward ended. */
export interface FastForward {
  /** Which of the targets was reached; `outcome` when the guest ended, or a budget was used up, before any was. */
  readonly ended: "marker" | "address" | "instructions" | "outcome";
  /** Present when `ended` is `outcome`. */
  readonly outcome?: RunOutcome;
  /** Guest instructions of this fast-forward. */
  readonly instructions: number;
  /** Simulated cycles of this fast-forward: fixed costs alone, not to be compared with timed ones. */
  readonly cycles: number;
}

/** A target, checked. */
export interface ResolvedTarget {
  readonly marker: boolean;
  readonly address: bigint | undefined;
  /** Infinity when not given. */
  readonly instructions: number;
}

const MAX_ADDRESS = 2n ** 64n - 1n;

/** @throws RangeError for a target that nothing can reach, or none */
export function resolveTarget(target: FastForwardTarget): ResolvedTarget {
  const { untilMarker = false, untilAddress, instructions } = target;
  if (!untilMarker && untilAddress === undefined && instructions === undefined)
    throw new RangeError(
      "fast-forward: no target is given; allowed: untilMarker, untilAddress, instructions",
    );
  if (instructions !== undefined && !(Number.isSafeInteger(instructions) && instructions >= 1))
    throw new RangeError(
      `fast-forward: instructions ${instructions}; allowed: whole numbers from 1 to 2^53 - 1`,
    );
  return {
    marker: untilMarker,
    address: untilAddress === undefined ? undefined : linearAddress(untilAddress),
    instructions: instructions ?? Number.POSITIVE_INFINITY,
  };
}

function linearAddress(value: number | bigint): bigint {
  const whole = typeof value === "bigint" || Number.isSafeInteger(value) ? BigInt(value) : -1n;
  if (whole < 0n || whole > MAX_ADDRESS)
    throw new RangeError(`fast-forward: untilAddress ${value}; allowed: whole numbers from 0 to 2^64 - 1`);
  return whole;
}
