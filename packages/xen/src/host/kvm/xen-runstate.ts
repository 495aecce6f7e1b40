import { RUNSTATE_OFFLINE, RUNSTATE_RUNNABLE, RUNSTATE_RUNNING } from "../../operations/descriptors.gen.js";
import { KvmPhase } from "../../path-cost/kvm-phases.js";
import { KVM_UPDATE_RUNSTATE, KVM_UPDATE_RUNSTATE_GUEST } from "../../path-cost/stages/kvm-events.js";
import { RUNSTATE_BYTES, RUNSTATE_BYTES_32BIT } from "../../runstate.js";
import { type CacheOwner, GfnToPfnCache, type GfnToPfnCacheSnapshot } from "./gfn-to-pfn-cache.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { fromWords, u64, type Words64, wordsOf } from "./u64.js";
import { KVM_XEN_INVALID_GPA, type KvmXenRunstate } from "./uapi.js";

const PAGE = 4096;
const ENTRY_TIME = 8;
const ENTRY_TIME_32BIT = 4;
const UPDATE_FLAG = 0x80; // XEN_RUNSTATE_UPDATE, in the last byte of the entry time

/** A VM's settings that decide what an area looks like. */
export interface RunstateOwner extends CacheOwner {
  readonly longMode: boolean;
  readonly runstateUpdateFlag: boolean;
  readonly nowNs: () => number;
}

/** A vCPU's run state as plain data; nanoseconds. */
export interface XenRunstateSnapshot {
  readonly current: number;
  readonly entryTime: Words64;
  readonly times: readonly Words64[];
  readonly lastSteal: number;
  readonly caches: readonly GfnToPfnCacheSnapshot[];
}

/**
 * Time that a vCPU spent in each run state, and the copy of it in guest memory (`struct kvm_vcpu_xen`). The area may begin
 * at any byte and then reach into a second page, each with a cache of its own. Instants are of the kvmclock; times are
 * unsigned 64-bit numbers, as a monitor may set them to anything.
 */
export class XenRunstate {
  /** running 0, runnable 1, blocked 2, offline 3 */
  current: number = RUNSTATE_RUNNING;
  entryTime = 0n;
  private readonly times: bigint[] = [0n, 0n, 0n, 0n];
  private lastSteal = 0;
  private readonly owner: RunstateOwner;
  private readonly vcpu: KvmXenVcpu;
  private readonly first: GfnToPfnCache;
  private readonly second: GfnToPfnCache;

  constructor(owner: RunstateOwner, vcpu: KvmXenVcpu) {
    this.owner = owner;
    this.vcpu = vcpu;
    this.first = new GfnToPfnCache(owner);
    this.second = new GfnToPfnCache(owner);
  }

  /** Guest address of the area, undefined without one. */
  get gpa(): number | undefined {
    return this.first.active ? this.first.gpa : undefined;
  }

  /** The attribute RUNSTATE_ADDR. @returns 0 or a negative errno; then there is no area any more */
  setGpa(gpa: number): number {
    const result = gpa === KVM_XEN_INVALID_GPA ? 0 : this.activate(gpa);
    if (result !== 0 || gpa === KVM_XEN_INVALID_GPA) {
      this.first.deactivate();
      this.second.deactivate();
      return result;
    }
    this.updateGuest(false);
    return 0;
  }

  /** `kvm_xen_update_runstate`: ends the present state and enters another one. */
  update(state: number): void {
    const { owner, vcpu, times } = this;
    owner.cost.run(owner.cost.compile(KVM_UPDATE_RUNSTATE));
    const clock = BigInt(owner.nowNs());
    // Another processor's clock may be a little behind.
    const now = clock > this.entryTime ? clock : this.entryTime;
    if (this.entryTime === 0n) this.current = RUNSTATE_OFFLINE;
    let delta = now - this.entryTime;
    if (this.current === RUNSTATE_RUNNING) {
      const stolen = BigInt(vcpu.runDelayNs - this.lastSteal);
      delta -= stolen;
      times[RUNSTATE_RUNNABLE] = u64(times[RUNSTATE_RUNNABLE] + stolen);
    }
    this.lastSteal = vcpu.runDelayNs;
    times[this.current] = u64(times[this.current] + delta);
    this.current = state;
    this.entryTime = now;
    // On the way off a processor nobody may sleep.
    if (this.first.active) this.updateGuest(state === RUNSTATE_RUNNABLE);
  }

  /** RUNSTATE_DATA of the present state. */
  get data(): KvmXenRunstate {
    const [timeRunning, timeRunnable, timeBlocked, timeOffline] = this.times;
    const { current: state, entryTime: stateEntryTime } = this;
    return { state, stateEntryTime, timeRunning, timeRunnable, timeBlocked, timeOffline };
  }

