/** A guest whose work is a number on its command line. */
export interface PeerGuest {
  readonly name: string;
  /** Path of its PVH ELF image. */
  readonly image: string;
  /** Command line up to the number of iterations. */
  readonly option: string;
  readonly iterations: number;
}

/** Its command line for some number of iterations. */
export function cmdlineOf(guest: PeerGuest, iterations: number): string {
  return `${guest.option}=${iterations}`;
}
