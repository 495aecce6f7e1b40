import { existsSync } from "node:fs";
import type { Children } from "./child.js";
import { absent, line } from "./line.js";

const WHAT = "peak resident memory, 4 GiB guest that touches 10 MiB";
const BAR_MIB = 150;

/** Peak resident memory of a process that runs a 4 GiB guest which touches 10 MiB of it. */
export async function residentMemory(children: Children): Promise<void> {
  if (!existsSync("/proc/self/status")) return absent(WHAT, "this system has no /proc/self/status");
  const { hwmMiB, touchedMiB } = await children.run<{ hwmMiB: number; touchedMiB: number }>("large-guest");
  line(
    `${WHAT}`,
    `${hwmMiB.toFixed(0)} MiB (${touchedMiB.toFixed(1)} MiB touched)`,
    `< ${BAR_MIB} MiB`,
    hwmMiB < BAR_MIB,
  );
}
