import { LinearAbi } from "../abi/linear.js";
import { Errno } from "../errno.js";
import type { ExitAccounting } from "../exit-accounting.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import type { KvmXenExitHcall } from "../host/kvm/uapi.js";
import type { XenHcallExit } from "../host/kvm/xen-hcall-exit.js";
import type { MulticallEntry } from "../multicall-entry.js";
import type { Constituents, Operation, OperationCall } from "../operations/operation.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import { MONITOR_EXIT, MONITOR_HYPERCALL } from "../path-cost/stages/kvm-user-space.js";

export interface MonitorOptions {
  /** All that its hypercalls can do. */
  readonly operations: readonly Operation[];
  readonly registers: GuestRegisters;
  /** Guest memory by linear address, as the monitor reaches it. */
  readonly access: GuestAccess;
  readonly cost: StagePathCost;
  /** After each hypercall. */
  readonly served: () => void;
  /** Asked first; true: it has served the call. */
  readonly first: ((exit: KvmXenExitHcall) => boolean) | undefined;
}

/**
 * The user-space monitor as one vCPU's thread has it between two KVM_RUNs: serves hypercalls that leave through KVM_EXIT_XEN.
 * Which operation a call names and where its values are is the traditional interface's business, as under Xen; arguments
 * come from `kvm_run`, guest memory through KVM_TRANSLATE and the monitor's own mapping.
 */
export class Monitor implements Constituents {
  /** Name of the latest call, undefined for a number that nobody serves. */
  operation: string | undefined;
  /** Told the name of every call while set. */
  accounting: ExitAccounting | undefined;
  private readonly abi: LinearAbi;
  private readonly cost: StagePathCost;
  private readonly served: () => void;
  private readonly first: MonitorOptions["first"];
  private readonly exitStage: number;
  private readonly hypercallStage: number;

  constructor({ operations, registers, access, cost, served, first }: MonitorOptions) {
    this.cost = cost;
    this.served = served;
    this.first = first;
    this.abi = new LinearAbi(operations, registers, access, cost);
    this.exitStage = cost.compile(MONITOR_EXIT);
    this.hypercallStage = cost.compile(MONITOR_HYPERCALL);
  }

  /** KVM_RUN has returned: the loop around it finds out why. */
  dispatch(): void {
    this.cost.run(this.exitStage);
  }

  /**
   * `KVM_EXIT_XEN`: leaves the result in `exit`. Calls of user code are refused, as Xen refuses them.
   * @returns whether it is done; else it is to {@link goOn}
   */
  hypercall(exit: XenHcallExit, call: OperationCall): boolean {
    this.cost.run(this.hypercallStage);
    this.operation = undefined;
    if (this.first?.(exit) === true) {
      this.name(exit);
      return true;
    }
    if (exit.cpl === 0) return this.goOn(exit, call);
    this.finish(exit, -Errno.EPERM);
    return true;
  }

  /** One round of a call that takes several: as much as Xen does before it makes room for what has come up. @returns as above */
  goOn(exit: XenHcallExit, call: OperationCall): boolean {
    const { continuation } = call;
    continuation.pending = false;
    const result = this.serve(exit, call);
    if (continuation.pending) {
      exit.continueWith(continuation);
      return false;
    }
    this.finish(exit, result);
    return true;
  }

  /** Makes the call of a multicall's entry. */
  invoke(entry: MulticallEntry, call: OperationCall): number {
    const number = entry.numberLo;
    if (number < 0 || entry.numberHi !== 0 || !this.abi.claims(number)) return -Errno.ENOSYS;
    const operation = this.abi.decodeFrom(number, entry);
    if (operation === undefined) return -Errno.ENOSYS;
    const result = this.abi.invoke(operation, call);
    return call.continuation.pending ? call.continuation.number : result;
  }

  private finish(exit: XenHcallExit, result: number): void {
    this.served();
    exit.setResult(result, exit.longmode ? result >> 31 : 0);
    this.name(exit);
  }

  private name(exit: XenHcallExit): void {
    this.accounting?.name(this.operation ?? `hypercall-0x${(exit.inputLo >>> 0).toString(16)}`);
  }

  private serve(exit: XenHcallExit, call: OperationCall): number {
    const { abi } = this;
    const number = exit.inputLo;
    if (number < 0 || exit.inputHi !== 0 || !abi.claims(number)) return -Errno.ENOSYS;
    const operation = abi.decodeFrom(number, exit);
    if (operation === undefined) return -Errno.ENOSYS;
    this.operation = operation.descriptor.name;
    return abi.invoke(operation, call);
  }
}
