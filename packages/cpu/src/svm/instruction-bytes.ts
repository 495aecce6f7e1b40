import type { Mmu, PhysicalMemory } from "@hyperwalk/mmu";
import { Segment, State } from "../cpu-state.js";

const LONGEST_INSTRUCTION = 15;
const EFER_LMA = 0x400;
const CS_LONG = 0x2000;

/**
 * Decode assist for #PF and #NPF (APM vol. 2, 15.8.4): the number of instruction bytes fetched, then those bytes, into
 * the arena at byte `to`. Bytes beyond the page of RIP are not fetched; a page that is not mapped gives none.
 */
export function copyInstructionBytes(
  mmu: Mmu,
  memory: PhysicalMemory,
  words: Int32Array,
  u8: Uint8Array,
  to: number,
): void {
  const cs = State.Segments + 8 * Segment.Cs;
  let lo = words[State.RipLo];
  let hi = words[State.RipHi];
  if ((words[State.EferLo] & EFER_LMA) === 0 || (words[cs + 1] & CS_LONG) === 0) {
    lo = (lo + words[cs + 3]) | 0;
    hi = 0;
  }
  const frame = mmu.probe(lo, hi);
  if (frame < 0) return;
  const from = memory.frameOffset(frame);
  if (from < 0) return;
  const offset = lo & 4095;
  const count = Math.min(LONGEST_INSTRUCTION, 4096 - offset);
  u8[to] = count;
  for (let i = 0; i < LONGEST_INSTRUCTION; i++) u8[to + 1 + i] = i < count ? u8[from + offset + i] : 0;
}
