import { State } from "../cpu-state.js";

/** Components of extended state by their bits in XCR0 (SDM vol. 1, 13.1). */
export const Component = { X87: 1, Sse: 2 } as const;

/** What XCR0 may have: the components that there are, x87 state among them (SDM vol. 1, 13.3). */
export function validXcr0(lo: number, hi: number): boolean {
  return hi === 0 && (lo & ~(Component.X87 | Component.Sse)) === 0 && (lo & Component.X87) !== 0;
}

/** Byte offsets in the image of FXSAVE, which XSAVE's begins with, and in the header after it (SDM vol. 1, 13.4). */
export const StateOffset = {
  Environment: 0,
  Mxcsr: 24,
  MxcsrMask: 28,
  Stack: 32,
  Xmm: 160,
  /** The rest up to the header is software's. */
  XmmEnd: 416,
  Header: 512,
  End: 576,
} as const;

/** MXCSR after reset. */
export const MXCSR_START = 0x1f80;

const CONTROL_DEFINED = 0x1f7f;
const CONTROL_ONE = 0x40;
const EXCEPTIONS = 0x3f;
/** ES and B: an unmasked exception waits. */
const SUMMARY = 0x8080;

/*
 * Registers to and from an image of 32-bit words. The stack is saved from its top: ST(i) is R((TOP + i) mod 8).
 */

/**
 * @param wide 64-bit instruction and data pointers instead of 32-bit ones with selectors
 * @param pointers whether there are any to save; zeros otherwise
 */
export function storeX87(words: Int32Array, image: Int32Array, wide: boolean, pointers: boolean): void {
  const status = words[State.FpuStatus];
  image[0] = (words[State.FpuControl] & 0xffff) | (status << 16);
  image[1] = (words[State.FpuInUse] & 0xff) | (pointers ? (words[State.FpuOpcode] & 0x7ff) << 16 : 0);
  image[2] = pointers ? words[State.FpuInstructionLo] : 0;
  image[4] = pointers ? words[State.FpuDataLo] : 0;
  const instruction = wide ? words[State.FpuInstructionHi] : words[State.FpuInstructionSelector] & 0xffff;
  const data = wide ? words[State.FpuDataHi] : words[State.FpuDataSelector] & 0xffff;
  image[3] = pointers ? instruction : 0;
  image[5] = pointers ? data : 0;
  for (let i = 0; i < 8; i++) {
    const register = State.Fpr + 4 * (((status >> 11) + i) & 7);
    const at = (StateOffset.Stack >> 2) + 4 * i;
    image[at] = words[register];
    image[at + 1] = words[register + 1];
    image[at + 2] = words[register + 2] & 0xffff;
    image[at + 3] = 0;
  }
}

/** Reserved bits of the control word take their fixed values, and the summary bits of the status word follow. */
export function loadX87(words: Int32Array, image: Int32Array, wide: boolean): void {
  const control = (image[0] & CONTROL_DEFINED) | CONTROL_ONE;
  const status = (image[0] >>> 16) & ~SUMMARY;
  words[State.FpuControl] = control;
  words[State.FpuStatus] = (status & ~control & EXCEPTIONS) === 0 ? status : status | SUMMARY;
  words[State.FpuInUse] = image[1] & 0xff;
  words[State.FpuOpcode] = (image[1] >>> 16) & 0x7ff;
  words[State.FpuInstructionLo] = image[2];
  words[State.FpuInstructionHi] = wide ? canonicalHigh(image[3]) : 0;
  words[State.FpuInstructionSelector] = wide ? 0 : image[3] & 0xffff;
  words[State.FpuDataLo] = image[4];
  words[State.FpuDataHi] = wide ? canonicalHigh(image[5]) : 0;
  words[State.FpuDataSelector] = wide ? 0 : image[5] & 0xffff;
  for (let i = 0; i < 8; i++) {
    const register = State.Fpr + 4 * (((status >> 11) + i) & 7);
    const at = (StateOffset.Stack >> 2) + 4 * i;
    words[register] = image[at];
    words[register + 1] = image[at + 1];
    words[register + 2] = image[at + 2] & 0xffff;
  }
}

/** High word of a pointer, which the processor keeps in 48 bits. */
function canonicalHigh(hi: number): number {
  return (hi << 16) >> 16;
}

/** As FNINIT leaves it, and the data registers zero (SDM vol. 1, 13.6). */
export function resetX87(words: Int32Array): void {
  words.fill(0, State.Fpr, State.FpuDataSelector + 1);
  words[State.FpuControl] = 0x37f;
}

/** Whether the x87 state differs from that of {@link resetX87}. */
export function x87InUse(words: Int32Array): boolean {
  if (words[State.FpuControl] !== 0x37f) return true;
  for (let at: number = State.Fpr; at <= State.FpuDataSelector; at++)
    if (words[at] !== 0 && at !== State.FpuControl) return true;
  return false;
}

/** @param count of registers, 8 or 16 */
export function storeXmm(words: Int32Array, image: Int32Array, count: number): void {
  for (let i = 0; i < 4 * count; i++)
    image[(StateOffset.Xmm >> 2) + i] = words[State.Vector + 8 * (i >> 2) + (i & 3)];
}

/** @param count of registers, 8 or 16 */
export function loadXmm(words: Int32Array, image: Int32Array, count: number): void {
  for (let i = 0; i < 4 * count; i++)
    words[State.Vector + 8 * (i >> 2) + (i & 3)] = image[(StateOffset.Xmm >> 2) + i];
}

/** @param count of registers, 8 or 16 */
export function resetXmm(words: Int32Array, count: number): void {
  for (let i = 0; i < 4 * count; i++) words[State.Vector + 8 * (i >> 2) + (i & 3)] = 0;
}

/** Whether one of the first `count` XMM registers is not zero. */
export function xmmInUse(words: Int32Array, count: number): boolean {
  for (let i = 0; i < 4 * count; i++) if (words[State.Vector + 8 * (i >> 2) + (i & 3)] !== 0) return true;
  return false;
}
