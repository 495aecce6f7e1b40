/**
 * Cycles per hypercall as the guest itself reported them on its console: the last line that has both `cycles=<n>` and
 * `iterations=<n>`. `undefined` when there is none.
 */
export function guestFigure(console: string): number | undefined {
  for (const line of console.split(/\r?\n/).reverse()) {
    const cycles = /(?:^|\s)cycles=(\d+)/.exec(line);
    const iterations = /(?:^|\s)iterations=(\d+)/.exec(line);
    if (cycles && iterations && Number(iterations[1]) > 0) return Number(cycles[1]) / Number(iterations[1]);
  }
  return undefined;
}
