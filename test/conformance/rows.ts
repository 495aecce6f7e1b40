import type { Row } from "./row.js";
import { EVENT_ROWS, RESET_ROWS } from "./rows-event.js";
import { MEMORY_ROWS } from "./rows-memory.js";
import { OTHER_ROWS } from "./rows-other.js";
import { POLL_ROWS, SCHED_ROWS, SHUTDOWN_ROWS } from "./rows-sched.js";
import { VCPU_ROWS } from "./rows-vcpu.js";

/**
 * Every operation, once as it succeeds and once for each way in which it is refused, in the order in which one guest makes
 * the calls. What comes out is Xen's (`xen/common`, `xen/arch/x86` of c447b7308b13 as in facts/xen.md §3), not the model's.
 */
export const ROWS: readonly Row[] = [
  ...OTHER_ROWS,
  ...MEMORY_ROWS,
  ...POLL_ROWS,
  ...EVENT_ROWS,
  ...SCHED_ROWS,
  ...VCPU_ROWS,
  ...RESET_ROWS,
  ...SHUTDOWN_ROWS,
];
