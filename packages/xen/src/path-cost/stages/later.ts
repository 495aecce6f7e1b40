import { EVTCHN_2L_SET_PENDING } from "../../event-2l.js";
import { EVTCHN_NOTIFY_REMOTE } from "../../event-channel.js";
import type { Stage } from "../stage.js";
import { TASK_SWITCH } from "./dispatch.js";
import {
  APIC_INJECTION,
  APIC_MSR_ACCESS,
  APIC_PAGE_ACCESS,
  IDLE_SWITCH,
  INTERRUPT_WINDOW,
  TIMER_INTERRUPT,
} from "./interrupts.js";

/** Stages that are compiled when they first run, and not when a system is made. Their order does not matter. */
export const LATER_STAGES: readonly Stage[] = [
  EVTCHN_2L_SET_PENDING,
  EVTCHN_NOTIFY_REMOTE,
  APIC_INJECTION,
  APIC_MSR_ACCESS,
  APIC_PAGE_ACCESS,
  IDLE_SWITCH,
  INTERRUPT_WINDOW,
  TASK_SWITCH,
  TIMER_INTERRUPT,
];
