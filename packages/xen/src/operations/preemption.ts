import { CALIBRATION_NS } from "../time-record.js";
import type { OperationCall, OperationDescriptor } from "./operation.js";

/** Where memory_op keeps a continuation's progress (MEMOP_EXTENT_SHIFT). */
const MEMOP_EXTENT_SHIFT = 6;

/** `hypercall_preempt_check` between two steps of a long call, which a softirq interrupts each simulated second at the latest. */
export class PreemptionCheck {
  private readonly call: OperationCall;
  private readonly until: number;

  constructor(call: OperationCall) {
    this.call = call;
    this.until = (Math.floor(call.vcpu.nowNs / CALIBRATION_NS) + 1) * CALIBRATION_NS;
  }

  get isDue(): boolean {
    const { vcpu, byRegister } = this.call;
    // FastABI's sub-operation has no room for progress.
    return !byRegister && (vcpu.runner.preempts || vcpu.nowNs >= this.until);
  }
}

/** A memory_op goes on with its next extent when the guest makes it again. */
export function continueLater(
  { continuation }: OperationCall,
  { hypercall, subop }: OperationDescriptor,
  extent: number,
): number {
  continuation.create(hypercall);
  continuation.add(subop | (extent << MEMOP_EXTENT_SHIFT), 0);
  return 0;
}
