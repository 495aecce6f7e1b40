import type { Operation, OperationField } from "../operations/operation.js";

/** Where the traditional interface finds one value. */
export const Place = { Zero: 0, Argument: 1, Struct: 2, ArgumentPair: 3 } as const;

/** One value's way in or out, as small integers. */
export interface FieldPlan {
  readonly place: number;
  /** Argument index (of a pair: the low word's), or byte offset in the struct. */
  readonly at: number;
  readonly bytes: number;
  readonly signed: boolean;
}

/** What a traditional interface does for one operation, worked out once from its descriptor. */
export interface OperationPlan {
  readonly operation: Operation;
  /** -1: compiled when it first runs. */
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
  /** Where in the struct the bytes that are copied out begin. */
  readonly copyOutAt: number;
  readonly alwaysOut: boolean;
  /** Size of the struct: the distance of an array's entries. */
  readonly structBytes: number;
}

/**
 * Arguments in order: the sub-operation, where there are several, the register parameters as the descriptor lists them, the struct's pointer,
 * an array's length.
 * @param compat for a 32-bit caller, whose structs have another layout
 */
export function planOperation(operation: Operation, stage: number, compat = false): OperationPlan {
  const { inputs, outputs, struct, copyIn, copyOut, copyOutField, alwaysOut, array, plain } =
    operation.descriptor;
  let argument = plain ? 0 : 1;
  const plan = (field: OperationField): FieldPlan => {
    const { signed, offset } = field;
    const bytes = (compat ? field.compatBytes : undefined) ?? field.bytes;
    if (offset === -1 && compat && field.compatPair) {
      argument += 2;
      return { place: Place.ArgumentPair, at: argument - 2, bytes, signed };
    }
    if (offset === -1) return { place: Place.Argument, at: argument++, bytes, signed };
    if (offset === -2) return { place: Place.Zero, at: 0, bytes, signed };
    return { place: Place.Struct, at: (compat ? field.compatOffset : undefined) ?? offset, bytes, signed };
  };
  const plannedInputs = inputs.map(plan);
  const plannedOutputs = outputs.map(plan);
  const pointer = argument;
  const structBytes = (compat ? struct?.compatBytes : undefined) ?? struct?.bytes ?? 0;
  const copied = (bytes: number) => (bytes === struct?.bytes ? structBytes : bytes);
  const out = outputs.findIndex((field) => field.name === copyOutField);
  return {
    operation,
    stage,
    inputs: plannedInputs,
    outputs: plannedOutputs,
    copyIn: copied(copyIn),
    copyOut: copied(copyOut),
    copyOutAt: out < 0 ? 0 : plannedOutputs[out].at,
    alwaysOut: alwaysOut === true,
    padding: paddingOf(structBytes, [...plannedInputs, ...plannedOutputs]),
    pointer,
    isArray: array === true,
    structBytes,
  };
}

function paddingOf(structBytes: number, fields: readonly FieldPlan[]): Int32Array {
  const covered = new Uint8Array(structBytes);
  for (const { place, at, bytes } of fields) if (place === Place.Struct) covered.fill(1, at, at + bytes);
  const padding: number[] = [];
  for (let at = 0; at < structBytes; at++) if (covered[at] === 0) padding.push(at);
  return Int32Array.from(padding);
}
