import type { GuestRegisters } from "../host/guest-registers.js";
import type { Operation, OperationCall, OperationField } from "../operations/operation.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { HypercallAbi } from "./hypercall-abi.js";
import { narrowLow } from "./pointer-abi.js";

/** `__HYPERVISOR_FASTABI_MASK`. */
export const FASTABI_MASK = 0x40000000;
/** reg0 to reg7: rax, rdi, rsi, r8, r9, r10, r11, r12. */
const REGISTERS: readonly number[] = [0, 7, 6, 8, 9, 10, 11, 12];

interface Plan {
  readonly operation: Operation;
  readonly stage: number;
}

/**
 * FastABI (RFC of August 2025): every value in a register, none in memory. Sub-operation in rdi; registers that the
 * operation does not declare as outputs keep their values, and on failure all do but rax. Only for 64-bit callers.
 */
export class FastAbi implements HypercallAbi {
  readonly id = "fastabi";
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
      plans[hypercall][subop] = { operation, stage: cost.compile(operation.stage) };
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
    const subop = this.registers.lo(REGISTERS[1]);
    this.plan = subop >= 0 && subop < group.length ? group[subop] : undefined;
    return this.plan?.operation;
  }

  /** Follows a {@link decode} of the same call. */
  invoke(operation: Operation, call: OperationCall): number {
    const { registers } = this;
    const { inputs, outputs } = operation.descriptor;
    for (let i = 0; i < inputs.length; i++) this.takeInput(inputs[i], call.inputs, 2 * i);
    for (let i = 2 * outputs.length - 1; i >= 0; i--) call.outputs[i] = 0;
    const stage = this.plan?.operation === operation ? this.plan.stage : this.cost.compile(operation.stage);
    this.cost.run(stage);
    const result = operation.handle(call);
    if (result < 0) return result;
    for (let i = 0; i < outputs.length; i++) {
      const { register, bytes, signed } = outputs[i];
      if (register === 0) continue;
      const lo = narrowLow(call.outputs[2 * i], bytes, signed);
      const hi = bytes === 8 ? call.outputs[2 * i + 1] : signed ? lo >> 31 : 0;
      registers.set(REGISTERS[register], lo, hi);
    }
    return result;
  }

  private takeInput(field: OperationField, words: Int32Array, at: number): void {
    const { register, bytes, signed, implied = 0 } = field;
    const lo = register === 0 ? implied | 0 : this.registers.lo(REGISTERS[register]);
    words[at] = narrowLow(lo, bytes, signed);
    const hi = register === 0 ? lo >> 31 : this.registers.hi(REGISTERS[register]);
    words[at + 1] = bytes === 8 ? hi : signed ? words[at] >> 31 : 0;
  }
}
