import { type Arena, FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { VirtualizationError } from "../virtualized-processor.js";
import { CleanBit, VMCB_FIELDS, VmcbOffset } from "./vmcb-fields.js";

const FIELD_AT = new Map(VMCB_FIELDS.map((field) => [field.offset, field]));
const FIELD_NAMED = new Map(VMCB_FIELDS.map((field) => [field.name, field]));

/** Clean-bit group of each word. */
const GROUP_OF_WORD: Int32Array = new Int32Array(1024);
for (const { offset, bytes, clean } of VMCB_FIELDS)
  for (let at = offset >>> 2; at <= (offset + bytes - 1) >>> 2; at++) GROUP_OF_WORD[at] |= clean;

/**
 * A virtual machine control block: one frame of simulated memory, seen by its APM offsets. Reads and writes neither
 * cost cycles nor touch caches; whoever models software that reads the VMCB touches its lines through `Mmu`.
 *
 * {@link set} and {@link set64} mark the group of the field dirty by clearing its clean bit, as Xen's accessors do;
 * {@link store} does not, and then a later VMRUN may run on the processor's own copy, as on hardware.
 */
export class Vmcb {
  /** Machine frame; its address is what VMRUN takes in RAX. */
  readonly frame: number;
  /** Index of the first word in the arena's 32-bit view. */
  readonly at: number;
  /**
   * Groups ({@link CleanBit}) that {@link store} changed while their clean bit was set: memory and the processor's copy
   * may differ, so the next #VMEXIT writes them whether the guest changed them or not.
   */
  overwritten = 0;
  private i32!: Int32Array;

  constructor(arena: Arena, memory: PhysicalMemory, frame: number) {
    const offset = memory.frameOffset(frame);
    if (offset < 0) throw new VirtualizationError("NO_RAM", frame * FRAME_BYTES, "no RAM for the VMCB");
    this.frame = frame;
    this.at = offset >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** The 32-bit word at a field's offset (low word of 64-bit fields), signed. */
  word(offset: number): number {
    return this.i32[this.at + (offset >>> 2)];
  }

  /** High word of a 64-bit field, signed. */
  wordHi(offset: number): number {
    return this.i32[this.at + (offset >>> 2) + 1];
  }

  /** One byte, for the byte-wide fields (TLB_CONTROL, CPL). */
  byte(offset: number): number {
    return (this.word(offset & ~3) >>> ((offset & 3) * 8)) & 0xff;
  }

  /** A 16-bit field (segment selectors and attributes, pause filter). */
  half(offset: number): number {
    return (this.word(offset & ~3) >>> ((offset & 2) * 8)) & 0xffff;
  }

  /** Stores a 32-bit word and leaves the clean bits alone. */
  store(offset: number, value: number): void {
    this.overwritten |= GROUP_OF_WORD[offset >>> 2];
    this.i32[this.at + (offset >>> 2)] = value;
  }

  /** Stores one byte and leaves the clean bits alone. */
  storeByte(offset: number, value: number): void {
    const shift = (offset & 3) * 8;
    this.store(offset, (this.word(offset) & ~(0xff << shift)) | ((value & 0xff) << shift));
  }

  /** Stores a field of up to 32 bits, or a 64-bit one with a zero high word, and marks its group dirty. */
  set(offset: number, value: number): void {
    const field = FIELD_AT.get(offset);
    const bytes = field?.bytes ?? 4;
    if (bytes === 8) this.store(offset + 4, 0);
    if (bytes === 1) this.storeByte(offset, value);
    else if (bytes === 2) {
      const shift = (offset & 2) * 8;
      this.store(offset & ~3, (this.word(offset & ~3) & ~(0xffff << shift)) | ((value & 0xffff) << shift));
    } else this.store(offset, value);
    this.markDirty(field?.clean ?? 0);
  }

  /** Stores both words of a 64-bit field and marks its group dirty. */
  set64(offset: number, lo: number, hi: number): void {
    this.store(offset, lo);
    this.store(offset + 4, hi);
    this.markDirty(FIELD_AT.get(offset)?.clean ?? 0);
  }

  /**
   * Stores a segment or descriptor-table register and marks its group dirty.
   * @param attributes as the VMCB packs them: type, S, DPL, P in bits 7:0; AVL, L, D/B, G in bits 11:8
   * @param limit in bytes
   */
  setSegment(
    offset: number,
    selector: number,
    attributes: number,
    limit: number,
    baseLo: number,
    baseHi: number,
  ): void {
    this.store(offset, (selector & 0xffff) | (attributes << 16));
    this.store(offset + 4, limit);
    this.store(offset + 8, baseLo);
    this.store(offset + 12, baseHi);
    this.markDirty(FIELD_AT.get(offset)?.clean ?? 0);
  }

  /** Clears clean bits: the named groups are read from memory at the next VMRUN. */
  markDirty(groups: number): void {
    this.store(VmcbOffset.CleanBits, this.word(VmcbOffset.CleanBits) & ~groups);
  }

  /** Sets all clean bits, as Xen does after each #VMEXIT. */
  markAllClean(): void {
    this.i32[this.at + (VmcbOffset.CleanBits >>> 2)] = CleanBit.All;
  }

  /** A field as one number, for tools and tests; segments are refused. Allocates. */
  read(name: keyof typeof VmcbOffset): bigint {
    const field = FIELD_NAMED.get(name)!;
    if (field.bytes > 8) throw new RangeError(`${name} is ${field.bytes} bytes`);
    if (field.bytes === 1) return BigInt(this.byte(field.offset));
    if (field.bytes === 2) return BigInt(this.half(field.offset));
    const low = BigInt(this.word(field.offset) >>> 0);
    return field.bytes === 4 ? low : low | (BigInt(this.wordHi(field.offset) >>> 0) << 32n);
  }
}
