/** What starts an emulator on one guest. */
export interface Invocation {
  readonly command: string;
  readonly args: readonly string[];
  /** Written to its standard input. */
  readonly input: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** An emulator that was found on this machine. */
export interface Emulator {
  /** Name and version, as it states them. */
  readonly name: string;
  /** Multiple of the simulator's own iterations that makes a measurable time. */
  readonly factor: number;
  /** What its time-stamp counter counts, when the guest reads it. */
  readonly counts: "host cycles" | "instructions";
  /** @param image path of a PVH ELF image */
  invocation(image: string, cmdline: string): Invocation;
}

/** An emulator, or why there is none and how to get it. */
export type Found = Emulator | { readonly name: string; readonly missing: string };
