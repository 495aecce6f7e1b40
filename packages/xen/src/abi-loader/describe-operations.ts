import type { OperationDescriptor, OperationField } from "../operations/operation.js";
import { AbiError } from "./abi-error.js";
import { type AbiGroup, type AbiOperation, type AbiValue, REGISTER_ARGUMENT } from "./abi-group.js";
import { compatBytes, compatLayout } from "./compat-layout.js";

/**
 * Turns a loaded group into the descriptors that the interfaces work with.
 * @throws AbiError `missing-struct` when the file gives no layout for a struct that an operation names
 */
export function describeOperations(group: AbiGroup, file: string): OperationDescriptor[] {
  return group.operations.map((operation) => describeOperation(group, operation, file));
}

function describeOperation(group: AbiGroup, operation: AbiOperation, file: string): OperationDescriptor {
  const layout = group.structs.find((s) => s.name === operation.struct);
  const compat = layout === undefined ? undefined : compatLayout(layout);
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
    const isPair = offset === REGISTER_ARGUMENT && type.bytes === 8 && !type.pointer && !type.word;
    const compatOffset = offset >= 0 && compat !== undefined ? compat.offsetOf(offset) : offset;
    return {
      name,
      bytes: type.bytes,
      signed: type.signed,
      register,
      offset,
      ...(compatOffset === offset ? {} : { compatOffset }),
      ...(offset < 0 || !layout?.compat || compatBytes(type) === type.bytes
        ? {}
        : { compatBytes: compatBytes(type) }),
      ...(isPair && { compatPair: true as const }),
      ...(implied === undefined ? {} : { implied }),
    };
  };
  const descriptor: OperationDescriptor = {
    name: `${group.name}.${operation.name}`,
    hypercall: group.hypercall,
    subop: operation.subop,
    inputs: operation.inputs.map(field),
    outputs: operation.outputs.map(field),
    struct:
      layout === undefined || compat === undefined
        ? undefined
        : {
            name: layout.name,
            bytes: layout.bytes,
            ...(compat.bytes === layout.bytes ? {} : { compatBytes: compat.bytes }),
          },
    copyIn: operation.copyIn,
    copyOut: operation.copyOut,
  };
  return {
    ...descriptor,
    ...(operation.copyOutField !== undefined && { copyOutField: operation.copyOutField }),
    ...(operation.alwaysOut && { alwaysOut: true as const }),
    ...(group.array && { array: true as const }),
    ...(group.plain && { plain: true as const }),
    ...(!operation.fastabi && { traditionalOnly: true as const }),
  };
}
