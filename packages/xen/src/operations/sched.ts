import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import { WATCHDOGS } from "../vcpu-timers.js";
import {
  RUNSTATE_BLOCKED,
  SCHED_BLOCK,
  SCHED_PIN_OVERRIDE,
  SCHED_POLL,
  SCHED_POLL_IN,
  SCHED_SHUTDOWN,
  SCHED_SHUTDOWN_CODE,
  SCHED_SHUTDOWN_IN,
  SCHED_WATCHDOG,
  SCHED_WATCHDOG_IN,
  SCHED_YIELD,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { instantOf } from "./vcpu-timer.js";
import { highBeyond } from "./word-pair.js";

const MAX_POLL_PORTS = 128;
const NS_PER_SECOND = 1e9;

const SCHED_OP_YIELD: Stage = {
  name: "do_sched_op (yield)",
  phase: "operation",
  instructions: 2351,
  basis: "derived",
  source:
    "counted on real Xen: 3007 for the call, through the scheduler softirq with the same vCPU chosen, less 641 to 656 for an unknown one; atomics and LFENCEs read in source",
  range: [2351, 2366],
  coldBranches: 190,
  lfences: 8,
  lockLfences: 8,
  atomics: 12,
  touches: [
    { object: "vcpu", offsets: [0, 64, 128] },
    { object: "percpu", offsets: [0, 64, 128, 192] },
    { object: "runstate", offsets: [0], write: true },
  ],
};

const SCHED_OP_BLOCK: Stage = {
  name: "do_sched_op (block)",
  phase: "operation",
  instructions: 90,
  basis: "estimate",
  source:
    "read in source: vcpu_block up to the test for pending events; a switch to the idle vCPU is not modelled",
  range: [60, 200],
  atomics: 2,
  touches: [{ object: "vcpu", offsets: [0] }],
};

const SCHED_OP_SHUTDOWN: Stage = {
  name: "do_sched_op (shutdown)",
  phase: "operation",
  instructions: 300,
  basis: "estimate",
  source: "read in source: domain_shutdown under its lock, one vCPU paused",
  range: [150, 700],
  atomics: 6,
  touches: [{ object: "domain", offsets: [0, 64], write: true }],
};

const SCHED_OP_WATCHDOG: Stage = {
  name: "do_sched_op (watchdog)",
  phase: "operation",
  instructions: 330,
  basis: "estimate",
  source: "read in source: set_timer under the watchdog's lock, which is most of what a one-shot timer takes",
  range: [150, 900],
  coldBranches: 27,
  lfences: 4,
  lockLfences: 3,
  atomics: 8,
  touches: [
    { object: "domain", offsets: [0, 64], write: true },
    { object: "percpu", offsets: [0, 64, 128], write: true },
  ],
};

/** SCHEDOP_yield: nobody else wants the processor, so the vCPU goes on. */
export const yieldOperation: Operation = {
  descriptor: SCHED_YIELD,
  stage: SCHED_OP_YIELD,
  handle: ({ vcpu }) => {
    vcpu.yielded = true;
    return 0;
  },
};

/**
 * SCHEDOP_block: enables upcalls, then, when no event waits, leaves the vCPU in the blocked run state; the host finds
 * it there before the next entry.
 */
export const block: Operation = {
  descriptor: SCHED_BLOCK,
  stage: SCHED_OP_BLOCK,
  handle: (call) => {
    const { events } = call.domain.eventChannels;
    events.enableUpcalls(call.vcpu.id, call.cost);
    if (!events.hasUpcall(call.vcpu.id, call.cost)) sleep(call);
    return 0;
  },
};

/**
 * SCHEDOP_poll: returns at once when one of the ports is pending, else leaves the vCPU blocked. FastABI names one
 * port in a register; the traditional struct names an array, which is copied port by port.
 * The time-out ends it at its instant; one that has passed, at once.
 */
export const poll: Operation = {
  descriptor: SCHED_POLL,
  stage: { ...SCHED_OP_BLOCK, name: "do_poll", instructions: 130, range: [90, 260] },
  handle: (call) => {
    const { inputs, vcpu, domain, cost } = call;
    const count = inputs[SCHED_POLL_IN.nrPorts] >>> 0;
    if (count > MAX_POLL_PORTS) return -Errno.EINVAL;
    const { eventChannels } = domain;
    if (eventChannels.events.hasUpcall(vcpu.id, cost)) return 0;
    // Port 0 is never given out: as the register value it means that there is an array, or nothing to poll.
    let port = inputs[SCHED_POLL_IN.port];
    const single = port !== 0 ? 1 : 0;
    for (let i = 0; i < count + single; i++) {
      if (i >= single) {
        if (!copyPort(call, i - single)) return -Errno.EFAULT;
        port = call.access.buffer.getInt32(0, true);
      }
      if (!eventChannels.exists(port)) return -Errno.EINVAL;
      if (eventChannels.isPending(port, cost)) return 0;
    }
    const lo = inputs[SCHED_POLL_IN.timeout];
    const hi = inputs[SCHED_POLL_IN.timeout + 1];
    const timeout = instantOf(lo, hi);
    const timed = (lo | hi) !== 0;
    if (timed) vcpu.timers.setPoll(timeout);
    if (timed && timeout <= vcpu.nowNs) return 0;
    vcpu.pollPort = count + single === 1 ? port : -1;
    sleep(call);
    return 0;
  },
};

/** Copies one port of the array to the buffer. */
function copyPort({ inputs, access }: OperationCall, i: number): boolean {
  const { ports } = SCHED_POLL_IN;
  const hi = highBeyond(inputs[ports], inputs[ports + 1], 4 * i);
  return access.copyFromGuest((inputs[ports] + 4 * i) | 0, hi, 4) === 0;
}

/** SCHEDOP_shutdown: ends the domain, with the code that SCHEDOP_shutdown_code left or else this one's low byte. */
export const shutdown: Operation = {
  descriptor: SCHED_SHUTDOWN,
  stage: SCHED_OP_SHUTDOWN,
  handle: (call) => {
    call.domain.shutDown(call.inputs[SCHED_SHUTDOWN_IN.reason] & 0xff);
    return 0;
  },
};

/** SCHEDOP_shutdown_code: the first one counts. */
export const shutdownCode: Operation = {
  descriptor: SCHED_SHUTDOWN_CODE,
  stage: {
    ...SCHED_OP_SHUTDOWN,
    name: "do_sched_op (shutdown_code)",
    instructions: 60,
    range: [40, 120],
  },
  handle: (call) => {
    recordCode(call);
    return 0;
  },
};

/**
 * SCHEDOP_watchdog: a new one (id 0), or another time or none for one that runs. One that nobody pokes in time shuts the
 * domain down. Times are seconds from now.
 */
export const watchdog: Operation = {
  descriptor: SCHED_WATCHDOG,
  stage: SCHED_OP_WATCHDOG,
  rare: true,
  handle: (call) => {
    const { inputs, vcpu, domain } = call;
    const id = inputs[SCHED_WATCHDOG_IN.id] >>> 0;
    const seconds = inputs[SCHED_WATCHDOG_IN.timeout] >>> 0;
    if (id > WATCHDOGS) return -Errno.EINVAL;
    const [first] = domain.vcpus;
    const { timers } = first;
    let which = id - 1;
    if (id === 0) {
      which = 0;
      while (which < WATCHDOGS && timers.hasWatchdog(which)) which++;
      if (which === WATCHDOGS) return -Errno.ENOSPC;
    } else if (!timers.hasWatchdog(which)) return -Errno.EINVAL;
    if (id !== 0 && seconds === 0) timers.stopWatchdog(which);
    else timers.setWatchdog(which, vcpu.nowNs + seconds * NS_PER_SECOND);
    // A timer of another processor's: it has to program its deadline anew.
    if (first !== vcpu) first.runner.kick(call.cost);
    return id === 0 ? which + 1 : 0;
  },
};

/** SCHEDOP_pin_override: nobody but the hardware domain may, and for it no processor is left to choose. */
export const pinOverride: Operation = {
  descriptor: SCHED_PIN_OVERRIDE,
  stage: { ...SCHED_OP_BLOCK, name: "do_sched_op (pin_override)", instructions: 50, range: [30, 120] },
  handle: (call) => (call.domain.config.hardwareDomain ? -Errno.EINVAL : -Errno.EPERM),
};

function recordCode(call: OperationCall): void {
  if (call.domain.shutdownCode < 0) call.domain.shutdownCode = call.inputs[SCHED_SHUTDOWN_IN.reason] & 0xff;
}

function sleep(call: OperationCall): void {
  const { vcpu } = call;
  vcpu.systemTimeNs();
  vcpu.runstate.change(RUNSTATE_BLOCKED, vcpu.timeLo, vcpu.timeHi);
}
