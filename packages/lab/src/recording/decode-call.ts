import { DESCRIPTORS, type OperationDescriptor, type OperationField } from "@hyperwalk/xen";
import type { RecordedCall, RecordedCopy } from "./recording.js";

/** A call's value: a number of up to 64 bits, or the guest's address of a buffer with the bytes of it that Xen reached. */
export type DecodedInput =
  | { readonly kind: "value"; readonly value: bigint }
  | { readonly kind: "pointer"; readonly address: bigint; readonly bytes: number }
  /** An address that Xen could not reach. */
  | { readonly kind: "unreachable" };

/** What a recorded call says in terms of its operation, whatever interface it came through. */
export interface DecodedCall {
  readonly operation: OperationDescriptor;
  /** In the order of the operation's inputs. */
  readonly inputs: readonly DecodedInput[];
  /** Where its struct lay; undefined where it had none. */
  readonly struct: { readonly address: bigint; readonly bytes: number } | undefined;
  /** What Xen found in buffers, its struct left out. */
  readonly reads: readonly { readonly address: bigint; readonly bytes: Uint8Array }[];
  /** Entries of a multicall; undefined for anything else. */
  readonly entries: readonly DecodedCall[] | undefined;
}

/** Number of a multicall, and bytes of an entry of its list. */
const MULTICALL = 13;
export const ENTRY_BYTES = 64;
/** Bit of a number: FastABI's, and that of calls whose pointers are physical. */
const FLAVOUR = 0x40000000;
/** memory_op has a continuation's progress above its sub-operation. */
const MEMORY_OP = 12;
const MEMORY_OP_MASK = 0x3fn;
/** Farthest from a pointer that a copy still belongs to its buffer. */
const REACH = 2n ** 20n;

const byNumber = new Map<number, OperationDescriptor[]>();
for (const descriptor of DESCRIPTORS) {
  const group = byNumber.get(descriptor.hypercall) ?? [];
  group.push(descriptor);
  byNumber.set(descriptor.hypercall, group);
}

type Given = Pick<RecordedCall, "number" | "arguments" | "copies" | "mode" | "fastabi">;

/** @returns what a call was about, or why that cannot be said */
export function decodeCall(call: RecordedCall): DecodedCall | string {
  const decoded = decode(call);
  if (typeof decoded === "string" || decoded.operation.hypercall !== MULTICALL) return decoded;
  const entries: DecodedCall[] = [];
  for (const entry of call.entries ?? []) {
    const each = decode({ ...entry, mode: call.mode });
    if (typeof each === "string") return `an entry: ${each}`;
    entries.push(each);
  }
  const list = decoded.inputs[0];
  if (entries.length === 0 || list.kind !== "pointer") return "a multicall of no entries";
  const inputs: DecodedInput[] = [
    { ...list, bytes: ENTRY_BYTES * entries.length },
    { kind: "value", value: BigInt(entries.length) },
  ];
  // What is in the list is said by the entries.
  return { ...decoded, inputs, reads: [], entries };
}

function decode(call: Given): DecodedCall | string {
  const args = call.arguments.map(BigInt);
  const number = call.fastabi ? call.number & ~FLAVOUR : call.number & 0x3fffffff;
  const group = byNumber.get(number);
  if (group === undefined || args.length < (call.fastabi ? 7 : 6)) return "no operation of that number";
  const [first] = args;
  const subop = number === MEMORY_OP ? first & MEMORY_OP_MASK : first;
  const operation = group.find((each) => (each.plain && !call.fastabi) || BigInt(each.subop) === subop);
  if (operation === undefined) return "no operation of that number";
  return call.fastabi ? fromRegisters(operation, args, call) : fromStruct(operation, args, call);
}

function fromRegisters(
  operation: OperationDescriptor,
  args: readonly bigint[],
  { copies = [] }: Given,
): DecodedCall {
  const raw = operation.inputs.map(({ register, bytes, signed, implied = 0 }) =>
    register === 0 ? BigInt(implied) : cut(args[register - 1], bytes, signed),
  );
  return {
    operation,
    ...buffersOf(operation, raw, undefined, copies),
    struct: undefined,
    entries: undefined,
  };
}

