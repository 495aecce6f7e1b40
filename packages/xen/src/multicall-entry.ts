import type { HypercallArguments } from "./abi/hypercall-arguments.js";
import type { Continuation } from "./continuation.js";

/** Values of an entry: number, result and six arguments. */
const VALUES = 8;
const RESULT = 1;
const FIRST_ARGUMENT = 2;

/** One entry of a multicall's list, `struct multicall_entry`: values of 64 bits, or of 32 in a 32-bit guest's list. */
export class MulticallEntry implements HypercallArguments {
  compat = false;
  private readonly words = new Int32Array(2 * VALUES);

  /** Bytes of a value. */
  get valueBytes(): number {
    return this.compat ? 4 : 8;
  }

  get bytes(): number {
    return VALUES * this.valueBytes;
  }

  /** Where in an entry its result is. */
  get resultOffset(): number {
    return RESULT * this.valueBytes;
  }

  /** Takes an entry over. @param compat as a 32-bit guest has it */
  load(from: DataView, compat: boolean): void {
    this.compat = compat;
    const { words } = this;
    for (let i = 0; i < VALUES; i++) {
      words[2 * i] = from.getInt32(i * this.valueBytes, true);
      words[2 * i + 1] = compat ? 0 : from.getInt32(8 * i + 4, true);
    }
  }

  get numberLo(): number {
    return this.words[0];
  }

  get numberHi(): number {
    return this.words[1];
  }

  lo(argument: number): number {
    return this.words[2 * (FIRST_ARGUMENT + argument)];
  }

  hi(argument: number): number {
    return this.words[2 * (FIRST_ARGUMENT + argument) + 1];
  }

  /** Sets the result. @param value 32 bits, which are extended */
  set result(value: number) {
    this.words[2 * RESULT] = value;
    this.words[2 * RESULT + 1] = value >> 31;
  }

  /** The call has to go on: its arguments become those with which it does. */
  continueWith({ count, lo, hi }: Continuation): void {
    for (let i = 0; i < count; i++) {
      this.words[2 * (FIRST_ARGUMENT + i)] = lo[i];
      this.words[2 * (FIRST_ARGUMENT + i) + 1] = this.compat ? 0 : hi[i];
    }
  }

  /** Writes the result alone. */
  storeResult(to: DataView): void {
    this.store(to, RESULT, 0);
  }

  /** Writes the whole entry. */
  storeAll(to: DataView): void {
    for (let i = 0; i < VALUES; i++) this.store(to, i, i);
  }

  private store(to: DataView, value: number, place: number): void {
    to.setInt32(place * this.valueBytes, this.words[2 * value], true);
    if (!this.compat) to.setInt32(8 * place + 4, this.words[2 * value + 1], true);
  }
}
