import type { HypercallAbiName, OperationDescriptor, OperationField } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import type { Label, LabelAddress } from "../assembler/label.js";
import type { Memory } from "../assembler/memory.js";
import type { Register } from "../assembler/register.js";
import type { BufferLists } from "./buffer-lists.js";

/** The hypercall interfaces that stubs are emitted for. */
export type AbiName = HypercallAbiName;
/** Whose hypercall instruction an inline stub has: VMMCALL on AMD, VMCALL on Intel. */
export type Vendor = "amd" | "intel";

/** A value at the machine level: a constant, a 64-bit register, or the address of something in the image. */
export type Operand = number | bigint | Register | LabelAddress;

/** Guest memory that traditional stubs use. */
export interface StubMemory {
  /** The page that Xen fills with one stub of 32 bytes for each hypercall number. */
  readonly hypercallPage: Label;
  /** Zeroed, 64-byte aligned memory for the operation's struct; the same at every call. */
  structFor(operation: OperationDescriptor): Label;
  /** Alignment of what {@link structFor} gives, where it is another one. */
  alignmentFor?(operation: OperationDescriptor): number | undefined;
  /** Of the scatter/gather interfaces: where descriptions of buffers are collected. */
  readonly lists?: BufferLists | undefined;
  /**
   * Of an encrypted guest: memory that it shares with the hypervisor, as large as the largest struct, and the instruction
   * that it makes calls with, because the hypervisor cannot fill a page of its. Absent: neither.
   */
  readonly encrypted?: { readonly bounce: Label; readonly instruction: "vmmcall" } | undefined;
  /** The instruction that calls are made with where there is no page. Absent: there is one. */
  readonly inline?: "vmcall" | "vmmcall" | undefined;
}

/**
 * Emits hypercalls through one interface. A stub may overwrite RAX, RDI, RSI, RDX and R8-R12, never RCX, RBX, RBP,
 * RSP or R13-R15; inputs that are registers must be among the latter. The result is in RAX.
 *
 * Life cycle: one emitter for one image; {@link emitOutput} directly after the {@link emitCall} it belongs to.
 */
export interface StubEmitter {
  readonly abi: AbiName;
  /** How a pointer to guest memory travels: as it is mapped, or where it lies. */
  readonly pointers: "linear" | "physical";
  /**
   * @param inputs in the order of `operation.inputs`; `undefined` stands for the field's implied value, or 0
   * @throws GuestSourceError when this interface cannot carry the operation or one of the values
   */
  emitCall(a: Assembler, operation: OperationDescriptor, inputs: readonly (Operand | undefined)[]): void;
  /**
   * Writes an entry of a multicall's list, and the struct that it names, instead of making the call: 64 bytes from `place` on.
   * @throws GuestSourceError as {@link emitCall}, and where the interface has no multicalls
   */
  emitEntry(
    a: Assembler,
    operation: OperationDescriptor,
    inputs: readonly (Operand | undefined)[],
    place: Memory,
  ): void;
  /**
   * What a call passes for a buffer of the image.
   * @param alignment of its first byte, a power of two
   * @param field the value that it is passed in; for what has none, memory that a pointer is stored in, left out
   */
  addressOf(buffer: Label, bytes: number, alignment: number, field?: OperationField): LabelAddress;
  /** Copies an output to a 64-bit register, extended as its type says. */
  emitOutput(a: Assembler, operation: OperationDescriptor, field: OperationField, to: Register): void;
}