function fromStruct(
  operation: OperationDescriptor,
  args: readonly bigint[],
  { copies = [], mode }: Given,
): DecodedCall | string {
  const compat = mode !== "64-bit";
  let next = operation.plain ? 0 : 1;
  const places = operation.inputs.map((field) => {
    if (field.offset !== -1) return -1;
    next += compat && field.compatPair ? 2 : 1;
    return next - (compat && field.compatPair ? 2 : 1);
  });
  const { struct } = operation;
  const pointer = args[next];
  if (struct !== undefined && operation.array && args[next + 1] !== 1n)
    return `an array of ${args[next + 1]} structs, of which stubs make one`;
  const hasInputs = operation.inputs.some(({ offset }) => offset >= 0);
  const read = copies.find(({ way, address }) => way === "in" && BigInt(address) === pointer);
  if (struct !== undefined && hasInputs && (read === undefined || read.failed))
    return read === undefined ? "Xen did not read its struct" : "its struct could not be reached";
  const bytes = read === undefined ? new Uint8Array(0) : bytesOf(read);
  const size = (compat ? struct?.compatBytes : undefined) ?? struct?.bytes ?? 0;
  const values: bigint[] = [];
  for (const [i, field] of operation.inputs.entries()) {
    const at = places[i];
    if (at >= 0)
      values.push(
        compat && field.compatPair
          ? (args[at + 1] << 32n) | (args[at] & 0xffffffffn)
          : cut(args[at], field.bytes, field.signed),
      );
    else {
      const value = field.offset < 0 ? 0n : structValue(bytes, field, compat);
      if (value === undefined) return "Xen read less than its struct";
      values.push(value);
    }
  }
  const rest = copies.filter((copy) => copy !== read || !hasInputs);
  if (struct !== undefined && rest.some(({ address, failed }) => failed && BigInt(address) === pointer))
    return "its struct could not be reached";
  return {
    operation,
    ...buffersOf(operation, values, struct === undefined ? undefined : pointer, rest),
    struct: struct === undefined ? undefined : { address: pointer, bytes: Math.max(size, struct.bytes) },
    entries: undefined,
  };
}

/** Which copies belong to which pointer: the nearest one below. @param struct address that is none of the inputs' */
function buffersOf(
  operation: OperationDescriptor,
  values: readonly bigint[],
  struct: bigint | undefined,
  copies: readonly RecordedCopy[],
): Pick<DecodedCall, "inputs" | "reads"> {
  const pointers = values.filter((value, i) => operation.inputs[i].pointer && value !== 0n);
  const ownerOf = (address: bigint) =>
    [...pointers, ...(struct === undefined ? [] : [struct])]
      .filter((pointer) => pointer <= address && address - pointer < REACH)
      .reduce<bigint | undefined>(
        (best, each) => (best === undefined || each > best ? each : best),
        undefined,
      );
  const reached = new Map<bigint, number>();
  const failed = new Set<bigint>();
  const reads: { address: bigint; bytes: Uint8Array }[] = [];
  const written: { from: bigint; to: bigint }[] = [];
  for (const copy of copies) {
    const address = BigInt(copy.address);
    const owner = ownerOf(address);
    if (owner === undefined || owner === struct) continue;
    if (copy.failed) {
      failed.add(owner);
      continue;
    }
    const bytes = bytesOf(copy);
    const end = address + BigInt(bytes.length);
    reached.set(owner, Math.max(reached.get(owner) ?? 0, Number(end - owner)));
    // What Xen reads after it wrote there is its own.
    if (copy.way === "out") written.push({ from: address, to: end });
    else if (!written.some(({ from, to }) => address < to && from < end)) reads.push({ address, bytes });
  }
  const inputs = values.map((value, i): DecodedInput => {
    if (!operation.inputs[i].pointer || value === 0n) return { kind: "value", value };
    if (failed.has(value)) return { kind: "unreachable" };
    return { kind: "pointer", address: value, bytes: reached.get(value) ?? LEAST_BUFFER };
  });
  return { inputs, reads };
}

/** A buffer that Xen did not touch during the call. */
const LEAST_BUFFER = 64;

function structValue(bytes: Uint8Array, field: OperationField, compat: boolean): bigint | undefined {
  const offset = (compat ? field.compatOffset : undefined) ?? field.offset;
  const size = (compat ? field.compatBytes : undefined) ?? field.bytes;
  if (offset + size > bytes.length) return undefined;
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[offset + i]);
  return cut(value, size, field.signed);
}

function cut(value: bigint, bytes: number, signed: boolean): bigint {
  return signed ? BigInt.asIntN(8 * bytes, value) : BigInt.asUintN(8 * bytes, value);
}

function bytesOf({ bytes }: RecordedCopy): Uint8Array {
  return Uint8Array.from({ length: bytes.length / 2 }, (_, i) =>
    Number.parseInt(bytes.slice(2 * i, 2 * i + 2), 16),
  );
}
