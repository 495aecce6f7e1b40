import { Activity, Segment, SegmentWord, State } from "./cpu-state.js";

/** Of every segment, CS included (SDM vol. 3, table 10-1). */
const DATA = 0x93;
const LDT = 0x82;
const BUSY_TSS = 0x8b;
const REAL_LIMIT = 0xffff;
const CR0_CACHE = 0x60000000;

/** Values after RESET that are not zero and that matter before software sets them. */
export function resetState(words: Int32Array): void {
  words[State.Flags] = 2;
  words[State.Cr0] = 0x60000010;
  words[State.Dr6] = 0xffff0ff0;
  words[State.Dr7] = 0x400;
  words[State.PatLo] = 0x00070406;
  words[State.PatHi] = 0x00070406;
  words[State.XcrLo] = 1;
  words[State.FpuControl] = 0x40;
  words[State.Mxcsr] = 0x1f80;
  words[State.RipLo] = 0xfff0;
  resetTables(words);
}

/** Descriptor tables and segments of real mode, CS at the reset vector. */
function resetTables(words: Int32Array): void {
  words.set([REAL_LIMIT, 0, 0, REAL_LIMIT, 0, 0], State.GdtrLimit);
  for (let segment = 0; segment < 8; segment++) {
    const at = State.Segments + 8 * segment;
    words.fill(0, at, at + 8);
    words[at + SegmentWord.Limit] = REAL_LIMIT;
    words[at + SegmentWord.Attributes] =
      segment === Segment.Ldtr ? LDT : segment === Segment.Tr ? BUSY_TSS : DATA;
  }
  setCode(words, 0xf000, 0xffff0000);
}

/** INIT: everything but x87, SSE, the time stamp, MTRRs, APIC base and CR0's cache bits (SDM vol. 3, table 10-1). */
export function initState(words: Int32Array, signature: number): void {
  const cache = words[State.Cr0] & CR0_CACHE;
  words.fill(0, State.Gpr, State.Gpr + 32);
  words[State.Gpr + 4] = signature; // EDX: family, model, stepping
  words[State.RipLo] = 0xfff0;
  words[State.RipHi] = 0;
  words[State.Flags] = 2;
  words[State.FlagsSource] = 0;
  words[State.Cr0] = cache | 0x10;
  words.fill(0, State.Cr2Lo, State.Dr6);
  words[State.Dr6] = 0xffff0ff0;
  words[State.Dr7] = 0x400;
  resetTables(words);
  words[State.Cpl] = 0;
  words[State.InterruptShadow] = 0;
  words[State.PendingDebug] = 0;
  words[State.NmiBlocked] = 0;
  words[State.NmiPending] = 0;
}

/** SIPI: starts at the page that the vector names, in real mode. */
export function startUpState(words: Int32Array, vector: number): void {
  setCode(words, vector << 8, vector << 12);
  words[State.RipLo] = 0;
  words[State.Activity] = Activity.Running;
}

function setCode(words: Int32Array, selector: number, base: number): void {
  const at = State.Segments + 8 * Segment.Cs;
  words[at + SegmentWord.Selector] = selector;
  words[at + SegmentWord.BaseLo] = base;
  words[at + SegmentWord.BaseHi] = 0;
}
