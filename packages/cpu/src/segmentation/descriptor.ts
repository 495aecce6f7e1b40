import { Flag, Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";

/** Attribute bits as in `SegmentWord.Attributes`. */
export const Attribute = {
  TypeMask: 0xf,
  Accessed: 0x1,
  /** Data: writable; code: readable. */
  Access: 0x2,
  /** Data: expand-down; code: conforming. */
  Direction: 0x4,
  Code: 0x8,
  /** S: code or data. */
  NotSystem: 0x10,
  DplShift: 5,
  Present: 0x80,
  Long: 0x2000,
  Big: 0x4000,
  Granular: 0x8000,
  Unusable: 0x10000,
} as const;

/** Types of system descriptors. */
export const SystemType = {
  Ldt: 2,
  /** 16-bit forms; long mode has none of them. */
  TssAvailable16: 1,
  TssBusy16: 3,
  CallGate16: 4,
  TaskGate: 5,
  InterruptGate16: 6,
  TrapGate16: 7,
  TssAvailable: 9,
  TssBusy: 11,
  CallGate: 12,
  InterruptGate: 14,
  TrapGate: 15,
} as const;

/**
 * Reads the descriptor that a selector names into `core.lo`, `core.hi`; its address stays in `core.eaLo`, `core.eaHi`.
 * @param vector what to raise, with the selector, when it lies outside its table
 */
export function readDescriptor(core: ExecutionCore, selector: number, vector: number, external = 0): boolean {
  const { words } = core;
  const local = (selector & 4) !== 0;
  const ldt = State.Segments + 8 * Segment.Ldtr;
  if (local && (words[ldt + SegmentWord.Attributes] & Attribute.Unusable) !== 0)
    return outside(core, selector, vector, external);
  const offset = selector & 0xfff8;
  if (offset + 7 > tableLimit(words, selector)) return outside(core, selector, vector, external);
  const baseLo = local ? words[ldt + SegmentWord.BaseLo] : words[State.GdtrBaseLo];
  const baseHi = local ? words[ldt + SegmentWord.BaseHi] : words[State.GdtrBaseHi];
  core.eaLo = (baseLo + offset) | 0;
  core.eaHi = core.longMode ? (baseHi + (core.eaLo >>> 0 < baseLo >>> 0 ? 1 : 0)) | 0 : 0;
  return core.readSystem(core.eaLo, core.eaHi, 3);
}

/** Limit of the table that a selector names. */
export function tableLimit(words: Int32Array, selector: number): number {
  const ldt = State.Segments + 8 * Segment.Ldtr;
  return (selector & 4) !== 0 ? words[ldt + SegmentWord.Limit] >>> 0 : words[State.GdtrLimit];
}

function outside(core: ExecutionCore, selector: number, vector: number, external: number): false {
  core.raise(vector, (selector & 0xfffc) | external);
  return false;
}

export function descriptorAttributes(hi: number): number {
  return (hi >>> 8) & 0xf0ff;
}

export function descriptorBase(lo: number, hi: number): number {
  return (lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff000000);
}

/** Byte-granular limit. */
export function descriptorLimit(lo: number, hi: number): number {
  const limit = (lo & 0xffff) | (hi & 0xf0000);
  return (hi & 0x800000) !== 0 ? (limit << 12) | 0xfff : limit;
}

export function descriptorDpl(hi: number): number {
  return (hi >>> 13) & 3;
}

/** Puts a descriptor into a segment register. */
export function setSegment(
  words: Int32Array,
  segment: number,
  selector: number,
  lo: number,
  hi: number,
): void {
  const at = State.Segments + 8 * segment;
  words[at + SegmentWord.Selector] = selector & 0xffff;
  words[at + SegmentWord.Attributes] = descriptorAttributes(hi);
  words[at + SegmentWord.Limit] = descriptorLimit(lo, hi);
  words[at + SegmentWord.BaseLo] = descriptorBase(lo, hi);
  words[at + SegmentWord.BaseHi] = 0;
}

/** Loads a null selector. @param keepBase older AMD processors leave the hidden base of FS and GS alone */
export function setNull(words: Int32Array, segment: number, selector: number, keepBase: boolean): void {
  const at = State.Segments + 8 * segment;
  words[at + SegmentWord.Selector] = selector & 0xffff;
  words[at + SegmentWord.Attributes] = Attribute.Unusable;
  if (keepBase) return;
  words[at + SegmentWord.Limit] = 0;
  words[at + SegmentWord.BaseLo] = 0;
  words[at + SegmentWord.BaseHi] = 0;
}

/** Sets a flat code or data segment, as SYSCALL and its kin do. */
export function setFlat(words: Int32Array, segment: number, selector: number, attributes: number): void {
  const at = State.Segments + 8 * segment;
  words[at + SegmentWord.Selector] = selector & 0xffff;
  words[at + SegmentWord.Attributes] = attributes;
  words[at + SegmentWord.Limit] = -1;
  words[at + SegmentWord.BaseLo] = 0;
  words[at + SegmentWord.BaseHi] = 0;
}

/** Attributes of the segments of virtual-8086 mode, and of those that real mode finds unusable: writable data, 64 KiB. */
const PARAGRAPH_DATA = 0x93;
const RING3 = 3 << Attribute.DplShift;

/**
 * Loads a segment register in real or virtual-8086 mode, where the selector is the number of a 16-byte paragraph. Real
 * mode keeps limits and rights of data segments that protected mode left behind; CS becomes writable 16-bit data
 * (SDM vol. 3, 10.9.2).
 */
export function setParagraph(words: Int32Array, segment: number, selector: number): void {
  const at = State.Segments + 8 * segment;
  words[at + SegmentWord.Selector] = selector & 0xffff;
  words[at + SegmentWord.BaseLo] = (selector & 0xffff) << 4;
  words[at + SegmentWord.BaseHi] = 0;
  if ((words[State.Flags] & Flag.Vm) !== 0) {
    words[at + SegmentWord.Attributes] = PARAGRAPH_DATA | RING3;
    words[at + SegmentWord.Limit] = 0xffff;
  } else if ((words[at + SegmentWord.Attributes] & Attribute.Unusable) !== 0) {
    words[at + SegmentWord.Attributes] = PARAGRAPH_DATA;
    words[at + SegmentWord.Limit] = 0xffff;
  } else if (segment === Segment.Cs) words[at + SegmentWord.Attributes] = PARAGRAPH_DATA;
}

/** MOV and POP to ES, SS, DS, FS, GS, and LES and its kin: checks and loads. */
export function loadDataSegment(core: ExecutionCore, segment: number, selector: number): boolean {
  const { words } = core;
  if (core.realAddressing) {
    setParagraph(words, segment, selector);
    core.noteSegments();
    return true;
  }
  const cpl = words[State.Cpl];
  const rpl = selector & 3;
  const code = selector & 0xfffc;
  if (code === 0) {
    if (segment === Segment.Ss && !(core.mode === 64 && cpl < 3 && rpl === cpl))
      return refuse(core, Vector.Gp, 0);
    const keepBase = segment >= Segment.Fs && core.mode === 64 && core.nullKeepsBase;
    setNull(words, segment, selector, keepBase);
    if (segment === Segment.Ss)
      words[State.Segments + 8 * segment + SegmentWord.Attributes] |= cpl << Attribute.DplShift;
    core.noteSegments();
    return true;
  }
  if (!readDescriptor(core, selector, Vector.Gp)) return false;
  const { lo, hi, eaLo, eaHi } = core;
  const attributes = descriptorAttributes(hi);
  const dpl = descriptorDpl(hi);
  if (segment === Segment.Ss) {
    const writable = (attributes & 0x1a) === 0x12;
    if (rpl !== cpl || !writable || dpl !== cpl) return refuse(core, Vector.Gp, code);
    if ((attributes & Attribute.Present) === 0) return refuse(core, Vector.Ss, code);
  } else {
    if ((attributes & Attribute.NotSystem) === 0 || (attributes & 0xa) === Attribute.Code)
      return refuse(core, Vector.Gp, code);
    const conforming = (attributes & 0xc) === 0xc;
    if (!conforming && (rpl > dpl || cpl > dpl)) return refuse(core, Vector.Gp, code);
    if ((attributes & Attribute.Present) === 0) return refuse(core, Vector.Np, code);
  }
  if (!setAccessed(core, eaLo, eaHi, hi)) return false;
  setSegment(words, segment, selector, lo, hi | 0x100);
  core.noteSegments();
  return true;
}

/** Sets the accessed bit in the table when it is clear. @param hi high word of the descriptor at that address */
export function setAccessed(core: ExecutionCore, atLo: number, atHi: number, hi: number): boolean {
  if ((hi & 0x100) !== 0) return true;
  const lo = (atLo + 4) | 0;
  return core.writeSystem(lo, lo >>> 0 < 4 ? (atHi + 1) | 0 : atHi, 2, hi | 0x100, 0);
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}
