import { fileURLToPath } from "node:url";
import type { Children } from "./child.js";

/** A guest, by path of its image. */
export interface Guest {
  readonly image: string;
  readonly cmdline: string;
}

/** What `children/guest-loop` says. */
export interface MeasuredSpeed {
  /** Million guest instructions per second of processor time, a figure for each measured system. */
  readonly mips: readonly number[];
  /** The calibration loop around each, million steps a second. */
  readonly host: readonly number[];
  /** Guest instructions of one system, from its start to its end. */
  readonly instructions: number;
  readonly checksum: string;
}

/** Where an image of `bench/guests` is. */
export function imageOf(image: string): string {
  return fileURLToPath(new URL(`./guests/${image}`, import.meta.url));
}

/** `functional`: with timing off, a fast-forward. */
export type Timing = "full" | "functional";

/** Speed of a guest as the only system of a process, in several. */
export async function measureFirst(children: Children, guest: Guest, timing: Timing): Promise<MeasuredSpeed> {
  const runs = await children.runEach<MeasuredSpeed>("guest-loop", [
    guest.image,
    guest.cmdline,
    "first",
    timing,
  ]);
  return {
    ...runs[0],
    mips: runs.flatMap((run) => run.mips),
    host: runs.flatMap((run) => run.host),
  };
}

/**
 * Speed of a guest in systems that others of the process went before.
 *
 * @param which `boot`: from the first instruction
 */
export function measureLater(
  children: Children,
  guest: Guest,
  which: "later" | "boot",
  timing: Timing,
): Promise<MeasuredSpeed> {
  return children.run<MeasuredSpeed>("guest-loop", [guest.image, guest.cmdline, which, timing]);
}
