import { Errno } from "../../errno.js";
import type { GuestAccess } from "../../guest-access/guest-access.js";
import {
  EVENT_CHANNEL_SEND,
  SCHED_POLL,
  SCHED_YIELD,
  SET_TIMER_OP_SET,
  VCPU_SET_SINGLESHOT_TIMER,
  VCPU_STOP_SINGLESHOT_TIMER,
  VERSION_VERSION,
} from "../../operations/descriptors.gen.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  KVM_XEN_SCHEDOP_POLL,
  KVM_XEN_VERSION,
  KVM_XEN_YIELD,
} from "../../path-cost/stages/kvm-hypercall.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import type { KvmVm } from "./kvm-vm.js";
import type { XenHcallExit } from "./xen-hcall-exit.js";
import type { KernelHypercalls } from "./xen-hypercalls.js";

const MAX_POLL_PORTS = 128;
const WORD = 2 ** 32;

export interface XenKernelHypercallsOptions {
  readonly vm: KvmVm;
  readonly xen: KvmVcpuXen;
  /** `kvm_read_guest_virt` */
  readonly access: GuestAccess;
  readonly cost: StagePathCost;
}

/** The hypercalls that KVM serves by itself, each under its condition (`kvm_xen_hypercall`). */
export class XenKernelHypercalls implements KernelHypercalls {
  /** The latest call was a SCHEDOP_poll that found nothing: the vCPU is to block before it gets its result. */
  blocks = false;
  private readonly options: XenKernelHypercallsOptions;

  constructor(options: XenKernelHypercallsOptions) {
    this.options = options;
  }

  /** Another call comes. */
  forget(): void {
    this.blocks = false;
  }

  handle(exit: XenHcallExit): string | undefined {
    if (exit.inputHi !== 0) return undefined;
    const command = exit.hi(0) === 0 ? exit.lo(0) : -1;
    switch (exit.inputLo) {
      case VERSION_VERSION.hypercall:
        return command === VERSION_VERSION.subop ? this.version(exit) : undefined;
      case EVENT_CHANNEL_SEND.hypercall:
        return command === EVENT_CHANNEL_SEND.subop ? this.send(exit) : undefined;
      case SCHED_POLL.hypercall:
        if (command === SCHED_POLL.subop) return this.poll(exit);
        return command === SCHED_YIELD.subop ? this.yieldTo(exit) : undefined;
      case VCPU_SET_SINGLESHOT_TIMER.hypercall:
        return this.singleshotTimer(exit, command);
      case SET_TIMER_OP_SET.hypercall:
        return this.setTimer(exit);
      default:
        return undefined;
    }
  }

  /** Only what user space has set (the attribute XEN_VERSION). */
  private version(exit: XenHcallExit): string | undefined {
    const { vm, cost } = this.options;
    if (vm.xenVersion === 0) return undefined;
    cost.run(cost.compile(KVM_XEN_VERSION));
    return this.done(exit, vm.xenVersion, VERSION_VERSION.name);
  }

  /** A port that has been registered (the attribute EVTCHN). */
  private send(exit: XenHcallExit): string | undefined {
    const { vm, access } = this.options;
    if (!vm.sendsEvents) return undefined;
    if (access.copyFromGuest(exit.lo(1), exit.hi(1), 4) !== 0)
      return this.done(exit, -Errno.EFAULT, EVENT_CHANNEL_SEND.name);
    if (!vm.guestEvtchnSend(access.buffer.getUint32(0, true))) return undefined;
    return this.done(exit, 0, EVENT_CHANNEL_SEND.name);
  }

  private yieldTo(exit: XenHcallExit): string | undefined {
    const { vm, cost } = this.options;
    if (!vm.sendsEvents) return undefined;
    cost.run(cost.compile(KVM_XEN_YIELD));
    return this.done(exit, 0, SCHED_YIELD.name);
  }

  /** `kvm_xen_schedop_poll` */
  private poll(exit: XenHcallExit): string | undefined {
    const { vm, xen, access, cost } = this.options;
    if (!vm.sendsEvents) return undefined;
    cost.run(cost.compile(KVM_XEN_SCHEDOP_POLL));
    const { longmode } = exit;
    if (access.copyFromGuest(exit.lo(1), exit.hi(1), longmode ? 24 : 16) !== 0)
      return this.done(exit, -Errno.EFAULT, SCHED_POLL.name);
    const { buffer } = access;
    const lo = buffer.getInt32(0, true);
    const hi = longmode ? buffer.getInt32(4, true) : 0;
    const count = buffer.getUint32(longmode ? 8 : 4, true);
    const at = longmode ? 16 : 8;
    const timeout = buffer.getUint32(at + 4, true) * WORD + buffer.getUint32(at, true);
    if (count > MAX_POLL_PORTS) return this.done(exit, -Errno.EINVAL, SCHED_POLL.name);
    if (access.copyFromGuest(lo, hi, 4 * count) !== 0) return this.done(exit, -Errno.EFAULT, SCHED_POLL.name);
    const ports = Array.from({ length: count }, (_, i) => buffer.getUint32(4 * i, true));
    if (ports.some((port) => port >= vm.maxPorts)) return this.done(exit, -Errno.EINVAL, SCHED_POLL.name);
    if (xen.startPoll(ports, timeout)) xen.endPoll();
    else this.blocks = true;
    return this.done(exit, 0, SCHED_POLL.name);
  }

  /** `kvm_xen_hcall_vcpu_op`, where user space has given the timer a port (the attribute TIMER). */
  private singleshotTimer(exit: XenHcallExit, command: number): string | undefined {
    const { xen, access } = this.options;
    const sets = command === VCPU_SET_SINGLESHOT_TIMER.subop;
    if (!xen.timer.isEnabled || (!sets && command !== VCPU_STOP_SINGLESHOT_TIMER.subop)) return undefined;
    const { name } = sets ? VCPU_SET_SINGLESHOT_TIMER : VCPU_STOP_SINGLESHOT_TIMER;
    if (exit.lo(1) !== xen.xenVcpuId) return this.done(exit, -Errno.EINVAL, name);
    if (!sets) {
      xen.timer.stop();
      return this.done(exit, 0, name);
    }
    // The only difference between the two layouts is padding at the end.
    if (access.copyFromGuest(exit.lo(2), exit.hi(2), exit.longmode ? 16 : 12) !== 0)
      return this.done(exit, -Errno.EFAULT, name);
    xen.timer.start(access.buffer.getUint32(4, true) * WORD + access.buffer.getUint32(0, true));
    return this.done(exit, 0, name);
  }

  /** `kvm_xen_hcall_set_timer_op`; 32-bit callers give the instant in two registers. */
  private setTimer(exit: XenHcallExit): string | undefined {
    const { timer } = this.options.xen;
    if (!timer.isEnabled) return undefined;
    const hi = exit.longmode ? exit.hi(0) : exit.lo(1);
    timer.setTimerOp((BigInt(hi >>> 0) << 32n) | BigInt(exit.lo(0) >>> 0));
    return this.done(exit, 0, SET_TIMER_OP_SET.name);
  }

  private done(exit: XenHcallExit, result: number, name: string): string {
    exit.setResult(result, exit.longmode ? result >> 31 : 0);
    return name;
  }
}
