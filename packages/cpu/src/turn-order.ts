/** One of those that take turns by simulated time. */
export interface TurnTaker {
  /** Ledger clock in ticks at which it has something to do: now, later, or never (infinity) unless another one wakes it. */
  readyAt(): number;
}

/** Answer of {@link TurnOrder.next}: nobody has anything left to wait for. */
export const NOBODY = -1;
/** … and: whoever has something to do has it only at or after the end. */
export const ALL_DONE = -2;

/**
 * Whose turn it is among several with clocks of their own, on one thread: always the one that can do something soonest, on a
 * tie the lower number, until it is a slice ahead of the next. The order depends on nothing but their clocks.
 */
export class TurnOrder {
  private readonly members: readonly TurnTaker[];
  private readonly slice: number;

  /** @param slice ledger ticks that one may run ahead of the next */
  constructor(members: readonly TurnTaker[], slice: number) {
    this.members = members;
    this.slice = slice;
  }

  /** Number of the one that goes on, {@link NOBODY} or {@link ALL_DONE}. @param maxTicks clock at which all have done enough */
  next(maxTicks: number): number {
    const { members } = this;
    let best = NOBODY;
    let soonest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < members.length; i++) {
      const time = members[i].readyAt();
      if (time < soonest) {
        soonest = time;
        best = i;
      }
    }
    return best !== NOBODY && soonest >= maxTicks ? ALL_DONE : best;
  }

  /** Clock up to which one of them may run while the others stay as they are. */
  until(number: number): number {
    const { members } = this;
    let limit = Number.POSITIVE_INFINITY;
    for (let i = 0; i < members.length; i++) if (i !== number) limit = Math.min(limit, members[i].readyAt());
    return limit + this.slice;
  }
}
