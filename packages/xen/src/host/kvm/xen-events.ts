import { Errno } from "../../errno.js";
import { KvmPhase } from "../../path-cost/kvm-phases.js";
import type { Stage } from "../../path-cost/stage.js";
import {
  KVM_CHECK_POLLER,
  KVM_SET_EVTCHN_FAST,
  KVM_SET_EVTCHN_SLOW,
  KVM_SET_EVTCHN_VCPU,
} from "../../path-cost/stages/kvm-events.js";
import type { CacheOwner } from "./gfn-to-pfn-cache.js";
import { finish, type KernelMutex, type KernelSteps } from "./kernel-steps.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import type { XenSharedInfo } from "./xen-shared-info.js";

/** `struct kvm_xen_evtchn`: a port of the guest and the vCPU that is to be told. Priorities there are none. */
export interface KvmXenEvtchn {
  readonly port: number;
  readonly vcpuId: number;
  /** Its place among the vCPUs once that is known, else -1. */
  vcpuIndex: number;
}

/** What events of a VM need of it. */
export interface EventsOwner extends CacheOwner {
  readonly longMode: boolean;
  readonly sharedInfo: XenSharedInfo;
  /** `kvm->arch.xen.xen_lock` */
  readonly xenLock: KernelMutex;
  readonly vcpus: readonly KvmVcpuXen[];
}

/** The port was not pending and is not masked: it has been delivered. */
const DELIVERED = 1;
/** shared_info is not there, and the caller may not wait for it. */
export const EWOULDBLOCK: number = Errno.EAGAIN;

/**
 * How KVM delivers an event of a 2-level event channel itself (`kvm_xen_set_evtchn*`): the pending bit in shared_info, the
 * selector in the vCPU's `vcpu_info`, and the vCPU's interrupt. The fast path takes what is cached; when shared_info is not,
 * whoever can sleep refreshes the cache and tries again. Results: 1 delivered, 0 pending already, -ENOTCONN masked,
 * -EWOULDBLOCK from the fast path alone, other negative errno: nothing happened.
 */
export class XenEvents {
  private readonly owner: EventsOwner;

  constructor(owner: EventsOwner) {
    this.owner = owner;
  }

  /** `kvm_xen_set_evtchn_fast`: never sleeps. */
  setFast(event: KvmXenEvtchn): number {
    const result = finish(this.fastSteps(event));
    if (result !== -EWOULDBLOCK) this.owner.counters.eventsFast++;
    return result;
  }

  /** `kvm_xen_set_evtchn`: sleeps if it has to. @param again the fast path could not answer it before, somewhere else */
  set(event: KvmXenEvtchn, again = false): number {
    return finish(this.setSteps(event, again));
  }

  /** The same step by step. */
  *setSteps(event: KvmXenEvtchn, again = false): KernelSteps<number> {
    const { sharedInfo, xenLock, counters } = this.owner;
    let result = yield* this.fastSteps(event);
    if (result !== -EWOULDBLOCK) {
      if (again) counters.eventsSlow++;
      else counters.eventsFast++;
      return result;
    }
    this.run(KVM_SET_EVTCHN_SLOW);
    yield* xenLock.lock();
    for (;;) {
      result = yield* this.fastSteps(event);
      if (result !== -EWOULDBLOCK) break;
      result = yield* sharedInfo.cache.refreshSteps(4096);
      if (result !== 0) break;
    }
    xenLock.unlock();
    const isAnswered = result >= 0 || result === -Errno.ENOTCONN;
    if (isAnswered) counters.eventsSlow++;
    else counters.eventsRefused++;
    return result;
  }

  /** The fast path step by step: it drops shared_info's lock before it takes that of the vCPU's record. */
  *fastSteps(event: KvmXenEvtchn): KernelSteps<number> {
    const vcpu = this.vcpuOf(event);
    if (vcpu === undefined || !vcpu.vcpuInfo.active) return -Errno.EINVAL;
    if (event.port >= this.owner.sharedInfo.maxPorts) return -Errno.EINVAL;
    const { owner } = this;
    owner.enter(KvmPhase.EventDelivery);
    this.run(KVM_SET_EVTCHN_FAST);
    const result = this.markPending(event.port, vcpu);
    owner.leave();
    yield "shared_info";
    if (result !== DELIVERED) return result;
    owner.enter(KvmPhase.EventDelivery);
    const isNew = this.selectFor(event.port, vcpu);
    owner.leave();
    yield "vcpu_info";
    if (isNew) vcpu.kick();
    return DELIVERED;
  }

  /** The part with shared_info's lock. */
  private markPending(port: number, vcpu: KvmVcpuXen): number {
    const { sharedInfo, counters } = this.owner;
    if (!sharedInfo.check()) return -EWOULDBLOCK;
    if (sharedInfo.testAndSetPending(port)) {
      counters.eventsCoalesced++;
      return 0;
    }
    if (!sharedInfo.isMasked(port)) return DELIVERED;
    counters.eventsMasked++;
    this.run(KVM_CHECK_POLLER);
    vcpu.checkPoller(port);
    return -Errno.ENOTCONN;
  }

  /** The part with the lock of the vCPU's record. @returns whether the vCPU is to be kicked */
  private selectFor(port: number, vcpu: KvmVcpuXen): boolean {
    this.run(KVM_SET_EVTCHN_VCPU);
    const word = port >>> (this.owner.longMode ? 6 : 5);
    if (!vcpu.vcpuInfoIsThere()) {
      this.owner.counters.eventsDeferred++;
      return vcpu.deferSelector(word);
    }
    const isNew = vcpu.select(word);
    if (!isNew || vcpu.upcallVector === 0) return isNew;
    vcpu.injectVector();
    return false;
  }

  private vcpuOf(event: KvmXenEvtchn): KvmVcpuXen | undefined {
    const { vcpus } = this.owner;
    if (event.vcpuIndex < 0) event.vcpuIndex = vcpus.findIndex(({ vcpu }) => vcpu.id === event.vcpuId);
    return vcpus[event.vcpuIndex];
  }

  private run(stage: Stage): void {
    const { cost } = this.owner;
    cost.run(cost.compile(stage));
  }
}
