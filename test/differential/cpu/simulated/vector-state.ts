import { State } from "../../../../packages/cpu/src/cpu-state.js";
import { ImageField } from "../layout.js";

/** Loads x87, MMX and XMM registers from an image of FXSAVE64; ST(i) is R((TOP + i) mod 8). */
export function loadImage(words: Int32Array, image: Uint8Array): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const status = view.getUint16(ImageField.StatusWord, true);
  words[State.FpuControl] = view.getUint16(ImageField.ControlWord, true);
  words[State.FpuStatus] = status;
  words[State.FpuInUse] = view.getUint8(ImageField.InUse);
  words[State.FpuOpcode] = view.getUint16(ImageField.Opcode, true);
  words[State.FpuInstructionLo] = view.getInt32(ImageField.InstructionPointer, true);
  words[State.FpuInstructionHi] = view.getInt32(ImageField.InstructionPointer + 4, true);
  words[State.FpuInstructionSelector] = 0;
  words[State.FpuDataLo] = view.getInt32(ImageField.DataPointer, true);
  words[State.FpuDataHi] = view.getInt32(ImageField.DataPointer + 4, true);
  words[State.FpuDataSelector] = 0;
  words[State.Mxcsr] = view.getInt32(ImageField.Mxcsr, true);
  for (let i = 0; i < 8; i++) {
    const register = State.Fpr + 4 * (((status >> 11) + i) & 7);
    const at = ImageField.Stack + 16 * i;
    words[register] = view.getInt32(at, true);
    words[register + 1] = view.getInt32(at + 4, true);
    words[register + 2] = view.getUint16(at + 8, true);
  }
  for (let i = 0; i < 64; i++)
    words[State.Vector + 8 * (i >> 2) + (i & 3)] = view.getInt32(ImageField.Xmm + 4 * i, true);
}

/** The opposite of {@link loadImage}. */
export function storeImage(words: Int32Array, into: DataView, at: number): void {
  const status = words[State.FpuStatus];
  into.setUint16(at + ImageField.ControlWord, words[State.FpuControl], true);
  into.setUint16(at + ImageField.StatusWord, status, true);
  into.setUint8(at + ImageField.InUse, words[State.FpuInUse]);
  into.setUint16(at + ImageField.Opcode, words[State.FpuOpcode], true);
  into.setInt32(at + ImageField.InstructionPointer, words[State.FpuInstructionLo], true);
  into.setInt32(at + ImageField.InstructionPointer + 4, words[State.FpuInstructionHi], true);
  into.setInt32(at + ImageField.DataPointer, words[State.FpuDataLo], true);
  into.setInt32(at + ImageField.DataPointer + 4, words[State.FpuDataHi], true);
  into.setInt32(at + ImageField.Mxcsr, words[State.Mxcsr], true);
  for (let i = 0; i < 8; i++) {
    const register = State.Fpr + 4 * (((status >> 11) + i) & 7);
    const stack = at + ImageField.Stack + 16 * i;
    into.setInt32(stack, words[register], true);
    into.setInt32(stack + 4, words[register + 1], true);
    into.setUint16(stack + 8, words[register + 2], true);
  }
  for (let i = 0; i < 64; i++)
    into.setInt32(at + ImageField.Xmm + 4 * i, words[State.Vector + 8 * (i >> 2) + (i & 3)], true);
}