  /** Sets everything; the guest's copy follows at the next change. */
  setData(data: KvmXenRunstate): void {
    this.current = data.state;
    this.entryTime = u64(data.stateEntryTime);
    timesOf(data).forEach((time, state) => {
      this.times[state] = u64(time);
    });
    this.lastSteal = this.vcpu.runDelayNs;
  }

  /** Adds to everything but the state. */
  adjust(by: KvmXenRunstate): void {
    this.entryTime = u64(this.entryTime + by.stateEntryTime);
    timesOf(by).forEach((time, state) => {
      this.times[state] = u64(this.times[state] + time);
    });
  }

  /** `kvm_xen_update_runstate_guest`, if there is an area. @param atomic what is not there stays as it is */
  updateGuest(atomic: boolean): void {
    const { first, second, owner } = this;
    if (!first.active) return;
    const bytes = owner.longMode ? RUNSTATE_BYTES : RUNSTATE_BYTES_32BIT;
    const inFirst = Math.min(bytes, PAGE - (first.gpa % PAGE));
    owner.cost.run(owner.cost.compile(KVM_UPDATE_RUNSTATE_GUEST));
    // Refreshing one may take long enough for the other to go.
    while (!first.check(inFirst) || (inFirst < bytes && !second.check(bytes - inFirst))) {
      if (atomic) return;
      const result = first.check(inFirst)
        ? second.activate(first.gpa + inFirst, bytes - inFirst) // a 32-bit area may have ended in the first page
        : first.refresh(inFirst);
      if (result !== 0) return;
    }
    owner.enter(KvmPhase.XenTime);
    const flagAt = (owner.longMode ? ENTRY_TIME : ENTRY_TIME_32BIT) + 7;
    const record = this.layOut(bytes);
    const top = record[flagAt];
    if (owner.runstateUpdateFlag) {
      record[flagAt] |= UPDATE_FLAG;
      this.put(flagAt, record.subarray(flagAt, flagAt + 1), inFirst);
    }
    this.put(0, record, inFirst);
    if (owner.runstateUpdateFlag) {
      record[flagAt] = top & ~UPDATE_FLAG;
      this.put(flagAt, record.subarray(flagAt, flagAt + 1), inFirst);
    }
    owner.leave();
    if (inFirst < bytes) second.markDirty();
    first.markDirty();
  }

  snapshot(): XenRunstateSnapshot {
    const { current, entryTime, times, lastSteal, first, second } = this;
    return {
      current,
      entryTime: wordsOf(entryTime),
      times: times.map(wordsOf),
      lastSteal,
      caches: [first.snapshot(), second.snapshot()],
    };
  }

  /** @throws RangeError for a state or a number of times that there is not */
  restore({ current, entryTime, times, lastSteal, caches }: XenRunstateSnapshot): void {
    if (!Number.isInteger(current) || current < 0 || current > RUNSTATE_OFFLINE)
      throw new RangeError(`run state ${current}: allowed are 0 to 3`);
    if (times.length !== 4 || caches.length !== 2) throw new RangeError(`${times.length} run state times`);
    if (!Number.isSafeInteger(lastSteal) || lastSteal < 0)
      throw new RangeError(`${lastSteal} ns of stolen time`);
    this.current = current;
    this.entryTime = fromWords(entryTime);
    this.times.splice(0, 4, ...times.map(fromWords));
    this.lastSteal = lastSteal;
    this.first.restore(caches[0]);
    this.second.restore(caches[1]);
  }

  private activate(gpa: number): number {
    const bytes = this.owner.longMode ? RUNSTATE_BYTES : RUNSTATE_BYTES_32BIT;
    const inFirst = PAGE - (gpa % PAGE);
    const result = this.first.activate(gpa, inFirst);
    if (result !== 0) return result;
    if (inFirst < bytes) return this.second.activate(gpa + inFirst, bytes - inFirst);
    this.second.deactivate();
    return 0;
  }

  /** The area's bytes, as the guest's word size has them. */
  private layOut(bytes: number): Uint8Array {
    const view = new DataView(new ArrayBuffer(bytes));
    const entryTime = this.owner.longMode ? ENTRY_TIME : ENTRY_TIME_32BIT;
    view.setInt32(0, this.current, true);
    [this.entryTime, ...this.times].forEach((time, i) => {
      view.setBigUint64(entryTime + 8 * i, time, true);
    });
    return new Uint8Array(view.buffer);
  }

  /** Bytes of the area from `offset` on, to one page or both. */
  private put(offset: number, bytes: Uint8Array, inFirst: number): void {
    const split = Math.min(Math.max(inFirst - offset, 0), bytes.length);
    if (split > 0) this.first.writeBytes(offset, bytes.subarray(0, split));
    if (split < bytes.length) this.second.writeBytes(offset + split - inFirst, bytes.subarray(split));
  }
}

function timesOf(data: KvmXenRunstate): readonly bigint[] {
  return [data.timeRunning, data.timeRunnable, data.timeBlocked, data.timeOffline];
}
