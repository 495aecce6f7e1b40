import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  EVENT_CHANNEL_ALLOC_UNBOUND,
  EVENT_CHANNEL_ALLOC_UNBOUND_IN,
  EVENT_CHANNEL_BIND_INTERDOMAIN,
  EVENT_CHANNEL_BIND_INTERDOMAIN_IN,
  EVENT_CHANNEL_BIND_IPI,
  EVENT_CHANNEL_BIND_IPI_IN,
  EVENT_CHANNEL_BIND_PIRQ,
  EVENT_CHANNEL_BIND_PIRQ_IN,
  EVENT_CHANNEL_BIND_VCPU,
  EVENT_CHANNEL_BIND_VCPU_IN,
  EVENT_CHANNEL_BIND_VIRQ,
  EVENT_CHANNEL_BIND_VIRQ_IN,
  EVENT_CHANNEL_CLOSE,
  EVENT_CHANNEL_CLOSE_IN,
  EVENT_CHANNEL_EXPAND_ARRAY,
  EVENT_CHANNEL_EXPAND_ARRAY_IN,
  EVENT_CHANNEL_INIT_CONTROL,
  EVENT_CHANNEL_INIT_CONTROL_IN,
  EVENT_CHANNEL_INIT_CONTROL_OUT,
  EVENT_CHANNEL_RESET,
  EVENT_CHANNEL_RESET_IN,
  EVENT_CHANNEL_SEND,
  EVENT_CHANNEL_SEND_IN,
  EVENT_CHANNEL_SET_PRIORITY,
  EVENT_CHANNEL_SET_PRIORITY_IN,
  EVENT_CHANNEL_STATUS,
  EVENT_CHANNEL_STATUS_IN,
  EVENT_CHANNEL_UNMASK,
  EVENT_CHANNEL_UNMASK_IN,
  EVTCHN_FIFO_LINK_BITS,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { wideInput } from "./word-pair.js";

/** EVTCHNOP_reset_cont. */
const RESET_CONTINUED = 14;

const EVTCHN_SEND: Stage = {
  name: "evtchn_send",
  phase: "operation",
  instructions: 85,
  basis: "derived",
  source:
    "counted on real Xen: 741 for the register-only call (interdomain to self, already pending) less 641 to 656 for an unknown one; lock, unlock and test-and-set, two lock-hardening LFENCEs read in source",
  range: [85, 100],
  coldBranches: 7,
  lfences: 2,
  lockLfences: 2,
  atomics: 3,
  touches: [{ object: "domain", offsets: [0] }],
};

/** An event-channel operation that changes ports under the domain's event lock. */
function underEventLock(name: string, instructions: number, range: readonly [number, number]): Stage {
  return {
    name,
    phase: "operation",
    instructions,
    basis: "estimate",
    source: "read in source: port look-up, event_lock and the port's lock, XSM hook",
    range,
    lfences: 4,
    lockLfences: 4,
    lock: "event",
    atomics: 6,
    touches: [{ object: "domain", offsets: [0, 64] }],
  };
}

/** EVTCHNOP_send. */
export const send: Operation = {
  descriptor: EVENT_CHANNEL_SEND,
  stage: EVTCHN_SEND,
  handle: (call) => call.domain.eventChannels.send(call.inputs[EVENT_CHANNEL_SEND_IN.port], call.cost),
};

/** EVTCHNOP_status of one of the domain's own ports. */
export const status: Operation = {
  descriptor: EVENT_CHANNEL_STATUS,
  stage: underEventLock("evtchn_status", 110, [80, 180]),
  handle: (call) => {
    const { dom, port } = EVENT_CHANNEL_STATUS_IN;
    return call.domain.eventChannels.status(
      call.inputs[dom] & 0xffff,
      call.inputs[port],
      call.outputs,
      call.cost,
    );
  },
};

/** EVTCHNOP_alloc_unbound on the domain itself. */
export const allocUnbound: Operation = {
  descriptor: EVENT_CHANNEL_ALLOC_UNBOUND,
  stage: underEventLock("evtchn_alloc_unbound", 220, [140, 400]),
  handle: (call) => {
    const { dom, remoteDom } = EVENT_CHANNEL_ALLOC_UNBOUND_IN;
    const { eventChannels } = call.domain;
    return port(
      call,
      eventChannels.allocUnbound(call.inputs[dom] & 0xffff, call.inputs[remoteDom] & 0xffff, call.cost),
    );
  },
};

/** EVTCHNOP_bind_interdomain to a port of the domain itself. */
export const bindInterdomain: Operation = {
  descriptor: EVENT_CHANNEL_BIND_INTERDOMAIN,
  stage: underEventLock("evtchn_bind_interdomain", 300, [200, 500]),
  handle: (call) => {
    const { remoteDom, remotePort } = EVENT_CHANNEL_BIND_INTERDOMAIN_IN;
    const { eventChannels } = call.domain;
    return port(
      call,
      eventChannels.bindInterdomain(call.inputs[remoteDom] & 0xffff, call.inputs[remotePort], call.cost),
    );
  },
};

/** EVTCHNOP_bind_virq. */
export const bindVirq: Operation = {
  descriptor: EVENT_CHANNEL_BIND_VIRQ,
  stage: underEventLock("evtchn_bind_virq", 240, [150, 400]),
  handle: (call) => {
    const { virq, vcpu } = EVENT_CHANNEL_BIND_VIRQ_IN;
    return port(call, call.domain.eventChannels.bindVirq(call.inputs[virq], call.inputs[vcpu], call.cost));
  },
};

