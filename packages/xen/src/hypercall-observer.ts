import type { GuestAccess } from "./guest-access/guest-access.js";
import { GuestCodeMode } from "./host/guest-registers.js";

/** The code that a hypercall was made from, by the width of its instructions and its mode. */
export type HypercallMode = "real" | "vm86" | "16-bit" | "32-bit" | "64-bit";

/** A hypercall, or an entry of a multicall, is about to be looked at. */
export interface HypercallBeginEvent {
  /** Number of the vCPU. */
  readonly vcpu: number;
  /** rax as the guest passed it, low word, unsigned; of an entry its own number. */
  readonly number: number;
  readonly mode: HypercallMode;
  /**
   * Hexadecimal numbers. The six arguments of a traditional call in order; reg1 to reg7 (rdi, rsi, r8 to r12) where
   * {@link fastabi} is set.
   */
  readonly arguments: readonly string[];
  /** Its number is one of FastABI's, and 64-bit code makes the call: {@link arguments} are that interface's registers. */
  readonly fastabi: boolean;
  /** It is an entry of the multicall that is running. */
  readonly isEntry: boolean;
}

/** An entry of the running multicall is done, and its result not written yet. */
export interface MulticallEntryEvent {
  readonly vcpu: number;
  /** Low word of the entry's number, unsigned. */
  readonly number: number;
  readonly result: number;
  /** It is not done yet: the multicall goes on with it when the guest makes it again. */
  readonly continues: boolean;
}

/** Xen has copied between its memory and a guest buffer. Valid only during the call. */
export interface GuestCopyEvent {
  readonly vcpu: number;
  /** What kind of address the guest gave. */
  readonly pointer: GuestAccess["id"];
  /** As a hexadecimal number. */
  readonly address: string;
  readonly toGuest: boolean;
  /** What was copied; of a copy that failed what would have been written, or what had been read before. */
  readonly bytes: Uint8Array;
  /** The guest's address could not be reached: -EFAULT. */
  readonly failed: boolean;
}

/** Sees hypercalls from within. */
export interface HypercallObserver {
  readonly onBegin: (event: HypercallBeginEvent) => void;
  readonly onEntry: (event: MulticallEntryEvent) => void;
  readonly onCopy: (event: GuestCopyEvent) => void;
}

const MODES: Readonly<Record<number, HypercallMode>> = {
  [GuestCodeMode.Real]: "real",
  [GuestCodeMode.Vm86]: "vm86",
  [GuestCodeMode.Protected16]: "16-bit",
  [GuestCodeMode.Protected32]: "32-bit",
  [GuestCodeMode.Long]: "64-bit",
};

/** @param mode one of `GuestCodeMode` */
export function modeName(mode: number): HypercallMode {
  return MODES[mode];
}

/** A word pair as an unsigned hexadecimal number. */
export function hexadecimal(lo: number, hi: number): string {
  return `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`;
}
