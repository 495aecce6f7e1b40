import { Errno } from "../errno.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import { LockMode } from "../host/simulated-lock.js";
import type { Operation, OperationCall } from "../operations/operation.js";
import { highBeyond } from "../operations/word-pair.js";
import type { PathCost } from "../path-cost/path-cost.js";
import { CALIBRATION_NS } from "../time-record.js";
import { ArgumentRegisters } from "./argument-registers.js";
import { FASTABI_MASK } from "./fastabi.js";
import type { HypercallAbi } from "./hypercall-abi.js";
import type { HypercallArguments } from "./hypercall-arguments.js";
import { type FieldPlan, type OperationPlan, Place, planOperation } from "./operation-plan.js";

/** memory_op keeps a continuation's progress in the bits above its sub-operation (MEMOP_EXTENT_SHIFT). */
const MEMORY_OP = 12;
const MEMORY_OP_MASK = 0x3f;
const MEMOP_EXTENT_SHIFT = 6;

/**
 * The traditional interface: number in rax, five register arguments, everything else in a struct that the guest points
 * to. What a pointer means is the {@link GuestAccess}'s business, so linear and physical pointers share all of this.
 */
export abstract class PointerAbi implements HypercallAbi {
  abstract readonly id: string;
  readonly longModeOnly: boolean = false;
  readonly debugClobbers = true;
  private readonly access: GuestAccess;
  protected readonly cost: PathCost;
  private readonly argumentRegisters: ArgumentRegisters;
  /** Those of the latest call that was decoded. */
  private arguments: HypercallArguments;
  private readonly plans: PlanTable;
  /** For callers that are not in 64-bit mode. */
  private readonly compatPlans: PlanTable;
  private plan: OperationPlan | undefined;
  /** Sub-operation of the latest call that was decoded, progress of memory_op included. */
  private command = 0;

  constructor(
    operations: readonly Operation[],
    registers: GuestRegisters,
    access: GuestAccess,
    cost: PathCost,
  ) {
    this.access = access;
    this.cost = cost;
    this.argumentRegisters = new ArgumentRegisters(registers);
    this.arguments = this.argumentRegisters;
    this.plans = planTable(operations, cost, false);
    this.compatPlans = planTable(operations, cost, true);
  }

  /** Numbers with FastABI's bit are its own, or nobody's. */
  claims(number: number): boolean {
    return (number & FASTABI_MASK) === 0;
  }

  decode(number: number): Operation | undefined {
    this.argumentRegisters.latch();
    return this.decodeFrom(number, this.argumentRegisters);
  }

  /** {@link decode} with arguments that need not be in registers. Numbers are those that this interface claims. */
  decodeFrom(number: number, from: HypercallArguments): Operation | undefined {
    const plans = from.compat ? this.compatPlans : this.plans;
    const group = number >= 0 && number < plans.length ? plans[number] : undefined;
    if (group === undefined) return undefined;
    const command = from.lo(0);
    const subop = group.plain ? 0 : number === MEMORY_OP ? command & MEMORY_OP_MASK : command;
    const plan = subop >= 0 && subop < group.plans.length ? group.plans[subop] : undefined;
    if (plan === undefined) return undefined;
    this.plan = plan;
    this.arguments = from;
    this.command = command;
    return plan.operation;
  }

  /** Follows a {@link decode} of the same call. */
  invoke(operation: Operation, call: OperationCall): number {
    return this.carryOut(operation, call);
  }

  private carryOut(operation: Operation, call: OperationCall): number {
    const { plan } = this;
    if (plan === undefined || plan.operation !== operation) return -Errno.ENOSYS;
    const given = this.arguments;
    const pointerLo = given.lo(plan.pointer);
    const pointerHi = given.hi(plan.pointer);
    if (plan.isArray) {
      const count = given.lo(plan.pointer + 1);
      if (count < 0) return -Errno.EINVAL;
      if (operation.entries === "many") return this.invokeEach(plan, call, pointerLo, pointerHi, count);
      if (operation.entries === undefined && count !== 1) return -Errno.EINVAL;
    }
    return this.invokeOne(plan, call, pointerLo, pointerHi, false);
  }

