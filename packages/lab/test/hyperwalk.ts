import { runProgram } from "../src/cli/program.js";
import { plain } from "../src/report/paint.js";

/** What the command line said, and how it ended. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line in this process. */
export async function hyperwalk(...args: string[]): Promise<Said> {
  const said = { out: "", err: "" };
  const code = await runProgram(args, {
    paint: plain,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}
