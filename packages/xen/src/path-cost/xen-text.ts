import { DIRECTMAP_HI } from "@hyperwalk/cpu";
import type { StageId } from "./path-cost.js";
import type { Stage } from "./stage.js";
import { StageOverrides } from "./stage-overrides.js";

/** Xen's own image is linked here (XEN_VIRT_START 0xffff82d040000000 plus 2 MiB), low and high word. */
export const XEN_TEXT_LO: number = 0x40200000;
export const XEN_TEXT_HI: number = 0xffff82d0 | 0;

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

/**
 * Xen's image, the same for all processors: numbers stages as they are first compiled, and lays their text out one after
 * the other.
 */
export class XenText {
  /** By number, at the prices of {@link overrides}. */
  readonly stages: Stage[] = [];
  readonly overrides: StageOverrides;
  private readonly ids = new Map<Stage, StageId>();
  private readonly places = new Map<Stage, TextPlace>();
  private next = 0;
  private readonly bytes: number;

  /**
   * @param bytes size of the mapped text; the layout wraps at its end
   * @param overrides of the stages' prices; default none
   */
  constructor(bytes: number, overrides: StageOverrides = new StageOverrides()) {
    this.bytes = bytes;
    this.overrides = overrides;
  }

  /**
   * Number of a stage: the same object always has the same.
   * @param further for another processor, whose handlers have composed again what the first one's did: known by its name
   */
  idOf(stage: Stage, further = false): StageId {
    const known = this.ids.get(stage);
    if (known !== undefined) return known;
    const like = further ? this.stages.findIndex(({ name }) => name === stage.name) : -1;
    if (like >= 0) {
      this.ids.set(stage, like);
      return like;
    }
    const id = this.stages.push(this.overrides.apply(stage)) - 1;
    this.ids.set(stage, id);
    return id;
  }

  /** Where a stage without parts lies, of so many instructions: the first to ask decides. */
  placeOf(stage: Stage, instructions: number): TextPlace {
    let place = this.places.get(stage);
    if (place === undefined) {
      place = this.place(instructions);
      this.places.set(stage, place);
    }
    return place;
  }

  private place(instructions: number): TextPlace {
    const lines = Math.ceil((instructions * this.overrides.bytesPerInstruction) / 64);
    if (this.next + lines * 64 > this.bytes) this.next = 0;
    const lo = (XEN_TEXT_LO + this.next) | 0;
    this.next += lines * 64;
    return { lo, hi: XEN_TEXT_HI, lines };
  }
}
