import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Invocation } from "./emulator.js";

/** Longest a guest may take, host time. */
const PATIENCE_MS = 600_000;
/** An emulator whose processor time stands still for so long has stopped before its guest's end. */
const FROZEN_MS = 30_000;

/** What a guest printed at its end, and what that took. */
export interface TimedGuest {
  readonly checksum: string;
  /** The guest's own time-stamp difference around its loop. */
  readonly cycles: number;
  /** Processor time from the emulator's start to the guest's last line; host time where there is no `/proc`. */
  readonly seconds: number;
}

/** Runs an emulator until its guest has printed its result, and ends it: guests without a Xen can only halt. */
export function timeGuest(invocation: Invocation): Promise<TimedGuest> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(invocation.command, invocation.args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...invocation.environment },
    });
    let output = "";
    let lastSeconds = -1;
    const finish = (report: () => void) => {
      clearTimeout(patience);
      clearInterval(watch);
      // Bochs' debugger takes gentler signals for itself.
      child.kill("SIGKILL");
      report();
    };
    const fail = (why: string) => finish(() => reject(new Error(`${why}\n${output.slice(-2000)}`)));
    const patience = setTimeout(() => fail("took too long"), PATIENCE_MS);
    const watch = setInterval(() => {
      const seconds = processorSeconds(child.pid);
      if (seconds !== undefined && seconds === lastSeconds) fail("stopped before its guest's end");
      lastSeconds = seconds ?? -1;
    }, FROZEN_MS);
    const read = (text: string) => {
      output += text;
      const end = /checksum=(0x[0-9a-f]+) cycles=(\d+)\s/.exec(output);
      if (!end) return;
      const seconds = processorSeconds(child.pid) ?? (performance.now() - start) / 1000;
      finish(() => resolve({ checksum: end[1], cycles: Number(end[2]), seconds }));
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.stdin.on("error", () => {});
    // Left open: at its end Bochs' debugger would quit.
    child.stdin.write(invocation.input);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code, signal) => fail(`ended by itself (${code ?? signal})`));
  });
}

/** Processor time of all threads of a process, from the scheduler's own count of nanoseconds. */
function processorSeconds(pid: number | undefined): number | undefined {
  try {
    const tasks = `/proc/${pid}/task`;
    let nanoseconds = 0;
    for (const task of readdirSync(tasks))
      nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
    return nanoseconds / 1e9;
  } catch {
    return undefined;
  }
}
