import type { OperationDescriptor, OperationField } from "../operations/operation.js";
import { AbiError } from "./abi-error.js";
import type { AbiGroup, AbiOperation, AbiValue } from "./abi-group.js";

/**
 * Turns a loaded group into the descriptors that the interfaces work with.
 * @throws AbiError `missing-struct` when the file gives no layout for a struct that an operation names
 */
export function describeOperations(group: AbiGroup, file: string): OperationDescriptor[] {
  return group.operations.map((operation) => describeOperation(group, operation, file));
}

function describeOperation(group: AbiGroup, operation: AbiOperation, file: string): OperationDescriptor {
  const layout = group.structs.find((s) => s.name === operation.struct);
  const field = (value: AbiValue): OperationField => {
    if (value.type === undefined || value.offset === undefined)
      throw new AbiError(
        "missing-struct",
        file,
        operation.line,
        `subops.${operation.name}.${value.name}`,
        `a layout of ${operation.struct ?? "its struct"} under structs`,
      );
    const { name, register, type, offset, implied } = value;
    const base = { name, bytes: type.bytes, signed: type.signed, register, offset };
    return implied === undefined ? base : { ...base, implied };
  };
  const descriptor: OperationDescriptor = {
    name: `${group.name}.${operation.name}`,
    hypercall: group.hypercall,
    subop: operation.subop,
    inputs: operation.inputs.map(field),
    outputs: operation.outputs.map(field),
    struct: layout === undefined ? undefined : { name: layout.name, bytes: layout.bytes },
    copyIn: operation.copyIn,
    copyOut: operation.copyOut,
  };
  return {
    ...descriptor,
    ...(group.array && { array: true as const }),
    ...(!group.fastabi && { traditionalOnly: true as const }),
  };
}
