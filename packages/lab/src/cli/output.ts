import { ansi, type Paint, plain } from "../report/paint.js";

/** Where commands write, and how. Colour only on a terminal, and never when NO_COLOR is set. */
export interface Output {
  readonly paint: Paint;
  out(text: string): void;
  err(text: string): void;
}

/** This process's standard streams. */
export function standardOutput(): Output {
  const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;
  return {
    paint: colour ? ansi : plain,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  };
}
