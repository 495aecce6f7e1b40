import { RUNSTATE_OFFLINE, RUNSTATE_RUNNING } from "./operations/descriptors.gen.js";

const WORD = 2 ** 32;
/** Words that {@link Runstate.read} writes: state, entry time and four times, each as a pair. */
export const RUNSTATE_WORDS = 12;

/** Bytes of a `vcpu_runstate_info`, and of the one of 32-bit guests. */
export const RUNSTATE_BYTES = 48;
export const RUNSTATE_BYTES_32BIT = 44;

/** Lays the words of {@link Runstate.read} out as guests have them. @returns bytes written */
export function layOutRunstate(words: Int32Array, is32Bit: boolean, to: DataView): number {
  const entryTime = is32Bit ? 4 : 8;
  to.setInt32(0, words[0], true);
  if (!is32Bit) to.setInt32(4, 0, true);
  for (let i = 2; i < RUNSTATE_WORDS; i++) to.setInt32(entryTime + 4 * (i - 2), words[i], true);
  return is32Bit ? RUNSTATE_BYTES_32BIT : RUNSTATE_BYTES;
}

/** A vCPU's accounting as plain data, in nanoseconds. */
export interface RunstateSnapshot {
  readonly state: number;
  readonly stateEntryTime: number;
  readonly time: readonly number[];
}

/**
 * Time that a vCPU spent in each run state (Xen: `vcpu_runstate_change`, `vcpu_runstate_get`), in nanoseconds of
 * system time. Instants come in as pairs of 32-bit words and are exact up to 2^53 ns (104 days of simulated time).
 */
export class Runstate {
  /** Present state: running 0, runnable 1, blocked 2, offline 3. */
  state: number;
  /** Entry time of the present state, then the time spent in each state before that. */
  private readonly ns = new Float64Array(5);

  constructor(state: number = RUNSTATE_RUNNING, nowLo = 0, nowHi = 0) {
    this.state = checkState(state);
    this.ns[0] = (nowHi >>> 0) * WORD + (nowLo >>> 0);
  }

  /** Ends the present state at `now` and enters another one. @throws RangeError for a state that does not exist */
  change(state: number, nowLo: number, nowHi: number): void {
    checkState(state);
    const now = (nowHi >>> 0) * WORD + (nowLo >>> 0);
    if (now > this.ns[0]) this.ns[1 + this.state] += now - this.ns[0];
    this.ns[0] = now;
    this.state = state;
  }

  /**
   * Writes `RUNSTATE_WORDS` words: state, entry time, time[0..3]; low words first. The time in the present state
   * includes what has passed since its entry. Allocates nothing.
   */
  read(nowLo: number, nowHi: number, words: Int32Array): void {
    const { ns, state } = this;
    words[0] = state;
    words[1] = 0;
    const entry = ns[0];
    words[2] = entry | 0;
    words[3] = Math.floor(entry / WORD) | 0;
    const elapsed = (nowHi >>> 0) * WORD + (nowLo >>> 0) - entry;
    for (let i = 0; i < 4; i++) {
      const time = ns[1 + i] + (i === state && elapsed > 0 ? elapsed : 0);
      words[4 + 2 * i] = time | 0;
      words[5 + 2 * i] = Math.floor(time / WORD) | 0;
    }
  }

  /** The same as of the latest change of state, which is what Xen copies to a registered area. */
  record(words: Int32Array): void {
    const entry = this.ns[0];
    this.read(entry | 0, Math.floor(entry / WORD) | 0, words);
  }

  snapshot(): RunstateSnapshot {
    return { state: this.state, stateEntryTime: this.ns[0], time: Array.from(this.ns.subarray(1)) };
  }

  restore(snapshot: RunstateSnapshot): void {
    this.state = checkState(snapshot.state);
    this.ns.set([snapshot.stateEntryTime, ...snapshot.time]);
  }
}

function checkState(state: number): number {
  if (!Number.isInteger(state) || state < RUNSTATE_RUNNING || state > RUNSTATE_OFFLINE)
    throw new RangeError(`run state ${state}: allowed are 0 to 3`);
  return state;
}
