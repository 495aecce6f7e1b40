import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { Doorbell, DoorbellBackend } from "../../devices/doorbell.js";
import type { DoorbellHandlerName } from "../../doorbell-config.js";
import { DOORBELL_CALLS, DOORBELL_HYPERCALL } from "../../operations/doorbell.js";
import { FreePathCost } from "../../path-cost/free-path-cost.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import { Phase } from "../../path-cost/phases.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { EVENTFD_SIGNAL, KVM_WAKE_UP } from "../../path-cost/stages/kvm-events.js";
import type { Memslots } from "./memslots.js";
import type { XenHcallExit } from "./xen-hcall-exit.js";
import type { KernelHypercalls } from "./xen-hypercalls.js";

export interface KvmDoorbellBackendOptions {
  readonly handler: DoorbellHandlerName;
  readonly memslots: Memslots;
  readonly memory: PhysicalMemory;
  readonly cost: StagePathCost;
}

/**
 * The doorbell's handler under KVM: a device on the kernel's bus; a thread of the monitor that an eventfd wakes, which runs on
 * a processor of its own, so that the guest's pays for waking it alone; or the monitor's loop, which the exit has come to
 * already.
 */
export class KvmDoorbellBackend implements DoorbellBackend {
  private readonly options: KvmDoorbellBackendOptions;
  private readonly elsewhere: FreePathCost;
  private readonly phase: number;

  constructor(options: KvmDoorbellBackendOptions) {
    this.options = options;
    this.elsewhere = new FreePathCost(options.memory);
    this.phase = options.cost.phase(Phase.DeviceHandler);
  }

  deliver(handle: (cost: PathCost) => void): void {
    const { cost, handler } = this.options;
    if (handler === "ioeventfd") {
      cost.run(cost.compile(EVENTFD_SIGNAL));
      cost.run(cost.compile(KVM_WAKE_UP));
      handle(this.elsewhere);
      return;
    }
    cost.enter(this.phase);
    handle(cost);
    cost.leave();
  }

  map(gfn: number): number {
    return this.options.memslots.translate(gfn, true);
  }

  wrote(gfn: number): void {
    this.options.memslots.markDirty(gfn);
  }

  unmap(): void {
    // Kernel and monitor reach guest memory through the process's mapping.
  }
}

/** Hypercalls that the kernel binds to the doorbell, as it was proposed in 2009; whatever else there is goes on. */
export class DoorbellHypercalls implements KernelHypercalls {
  private readonly doorbell: Doorbell;
  private readonly cost: StagePathCost;
  private readonly others: KernelHypercalls | undefined;

  constructor(doorbell: Doorbell, cost: StagePathCost, others: KernelHypercalls | undefined) {
    this.doorbell = doorbell;
    this.cost = cost;
    this.others = others;
  }

  handle(exit: XenHcallExit): string | undefined {
    const { doorbell, cost, others } = this;
    if (exit.inputLo !== DOORBELL_HYPERCALL || exit.inputHi !== 0) return others?.handle(exit);
    const subop = exit.lo(0);
    const call = DOORBELL_CALLS.find(({ descriptor }) => descriptor.subop === subop);
    if (call === undefined) return undefined;
    cost.run(cost.compile(call.stage));
    const result = call.ring(doorbell, exit.lo(1), exit.hi(1), exit.lo(2));
    exit.setResult(result, exit.longmode ? result >> 31 : 0);
    return call.descriptor.name;
  }
}
