import { REGISTER_UPDATE } from "../abi/registered.js";
import { EVTCHN_2L_SET_PENDING } from "../event-2l.js";
import { EVTCHN_NOTIFY_REMOTE } from "../event-channel.js";
import { MONITOR_STAGES } from "../monitor/monitor-stages.js";
import { DOORBELL_CALLS } from "../operations/doorbell.js";
import { CONTINUED_OPERATIONS, OPERATIONS } from "../operations/index.js";
import { MULTICALL_DEBUG, MULTICALL_ENTRY } from "../operations/multicall.js";
import type { Stage } from "./stage.js";
import * as dispatch from "./stages/dispatch.js";
import * as doorbell from "./stages/doorbell.js";
import * as entryExit from "./stages/entry-exit.js";
import * as eventFifo from "./stages/event-fifo.js";
import * as flavour from "./stages/flavour.js";
import * as ghcb from "./stages/ghcb.js";
import * as guestCopy from "./stages/guest-copy.js";
import * as interProcessor from "./stages/inter-processor.js";
import * as interrupts from "./stages/interrupts.js";
import * as kvmEntryExit from "./stages/kvm-entry-exit.js";
import * as kvmEvents from "./stages/kvm-events.js";
import * as kvmHypercall from "./stages/kvm-hypercall.js";
import * as kvmMitigations from "./stages/kvm-mitigations.js";
import * as kvmUserSpace from "./stages/kvm-user-space.js";
import * as mitigations from "./stages/mitigations.js";
import * as p2m from "./stages/p2m.js";
import * as p2mConditions from "./stages/p2m-conditions.js";
import * as shadow from "./stages/shadow.js";
import * as time from "./stages/time.js";
import * as viridian from "./stages/viridian.js";

/** Modules whose exports are stages, lists of them and functions that make them. */
const MODULES: readonly Readonly<Record<string, unknown>>[] = [
  dispatch,
  doorbell,
  entryExit,
  eventFifo,
  flavour,
  ghcb,
  guestCopy,
  interProcessor,
  interrupts,
  kvmEntryExit,
  kvmEvents,
  kvmHypercall,
  kvmMitigations,
  kvmUserSpace,
  mitigations,
  p2mConditions,
  p2m,
  shadow,
  time,
  viridian,
];

/** Every stage that some machine with some hypervisor of the package may run, composed ones included. */
export function allStages(): readonly Stage[] {
  const operations = [...OPERATIONS, ...CONTINUED_OPERATIONS, ...DOORBELL_CALLS];
  return [
    ...MODULES.flatMap((module) => Object.values(module).flatMap(stagesIn)),
    ...operations.map(({ stage }) => stage),
    ...MONITOR_STAGES.values(),
    guestCopy.mmioScan(1),
    EVTCHN_2L_SET_PENDING,
    EVTCHN_NOTIFY_REMOTE,
    MULTICALL_DEBUG,
    MULTICALL_ENTRY,
    REGISTER_UPDATE,
  ];
}

function stagesIn(value: unknown): readonly Stage[] {
  if (typeof value !== "object" || value === null) return [];
  if (isStage(value)) return [value];
  return Object.values(value).flatMap(stagesIn);
}

function isStage(value: object): value is Stage {
  return "name" in value && "phase" in value && "instructions" in value;
}