/** EVTCHNOP_bind_ipi. */
export const bindIpi: Operation = {
  descriptor: EVENT_CHANNEL_BIND_IPI,
  stage: underEventLock("evtchn_bind_ipi", 210, [140, 380]),
  handle: (call) =>
    port(call, call.domain.eventChannels.bindIpi(call.inputs[EVENT_CHANNEL_BIND_IPI_IN.vcpu], call.cost)),
};

/** EVTCHNOP_bind_pirq. */
export const bindPirq: Operation = {
  descriptor: EVENT_CHANNEL_BIND_PIRQ,
  stage: underEventLock("evtchn_bind_pirq", 320, [200, 600]),
  rare: true,
  handle: (call) =>
    port(call, call.domain.eventChannels.bindPirq(call.inputs[EVENT_CHANNEL_BIND_PIRQ_IN.pirq], call.cost)),
};

/** EVTCHNOP_bind_vcpu. */
export const bindVcpu: Operation = {
  descriptor: EVENT_CHANNEL_BIND_VCPU,
  stage: underEventLock("evtchn_bind_vcpu", 130, [90, 220]),
  handle: (call) => {
    const { vcpu, port: which } = EVENT_CHANNEL_BIND_VCPU_IN;
    return call.domain.eventChannels.bindVcpu(call.inputs[which], call.inputs[vcpu], call.cost);
  },
};

/** EVTCHNOP_close. */
export const close: Operation = {
  descriptor: EVENT_CHANNEL_CLOSE,
  stage: underEventLock("evtchn_close", 260, [160, 500]),
  handle: (call) => call.domain.eventChannels.close(call.inputs[EVENT_CHANNEL_CLOSE_IN.port], call.cost),
};

/** EVTCHNOP_unmask. */
export const unmask: Operation = {
  descriptor: EVENT_CHANNEL_UNMASK,
  stage: {
    ...EVTCHN_SEND,
    name: "evtchn_unmask",
    basis: "estimate",
    source: "taken to be like evtchn_send",
    range: [60, 140],
  },
  handle: (call) => call.domain.eventChannels.unmask(call.inputs[EVENT_CHANNEL_UNMASK_IN.port], call.cost),
};

/** EVTCHNOP_init_control: FIFO queues for a vCPU, and with the first of them for the domain. */
export const initControl: Operation = {
  descriptor: EVENT_CHANNEL_INIT_CONTROL,
  stage: underEventLock("evtchn_fifo_init_control", 150, [100, 400]),
  handle: (call) => {
    const { inputs, outputs, domain, cost } = call;
    const { controlGfn, offset, vcpu } = EVENT_CHANNEL_INIT_CONTROL_IN;
    const gfn = wideInput(call.inputs, controlGfn);
    outputs[EVENT_CHANNEL_INIT_CONTROL_OUT.linkBits] = EVTCHN_FIFO_LINK_BITS;
    return domain.eventChannels.initControl(inputs[vcpu], gfn, inputs[offset] >>> 0, domain.p2m, cost);
  },
};

/** EVTCHNOP_expand_array: event words for 1024 ports more. */
export const expandArray: Operation = {
  descriptor: EVENT_CHANNEL_EXPAND_ARRAY,
  stage: underEventLock("evtchn_fifo_expand_array", 60, [40, 120]),
  handle: (call) => {
    const { domain, cost } = call;
    const gfn = wideInput(call.inputs, EVENT_CHANNEL_EXPAND_ARRAY_IN.arrayGfn);
    return domain.eventChannels.expandArray(gfn, domain.p2m, cost);
  },
};

/** EVTCHNOP_set_priority. */
export const setPriority: Operation = {
  descriptor: EVENT_CHANNEL_SET_PRIORITY,
  stage: {
    name: "evtchn_set_priority",
    phase: "operation",
    instructions: 60,
    basis: "estimate",
    source: "read in source: port look-up, the port's lock, test of its state, indirect call",
    range: [40, 100],
    coldBranches: 6,
    lfences: 1,
    lockLfences: 1,
    atomics: 2,
    touches: [{ object: "domain", offsets: [0] }],
  },
  rare: true,
  handle: (call) => {
    const { port, priority } = EVENT_CHANNEL_SET_PRIORITY_IN;
    const { inputs, cost } = call;
    return call.domain.eventChannels.setPriority(inputs[port], inputs[priority], cost);
  },
};

/** EVTCHNOP_reset of the domain itself: every port is closed at the price of EVTCHNOP_close. */
export const reset: Operation = {
  descriptor: EVENT_CHANNEL_RESET,
  stage: underEventLock("evtchn_reset", 120, [80, 250]),
  rare: true,
  handle: (call) => resetPorts(call, false),
};

/** EVTCHNOP_reset_cont, under which a reset that has made room goes on; no guest is told of it. */
export const resetContinued: Operation = {
  ...reset,
  descriptor: { ...EVENT_CHANNEL_RESET, name: "event_channel.reset_cont", subop: RESET_CONTINUED },
  continues: EVENT_CHANNEL_RESET.subop,
  handle: (call) => resetPorts(call, true),
};

function resetPorts(call: OperationCall, resuming: boolean): number {
  const { domain, inputs, cost, vcpu, continuation } = call;
  const dom = inputs[EVENT_CHANNEL_RESET_IN.dom] & 0xffff;
  const stage = cost.compile(close.stage);
  const room = { resuming, preempts: () => vcpu.runner.preempts };
  const result = domain.eventChannels.reset(dom, domain.p2m, () => cost.run(stage), cost, room);
  if (result !== -Errno.ERESTART) return result;
  continuation.create(EVENT_CHANNEL_RESET.hypercall);
  continuation.add(RESET_CONTINUED, 0);
  return 0;
}

/** Every operation that makes a port has it as its only result. */
function port(call: OperationCall, result: number): number {
  if (result < 0) return result;
  call.outputs[0] = result;
  return 0;
}
