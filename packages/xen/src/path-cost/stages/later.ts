import { EVTCHN_2L_SET_PENDING } from "../../event-2l.js";
import { EVTCHN_NOTIFY_REMOTE } from "../../event-channel.js";
import { OPERATIONS } from "../../operations/index.js";
import { MULTICALL_DEBUG, MULTICALL_ENTRY } from "../../operations/multicall.js";
import type { Stage } from "../stage.js";
import { CONTINUATION, DEBUG_CLOBBER, DEBUG_INSTRUCTION_LENGTH, TASK_SWITCH } from "./dispatch.js";
import {
  EVTCHN_FIFO_ADD_PORT,
  EVTCHN_FIFO_APPEND,
  EVTCHN_FIFO_OTHER_QUEUE,
  EVTCHN_FIFO_READY,
  EVTCHN_FIFO_SET_LINK,
  EVTCHN_FIFO_SET_PENDING,
  EVTCHN_FIFO_SETUP_PORT,
} from "./event-fifo.js";
import { GUEST_WALK_FIVE_LEVELS } from "./guest-copy.js";
import { EVENT_CHECK_INTERRUPT, FLUSH_IPI, VCPU_KICK } from "./inter-processor.js";
import {
  APIC_INJECTION,
  APIC_MSR_ACCESS,
  APIC_PAGE_ACCESS,
  IDLE_SWITCH,
  INTERRUPT_WINDOW,
  TIMER_INTERRUPT,
} from "./interrupts.js";
import { UPDATE_RUNSTATE, UPDATE_TIME, VCPU_TIMER } from "./time.js";
import { VIRIDIAN_HYPERCALL, VIRIDIAN_SEND_IPI, VIRIDIAN_VP_SET } from "./viridian.js";

/** Stages that are compiled when they first run, and not when a system is made. Their order does not matter. */
export const LATER_STAGES: readonly Stage[] = [
  EVTCHN_2L_SET_PENDING,
  EVTCHN_FIFO_ADD_PORT,
  EVTCHN_FIFO_APPEND,
  EVTCHN_FIFO_OTHER_QUEUE,
  EVTCHN_FIFO_READY,
  EVTCHN_FIFO_SET_LINK,
  EVTCHN_FIFO_SET_PENDING,
  EVTCHN_FIFO_SETUP_PORT,
  EVTCHN_NOTIFY_REMOTE,
  APIC_INJECTION,
  APIC_MSR_ACCESS,
  APIC_PAGE_ACCESS,
  CONTINUATION,
  DEBUG_CLOBBER,
  DEBUG_INSTRUCTION_LENGTH,
  EVENT_CHECK_INTERRUPT,
  FLUSH_IPI,
  GUEST_WALK_FIVE_LEVELS,
  IDLE_SWITCH,
  INTERRUPT_WINDOW,
  MULTICALL_DEBUG,
  MULTICALL_ENTRY,
  TASK_SWITCH,
  TIMER_INTERRUPT,
  UPDATE_RUNSTATE,
  UPDATE_TIME,
  VCPU_KICK,
  VCPU_TIMER,
  VIRIDIAN_HYPERCALL,
  VIRIDIAN_SEND_IPI,
  VIRIDIAN_VP_SET,
  ...OPERATIONS.filter(({ rare }) => rare).map(({ stage }) => stage),
];
