import { DIRECTMAP_HI } from "@hyperwalk/cpu";

/** Xen's own image is linked here (XEN_VIRT_START 0xffff82d040000000 plus 2 MiB), low and high word. */
export const XEN_TEXT_LO: number = 0x40200000;
export const XEN_TEXT_HI: number = 0xffff82d0 | 0;
/** Average bytes of an instruction (estimate). */
const BYTES_PER_INSTRUCTION = 4;

/** Low word of a physical address in Xen's direct map. */
export function directmapLo(frame: number, offset: number): number {
  return (frame << 12) | offset;
}

/** High word of a frame's address in Xen's direct map. */
export function directmapHi(frame: number): number {
  return (DIRECTMAP_HI + (frame >>> 20)) | 0;
}

/** Lines of text that one stage fetches. */
export interface TextPlace {
  readonly lo: number;
  readonly hi: number;
  readonly lines: number;
}

/** Lays the text of stages out one after the other in Xen's image. */
export class XenText {
  private next = 0;
  private readonly bytes: number;

  /** @param bytes size of the mapped text; the layout wraps at its end */
  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Lines for a stage of so many instructions. */
  place(instructions: number): TextPlace {
    const lines = Math.ceil((instructions * BYTES_PER_INSTRUCTION) / 64);
    if (this.next + lines * 64 > this.bytes) this.next = 0;
    const lo = (XEN_TEXT_LO + this.next) | 0;
    this.next += lines * 64;
    return { lo, hi: XEN_TEXT_HI, lines };
  }
}
