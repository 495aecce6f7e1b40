import type { OperationDescriptor, OperationField } from "../operations/operation.js";
import { AbiError } from "./abi-error.js";
import {
  type AbiGroup,
  type AbiOperation,
  type AbiValue,
  FASTABI_ONLY,
  REGISTER_ARGUMENT,
} from "./abi-group.js";
import { type AbiType, findAbiType } from "./abi-type.js";
import { compatBytes, compatLayout } from "./compat-layout.js";

/** A value of which nothing but the register is known: all of the register. */
const UNTYPED = findAbiType("u64") as AbiType;

/**
 * Turns a loaded group into the descriptors that the interfaces work with.
 * A value without a type, as descriptions that give no layouts have them, has 64 bits, and its operation is one of FastABI's alone.
 * @throws AbiError `missing-struct` when nobody gave a layout for a struct that an operation names
 */
export function describeOperations(group: AbiGroup, file: string): OperationDescriptor[] {
  return group.operations.map((operation) => describeOperation(group, operation, file));
}

function describeOperation(group: AbiGroup, operation: AbiOperation, file: string): OperationDescriptor {
  const values = [...operation.inputs, ...operation.outputs];
  const layout = group.structs.find((s) => s.name === operation.struct);
  const compat = layout === undefined ? undefined : compatLayout(layout);
  const field = (value: AbiValue): OperationField => {
    const { name, register, implied } = value;
    if (operation.struct !== undefined && layout === undefined)
      throw new AbiError(
        "missing-struct",
        file,
        operation.line,
        `subops.${operation.name}.${name}`,
        `a layout of ${operation.struct} under structs`,
      );
    const { type = UNTYPED, offset = FASTABI_ONLY } = value;
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
      ...(type.pointer && { pointer: true as const }),
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
    ...(values.some(({ type }) => type === undefined) && { fastabiOnly: true as const }),
  };
}