  /** {@link invoke} for an interface whose nested pointers are not what the domain's are; a multicall's entries may differ. */
  protected invokeWithOwnAccess(operation: Operation, call: OperationCall): number {
    const before = call.access;
    call.access = this.access;
    const result = this.carryOut(operation, call);
    call.access = before;
    return result;
  }

  /**
   * One struct, and what the call is about.
   * @param keepsOutputs values that the operation does not set stay as the guest has them
   */
  private invokeOne(
    plan: OperationPlan,
    call: OperationCall,
    pointerLo: number,
    pointerHi: number,
    keepsOutputs: boolean,
  ): number {
    const { access, cost } = this;
    const { operation } = plan;
    call.startExtent = this.command >>> MEMOP_EXTENT_SHIFT;
    if (plan.copyIn > 0 && access.copyFromGuest(pointerLo, pointerHi, plan.copyIn) !== 0)
      return operation.unreadable === undefined ? -Errno.EFAULT : operation.unreadable(call);
    call.compat = this.arguments.compat;
    call.byRegister = false;
    this.takeInputs(plan, call.inputs);
    if (keepsOutputs) takeFields(access.buffer, plan.outputs, call.outputs);
    const { lock } = operation.stage;
    const held = lock === undefined ? undefined : call.domain.locks?.of(lock);
    held?.acquire(LockMode.Exclusive);
    cost.run(plan.stage >= 0 ? plan.stage : cost.compile(operation.stage));
    let result = operation.handle(call);
    held?.release();
    if (plan.copyOut > 0 && (result >= 0 || plan.alwaysOut)) {
      this.writeStruct(plan, call);
      if (this.copyOut(plan, pointerLo, pointerHi) !== 0) result = -Errno.EFAULT;
    }
    // Every call finds them zero.
    for (let i = 2 * plan.outputs.length - 1; i >= 0; i--) call.outputs[i] = 0;
    return result;
  }

  /** The structs of an array, one after the other, until one cannot be reached or something comes up. */
  private invokeEach(
    plan: OperationPlan,
    call: OperationCall,
    pointerLo: number,
    pointerHi: number,
    count: number,
  ): number {
    const { operation, structBytes } = plan;
    const { batch = 1, descriptor, finish } = operation;
    const { vcpu, continuation } = call;
    const wide = !this.arguments.compat;
    const until = (Math.floor(vcpu.nowNs / CALIBRATION_NS) + 1) * CALIBRATION_NS;
    let lo = pointerLo;
    let hi = pointerHi;
    let result = 0;
    for (let i = 0; i < count && result >= 0; i++) {
      if (i > 0 && i % batch === 0 && (vcpu.runner.preempts || vcpu.nowNs >= until)) {
        continuation.create(descriptor.hypercall);
        continuation.add(descriptor.subop, 0);
        continuation.add(lo, hi);
        continuation.add(count - i, 0);
        break;
      }
      result = this.invokeOne(plan, call, lo, hi, true);
      lo = (lo + structBytes) | 0;
      if (wide && lo >>> 0 < structBytes) hi = (hi + 1) | 0;
    }
    finish?.(call);
    return result;
  }

  /** Results go to the place in the guest's struct that they have in ours; a copy always starts at the buffer's start. */
  private copyOut(plan: OperationPlan, pointerLo: number, pointerHi: number): number {
    const { access } = this;
    const { copyOutAt, copyOut } = plan;
    if (copyOutAt === 0) return access.copyToGuest(pointerLo, pointerHi, copyOut);
    const { buffer } = access;
    for (let i = 0; i < copyOut; i++) buffer.setUint8(i, buffer.getUint8(copyOutAt + i));
    const hi = highBeyond(pointerLo, pointerHi, copyOutAt);
    return access.copyToGuest((pointerLo + copyOutAt) | 0, hi, copyOut);
  }

