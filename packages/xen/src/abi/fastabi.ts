import { Errno } from "../errno.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import { LockMode } from "../host/simulated-lock.js";
import type { Operation, OperationCall, OperationField } from "../operations/operation.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { HypercallAbi } from "./hypercall-abi.js";

/** `__HYPERVISOR_FASTABI_MASK`. */
export const FASTABI_MASK = 0x40000000;
/** reg0 to reg7: rax, rdi, rsi, r8, r9, r10, r11, r12. */
export const FASTABI_REGISTERS: readonly number[] = [0, 7, 6, 8, 9, 10, 11, 12];

// One value's place: state word of its register, and how it is cut to its size.
const WORD = 0x3f;
/** It has less than 8 bytes. */
const NARROW = 0x40;
const SIGNED = 0x80;
const SHIFT = 8; // bits that a 32-bit word has more
/** No register carries it. */
const NOWHERE = -1;

interface Plan {
  readonly operation: Operation;
  /** -1: compiled when it first runs. */
  readonly stage: number;
  readonly inputs: Int32Array;
  readonly outputs: Int32Array;
  /** Inputs taken for granted: index among the words of the inputs, low word. */
  readonly implied: readonly (readonly [number, number])[];
  /** What the sub-operation was when the guest made the call that goes on here, or -1. */
  readonly continues: number;
}

/**
 * FastABI (RFC of August 2025): every value in a register, none in memory. Sub-operation in rdi; registers that the
 * operation does not declare as outputs keep their values, and on failure all do but rax. Addresses are guest-physical. Only
 * for 64-bit callers.
 */
export class FastAbi implements HypercallAbi {
  readonly id = "fastabi";
  readonly longModeOnly = true;
  protected readonly registers: GuestRegisters;
  private readonly cost: PathCost;
  /** For what a value points to: addresses are guest-physical. */
  private readonly access: GuestAccess;
  private readonly plans: readonly (readonly (Plan | undefined)[] | undefined)[];
  private plan: Plan | undefined;

  /** @param access to guest memory by physical addresses */
  constructor(
    operations: readonly Operation[],
    registers: GuestRegisters,
    access: GuestAccess,
    cost: PathCost,
  ) {
    this.registers = registers;
    this.access = access;
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
        implied: planImplied(operation.descriptor.inputs),
        continues: operation.continues ?? -1,
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
    const subop = registers.lo(FASTABI_REGISTERS[1]);
    const isIndex = subop >= 0 && subop < group.length && registers.hi(FASTABI_REGISTERS[1]) === 0;
    this.plan = isIndex ? group[subop] : undefined;
    return this.plan?.operation;
  }

  /** Follows a {@link decode} of the same call. */
  invoke(operation: Operation, call: OperationCall): number {
    const { plan, registers } = this;
    if (plan === undefined || plan.operation !== operation) return -Errno.ENOSYS;
    takeInputs(plan, registers.words, call.inputs);
    call.compat = false;
    call.byRegister = true;
    const { cost } = this;
    const { lock } = operation.stage;
    const held = lock === undefined ? undefined : call.domain.locks?.of(lock);
    held?.acquire(LockMode.Exclusive);
    cost.run(plan.stage >= 0 ? plan.stage : cost.compile(operation.stage));
    const { access } = call;
    call.access = this.access;
    call.startExtent = 0;
    const result = operation.handle(call);
    operation.finish?.(call);
    held?.release();
    call.access = access;
    const { continuation } = call;
    if (continuation.pending) continuation.number |= FASTABI_MASK;
    else if (plan.continues >= 0) registers.set(FASTABI_REGISTERS[1], plan.continues, 0);
    if (result >= 0) giveOutputs(plan.outputs, call.outputs, registers.words);
    else call.outputs.fill(0);
    return result;
  }
}

function planFields(fields: readonly OperationField[]): Int32Array {
  return Int32Array.from(fields, ({ register, bytes, signed }) => {
    if (register === 0) return NOWHERE;
    const cut = bytes === 8 ? 0 : NARROW | (signed ? SIGNED : 0) | (Math.max(0, 32 - 8 * bytes) << SHIFT);
    return (2 * FASTABI_REGISTERS[register]) | cut;
  });
}

function planImplied(fields: readonly OperationField[]): Plan["implied"] {
  return fields.flatMap(({ register, implied = 0 }, i) =>
    register === 0 ? [[2 * i, implied] as const] : [],
  );
}

/** Values from their registers, cut to their sizes. */
function takeInputs({ inputs, implied }: Plan, words: Int32Array, values: Int32Array): void {
  for (let i = 0; i < inputs.length; i++) {
    const place = inputs[i];
    if (place === NOWHERE) continue;
    const word = place & WORD;
    const lo = words[word];
    values[2 * i] = place < NARROW ? lo : narrow(lo, place);
    values[2 * i + 1] = place < NARROW ? words[word + 1] : (place & SIGNED) !== 0 ? values[2 * i] >> 31 : 0;
  }
  for (let i = 0; i < implied.length; i++) {
    const [at, lo] = implied[i];
    values[at] = lo;
    values[at + 1] = lo >> 31;
  }
}

/** Results to their registers; what they came from is zero again, as every call finds it. */
function giveOutputs(outputs: Int32Array, values: Int32Array, words: Int32Array): void {
  for (let i = 0; i < outputs.length; i++) {
    const place = outputs[i];
    const lo = values[2 * i];
    const hi = values[2 * i + 1];
    values[2 * i] = 0;
    values[2 * i + 1] = 0;
    if (place === NOWHERE) continue;
    const word = place & WORD;
    const low = place < NARROW ? lo : narrow(lo, place);
    words[word] = low;
    words[word + 1] = place < NARROW ? hi : (place & SIGNED) !== 0 ? low >> 31 : 0;
  }
}

/** A word cut to its size and extended again. */
function narrow(lo: number, place: number): number {
  const shift = place >>> SHIFT;
  return (place & SIGNED) !== 0 ? (lo << shift) >> shift : ((lo << shift) >>> shift) | 0;
}
