import { Attention, State } from "./cpu-state.js";

const PAGE_OFFSET = 4095;

/**
 * A place at which the engine is to stop by itself with `StopReason.Requested`: a marker that the guest executes, or an
 * address that it reaches. Nothing is armed while timing is on, so that code is decoded and run as if there were none.
 *
 * The marker is `XCHG BX, BX` (87 DB with a 16-bit operand): architecturally it does nothing in any mode and at any
 * privilege, and compilers do not emit it.
 */
export class StopPoint {
  /** Stop after a marker. */
  marker = false;
  /** Stop before the instruction at the linear address {@link lo}, {@link hi}. */
  address = false;
  lo = 0;
  hi = 0;
  /** What stopped the engine since {@link arm}. */
  reached: "marker" | "address" | undefined;

  /** @param address linear address of an instruction's first byte, up to 64 bits */
  arm(marker: boolean, address: bigint | undefined): void {
    this.marker = marker;
    this.address = address !== undefined;
    this.lo = Number(BigInt.asIntN(32, address ?? 0n));
    this.hi = Number(BigInt.asIntN(32, (address ?? 0n) >> 32n));
    this.reached = undefined;
  }

  disarm(): void {
    this.marker = false;
    this.address = false;
    this.reached = undefined;
  }

  /** Whether the instruction this far into a page may be the one. Pages may have several linear addresses. */
  mayBeAt(offset: number): boolean {
    return this.address && ((offset ^ this.lo) & PAGE_OFFSET) === 0;
  }

  isAt(lo: number, hi: number): boolean {
    return this.address && lo === this.lo && hi === this.hi;
  }

  /** A marker was executed. @param words state of the processor: the engine stops before its next block */
  passMarker(words: Int32Array): void {
    this.reached = "marker";
    words[State.Attention] |= Attention.Stop;
  }
}
