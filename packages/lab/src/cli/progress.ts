import type { SingleBar } from "cli-progress";

/** Shows how far something is. Silent where standard error is no terminal. */
export interface Progress {
  advance(): void;
  /** There is more to do than was known. */
  extend(by: number): void;
  stop(): void;
}

const SILENT: Progress = { advance: () => undefined, extend: () => undefined, stop: () => undefined };

/** A bar on standard error with rate and time left. @param done what an earlier run had finished */
export async function progressBar(what: string, total: number, done = 0): Promise<Progress> {
  if (process.stderr.isTTY !== true) return SILENT;
  const { default: bars } = await import("cli-progress");
  const start = performance.now();
  let finished = done;
  const bar: SingleBar = new bars.SingleBar({
    format: `{bar} {value}/{total} ${what}, {rate}/s, {eta_formatted} left`,
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stderr,
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
  });
  bar.start(total, done, { rate: "…" });
  return {
    advance: () => {
      finished++;
      const seconds = (performance.now() - start) / 1000;
      bar.update(finished, { rate: ((finished - done) / seconds).toPrecision(3) });
    },
    extend: (by) => bar.setTotal(bar.getTotal() + by),
    stop: () => bar.stop(),
  };
}
