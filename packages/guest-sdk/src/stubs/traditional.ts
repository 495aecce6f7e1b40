import { isKept, type OperationDescriptor, type OperationField } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import { type Label, linearAddress, physicalAddress } from "../assembler/label.js";
import { at, atLabel, type Memory } from "../assembler/memory.js";
import {
  type OperandBits,
  type Register,
  r8,
  r9,
  r10,
  r11,
  r12,
  rax,
  rdi,
  rdx,
  resized,
  rsi,
} from "../assembler/register.js";
import { GuestSourceError } from "../guest-source-error.js";
import type { AbiName, Operand, StubEmitter, StubMemory } from "./stub-emitter.js";

/** Argument registers of a 64-bit HVM hypercall, in order. */
const ARGUMENTS: readonly Register[] = [rdi, rsi, rdx, r10, r8];
const HYPERCALL_STUB_BYTES = 32;
/** Of what `StubMemory.structFor` gives. */
const STRUCT_ALIGNMENT = 64;
/** Interfaces that pass structs in memory. */
export type TraditionalAbiName = Exclude<AbiName, "fastabi">;
/** Of a multicall's entry: number, result, six arguments. */
const ENTRY_WORDS = 8;
/** Of a number whose pointers are physical in a call of the `percall` interface. */
const PERCALL_BIT = 0x40000000;

/**
 * Today's interface, through the hypercall page: sub-operation and register arguments, then a pointer to the struct.
 * With `linear` the pointer is an address as the guest maps it, with `physaddr` a guest-physical one; nothing else
 * differs but that a `percall` guest calls into the page of stubs that say so. An encrypted guest makes its calls without
 * a page, and copies structs that it points to physically from and to memory that it shares. A `registered` guest's
 * pointers are linear; those of the scatter/gather interfaces name descriptions in the image, but for areas that Xen keeps.
 */
