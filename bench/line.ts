/** Prints one figure beside its bar. Nothing fails when a bar is missed: hosts differ. */
export function line(what: string, figure: string, bar: string, met: boolean | undefined): void {
  const verdict = met === undefined ? "" : met ? "within" : "MISSED";
  console.log(`${what.padEnd(56)} ${figure.padEnd(44)} bar: ${bar.padEnd(22)} ${verdict}`.trimEnd());
}

/** Prints one figure beside bars that it has to reach one after the other. */
export function barsLine(
  what: string,
  figure: string,
  bars: readonly number[],
  unit: string,
  value: number,
): void {
  const verdicts = bars.map((bar) => (value >= bar ? "within" : "MISSED")).join(", ");
  console.log(
    `${what.padEnd(56)} ${figure.padEnd(44)} bar: ${`>= ${bars.join(", ")} ${unit}`.padEnd(22)} ${verdicts}`,
  );
}

/** Prints why a figure is not there. */
export function absent(what: string, why: string): void {
  console.log(`${what.padEnd(56)} not measured: ${why}`);
}
