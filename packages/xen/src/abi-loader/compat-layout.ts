import type { AbiStruct, AbiStructField } from "./abi-group.js";
import type { AbiType } from "./abi-type.js";

/** Where the 32-bit layout of a struct has what the 64-bit one has at some offset. */
export interface CompatLayout {
  readonly bytes: number;
  offsetOf(offset: number): number;
}

/** Size of a value for 32-bit guests: pointers and `unsigned long` shrink. */
export function compatBytes(type: AbiType): AbiType["bytes"] {
  return type.pointer || type.word ? 4 : type.bytes;
}

/**
 * The layout of a struct under the 32-bit rules: pointers and `unsigned long` have 4 bytes, nothing is aligned to more
 * than 4. Members that no file names are taken to keep their size.
 */
export function compatLayout(struct: AbiStruct): CompatLayout {
  if (!struct.compat) return { bytes: struct.bytes, offsetOf: (offset) => offset };
  const places = new Map<number, number>();
  let end = 0;
  let compatEnd = 0;
  let align = 1;
  let compatAlign = 1;
  for (const field of [...struct.fields].sort((a, b) => a.offset - b.offset)) {
    const { offset, type } = field;
    const own = field.align ?? type.bytes;
    const narrowOwn = Math.min(4, field.align ?? compatBytes(type));
    const elements = Math.max(1, field.elements);
    const narrow = compatBytes(type);
    align = Math.max(align, type.bytes);
    compatAlign = Math.max(compatAlign, Math.min(4, narrow));
    const inUnion = offset < end;
    const start = inUnion
      ? unionPlace(struct.fields, field, places)
      : roundUp(compatEnd, narrowOwn) + (offset - roundUp(end, own));
    for (let i = 0; i < elements; i++) places.set(offset + i * type.bytes, start + i * narrow);
    end = Math.max(end, offset + elements * type.bytes);
    compatEnd = Math.max(compatEnd, start + elements * narrow);
  }
  return {
    bytes: roundUp(compatEnd, compatAlign) + (struct.bytes - roundUp(end, align)),
    offsetOf: (offset) => places.get(offset) ?? offset,
  };
}

/** A member of a union keeps its distance from the member that begins where the union does. */
function unionPlace(
  fields: readonly AbiStructField[],
  field: AbiStructField,
  places: ReadonlyMap<number, number>,
): number {
  const same = places.get(field.offset);
  if (same !== undefined) return same;
  const before = fields.filter((each) => each.offset < field.offset && places.has(each.offset));
  const owner = Math.max(...before.map((each) => each.offset));
  return (places.get(owner) ?? 0) + (field.offset - owner);
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