  private takeInputs(plan: OperationPlan, words: Int32Array): void {
    const { arguments: given, access } = this;
    const { inputs } = plan;
    for (let i = 0; i < inputs.length; i++) {
      const field = inputs[i];
      let lo = 0;
      let hi = 0;
      if (field.place === Place.Argument) {
        lo = given.lo(field.at);
        hi = given.hi(field.at);
      } else if (field.place === Place.ArgumentPair) {
        lo = given.lo(field.at);
        hi = given.lo(field.at + 1);
      } else if (field.place === Place.Struct) {
        lo = readLow(access.buffer, field);
        if (field.bytes === 8) hi = access.buffer.getInt32(field.at + 4, true);
      }
      words[2 * i] = narrowLow(lo, field.bytes, field.signed);
      words[2 * i + 1] = field.bytes === 8 ? hi : field.signed ? words[2 * i] >> 31 : 0;
    }
  }

  /** The struct afresh, from inputs and outputs: a handler may have used the buffer for something else. */
  private writeStruct(plan: OperationPlan, call: OperationCall): void {
    const { buffer } = this.access;
    const { padding } = plan;
    for (let i = 0; i < padding.length; i++) buffer.setInt8(padding[i], 0);
    writeFields(buffer, plan.inputs, call.inputs);
    writeFields(buffer, plan.outputs, call.outputs);
  }
}

/** One hypercall's operations. */
interface PlanGroup {
  /** It has no sub-operation. */
  readonly plain: boolean;
  /** By sub-operation. */
  readonly plans: (OperationPlan | undefined)[];
}
/** By number. */
type PlanTable = readonly (PlanGroup | undefined)[];

function planTable(operations: readonly Operation[], cost: PathCost, compat: boolean): PlanTable {
  const table: (PlanGroup | undefined)[] = [];
  for (const operation of operations) {
    const { hypercall, subop, plain = false, fastabiOnly } = operation.descriptor;
    if (fastabiOnly) continue;
    table[hypercall] ??= { plain, plans: [] };
    const stage = operation.rare ? -1 : cost.compile(operation.stage);
    table[hypercall].plans[subop] = planOperation(operation, stage, compat);
  }
  return table;
}

/** Values of a struct as the guest has them. */
function takeFields(buffer: DataView, fields: readonly FieldPlan[], words: Int32Array): void {
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field.place !== Place.Struct) continue;
    words[2 * i] = readLow(buffer, field);
    words[2 * i + 1] = field.bytes === 8 ? buffer.getInt32(field.at + 4, true) : 0;
  }
}

function writeFields(buffer: DataView, fields: readonly FieldPlan[], words: Int32Array): void {
  for (let i = 0; i < fields.length; i++) {
    const { place, at, bytes } = fields[i];
    if (place !== Place.Struct) continue;
    const lo = words[2 * i];
    if (bytes >= 4) {
      buffer.setInt32(at, lo, true);
      if (bytes === 8) buffer.setInt32(at + 4, words[2 * i + 1], true);
    } else if (bytes === 2) buffer.setInt16(at, lo, true);
    else buffer.setInt8(at, lo);
  }
}

function readLow(buffer: DataView, field: FieldPlan): number {
  if (field.bytes >= 4) return buffer.getInt32(field.at, true);
  return field.bytes === 2 ? buffer.getInt16(field.at, true) : buffer.getInt8(field.at);
}

/** Low word of a value of so many bytes, extended to 32 bits as its type says. */
export function narrowLow(lo: number, bytes: number, signed: boolean): number {
  if (bytes >= 4) return lo;
  const shift = 32 - 8 * bytes;
  return signed ? (lo << shift) >> shift : (lo << shift) >>> shift;
}
