import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "./path-cost/path-cost.js";

const LINE = 64;

/** `copy_domain_page`: every line of both pages through the caches. */
export function copyFrame(memory: PhysicalMemory, from: number, to: number, cost: PathCost): void {
  for (let at = 0; at < FRAME_BYTES; at += LINE) {
    cost.access(from, at, LINE, false);
    cost.access(to, at, LINE, true);
  }
  memory.writeBytes(to * FRAME_BYTES, memory.readBytes(from * FRAME_BYTES, FRAME_BYTES));
}

/** `clear_domain_page` */
export function clearFrame(memory: PhysicalMemory, frame: number, cost: PathCost): void {
  for (let at = 0; at < FRAME_BYTES; at += LINE) cost.access(frame, at, LINE, true);
  memory.writeBytes(frame * FRAME_BYTES, new Uint8Array(FRAME_BYTES));
}
