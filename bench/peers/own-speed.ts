import type { Children } from "../child.js";
import { type MeasuredSpeed, SKIPPED } from "../guest-loops.js";
import { cmdlineOf, type PeerGuest } from "./guest.js";

/** What hyperwalk says of a guest. */
export interface OwnSpeed {
  /** Million guest instructions a second with full timing, a figure for each run. */
  readonly mips: readonly number[];
  /** What the guest's iterations execute; its start and end are not in it. */
  readonly instructions: number;
  readonly checksum: string;
}

/** Measures hyperwalk on a guest as `npm run bench` does, and counts the instructions that the others are timed by. */
export async function ownSpeed(children: Children, guest: PeerGuest): Promise<OwnSpeed> {
  const whole = cmdlineOf(guest, guest.iterations);
  const { mips, instructions, checksum } = await children.run<MeasuredSpeed>("guest-loop", [
    guest.image,
    whole,
    String(SKIPPED),
  ]);
  const empty = await children.run<{ instructions: number }>("guest-instructions", [
    guest.image,
    cmdlineOf(guest, 0),
  ]);
  return { mips, instructions: instructions - empty.instructions, checksum };
}
