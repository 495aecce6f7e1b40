import { Errno } from "../errno.js";
import { MulticallEntry } from "../multicall-entry.js";
import type { Stage } from "../path-cost/stage.js";
import { CALIBRATION_NS } from "../time-record.js";
import { MULTICALL_CALL, MULTICALL_CALL_IN } from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { highBeyond, wideInput } from "./word-pair.js";

const DO_MULTICALL: Stage = {
  name: "do_multicall",
  phase: "operation",
  instructions: 40,
  basis: "estimate",
  source: "read in source: the bit against nesting, guest_handle_okay, and the way out",
  range: [25, 80],
  coldBranches: 4,
  atomics: 1,
  touches: [{ object: "vcpu", offsets: [0x500], write: true }],
};

/** What each entry takes besides its own call, and the copies of itself and of its result. */
export const MULTICALL_ENTRY: Stage = {
  name: "do_multicall: one entry",
  phase: "operation",
  instructions: 75,
  basis: "estimate",
  source:
    "read in source: hypercall_preempt_check with local_events_need_delivery, hvm_guest_x86_mode, the switch over the number, hvm_get_cpl",
  range: [40, 160],
  coldBranches: 7,
  touches: [
    { object: "vcpu", offsets: [0x500, 0x540], write: true },
    { object: "percpu", offsets: [0x140] },
  ],
};

/** A debug build spoils an entry before it writes the result; the copy comes on top. */
export const MULTICALL_DEBUG: Stage = {
  name: "do_multicall: entry overwritten",
  phase: "operation",
  instructions: 14,
  basis: "estimate",
  source: "read in source: a memset of 64 bytes and the call",
  range: [6, 40],
};
/** What it has in it then. */
const SPOILED = 0xaa;

/**
 * HYPERVISOR_multicall: the calls of a list, one after the other. Each entry is read, called as by its own hypercall, and
 * gets its result; -EFAULT ends the list where an entry or its result cannot be reached, with earlier results in place.
 * Between two entries the call makes room for what has come up, and goes on with the rest of the list when the guest
 * executes it again; so it does when an entry's own call goes on later, with that entry.
 *
 * The list is the calling interface's: its addresses are translated as that interface does. What an entry's call is made
 * through is not decided here (`Constituents`).
 */
export const multicall: Operation = {
  descriptor: MULTICALL_CALL,
  stage: DO_MULTICALL,
  rare: true,
  handle: (call) => {
    if (call.inMulticall) return -Errno.EINVAL;
    call.inMulticall = true;
    const result = run(call);
    call.inMulticall = false;
    return result;
  },
};

function run(call: OperationCall): number {
  const { access, compat, cost, vcpu, constituents, continuation, inputs } = call;
  // The constituents' own values take the place of these.
  let lo = inputs[MULTICALL_CALL_IN.callList];
  let hi = inputs[MULTICALL_CALL_IN.callList + 1];
  const countLo = inputs[MULTICALL_CALL_IN.nrCalls];
  const count = wideInput(inputs, MULTICALL_CALL_IN.nrCalls);
  const entry = new MulticallEntry();
  const stage = cost.compile(MULTICALL_ENTRY);
  // Each second time is calibrated, by a softirq: no list, however long, keeps its vCPU for more.
  const until = (Math.floor(vcpu.nowNs / CALIBRATION_NS) + 1) * CALIBRATION_NS;
  for (let i = 0; i < count; i++) {
    if (i > 0 && (vcpu.runner.preempts || vcpu.nowNs >= until)) return later(call, lo, hi, countLo - i);
    cost.run(stage);
    entry.compat = compat;
    const { bytes } = entry;
    if (access.copyFromGuest(lo, hi, bytes) !== 0) return -Errno.EFAULT;
    entry.load(access.buffer, compat);
    entry.result = constituents.invoke(entry, call);
    if (call.debugBuild) {
      cost.run(cost.compile(MULTICALL_DEBUG));
      for (let at = 0; at < bytes; at++) access.buffer.setUint8(at, SPOILED);
      access.copyToGuest(lo, hi, bytes); // whether it could is not looked at
    }
    entry.storeResult(access.buffer);
    const resultHi = compat ? 0 : highBeyond(lo, hi, entry.resultOffset);
    if (access.copyToGuest((lo + entry.resultOffset) | 0, resultHi, entry.valueBytes) !== 0) {
      continuation.pending = false;
      return -Errno.EFAULT;
    }
    if (continuation.pending) {
      entry.continueWith(continuation);
      entry.storeAll(access.buffer);
      if (access.copyToGuest(lo, hi, bytes) === 0) return later(call, lo, hi, countLo - i);
      continuation.pending = false;
      return -Errno.EFAULT;
    }
    lo = (lo + bytes) | 0;
    if (lo >>> 0 < bytes) hi = compat ? 0 : (hi + 1) | 0;
  }
  return 0;
}

/** As many entries are left as 32 bits can say: Xen counts them so. */
function later({ continuation }: OperationCall, lo: number, hi: number, left: number): number {
  continuation.create(MULTICALL_CALL.hypercall);
  continuation.add(lo, hi);
  continuation.add(left | 0, 0);
  return 0;
}
