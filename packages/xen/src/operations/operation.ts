import type { Continuation } from "../continuation.js";
import type { Domain } from "../domain.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { MulticallEntry } from "../multicall-entry.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { Stage } from "../path-cost/stage.js";
import type { Vcpu } from "../vcpu.js";

/**
 * What makes the calls of a multicall's entries. It is apart from the multicall itself, so that the list and its entries
 * can come through different interfaces.
 */
export interface Constituents {
  /** Makes an entry's call with the caller's vCPU and domain, whose values it changes. @returns the result, 32 bits */
  invoke(entry: MulticallEntry, call: OperationCall): number;
}

/** One value of an operation: where each interface carries it. Generated from `abi/*.yml`. */
export interface OperationField {
  readonly name: string;
  /** Size in bytes in the C struct or as a register argument: 1, 2, 4 or 8. */
  readonly bytes: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  /**
   * FastABI register number: 1 rdi, 2 rsi, 3 r8, 4 r9, 5 r10, 6 r11, 7 r12. 0 when FastABI does not carry the value:
   * an input is then `implied` (or 0), an output is dropped.
   */
  readonly register: number;
  /**
   * Byte offset in the traditional ABI's struct; -1 when it is a register argument there (`c_lang.params`); -2 when
   * only FastABI carries it, so that the traditional input is 0.
   */
  readonly offset: number;
  /** Byte offset and size in the struct of 32-bit guests, where they differ. */
  readonly compatOffset?: number;
  readonly compatBytes?: 1 | 2 | 4 | 8;
  /** The guest's address of something. */
  readonly pointer?: true;
  /** A register argument that 32-bit guests pass in two registers, low word first. */
  readonly compatPair?: true;
  /** Value that FastABI takes for granted; also what stubs pass for a register argument. */
  readonly implied?: number;
}

/** Everything an interface needs to know to carry one operation. Generated from `abi/*.yml`; knows no behaviour. */
export interface OperationDescriptor {
  /** `group.name`, for example `vcpu.get_runstate_info`. */
  readonly name: string;
  /** Hypercall number, `__HYPERVISOR_*`. */
  readonly hypercall: number;
  readonly subop: number;
  readonly inputs: readonly OperationField[];
  readonly outputs: readonly OperationField[];
  /** Name and size in bytes of the traditional struct; `undefined` for register-only operations. */
  readonly struct:
    | { readonly name: string; readonly bytes: number; readonly compatBytes?: number }
    | undefined;
  /** Bytes that the traditional handler copies from, and to, the guest; 0 for none. */
  readonly copyIn: number;
  readonly copyOut: number;
  /** The output that is copied out alone, at its own place; default the first `copyOut` bytes. */
  readonly copyOutField?: string;
  /** Results are copied out even when the operation fails. */
  readonly alwaysOut?: true;
  /** The traditional pointer names an array of the struct and is followed by its length (grant_table_op). */
  readonly array?: true;
  /** The hypercall has no sub-operation: its arguments begin in the first register. */
  readonly plain?: true;
  /** FastABI does not dispatch this hypercall at all: -ENOSYS there. */
  readonly traditionalOnly?: true;
  /** The traditional interfaces cannot carry it: -ENOSYS there. */
  readonly fastabiOnly?: true;
}

/**
 * The values of the hypercall being handled. One object per vCPU, reused: handlers keep nothing of it.
 * 64-bit values are pairs of 32-bit words, low word first, indexed by the field's position in the descriptor.
 */
export interface OperationCall {
  readonly inputs: Int32Array;
  /** All zero when a handler is called; the interface takes what it leaves and makes them zero again. */
  readonly outputs: Int32Array;
  vcpu: Vcpu;
  domain: Domain;
  cost: PathCost;
  /** The caller is not in 64-bit mode: its `unsigned long` has 4 bytes. */
  compat: boolean;
  /** Everything came in registers (FastABI): no struct was copied. */
  byRegister: boolean;
  /** For operations whose struct holds further guest pointers. */
  access: GuestAccess;
  /** For areas whose address Xen keeps, where that is another kind of address than the call's own; default {@link access}. */
  areaAccess?: GuestAccess | undefined;
  /** What it becomes if it cannot be done in one go. */
  readonly continuation: Continuation;
  /** It is an entry of a multicall, or a multicall. */
  inMulticall: boolean;
  /** Xen is a debug build. */
  readonly debugBuild: boolean;
  /** Makes the calls of a multicall's entries. */
  constituents: Constituents;
  /** Extents that a memory_op which goes on has done: the bits of its command above the sub-operation. */
  startExtent: number;
}

/**
 * An operation's behaviour: plain values in, plain values out, no knowledge of how they travelled.
 * Returns what goes to the result register: a value >= 0 or a negative errno (`Errno`).
 */
export interface Operation {
  readonly descriptor: OperationDescriptor;
  /** Price of the handler's body, without copies to or from the guest. */
  readonly stage: Stage;
  /** It is how another one goes on, of that sub-operation: nothing that a guest calls itself. */
  readonly continues?: number;
  /** Few guests call it: its stage is compiled when it first runs, after those of every system. */
  readonly rare?: true;
  /**
   * For arrays of structs: any number of entries, one call of {@link handle} for each; or one, whatever the length says.
   * Default: exactly one, and -EINVAL for another length.
   */
  readonly entries?: "many" | "first";
  /** What the call answers when its struct cannot be read; default -EFAULT. */
  readonly unreadable?: (call: OperationCall) => number;
  /** Entries between two of which the call makes room for what has come up; default 1. */
  readonly batch?: number;
  /** After the last entry that a call does, or its only one, whatever came of it. */
  readonly finish?: (call: OperationCall) => void;
  readonly handle: (call: OperationCall) => number;
}
