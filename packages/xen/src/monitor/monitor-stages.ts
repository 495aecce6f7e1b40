import { DOORBELL_CALLS } from "../operations/doorbell.js";
import { CONTINUED_OPERATIONS, OPERATIONS } from "../operations/index.js";
import type { OperationDescriptor } from "../operations/operation.js";
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

/** What each of Xen's operations costs in the monitor: one stage, whichever vCPU's thread runs it. */
export const MONITOR_STAGES: ReadonlyMap<OperationDescriptor, Stage> = new Map(
  [...OPERATIONS, ...CONTINUED_OPERATIONS, ...DOORBELL_CALLS].map(({ descriptor }) => [
    descriptor,
    { ...HANDLER, name: `monitor: ${descriptor.name}` },
  ]),
);
