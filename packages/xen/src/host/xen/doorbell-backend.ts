import type { BranchPredictor } from "@hyperwalk/cpu";
import type { DoorbellBackend } from "../../devices/doorbell.js";
import { mapGuestPage } from "../../guest-pages.js";
import type { P2m } from "../../p2m.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import { Phase } from "../../path-cost/phases.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  CONTEXT_SWITCH_IBPB,
  FROM_DEVICE_MODEL,
  IN_DEVICE_MODEL,
  IOREQ_DONE,
  TO_DEVICE_MODEL,
} from "../../path-cost/stages/doorbell.js";

export interface XenDoorbellBackendOptions {
  readonly p2m: P2m;
  /** Of the processor whose vCPU notifies. */
  readonly cost: StagePathCost;
  readonly predictor: BranchPredictor;
  /** The handler is a device model's; otherwise it is Xen's own. */
  readonly deviceModel: boolean;
  /** IBPB when the processor goes from one domain to another: where it does not run on each exit anyhow. */
  readonly ibpbOnSwitch: boolean;
}

/**
 * The doorbell's handler under Xen: called in the hypervisor, or an ioreq server's. That is a process of another domain,
 * whose vCPU gets the processor until it has answered, because the guest's has to wait for the answer.
 */
export class XenDoorbellBackend implements DoorbellBackend {
  private readonly options: XenDoorbellBackendOptions;
  private readonly phase: number;

  constructor(options: XenDoorbellBackendOptions) {
    this.options = options;
    this.phase = options.cost.phase(Phase.DeviceHandler);
  }

  deliver(handle: (cost: PathCost) => void): void {
    const { cost, deviceModel } = this.options;
    if (!deviceModel) {
      this.call(handle);
      return;
    }
    cost.run(cost.compile(TO_DEVICE_MODEL));
    this.switchDomain();
    cost.run(cost.compile(IN_DEVICE_MODEL));
    this.call(handle);
    cost.run(cost.compile(FROM_DEVICE_MODEL));
    this.switchDomain();
    cost.run(cost.compile(IOREQ_DONE));
  }

  map(gfn: number): number {
    return Math.max(mapGuestPage(gfn, this.options.p2m), -1);
  }

  wrote(gfn: number, cost: PathCost): void {
    this.options.p2m.writeLog?.mark(gfn, cost);
  }

  unmap(mfn: number): void {
    this.options.p2m.putPage(mfn);
  }

  private call(handle: (cost: PathCost) => void): void {
    const { cost } = this.options;
    cost.enter(this.phase);
    handle(cost);
    cost.leave();
  }

  private switchDomain(): void {
    const { cost, predictor, ibpbOnSwitch } = this.options;
    if (!ibpbOnSwitch) return;
    cost.run(cost.compile(CONTEXT_SWITCH_IBPB));
    predictor.flush();
  }
}
