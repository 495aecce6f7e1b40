import { spawnSync } from "node:child_process";
import type { PlantedBug } from "./planted-bugs.js";
import type { ScratchCopy } from "./scratch-copy.js";

/** More sequences than a bug may take to be found. */
export const MOST_SEQUENCES = 40_000;

export interface Hunt {
  readonly sequences: number;
  readonly mismatches: number;
}

/** Runs sequences of a bug's forms in the copy, up to the first batch with a mismatch. */
export function hunt(copy: ScratchCopy, { keys }: PlantedBug, seed: number): Hunt {
  const script = ["--import", "tsx", "--conditions=@hyperwalk/source", "scripts/differential.ts"];
  const bounds = ["--sequences", String(MOST_SEQUENCES), "--minutes", "10", "--show", "0", "--first"];
  const choice = ["--set", "general", "--only", keys.join(","), "--seed", String(seed)];
  const ran = spawnSync(process.execPath, [...script, ...bounds, ...choice], {
    cwd: copy.directory,
    encoding: "utf8",
  });
  const found = /: (\d+) sequences, (\d+) mismatches/.exec(ran.stdout);
  if (found === null) throw new Error(`the differential test did not run: ${ran.stdout}${ran.stderr}`);
  return { sequences: Number(found[1]), mismatches: Number(found[2]) };
}
