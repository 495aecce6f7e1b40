import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PlantedBug } from "./planted-bugs.js";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
/** What the differential test runs from. */
const PARTS = [
  "package.json",
  "scripts/differential.ts",
  "scripts/command-line.ts",
  "packages/lab/src/cli/option-values.ts",
  "packages/lab/src/cli/usage-error.ts",
  "test/differential/cpu",
  "packages/cpu/package.json",
  "packages/cpu/src",
  "packages/mmu/package.json",
  "packages/mmu/src",
];

/** A copy of the simulated processor and the differential test in a temporary directory, to plant bugs in. */
export class ScratchCopy {
  readonly directory: string;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "hyperwalk-planted-"));
    for (const part of PARTS) cpSync(join(ROOT, part), join(this.directory, part), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(this.directory, "node_modules"));
    const siblings = join(this.directory, "packages/cpu/node_modules/@hyperwalk");
    mkdirSync(siblings, { recursive: true });
    symlinkSync(join(this.directory, "packages/mmu"), join(siblings, "mmu"));
    const fromTests = join(this.directory, "test/node_modules/@hyperwalk");
    mkdirSync(fromTests, { recursive: true });
    symlinkSync(join(this.directory, "packages/mmu"), join(fromTests, "mmu"));
  }

  /**
   * Puts a bug into the copy.
   * @returns takes it out again
   * @throws RangeError when the source does not have the bug's place exactly once
   */
  plant(bug: PlantedBug): () => void {
    const path = join(this.directory, "packages/cpu/src", bug.file);
    const source = readFileSync(path, "utf8");
    if (source.split(bug.find).length !== 2)
      throw new RangeError(`${bug.file} does not have the place of "${bug.name}" exactly once`);
    writeFileSync(
      path,
      source.replace(bug.find, () => bug.replace),
    );
    return () => writeFileSync(path, source);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