export function traditionalStubs(abi: TraditionalAbiName, memory: StubMemory): StubEmitter {
  const isLinear = abi === "linear" || abi === "registered";
  const pointers = isLinear ? "linear" : "physical";
  const { lists } = memory;
  if (lists !== undefined && memory.encrypted !== undefined)
    throw new GuestSourceError("UNSUPPORTED_BY_ABI", `${abi}: encrypted guests have no stubs for it`);
  const addressOf = (buffer: Label, bytes: number, alignment: number, field?: OperationField) => {
    if (isLinear || (lists !== undefined && field !== undefined && isKept(field)))
      return linearAddress(buffer);
    return lists?.pointerTo(buffer, bytes, alignment) ?? physicalAddress(buffer);
  };
  // A linear pointer is no use to the hypervisor wherever it points: the tables are encrypted.
  const bounce = isLinear ? undefined : memory.encrypted?.bounce;

  /** Fills the operation's struct. @returns the arguments of the call */
  function emitArguments(
    a: Assembler,
    operation: OperationDescriptor,
    inputs: readonly (Operand | undefined)[],
  ): readonly Operand[] {
    if (operation.fastabiOnly)
      throw new GuestSourceError("UNSUPPORTED_BY_ABI", `${operation.name}: only FastABI dispatches it`);
    const inRegisters: Operand[] = operation.plain ? [] : [operation.subop];
    operation.inputs.forEach((field, i) => {
      const value = inputs[i] ?? field.implied ?? 0;
      if (field.offset >= 0) emitStore(a, operation, field, value);
      else if (field.offset === -1) inRegisters.push(value);
      else if (inputs[i] !== undefined)
        throw new GuestSourceError(
          "UNSUPPORTED_BY_ABI",
          `${operation.name}: only FastABI carries ${field.name}; the ${abi} interface takes a struct that these stubs do not fill`,
        );
    });
    if (operation.struct) {
      const struct = memory.structFor(operation);
      if (bounce !== undefined && operation.inputs.some(({ offset }) => offset >= 0))
        emitCopy(a, bounce, struct, operation.struct.bytes);
      const alignment = memory.alignmentFor?.(operation) ?? STRUCT_ALIGNMENT;
      inRegisters.push(addressOf(bounce ?? struct, operation.struct.bytes, alignment));
      if (operation.array) inRegisters.push(1);
    }
    return inRegisters;
  }

  function emitEntry(
    a: Assembler,
    operation: OperationDescriptor,
    inputs: readonly (Operand | undefined)[],
    place: Memory,
  ): void {
    if (memory.encrypted !== undefined)
      throw new GuestSourceError("UNSUPPORTED_BY_ABI", "encrypted guests have no stubs for multicalls");
    const values = emitArguments(a, operation, inputs);
    const isPhysical = abi === "percall" || lists !== undefined;
    const number = isPhysical ? PERCALL_BIT | operation.hypercall : operation.hypercall;
    const words: readonly Operand[] = [
      number,
      0,
      ...values,
      ...Array(ENTRY_WORDS - 2 - values.length).fill(0),
    ];
    words.forEach((value, i) => {
      storeValue(a, { ...place, displacement: place.displacement + 8 * i }, value, 64);
    });
  }

  function emitCall(
    a: Assembler,
    operation: OperationDescriptor,
    inputs: readonly (Operand | undefined)[],
  ): void {
    emitArguments(a, operation, inputs).forEach((value, i) => {
      a.mov(ARGUMENTS[i], value);
    });
    if (lists !== undefined) a.mov(r9, 0); // from the start of the buffer
    const instruction = memory.encrypted?.instruction ?? memory.inline;
    if (instruction === undefined)
      a.callOffset(memory.hypercallPage, operation.hypercall * HYPERCALL_STUB_BYTES);
    else {
      a.mov(rax, abi === "percall" ? PERCALL_BIT | operation.hypercall : operation.hypercall);
      a.plain(instruction);
    }
    if (bounce !== undefined && operation.struct && operation.outputs.some(({ offset }) => offset >= 0))
      emitCopy(a, memory.structFor(operation), bounce, operation.struct.bytes);
  }

  function emitStore(
    a: Assembler,
    operation: OperationDescriptor,
    field: OperationField,
    value: Operand,
  ): void {
    storeValue(
      a,
      atLabel(memory.structFor(operation), field.offset),
      value,
      (field.bytes * 8) as OperandBits,
    );
  }

  function emitOutput(
    a: Assembler,
    operation: OperationDescriptor,
    field: OperationField,
    to: Register,
  ): void {
    const place = atLabel(memory.structFor(operation), field.offset);
    if (field.bytes === 8) a.mov(to, place);
    else if (field.signed) a.movsx(to, place, (field.bytes * 8) as 8 | 16 | 32);
    else if (field.bytes === 4) a.mov(resized(to, 32), place);
    else a.movzx(resized(to, 32), place, (field.bytes * 8) as 8 | 16);
  }

  return { abi, pointers, emitCall, emitEntry, addressOf, emitOutput };
}

/** Stores a value; may overwrite RAX. */
function storeValue(a: Assembler, place: Memory, value: Operand, bits: OperandBits): void {
  if (typeof value === "object" && value.kind === "register") a.mov(place, resized(value, bits));
  else if (typeof value === "object" || !fitsStore(value, bits)) {
    a.mov(rax, value);
    a.mov(place, resized(rax, bits));
  } else a.mov(place, value, bits);
}

/** Longest copy that is written out, bytes. */
const UNROLLED_BYTES = 128;

/** Copies a struct, rounded up to 8 bytes; overwrites R9-R12 at most. */
function emitCopy(a: Assembler, to: Label, from: Label, bytes: number): void {
  const words = Math.ceil(bytes / 8);
  if (bytes <= UNROLLED_BYTES) {
    for (let i = 0; i < words; i++) {
      a.mov(r11, atLabel(from, 8 * i));
      a.mov(atLabel(to, 8 * i), r11);
    }
    return;
  }
  a.mov(r9, linearAddress(from));
  a.mov(r10, linearAddress(to));
  a.mov(r12, words);
  const next = a.here("copy through shared memory");
  a.mov(r11, at(r9));
  a.mov(at(r10), r11);
  a.alu("add", r9, 8);
  a.alu("add", r10, 8);
  a.alu("sub", r12, 1);
  a.jcc("ne", next);
}

/** A constant store of 64 bits sign-extends 32. */
function fitsStore(value: number | bigint, bits: OperandBits): boolean {
  if (bits !== 64) return true;
  const pattern = BigInt.asIntN(64, BigInt(value));
  return pattern === BigInt.asIntN(32, pattern);
}
