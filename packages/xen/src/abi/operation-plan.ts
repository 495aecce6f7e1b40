import type { Operation, OperationField } from "../operations/operation.js";

/** Where the traditional interface finds one value. */
export const Place = { Zero: 0, Argument: 1, Struct: 2 } as const;

/** One value's way in or out, as small integers. */
export interface FieldPlan {
  readonly place: number;
  /** Argument index, or byte offset in the struct. */
  readonly at: number;
  readonly bytes: number;
  readonly signed: boolean;
}

/** What a traditional interface does for one operation, worked out once from its descriptor. */
export interface OperationPlan {
  readonly operation: Operation;
  readonly stage: number;
  readonly inputs: readonly FieldPlan[];
  readonly outputs: readonly FieldPlan[];
  readonly copyIn: number;
  readonly copyOut: number;
  /** Offsets of the struct's bytes that no value lies in. */
  readonly padding: Int32Array;
  /** Argument that holds the pointer to the struct; the one after it is an array's length. */
  readonly pointer: number;
  readonly isArray: boolean;
  /** The struct looks the same to 32-bit callers; otherwise Xen would translate it, which is not modelled. */
  readonly compatLayout: boolean;
}

/**
 * Arguments in order: the sub-operation, the register parameters as the descriptor lists them, the struct's pointer,
 * an array's length.
 */
export function planOperation(operation: Operation, stage: number): OperationPlan {
  const { inputs, outputs, struct, copyIn, copyOut, array } = operation.descriptor;
  let argument = 1; // argument 0 is the sub-operation
  const plan = (field: OperationField): FieldPlan => {
    const { bytes, signed, offset } = field;
    if (offset === -1) return { place: Place.Argument, at: argument++, bytes, signed };
    if (offset === -2) return { place: Place.Zero, at: 0, bytes, signed };
    return { place: Place.Struct, at: offset, bytes, signed };
  };
  const plannedInputs = inputs.map(plan);
  const pointer = argument;
  return {
    operation,
    stage,
    inputs: plannedInputs,
    outputs: outputs.map(plan),
    copyIn,
    copyOut,
    padding: paddingOf(struct?.bytes ?? 0, [...inputs, ...outputs]),
    pointer,
    isArray: array === true,
    compatLayout: hasCompatLayout([...inputs, ...outputs]),
  };
}

function paddingOf(structBytes: number, fields: readonly OperationField[]): Int32Array {
  const covered = new Set<number>();
  for (const { offset, bytes } of fields)
    if (offset >= 0) for (let at = offset; at < offset + bytes; at++) covered.add(at);
  return Int32Array.from({ length: structBytes }, (_, at) => at).filter((at) => !covered.has(at));
}

/** Would the 32-bit rules (8-byte values aligned to 4) put every field where the 64-bit ones do? */
function hasCompatLayout(fields: readonly OperationField[]): boolean {
  const inStruct = fields.filter((field) => field.offset >= 0).sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, bytes } of inStruct) {
    if (offset < end) continue; // an output in an input's place
    const align = Math.min(bytes, 4);
    if (Math.ceil(end / align) * align !== offset) return false;
    end = offset + bytes;
  }
  return true;
}
