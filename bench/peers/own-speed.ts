import type { Children } from "../child.js";
import { measureFirst } from "../guest-speed.js";
import { cmdlineOf, type PeerGuest } from "./guest.js";

/** What hyperwalk says of a guest. */
export interface OwnSpeed {
  /** Million guest instructions a second with full timing, a figure for each run. */
  readonly mips: readonly number[];
  /** What the guest's iterations execute; its start and end are not in it. */
  readonly instructions: number;
  readonly checksum: string;
}

/** Measures hyperwalk on a guest as the headline figures of `npm run bench` are, and counts the instructions that the others are timed by. */
export async function ownSpeed(children: Children, guest: PeerGuest): Promise<OwnSpeed> {
  const cmdline = cmdlineOf(guest, guest.iterations);
  const { mips, instructions, checksum } = await measureFirst(
    children,
    { image: guest.image, cmdline },
    "full",
  );
  const empty = await children.run<{ instructions: number }>("guest-instructions", [
    guest.image,
    cmdlineOf(guest, 0),
  ]);
  return { mips, instructions: instructions - empty.instructions, checksum };
}
