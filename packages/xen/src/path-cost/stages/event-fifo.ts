import type { Stage } from "../stage.js";

/** Setting a port pending, over and above `evtchn_send` on the 2-level ABI to a port that is pending already. */
export const EVTCHN_FIFO_SET_PENDING: Stage = {
  name: "evtchn_fifo_set_pending",
  phase: "operation",
  instructions: 75,
  basis: "estimate",
  source:
    "read in source: look-up of the event word, queues of now and before found twice, one queue lock with interrupts off, tests of PENDING and MASKED",
  range: [50, 130],
  coldBranches: 7,
  lfences: 1,
  lockLfences: 1,
  atomics: 1,
  cliSti: 1,
};

/** The port was last linked to another queue, whose lock is taken as well. */
export const EVTCHN_FIFO_OTHER_QUEUE: Stage = {
  name: "evtchn_fifo_set_pending (two queues)",
  phase: "operation",
  instructions: 25,
  basis: "estimate",
  source: "read in source: second queue lock and unlock, in the order of their addresses",
  range: [14, 50],
  lfences: 1,
  lockLfences: 1,
  atomics: 1,
};

/** Neither masked nor linked: it goes to the end of its queue. */
export const EVTCHN_FIFO_APPEND: Stage = {
  name: "evtchn_fifo_set_pending (append)",
  phase: "operation",
  instructions: 30,
  basis: "estimate",
  source: "read in source: test-and-set of LINKED, tail of the old queue, last queue, new tail",
  range: [18, 60],
  coldBranches: 4,
  atomics: 1,
};

/** The queue had a tail: its word is asked whether it is linked, and made to point at the port. */
export const EVTCHN_FIFO_SET_LINK: Stage = {
  name: "evtchn_fifo_set_link",
  phase: "operation",
  instructions: 28,
  basis: "estimate",
  source: "read in source: look-up of the tail's word, one try of compare-and-exchange",
  range: [16, 50],
  coldBranches: 3,
  atomics: 1,
};

/** The queue was empty: the vCPU is to be told. */
export const EVTCHN_FIFO_READY: Stage = {
  name: "evtchn_fifo_set_pending (ready)",
  phase: "operation",
  instructions: 45,
  basis: "estimate",
  source:
    "read in source: test-and-set of the READY bit, vcpu_mark_events_pending, hvm_assert_evtchn_irq up to a kick of a vCPU that already runs",
  range: [20, 110],
  atomics: 2,
};

/** One port that exists when a domain changes to FIFO queues. */
export const EVTCHN_FIFO_SETUP_PORT: Stage = {
  name: "setup_ports (port)",
  phase: "operation",
  instructions: 22,
  basis: "estimate",
  source: "read in source: port look-up, test of the 2-level pending bit, default priority",
  range: [14, 40],
};

/** One port that exists and has got its event word. */
export const EVTCHN_FIFO_ADD_PORT: Stage = {
  name: "add_page_to_event_array (port)",
  phase: "operation",
  instructions: 14,
  basis: "estimate",
  source: "read in source: port look-up and test of the saved pending flag",
  range: [8, 25],
};
