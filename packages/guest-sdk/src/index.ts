/**
 * Write guests for the hyperwalk simulator: machine code, hypercall stubs for each ABI, PVH images.
 *
 * @packageDocumentation
 */

export * from "./assembler/assembler.js";
export { AssemblerError, type Origin } from "./assembler/code-buffer.js";
export * from "./assembler/label.js";
export * from "./assembler/memory.js";
export {
  type AluOperation,
  Condition,
  type ConditionName,
  type PlainInstruction,
  type ShiftOperation,
  type UnaryOperation,
} from "./assembler/opcodes.js";
export * from "./assembler/register.js";
export { hypercallBenchImage } from "./images/hypercall-bench.gen.js";
