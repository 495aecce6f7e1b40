import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { execute } from "./child.js";
import { absent, line } from "./line.js";
import { median, spread } from "./median.js";

const WHAT = "first guest instruction, from process start";
const BAR_MS = 200;

/**
 * Time to the first guest instruction of the built command line. Measured from outside, as the life of a process that
 * stops its guest after one block: it includes printing and exit, so it is an upper bound.
 */
export async function startUp(): Promise<void> {
  const cli = fileURLToPath(new URL("../packages/lab/dist/cli.cjs", import.meta.url));
  if (!existsSync(cli)) return absent(WHAT, "packages/lab/dist is absent, run npm run build");
  const args = ["compare", "hypercall-bench", "--abi", "linear", "--max-instructions", "1", "--json"];
  const whole: number[] = [];
  const nodeAlone: number[] = [];
  for (let run = 0; run < 8; run++) {
    const { code, stdout, stderr, seconds } = await execute(process.execPath, [cli, ...args]);
    if (code !== 1 || !stdout.includes('"reason": "budget"'))
      return absent(
        WHAT,
        `no document from dist/cli.cjs (exit ${code}), run npm run build: ${stderr.trim()}`,
      );
    const empty = await execute(process.execPath, ["--eval", "0"]);
    // The first run fills the file cache.
    if (run === 0) continue;
    whole.push(seconds * 1000);
    nodeAlone.push(empty.seconds * 1000);
  }
  line(WHAT, `<= ${spread(whole, 0)} ms`, `< ${BAR_MS} ms`, median(whole) < BAR_MS);
  line("  of which an empty program takes", `${spread(nodeAlone, 0)} ms`, "none", undefined);
}
