import { type Arena, FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { VirtualizationError } from "../virtualized-processor.js";
import { InstructionError } from "./instruction-error.js";
import { FieldKind, FieldWidth, kindOf, VmcsField, widthOf } from "./vmcs-fields.js";
import { FieldGroup, GROUP_OF_FIELD, RegionWord, WORD_OF_FIELD, wordOf } from "./vmcs-layout.js";

const INSTRUCTION_ERROR = wordOf(VmcsField.InstructionError);

/**
 * A VMCS region: one frame of simulated memory whose inside only VMREAD and VMWRITE know. Fields are named by their
 * real encodings; bit 0 of the encoding of a 64-bit field selects its high half. Accesses here cost nothing: software's
 * VMREADs and VMWRITEs are priced by the path that makes them.
 */
export class Vmcs {
  /** Machine frame; its address is the operand of VMPTRLD. */
  readonly frame: number;
  /** Index of the region's first word in the arena's 32-bit view. */
  readonly at: number;
  /** Groups (`FieldGroup`) that VMWRITE changed since VM entry last took them. */
  written: number = FieldGroup.All;
  private i32!: Int32Array;

  constructor(arena: Arena, memory: PhysicalMemory, frame: number) {
    const offset = memory.frameOffset(frame);
    if (offset < 0)
      throw new VirtualizationError("NO_RAM", frame * FRAME_BYTES, "no RAM for the VMCS region");
    this.frame = frame;
    this.at = offset >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** VMCLEAR: the launch state becomes clear, and the region holds all of its data. */
  clear(): void {
    this.i32[this.at + RegionWord.LaunchState] = 0;
    this.written = FieldGroup.All;
  }

  /** 1 after a successful VMLAUNCH. */
  get launched(): boolean {
    return this.i32[this.at + RegionWord.LaunchState] !== 0;
  }

  set launched(value: boolean) {
    this.i32[this.at + RegionWord.LaunchState] = value ? 1 : 0;
  }

  /**
   * VMREAD of up to 32 bits: the low word of wider fields, or the high one for an encoding with bit 0 set.
   * @returns the value, signed; 0 for an encoding that does not exist, with the VM-instruction error set to 12
   */
  read(encoding: number): number {
    const word = WORD_OF_FIELD[encoding >>> 1];
    if (word < 0 || word === undefined || ((encoding & 1) !== 0 && widthOf(encoding) !== FieldWidth.Bits64)) {
      this.i32[this.at + INSTRUCTION_ERROR] = InstructionError.UnsupportedField;
      return 0;
    }
    return this.i32[this.at + word + (encoding & 1)];
  }

  /** High word of a 64-bit or natural-width field. */
  readHi(encoding: number): number {
    const wide = widthOf(encoding) === FieldWidth.Bits64 || widthOf(encoding) === FieldWidth.Natural;
    return wide ? this.i32[this.at + WORD_OF_FIELD[encoding >>> 1] + 1] : 0;
  }

  /**
   * VMWRITE.
   * @param hi high word of 64-bit and natural-width fields
   * @returns 0, or the VM-instruction error, which the field of that name then holds too
   */
  write(encoding: number, lo: number, hi = 0): number {
    const word = WORD_OF_FIELD[encoding >>> 1];
    const width = widthOf(encoding);
    if (word < 0 || word === undefined || ((encoding & 1) !== 0 && width !== FieldWidth.Bits64))
      return this.fail(InstructionError.UnsupportedField);
    if (kindOf(encoding) === FieldKind.ExitInformation) return this.fail(InstructionError.ReadOnlyField);
    const { i32, at } = this;
    this.written |= GROUP_OF_FIELD[encoding >>> 1];
    if ((encoding & 1) !== 0) {
      i32[at + word + 1] = lo;
      return 0;
    }
    i32[at + word] = width === FieldWidth.Bits16 ? lo & 0xffff : lo;
    if (width === FieldWidth.Bits64 || width === FieldWidth.Natural) i32[at + word + 1] = hi;
    return 0;
  }

  /** VMfailValid: leaves the error in its field. @returns the error */
  fail(error: number): number {
    this.i32[this.at + INSTRUCTION_ERROR] = error;
    return error;
  }

  /** A field as one number, for tools and tests. Allocates. */
  readBig(name: keyof typeof VmcsField): bigint {
    const encoding = VmcsField[name];
    return BigInt(this.read(encoding) >>> 0) | (BigInt(this.readHi(encoding) >>> 0) << 32n);
  }
}
