import { State } from "../cpu-state.js";
import type { ExecutionCore } from "./core.js";
import { Entry, Form } from "./entry.js";

/**
 * Puts down what a VM exit may report of an instruction's operands: the VM-exit instruction-information word in the
 * layout that its formats share (SDM vol. 3, tables 28-8 to 28-14), and the displacement. Fields that an instruction
 * does not have are left clear.
 * @param registerFirst of two register operands the first is the r/m one
 */
export function noteOperands(core: ExecutionCore, pc: number, registerFirst: boolean): void {
  const { code, processor } = core;
  const form = code[pc + Entry.Form];
  const addressSize = (form >> Form.AddressShift) & 3;
  const inMemory = (form & (Form.MemoryFirst | Form.MemorySecond)) !== 0;
  const first = (code[pc + Entry.A] >> 1) & 15;
  const second = (code[pc + Entry.B] >> 1) & 15;
  let information = 0;
  processor.interceptAddressLo = 0;
  processor.interceptAddressHi = 0;
  if (inMemory) {
    const base = code[pc + Entry.Base];
    const index = code[pc + Entry.Index];
    const ripRelative = base === State.RipLo;
    information =
      (index === State.ZeroLo ? 0x400000 : ((code[pc + Entry.Ea] >> 8) & 3) | (index << 17)) |
      ((addressSize - 1) << 7) |
      (core.segmentOf(pc) << 15) |
      (base === State.ZeroLo || ripRelative ? 0x8000000 : base << 22) |
      (((form & Form.MemoryFirst) !== 0 ? second : first) << 28);
    const displacement = code[pc + Entry.Displacement];
    processor.interceptAddressLo = displacement;
    processor.interceptAddressHi = displacement >> 31;
    if (ripRelative) {
      core.offsetOf(pc);
      processor.interceptAddressLo = core.lo;
      processor.interceptAddressHi = core.hi;
    }
  } else {
    information = 0x400 | ((registerFirst ? first : second) << 3) | ((registerFirst ? second : first) << 28);
  }
  processor.interceptOperands = information | (core.sizeOf(pc) >= 2 ? 0x800 : 0);
}
