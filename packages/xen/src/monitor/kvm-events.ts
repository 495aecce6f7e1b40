import { TwoLevelEvents, type TwoLevelEventsOptions } from "../event-2l.js";
import type { KvmVm } from "../host/kvm/kvm-vm.js";
import { KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL } from "../host/kvm/uapi.js";
import { FreePathCost } from "../path-cost/free-path-cost.js";
import type { PathCost } from "../path-cost/path-cost.js";

/**
 * Events that the monitor raises: KVM delivers them (KVM_XEN_HVM_EVTCHN_SEND), and what else there is to do with pending and
 * mask bits the monitor does in its own mapping of shared_info.
 */
export class KvmTwoLevelEvents extends TwoLevelEvents {
  private readonly vm: KvmVm;
  private readonly free: FreePathCost;
  private readonly call: (cost: PathCost) => void;

  /** @param call what the system call around it costs */
  constructor(options: TwoLevelEventsOptions, vm: KvmVm, call: (cost: PathCost) => void) {
    super(options);
    this.vm = vm;
    this.free = new FreePathCost(vm.memory);
    this.call = call;
  }

  override setPending(port: number, vcpu: number, cost?: PathCost): void {
    const { vm } = this;
    const kernel = vm.cost;
    if (cost === undefined) vm.cost = this.free;
    else this.call(cost);
    const event = { port, vcpu, priority: KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL };
    const error = vm.xenHvmEvtchnSend(event);
    vm.cost = kernel;
    // Before the kernel knows of a vcpu_info, nobody but the monitor can set the bits.
    if (error !== 0) super.setPending(port, vcpu, cost);
  }
}
