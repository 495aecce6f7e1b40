import type { Assembler } from "../assembler/assembler.js";
import type { Label } from "../assembler/label.js";
import { at } from "../assembler/memory.js";
import { al, dl, eax, ecx, edx, r8, rax, rcx, rdi, rdx, rsi, rsp } from "../assembler/register.js";

/** Entry points of {@link emitNumberRoutines}. All may overwrite what hypercall stubs may, and RCX. */
export interface NumberRoutines {
  /** Prints RAX as an unsigned decimal number. */
  readonly decimal: Label;
  /** Prints RAX as 0x and hexadecimal digits, without leading zeros. */
  readonly hex: Label;
  /** Prints RAX / RCX with two decimals, rounded down. RCX must not be 0. */
  readonly ratio: Label;
}

/** Room for 20 decimal digits, on the stack. */
const DIGITS = 24;

/** Number printing by division; `print` writes RCX bytes from RSI. */
export function emitNumberRoutines(
  a: Assembler,
  print: Label,
  { decimal, hex, ratio }: NumberRoutines,
): void {
  emitDigits(
    a,
    decimal,
    print,
    () => {
      const next = a.here("decimal digit");
      a.mov(edx, 0);
      a.unary("div", r8);
      a.alu("add", edx, 0x30);
      a.dec(rdi);
      a.mov(at(rdi), dl);
      a.test(rax, rax);
      a.jcc("ne", next);
    },
    10,
  );

  emitDigits(
    a,
    hex,
    print,
    () => {
      const next = a.here("hexadecimal digit");
      const letterless = a.label("digit below ten");
      a.mov(edx, eax);
      a.alu("and", edx, 15);
      a.alu("cmp", edx, 10);
      a.jcc("b", letterless);
      a.alu("add", edx, 0x61 - 0x3a);
      a.bind(letterless);
      a.alu("add", edx, 0x30);
      a.dec(rdi);
      a.mov(at(rdi), dl);
      a.shift("shr", rax, 4);
      a.jcc("ne", next);
      a.alu("sub", rdi, 2);
      a.mov(at(rdi), 0x7830, 16); // "0x"
    },
    16,
  );

  a.bind(ratio);
  a.mov(edx, 0);
  a.unary("div", rcx);
  a.push(rcx);
  a.push(rdx);
  a.call(decimal);
  a.pop(rax);
  a.pop(rcx);
  a.mov(edx, 100);
  a.unary("mul", rdx);
  a.unary("div", rcx); // hundredths, below 100
  a.mov(edx, 0);
  a.mov(ecx, 10);
  a.unary("div", ecx);
  a.alu("sub", rsp, 8);
  a.alu("add", eax, 0x30);
  a.alu("add", edx, 0x30);
  a.mov(at(rsp), 0x2e, 8); // "."
  a.mov(at(rsp, 1), al);
  a.mov(at(rsp, 2), dl);
  a.mov(rsi, rsp);
  a.mov(ecx, 3);
  a.call(print);
  a.alu("add", rsp, 8);
  a.plain("ret");
}

/** A routine that makes digits from the end of a stack buffer, RDI counting down, R8 the base, and prints them. */
function emitDigits(a: Assembler, entry: Label, print: Label, digits: () => void, base: number): void {
  a.bind(entry);
  a.alu("sub", rsp, DIGITS);
  a.mov(rdi, rsp);
  a.alu("add", rdi, DIGITS);
  a.mov(r8, base);
  digits();
  a.mov(rsi, rdi);
  a.mov(rcx, rsp);
  a.alu("add", rcx, DIGITS);
  a.alu("sub", rcx, rsi);
  a.call(print);
  a.alu("add", rsp, DIGITS);
  a.plain("ret");
}
