/** Size, signedness and C spelling of a value. */
export interface AbiType {
  readonly name: string;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  /** How the C header spells it. */
  readonly c: string;
  /** `unsigned long` of the guest: 4 bytes for 32-bit guests. */
  readonly word: boolean;
  /** A guest address; interfaces that pass physical addresses convert it. */
  readonly pointer: boolean;
}

function type(name: string, bytes: 1 | 2 | 4 | 8, signed: boolean, c: string): AbiType {
  return { name, bytes, signed, c, word: name === "ulong", pointer: name === "handle" };
}

/** Types of struct fields and of register arguments. Arguments may also use the C names. */
export const ABI_TYPES: readonly AbiType[] = [
  type("u8", 1, false, "uint8_t"),
  type("s8", 1, true, "int8_t"),
  type("u16", 2, false, "uint16_t"),
  type("s16", 2, true, "int16_t"),
  type("u32", 4, false, "uint32_t"),
  type("s32", 4, true, "int32_t"),
  type("u64", 8, false, "uint64_t"),
  type("s64", 8, true, "int64_t"),
  type("domid", 2, false, "domid_t"),
  type("port", 4, false, "evtchn_port_t"),
  type("ulong", 8, false, "uint64_t"),
  type("handle", 8, false, "uint64_t"),
];

/** The type of that name, or of that C spelling. */
export function findAbiType(name: string): AbiType | undefined {
  return ABI_TYPES.find((t) => t.name === name) ?? ABI_TYPES.find((t) => t.c === name);
}
