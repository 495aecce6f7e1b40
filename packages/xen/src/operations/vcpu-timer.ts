import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  SET_TIMER_OP_SET,
  SET_TIMER_OP_SET_IN,
  VCPU_SET_PERIODIC_TIMER,
  VCPU_SET_PERIODIC_TIMER_IN,
  VCPU_SET_SINGLESHOT_TIMER,
  VCPU_SET_SINGLESHOT_TIMER_IN,
  VCPU_STOP_PERIODIC_TIMER,
  VCPU_STOP_PERIODIC_TIMER_IN,
  VCPU_STOP_SINGLESHOT_TIMER,
  VCPU_STOP_SINGLESHOT_TIMER_IN,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { wide } from "./word-pair.js";

/*
 * Timers of vCPUs, by `common_vcpu_op`, `do_set_timer_op` and `vcpu_set_periodic_timer` of Xen c447b7308b13. In that tree
 * VCPU_SSHOTTMR_future asks for nothing any more: an instant that has passed is an event at once, never -ETIME.
 */

/** Least and largest period in nanoseconds: MILLISECS(1), and STIME_DELTA_MAX by its high word. */
const MIN_PERIOD_NS = 1_000_000;
const MAX_PERIOD_HIGH = 0x3fffffff;
/** Farther ahead than this, `do_set_timer_op` takes an instant for a mistake of the guest's: 2^50 ns, 13 days. */
const FAR_NS = 2 ** 50;
/** Of the difference in units of it, only 32 bits are looked at. */
const FAR_WRAPS = 2 ** 32;
const MISTAKE_NS = 100_000_000;

const SET_TIMER: Stage = {
  name: "do_vcpu_op ({set,stop}_singleshot_timer)",
  phase: "operation",
  instructions: 330,
  basis: "estimate",
  source:
    "read in source: migrate_timer and set_timer under the timer lock, heap insertion, TIMER_SOFTIRQ that programs the deadline by WRMSR; what the WRMSR takes beyond an instruction's price is not counted",
  range: [150, 900],
  coldBranches: 27,
  lfences: 4,
  lockLfences: 3,
  atomics: 6,
  touches: [
    { object: "vcpu", offsets: [0, 0x480], write: true },
    { object: "percpu", offsets: [0, 64, 128], write: true },
  ],
};

const SET_PERIODIC: Stage = { ...SET_TIMER, name: "do_vcpu_op ({set,stop}_periodic_timer)" };
const SET_TIMER_OP: Stage = { ...SET_TIMER, name: "do_set_timer_op" };

/** An instant of s_time_t in nanoseconds; one before the beginning counts as it. */
export function instantOf(lo: number, hi: number): number {
  return hi < 0 ? 0 : wide(lo, hi);
}

/** VCPUOP_set_periodic_timer, of any vCPU. */
export const setPeriodicTimer: Operation = {
  descriptor: VCPU_SET_PERIODIC_TIMER,
  stage: SET_PERIODIC,
  rare: true,
  handle: (call) => {
    const { vcpuid, periodNs } = VCPU_SET_PERIODIC_TIMER_IN;
    const lo = call.inputs[periodNs];
    const hi = call.inputs[periodNs + 1];
    if (call.domain.vcpus[call.inputs[vcpuid]] === undefined) return -Errno.ENOENT;
    if (hi === 0 && lo >>> 0 < MIN_PERIOD_NS) return -Errno.EINVAL;
    if (hi >>> 0 > MAX_PERIOD_HIGH) return -Errno.EINVAL;
    return setPeriod(call, call.inputs[vcpuid], instantOf(lo, hi));
  },
};

/** VCPUOP_stop_periodic_timer. */
export const stopPeriodicTimer: Operation = {
  descriptor: VCPU_STOP_PERIODIC_TIMER,
  stage: SET_PERIODIC,
  rare: true,
  handle: (call) => setPeriod(call, call.inputs[VCPU_STOP_PERIODIC_TIMER_IN.vcpuid], 0),
};

/** VCPUOP_set_singleshot_timer, of the caller alone. */
export const setSingleshotTimer: Operation = {
  descriptor: VCPU_SET_SINGLESHOT_TIMER,
  stage: SET_TIMER,
  rare: true,
  handle: (call) => {
    const { vcpuid, timeoutAbsNs } = VCPU_SET_SINGLESHOT_TIMER_IN;
    const error = checkOwn(call, call.inputs[vcpuid]);
    if (error !== 0) return error;
    const { vcpu } = call;
    const lo = call.inputs[timeoutAbsNs];
    const hi = call.inputs[timeoutAbsNs + 1];
    // The comparison is of unsigned numbers: what would be negative is far ahead there, and past for the timer itself.
    if (hi >= 0 && instantOf(lo, hi) < vcpu.nowNs) {
      vcpu.timers.stopSingleshot();
      vcpu.sendTimerEvent(call.cost);
    } else vcpu.timers.setSingleshot(instantOf(lo, hi));
    return 0;
  },
};

/** VCPUOP_stop_singleshot_timer. */
export const stopSingleshotTimer: Operation = {
  descriptor: VCPU_STOP_SINGLESHOT_TIMER,
  stage: SET_TIMER,
  rare: true,
  handle: (call) => {
    const error = checkOwn(call, call.inputs[VCPU_STOP_SINGLESHOT_TIMER_IN.vcpuid]);
    if (error === 0) call.vcpu.timers.stopSingleshot();
    return error;
  },
};

/** HYPERVISOR_set_timer_op. */
export const setTimerOp: Operation = {
  descriptor: SET_TIMER_OP_SET,
  stage: SET_TIMER_OP,
  rare: true,
  handle: (call) => {
    const { timers, nowNs } = call.vcpu;
    const lo = call.inputs[SET_TIMER_OP_SET_IN.timeout];
    const hi = call.inputs[SET_TIMER_OP_SET_IN.timeout + 1];
    const ahead = instantOf(lo, hi) - nowNs;
    if ((lo | hi) === 0) timers.stopSingleshot();
    else if (hi < 0 || (ahead > 0 && Math.floor(ahead / FAR_NS) % FAR_WRAPS !== 0))
      timers.setSingleshot(nowNs + MISTAKE_NS);
    else timers.setSingleshot(instantOf(lo, hi));
    return 0;
  },
};

/** `vcpu_set_periodic_timer`: a first tick that is overdue, as after a long time without, comes at once. */
function setPeriod(call: OperationCall, id: number, period: number): number {
  const vcpu = call.domain.vcpus[id];
  if (vcpu === undefined) return -Errno.ENOENT;
  if (vcpu.timers.setPeriod(period, call.vcpu.nowNs)) vcpu.sendTimerEvent(call.cost);
  // A timer of another processor's: it has to program its deadline anew.
  if (vcpu !== call.vcpu) vcpu.runner.kick(call.cost);
  return 0;
}

function checkOwn(call: OperationCall, id: number): number {
  const vcpu = call.domain.vcpus[id];
  if (vcpu === undefined) return -Errno.ENOENT;
  return vcpu === call.vcpu ? 0 : -Errno.EINVAL;
}
