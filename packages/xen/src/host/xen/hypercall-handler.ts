import { ArgumentRegisters } from "../../abi/argument-registers.js";
import { FASTABI_MASK } from "../../abi/fastabi.js";
import type { HypercallAbi } from "../../abi/hypercall-abi.js";
import { Errno } from "../../errno.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import type { HypervisorCounters } from "../../hypervisor-counters.js";
import type { OperationCall } from "../../operations/operation.js";
import { Phase } from "../../path-cost/phases.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { HVM_HYPERCALL } from "../../path-cost/stages/dispatch.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";

const RAX = 0;

/** One hypercall as listeners see it. */
export interface HypercallEvent {
  /** rax as the guest passed it, low word, unsigned. */
  readonly number: number;
  /** `group.operation`, or undefined for numbers that nobody handles. */
  readonly operation: string | undefined;
  readonly abi: HypercallAbi["id"] | undefined;
  /** The five register arguments of a traditional call, in order, as hexadecimal numbers. */
  readonly arguments: readonly string[];
  /** What went to rax. */
  readonly result: number;
}

/** `hvm_hypercall`: mode, privilege, Viridian's bit, interface, table. */
export class HypercallHandler {
  /** Told about every call while set. */
  onHypercall: ((event: HypercallEvent) => void) | undefined;
  /** Told the name of every call while set. */
  accounting: ExitAccounting | undefined;
  private readonly argumentRegisters: ArgumentRegisters;
  private readonly abis: readonly HypercallAbi[];
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly counters: HypervisorCounters;
  private readonly stage: number;
  private readonly operationPhase: number;

  /** @param abis the domain's interfaces; the first that claims a number has it */
  constructor(
    abis: readonly HypercallAbi[],
    registers: GuestRegisters,
    cost: StagePathCost,
    counters: HypervisorCounters,
  ) {
    this.abis = abis;
    this.argumentRegisters = new ArgumentRegisters(registers);
    this.registers = registers;
    this.cost = cost;
    this.counters = counters;
    this.stage = cost.compile(HVM_HYPERCALL);
    this.operationPhase = cost.phase(Phase.Operation);
  }

  /** Handles the call in the registers and leaves the result in rax. */
  handle(call: OperationCall): void {
    const { registers } = this;
    this.counters.hypercalls++;
    this.cost.run(this.stage);
    const { mode } = registers;
    // In 64-bit mode the whole of rax is the number, and the whole of rax is the result.
    const long = mode === GuestCodeMode.Long;
    const number = registers.lo(RAX);
    const result = this.dispatch(number, mode, call);
    registers.set(RAX, result, long ? result >> 31 : 0);
  }

  private dispatch(number: number, mode: number, call: OperationCall): number {
    const { registers } = this;
    if (mode === GuestCodeMode.Vm86 || (mode !== GuestCodeMode.Real && registers.cpl !== 0))
      return this.report(number, undefined, undefined, -Errno.EPERM);
    // Bit 31 is Viridian's, which is off.
    if (number < 0 || (mode === GuestCodeMode.Long && registers.hi(RAX) !== 0))
      return this.report(number, undefined, undefined, -Errno.ENOSYS);
    const { abis } = this;
    for (let i = 0; i < abis.length; i++) {
      const abi = abis[i];
      if (!abi.claims(number) || ((number & FASTABI_MASK) !== 0 && mode !== GuestCodeMode.Long)) continue;
      const operation = abi.decode(number);
      if (operation === undefined) return this.report(number, undefined, abi, -Errno.ENOSYS);
      this.cost.enter(this.operationPhase);
      const result = abi.invoke(operation, call);
      this.cost.leave();
      return this.report(number, operation.descriptor.name, abi, result);
    }
    return this.report(number, undefined, undefined, -Errno.ENOSYS);
  }

  private report(
    number: number,
    operation: string | undefined,
    abi: HypercallAbi | undefined,
    result: number,
  ): number {
    if (this.onHypercall !== undefined)
      this.onHypercall({
        number: number >>> 0,
        operation,
        abi: abi?.id,
        arguments: this.argumentRegisters.texts,
        result,
      });
    this.accounting?.name(operation ?? `hypercall-0x${(number >>> 0).toString(16)}`);
    return result;
  }
}
