import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { directoryOf } from "../scripts/bundle.js";
import { execute } from "./child.js";
import { median } from "./median.js";

/** `bench/guests/loops.c` compiled for this machine. */
export class NativeLoops {
  private readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Compiles with gcc. @returns why it could not, as text */
  static async compile(): Promise<NativeLoops | string> {
    const directory = mkdtempSync(join(tmpdir(), "hyperwalk-native-"));
    const guests = join(directoryOf(import.meta.url), "guests");
    const sources = [join(guests, "native.c"), join(guests, "loops.c")];
    try {
      const { code, stderr } = await execute("gcc", ["-O2", ...sources, "-o", join(directory, "loops")]);
      if (code === 0) return new NativeLoops(directory);
      rmSync(directory, { recursive: true });
      return `gcc: exit ${code}\n${stderr}`;
    } catch {
      rmSync(directory, { recursive: true });
      return "gcc is absent";
    }
  }

  /** Median of five runs. */
  async run(loop: string, iterations: number): Promise<{ seconds: number; checksum: string }> {
    const seconds: number[] = [];
    let checksum = "";
    for (let run = 0; run < 5; run++) {
      const { code, stdout } = await execute(join(this.directory, "loops"), [loop, String(iterations)]);
      if (code !== 0) throw new Error(`native ${loop}: exit ${code}`);
      seconds.push(Number(/ ns=(\d+)/.exec(stdout)?.[1]) / 1e9);
      checksum = /checksum=(\S+)/.exec(stdout)?.[1] ?? "";
    }
    return { seconds: median(seconds), checksum };
  }

  /** Removes the program. */
  close(): void {
    rmSync(this.directory, { recursive: true });
  }
}
