import { median } from "../median.js";
import type { Emulator } from "./emulator.js";
import { cmdlineOf, type PeerGuest } from "./guest.js";
import { timeGuest } from "./guest-process.js";
import type { OwnSpeed } from "./own-speed.js";

const RUNS = 5;

/** An emulator's speed on one guest. */
export interface PeerSpeed {
  /** Million guest instructions a second, a figure for each run. */
  readonly mips: readonly number[];
  /** The guest's own time-stamp difference around its iterations, per instruction that hyperwalk counted: a median. */
  readonly ticksPerInstruction: number;
}

/**
 * Times an emulator from outside: processor time of runs with iterations, less the median of runs without any. More
 * iterations than hyperwalk ran are taken to execute proportionally more instructions (our loops do, to a part in a
 * thousand).
 * @throws Error when the guest computes anything else than under hyperwalk
 */
export async function peerSpeed(emulator: Emulator, guest: PeerGuest, own: OwnSpeed): Promise<PeerSpeed> {
  const time = (iterations: number) =>
    timeGuest(emulator.invocation(guest.image, cmdlineOf(guest, iterations)));
  const { checksum } = await time(guest.iterations);
  if (checksum !== own.checksum)
    throw new Error(`${guest.name}: ${emulator.name} computed ${checksum}, hyperwalk ${own.checksum}`);

  const instructions = own.instructions * emulator.factor;
  const empty: number[] = [];
  const full: number[] = [];
  const ticks: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const without = await time(0);
    const whole = await time(guest.iterations * emulator.factor);
    empty.push(without.seconds);
    full.push(whole.seconds);
    ticks.push((whole.cycles - without.cycles) / instructions);
  }
  const startUp = median(empty);
  return {
    mips: full.map((seconds) => instructions / (seconds - startUp) / 1e6),
    ticksPerInstruction: median(ticks),
  };
}
