import { type ProcessorProfile, State } from "@hyperwalk/cpu";
import type { DomainAbi } from "../src/abi/domain-abi.ts";
import type { XenSystem } from "../src/xen.ts";
import type { HypercallAbiName } from "../src/xen-config.ts";
import { longModeGuest } from "./long-mode-guest.ts";
import type { GuestScript } from "./scripted-processor.ts";

/** First byte of the guest's megabyte, by guest-physical and by linear address: neither is an address of the other kind. */
export const PHYSICAL = 0x300000;
export const LINEAR = 0x40000000;
const FRAMES = 256;
/** rdi, rsi, rdx, r10, r8, r9 */
export const ARGUMENTS: readonly number[] = [7, 6, 2, 10, 8, 9];

/** Number, then arguments. */
export type Call = readonly number[];

export interface CallsMade {
  readonly system: XenSystem;
  /** rax after each call, sign-extended. */
  readonly results: readonly number[];
  /** Number and arguments with which each call was executed again, low words. */
  readonly again: readonly (readonly number[])[];
  /** Memory of the guest's megabyte. */
  bytes(offset: number, length: number): Uint8Array;
  /** What changed during a call. */
  readonly counts: readonly { readonly p2mLookups: number; readonly guestPteReads: number }[];
}

/** A 64-bit guest that makes these calls, and makes those again that RIP stays at. */
export function makeCalls(
  profile: ProcessorProfile,
  abi: HypercallAbiName | DomainAbi,
  calls: readonly Call[],
  prepare: (write: (offset: number, bytes: Uint8Array) => void, system: XenSystem) => void = () => {},
): CallsMade {
  const results: number[] = [];
  const again: number[][] = [];
  const counts: { p2mLookups: number; guestPteReads: number }[] = [];
  let rip = -1;
  let before = { p2mLookups: 0, guestPteReads: 0 };
  const script: GuestScript = (guest, step) => {
    const { words } = guest;
    if (step === 0) guest.enterLongMode(guest.cr3);
    else if (words[State.RipLo] === rip) {
      again.push([words[0], ...ARGUMENTS.map((register) => words[2 * register])]);
      return guest.hypercall(words[0]);
    } else {
      const now = system.counters();
      counts.push({
        p2mLookups: now.p2mLookups - before.p2mLookups,
        guestPteReads: now.guestPteReads - before.guestPteReads,
      });
      results.push(words[0]);
    }
    if (results.length === calls.length) return undefined;
    const [number, ...args] = calls[results.length];
    ARGUMENTS.forEach((register, i) => {
      guest.set(register, args[i] | 0, Math.floor((args[i] ?? 0) / 2 ** 32) | 0);
    });
    rip = words[State.RipLo];
    before = system.counters();
    return guest.hypercall(number);
  };
  const pages = { linear: LINEAR >>> 12, gfn: PHYSICAL >>> 12, count: FRAMES };
  const { system } = longModeGuest(profile, { abi }, script, pages);
  const { guestMemory } = system.domain;
  prepare((offset, bytes) => guestMemory.writeBytes(PHYSICAL + offset, bytes), system);
  system.run({ maxInstructions: 10_000 });
  return {
    system,
    results,
    again,
    counts,
    bytes: (offset, length) => guestMemory.readBytes(PHYSICAL + offset, length),
  };
}

/** Values of 64 bits, little-endian. */
export function quads(...values: readonly (number | bigint)[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values.map((value) => BigInt.asUintN(64, BigInt(value)))).buffer);
}
