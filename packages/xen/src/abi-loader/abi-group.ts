import type { AbiType } from "./abi-type.js";

/** `AbiValue.offset` of a value that is a register argument in the traditional interface. */
export const REGISTER_ARGUMENT = -1;
/** `AbiValue.offset` of a value that the traditional interface has no place for. */
export const FASTABI_ONLY = -2;

/** One hypercall's operations, as one file of `abi/` describes them. Plain data. */
export interface AbiGroup {
  readonly name: string;
  /** Hypercall number, `__HYPERVISOR_*`. */
  readonly hypercall: number;
  readonly doc: string;
  /** Does FastABI dispatch this hypercall? */
  readonly fastabi: boolean;
  /** The traditional struct pointer names an array and is followed by its length. */
  readonly array: boolean;
  /** It has no sub-operation: its arguments begin in the first register. There is one operation, with index 0. */
  readonly plain: boolean;
  /** Numbers that go with the operations: `HVM_PARAM_CONSOLE_PFN`. */
  readonly constants: ReadonlyMap<string, number>;
  /** Those of the file, else those of other files that its operations name. */
  readonly structs: readonly AbiStruct[];
  readonly operations: readonly AbiOperation[];
}

/** Layout of a struct of the traditional interface, for 64-bit guests. */
export interface AbiStruct {
  readonly name: string;
  readonly bytes: number;
  /** 32-bit guests lay it out by their own rules; otherwise it looks the same to them. */
  readonly compat: boolean;
  readonly fields: readonly AbiStructField[];
}

export interface AbiStructField {
  /** Dotted C path inside the struct: `u.interdomain.port`. */
  readonly path: string;
  /** Byte offset of the first element. */
  readonly offset: number;
  /** Alignment in bytes for 64-bit guests, where it is not the type's: what comes before it is padded to that. */
  readonly align?: number;
  readonly type: AbiType;
  /** Elements; 0 when the field is not an array. */
  readonly elements: number;
  /** For handles: what they point to, when C should know. */
  readonly of: AbiType | undefined;
}

export interface AbiOperation {
  readonly name: string;
  readonly subop: number;
  readonly doc: string;
  /** Name of the traditional struct. */
  readonly struct: string | undefined;
  readonly inputs: readonly AbiValue[];
  readonly outputs: readonly AbiValue[];
  /** Bytes that the traditional handler copies in and out. */
  readonly copyIn: number;
  readonly copyOut: number;
  /** The one field that is copied out, instead of the start of the struct. */
  readonly copyOutField: string | undefined;
  /** Results are copied out even when the operation fails. */
  readonly alwaysOut: boolean;
  /** Does FastABI dispatch this operation? */
  readonly fastabi: boolean;
  /** Errors besides -EFAULT, as names. */
  readonly errors: readonly string[];
  /** Line of its key in the file. */
  readonly line: number;
}

export interface AbiValue {
  readonly name: string;
  /** FastABI register number 1 to 7, or 0 when FastABI does not carry the value. */
  readonly register: number;
  /** `undefined` when the file gives no layout, as the RFC's own files do not. */
  readonly type: AbiType | undefined;
  /** Path in the struct, when that is where the traditional interface has it. */
  readonly path: string | undefined;
  /** Byte offset in the struct, {@link REGISTER_ARGUMENT} or {@link FASTABI_ONLY}; `undefined` without a layout. */
  readonly offset: number | undefined;
  /** What FastABI takes for granted; C and TypeScript stubs do not ask for it. */
  readonly implied: number | undefined;
  /** Where a C stub finds a value that only FastABI carries: `frame` of the struct, or `field[0]`. */
  readonly source: string | undefined;
}
