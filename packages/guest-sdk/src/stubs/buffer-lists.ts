import type { Assembler } from "../assembler/assembler.js";
import { Label, type LabelAddress, physicalAddress } from "../assembler/label.js";
import type { AbiName } from "./stub-emitter.js";

const PAGE_BYTES = 4096;
/** Kind of a pair list in the low two bits of an address. */
const TUPLES = 2;

/** Descriptions of buffers, as the scatter/gather interfaces want them: data of the image, one for each buffer, as long as the longest use of it. */
export class BufferLists {
  private readonly lists = new Map<Label, { readonly label: Label; bytes: number }>();
  private readonly form: AbiName;

  /** @param form `sg-frames`, `sg-tuples` or `sg-descriptor` */
  constructor(form: AbiName) {
    this.form = form;
  }

  /** What a call passes for a buffer. @param alignment of its first byte: a flat one must not cross a page */
  pointerTo(buffer: Label, bytes: number, alignment: number): LabelAddress {
    const isFlat = alignment % 4 === 0 && bytes <= Math.min(alignment, PAGE_BYTES);
    if (this.form === "sg-descriptor" && isFlat) return physicalAddress(buffer);
    let list = this.lists.get(buffer);
    if (list === undefined) {
      list = { label: new Label(`description of ${buffer.name}`), bytes };
      this.lists.set(buffer, list);
    }
    list.bytes = Math.max(list.bytes, bytes);
    return physicalAddress(list.label, this.form === "sg-descriptor" ? TUPLES : 0);
  }

  /** Emits all that were asked for; once, after the code. */
  emitData(a: Assembler): void {
    for (const [buffer, { label, bytes }] of this.lists) {
      a.align(16);
      a.bind(label);
      if (this.form !== "sg-frames") {
        a.reference("physical32", buffer);
        a.integer(0, 4);
        a.integer(bytes, 8);
        continue;
      }
      a.reference("pageOffset32", buffer);
      a.integer(0, 4);
      for (let at = 0; at < PAGE_BYTES - 1 + bytes; at += PAGE_BYTES) {
        a.reference("frame32", buffer, at);
        a.integer(0, 4);
      }
    }
  }
}
