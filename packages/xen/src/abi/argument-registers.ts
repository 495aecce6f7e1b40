import type { GuestRegisters } from "../host/guest-registers.js";
import { GuestCodeMode } from "../host/guest-registers.js";
import { hexadecimal } from "../hypercall-observer.js";
import type { HypercallArguments } from "./hypercall-arguments.js";

/** rdi, rsi, rdx, r10, r8, r9: arguments of a 64-bit caller; today's hypercalls have no sixth. */
const LONG_ARGUMENTS: readonly number[] = [7, 6, 2, 10, 8, 9];
/** ebx, ecx, edx, esi, edi, ebp: arguments in every other mode. */
const COMPAT_ARGUMENTS: readonly number[] = [3, 1, 2, 6, 7, 5];
/** Arguments that tools are shown. */
const SHOWN = 5;

/** What debug builds leave in an argument register, high word first. */
const CLOBBERED_HI = 0xdeadbeef | 0;
const CLOBBERED_LO = 0xdeadf00d | 0;

/** The register arguments of a traditional hypercall, by the mode of the caller. */
export class ArgumentRegisters implements HypercallArguments {
  /** After {@link latch}: the caller is not in 64-bit mode. */
  compat = false;
  private readonly registers: GuestRegisters;
  private order = LONG_ARGUMENTS;

  constructor(registers: GuestRegisters) {
    this.registers = registers;
  }

  /** Takes the caller's mode. */
  latch(): void {
    this.compat = this.registers.mode !== GuestCodeMode.Long;
    this.order = this.compat ? COMPAT_ARGUMENTS : LONG_ARGUMENTS;
  }

  /** The first five as hexadecimal numbers, for tools; takes the caller's mode itself. */
  get texts(): readonly string[] {
    return this.allTexts.slice(0, SHOWN);
  }

  /** All six in the same way. */
  get allTexts(): readonly string[] {
    this.latch();
    return this.order.map((_, i) => hexadecimal(this.lo(i), this.hi(i)));
  }

  /** Sets an argument; a caller that is not in 64-bit mode has only the low words. */
  set(argument: number, lo: number, hi: number): void {
    this.registers.set(this.order[argument], lo, this.compat ? 0 : hi);
  }

  /** `clobber_regs`: overwrites the first `count` arguments, so that nobody comes to rely on what a call leaves there. */
  clobber(count: number): void {
    for (let i = 0; i < count; i++) this.set(i, CLOBBERED_LO, CLOBBERED_HI);
  }

  lo(argument: number): number {
    return this.registers.lo(this.order[argument]);
  }

  hi(argument: number): number {
    return this.compat ? 0 : this.registers.hi(this.order[argument]);
  }
}
