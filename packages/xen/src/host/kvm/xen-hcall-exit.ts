import type { ArgumentRegisters } from "../../abi/argument-registers.js";
import type { HypercallArguments } from "../../abi/hypercall-arguments.js";
import type { Continuation } from "../../continuation.js";
import type { KvmXenExitHcall } from "./uapi.js";

/** Parameters of a hypercall: Xen's five and one more. */
const PARAMS = 6;

/** The structure as plain data. */
export interface XenHcallExitSnapshot {
  readonly longmode: boolean;
  readonly cpl: number;
  readonly words: Int32Array;
}

/** `kvm_run.xen.u.hcall` of one vCPU, reused: the kernel fills it, the monitor reads it and leaves the result. */
export class XenHcallExit implements KvmXenExitHcall, HypercallArguments {
  longmode = false;
  cpl = 0;
  /** Low and high word of the number and of each parameter, and of the result at the end. */
  readonly words: Int32Array = new Int32Array(2 * (PARAMS + 2));

  /** Takes a call over from the guest's registers. @param from latched @param lo of RAX */
  load(from: ArgumentRegisters, lo: number, hi: number, cpl: number): void {
    const { words } = this;
    this.longmode = !from.compat;
    this.cpl = cpl;
    words[0] = lo;
    words[1] = this.longmode ? hi : 0;
    for (let i = 0; i < PARAMS; i++) {
      words[2 + 2 * i] = from.lo(i);
      words[3 + 2 * i] = from.hi(i);
    }
    this.setResult(0, 0);
  }

  snapshot(): XenHcallExitSnapshot {
    const { longmode, cpl, words } = this;
    return { longmode, cpl, words: words.slice() };
  }

  restore({ longmode, cpl, words }: XenHcallExitSnapshot): void {
    this.longmode = longmode;
    this.cpl = cpl;
    this.words.set(words);
  }

  get compat(): boolean {
    return !this.longmode;
  }

  lo(argument: number): number {
    return this.words[2 + 2 * argument];
  }

  hi(argument: number): number {
    return this.words[3 + 2 * argument];
  }

  get inputLo(): number {
    return this.words[0];
  }

  get inputHi(): number {
    return this.words[1];
  }

  get input(): bigint {
    return this.wide(0);
  }

  get params(): readonly bigint[] {
    return Array.from({ length: PARAMS }, (_, i) => this.wide(1 + i));
  }

  get resultLo(): number {
    return this.words[2 * PARAMS + 2];
  }

  get resultHi(): number {
    return this.words[2 * PARAMS + 3];
  }

  setResult(lo: number, hi: number): void {
    this.words[2 * PARAMS + 2] = lo;
    this.words[2 * PARAMS + 3] = hi;
  }

  get result(): bigint {
    return this.wide(PARAMS + 1);
  }

  set result(value: bigint) {
    this.setResult(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }

  /** The call is to go on with these arguments. */
  continueWith({ number, count, lo, hi }: Continuation): void {
    const { words } = this;
    words[0] = number;
    words[1] = 0;
    for (let i = 0; i < count; i++) {
      words[2 + 2 * i] = lo[i];
      words[3 + 2 * i] = this.longmode ? hi[i] : 0;
    }
  }

  private wide(at: number): bigint {
    const { words } = this;
    return (BigInt(words[2 * at + 1] >>> 0) << 32n) | BigInt(words[2 * at] >>> 0);
  }
}
