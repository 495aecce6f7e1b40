import type { FastForward, FastForwardTarget } from "@hyperwalk/xen";

/**
 * What a run did with timing off before its timed part. Nothing of it is in the other figures of the document, which are of
 * the timed part alone, but for totals that say so.
 */
export interface FastForwardResult {
  /** This part was functional: architectural state only, no caches, TLBs or branch prediction. */
  readonly mode: "functional";
  /** What was asked for: `marker`, a number of instructions, or an address with 0x. */
  readonly until: string;
  /** False when the guest ended, or the budget was used up, first: there is no timed part then. */
  readonly reached: boolean;
  /** Guest instructions. */
  readonly instructions: number;
  /** Simulated cycles: fixed costs of instructions and VM exits, not to be compared with timed ones. */
  readonly cycles: number;
}

/** What a document says of a fast-forward. */
export function fastForwardResult(target: FastForwardTarget, done: FastForward): FastForwardResult {
  const { ended, instructions, cycles } = done;
  return {
    mode: "functional",
    until: targetName(target),
    reached: ended !== "outcome",
    instructions,
    cycles,
  };
}

/** A target as the documents name it. */
export function targetName({ untilMarker, untilAddress, instructions }: FastForwardTarget): string {
  const names = [
    ...(untilMarker ? ["marker"] : []),
    ...(untilAddress === undefined ? [] : [`0x${untilAddress.toString(16)}`]),
    ...(instructions === undefined ? [] : [String(instructions)]),
  ];
  return names.join(" or ");
}
