/**
 * Reads operation descriptions (abi/*.yml); apart from the main entry because it needs a YAML parser.
 *
 * @packageDocumentation
 */

export { AbiError, type AbiErrorCode } from "./abi-error.js";
export {
  type AbiGroup,
  type AbiOperation,
  type AbiStruct,
  type AbiStructField,
  type AbiValue,
  FASTABI_ONLY,
  REGISTER_ARGUMENT,
} from "./abi-group.js";
export { ABI_TYPES, type AbiType, findAbiType } from "./abi-type.js";
export { describeOperations } from "./describe-operations.js";
export { type LoadAbiOptions, loadAbi } from "./load-abi.js";
export { MAX_ABI_TEXT } from "./yaml-source.js";
