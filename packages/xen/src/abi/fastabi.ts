import { Errno } from "../errno.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import type { Operation, OperationCall, OperationField } from "../operations/operation.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { HypercallAbi } from "./hypercall-abi.js";
import { narrowLow } from "./pointer-abi.js";

/** `__HYPERVISOR_FASTABI_MASK`. */
export const FASTABI_MASK = 0x40000000;
/** reg0 to reg7: rax, rdi, rsi, r8, r9, r10, r11, r12. */
const REGISTERS: readonly number[] = [0, 7, 6, 8, 9, 10, 11, 12];

// Integers of one value's plan.
const PLAN = 4;
const WORD = 0; // state word of its register, -1: not carried
const BYTES = 1;
const SIGNED = 2; // 1 or 0
const IMPLIED = 3;

interface Plan {
  readonly operation: Operation;
  /** -1: compiled when it first runs. */
  readonly stage: number;
  readonly inputs: Int32Array;
  readonly outputs: Int32Array;
}

/**
 * FastABI (RFC of August 2025): every value in a register, none in memory. Sub-operation in rdi; registers that the
 * operation does not declare as outputs keep their values, and on failure all do but rax. Only for 64-bit callers.
 */
export class FastAbi implements HypercallAbi {
  readonly id = "fastabi";
  readonly longModeOnly = true;
  private readonly registers: GuestRegisters;
  private readonly cost: PathCost;
  private readonly plans: readonly (readonly (Plan | undefined)[] | undefined)[];
  private plan: Plan | undefined;

  constructor(operations: readonly Operation[], registers: GuestRegisters, cost: PathCost) {
    this.registers = registers;
    this.cost = cost;
    const plans: (Plan | undefined)[][] = [];
    for (const operation of operations) {
      const { hypercall, subop, traditionalOnly } = operation.descriptor;
      if (traditionalOnly) continue;
      plans[hypercall] ??= [];
      plans[hypercall][subop] = {
        operation,
        stage: operation.rare ? -1 : cost.compile(operation.stage),
        inputs: planFields(operation.descriptor.inputs),
        outputs: planFields(operation.descriptor.outputs),
      };
    }
    this.plans = plans;
  }

  claims(number: number): boolean {
    return (number & FASTABI_MASK) !== 0;
  }

  decode(number: number): Operation | undefined {
    const index = number & ~FASTABI_MASK;
    const group = index >= 0 && index < this.plans.length ? this.plans[index] : undefined;
    if (group === undefined) return undefined;
    const { registers } = this;
    const subop = registers.lo(REGISTERS[1]);
    const isIndex = subop >= 0 && subop < group.length && registers.hi(REGISTERS[1]) === 0;
    this.plan = isIndex ? group[subop] : undefined;
    return this.plan?.operation;
  }

  /** Follows a {@link decode} of the same call. */
  invoke(operation: Operation, call: OperationCall): number {
    const { plan, registers } = this;
    if (plan === undefined || plan.operation !== operation) return -Errno.ENOSYS;
    takeInputs(plan.inputs, registers.words, call.inputs);
    const { outputs } = plan;
    for (let i = outputs.length >> 1; i > 0; ) call.outputs[--i] = 0;
    call.compat = false;
    call.byRegister = true;
    const { cost } = this;
    cost.run(plan.stage >= 0 ? plan.stage : cost.compile(operation.stage));
    const result = operation.handle(call);
    if (result >= 0) giveOutputs(outputs, call.outputs, registers.words);
    return result;
  }
}

function planFields(fields: readonly OperationField[]): Int32Array {
  return Int32Array.from(
    fields.flatMap(({ register, bytes, signed, implied = 0 }) => [
      register === 0 ? -1 : 2 * REGISTERS[register],
      bytes,
      signed ? 1 : 0,
      implied,
    ]),
  );
}

/** Values from their registers, cut to their sizes. */
function takeInputs(plan: Int32Array, words: Int32Array, values: Int32Array): void {
  for (let at = 0, i = 0; at < plan.length; at += PLAN, i += 2) {
    const word = plan[at + WORD];
    const bytes = plan[at + BYTES];
    const signed = plan[at + SIGNED] !== 0;
    const lo = narrowLow(word < 0 ? plan[at + IMPLIED] : words[word], bytes, signed);
    values[i] = lo;
    values[i + 1] = bytes === 8 ? (word < 0 ? lo >> 31 : words[word + 1]) : signed ? lo >> 31 : 0;
  }
}

function giveOutputs(plan: Int32Array, values: Int32Array, words: Int32Array): void {
  for (let at = 0, i = 0; at < plan.length; at += PLAN, i += 2) {
    const word = plan[at + WORD];
    if (word < 0) continue;
    const bytes = plan[at + BYTES];
    const signed = plan[at + SIGNED] !== 0;
    const lo = narrowLow(values[i], bytes, signed);
    words[word] = lo;
    words[word + 1] = bytes === 8 ? values[i + 1] : signed ? lo >> 31 : 0;
  }
}
