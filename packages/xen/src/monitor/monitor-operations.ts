import type { Operation } from "../operations/operation.js";
import { Phase } from "../path-cost/phases.js";
import type { Stage } from "../path-cost/stage.js";

/** What any handler of the monitor's takes, copies and system calls excepted. */
const HANDLER: Omit<Stage, "name"> = {
  phase: Phase.UserSpaceMonitor,
  instructions: 240,
  basis: "estimate",
  source:
    "estimate from reading QEMU's xen-emu.c and the emulation of event channels, grants and shared pages behind it, not counted in a run: one number for all, with the locks that they take",
  range: [80, 1200],
  atomics: 4,
  touches: [{ object: "user", offsets: [640, 704, 768], write: true }],
};

/**
 * Xen's operations as the monitor serves them: the same behaviour, at what a user-space handler costs. They are compiled when
 * they first run.
 */
export function monitorOperations(operations: readonly Operation[]): readonly Operation[] {
  return operations.map((operation) => ({
    ...operation,
    rare: true,
    stage: { ...HANDLER, name: `monitor: ${operation.descriptor.name}` },
  }));
}
