import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CaseField, DATA_BYTES, encodeCase, ResultField, type TestCase } from "../layout.js";

const SOURCE = fileURLToPath(new URL("harness.c", import.meta.url));
const FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-fno-stack-protector", "-fPIE", "-pie"];

/** Why this machine cannot run the harness, or an empty string. */
export function whyNotNative(): string {
  if (process.platform !== "linux" || process.arch !== "x64") return "needs Linux on x86-64";
  if (spawnSync("gcc", ["--version"]).status !== 0) return "needs gcc";
  // 64-bit kernel code that handles 32-bit segments and FS bases; absent before Ivy Bridge and Zen 2.
  if (!/^flags\s*:.*\bfsgsbase\b/m.test(readFileSync("/proc/cpuinfo", "utf8"))) return "needs FSGSBASE";
  return "";
}

/** Feature names of this machine. */
export function nativeFeatures(): ReadonlySet<string> {
  return new Set(/^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1].split(" "));
}

/** "GenuineIntel", "AuthenticAMD", ... of this machine. */
export function nativeVendor(): string {
  return /^vendor_id\s*:\s*(\S+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
}

/** Builds the harness in a temporary directory and runs batches of cases through it. */
export class NativeHarness {
  private readonly directory: string;
  private readonly program: string;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "hyperwalk-differential-"));
    this.program = join(this.directory, "harness");
    const built = spawnSync("gcc", [...FLAGS, "-o", this.program, SOURCE], { encoding: "utf8" });
    if (built.status !== 0) throw new Error(`gcc failed:\n${built.stderr}`);
  }

  /** Runs the cases in order. @returns one result record a case, see {@link ResultField} */
  run(cases: readonly TestCase[]): DataView {
    return this.spawn(cases, [], ResultField.Bytes);
  }

  /** Runs one case and also returns the bytes of its data window afterwards. */
  dump(test: TestCase): { result: DataView; window: Uint8Array } {
    const output = this.spawn([test], ["dump"], ResultField.Bytes + DATA_BYTES);
    const window = new Uint8Array(output.buffer, output.byteOffset + ResultField.Bytes, DATA_BYTES);
    return { result: output, window };
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private spawn(cases: readonly TestCase[], args: readonly string[], resultBytes: number): DataView {
    const input = new Uint8Array(cases.length * CaseField.Bytes);
    const view = new DataView(input.buffer);
    cases.forEach((test, i) => {
      encodeCase(test, view, i * CaseField.Bytes);
    });
    const expected = cases.length * resultBytes;
    const ran = spawnSync(this.program, args, { input, maxBuffer: expected + 65536 });
    if (ran.status !== 0 || ran.stdout.length !== expected) {
      const done = Math.floor((ran.stdout?.length ?? 0) / resultBytes);
      const how = ran.signal ?? `status ${ran.status}`;
      throw new Error(`the harness ended with ${how} near case ${done} of ${cases.length}: ${ran.stderr}`);
    }
    // A copy with its own buffer: Node's may be pooled and unaligned.
    return new DataView(Uint8Array.from(ran.stdout).buffer);
  }
}
