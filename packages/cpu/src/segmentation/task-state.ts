import { Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";

/** Reads 2^size bytes of the current TSS; #TS with its selector when it is too short. */
function readTask(core: ExecutionCore, offset: number, size: number, external: number): boolean {
  const { words } = core;
  const tr = State.Segments + 8 * Segment.Tr;
  if (offset + (1 << size) - 1 > words[tr + SegmentWord.Limit] >>> 0) {
    core.raise(Vector.Ts, (words[tr + SegmentWord.Selector] & 0xfffc) | external);
    return false;
  }
  const base = words[tr + SegmentWord.BaseLo];
  const lo = (base + offset) | 0;
  return core.readSystem(lo, (words[tr + SegmentWord.BaseHi] + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0, size);
}

/** RSP for a privilege level from a 64-bit TSS to lo, hi. */
export function privilegeStack64(core: ExecutionCore, level: number, external: number): boolean {
  return readTask(core, 4 + 8 * level, 3, external);
}

/** An interrupt stack (1-7) from a 64-bit TSS to lo, hi. */
export function interruptStack64(core: ExecutionCore, number: number, external: number): boolean {
  return readTask(core, 0x1c + 8 * number, 3, external);
}

/** SP for a privilege level from a TSS outside long mode to lo, then SS to hi. */
export function privilegeStack(core: ExecutionCore, level: number, external: number): boolean {
  const wide = taskIs32(core);
  if (!readTask(core, wide ? 8 + 8 * level : 4 + 4 * level, 1, external)) return false;
  const selector = core.lo & 0xffff;
  if (!readTask(core, wide ? 4 + 8 * level : 2 + 4 * level, wide ? 2 : 1, external)) return false;
  if (!wide) core.lo &= 0xffff;
  core.hi = selector;
  return true;
}

/** Type of the TSS: bit 3 set for 32 and 64 bits. */
function taskIs32(core: ExecutionCore): boolean {
  return (core.words[State.Segments + 8 * Segment.Tr + SegmentWord.Attributes] & 8) !== 0;
}
