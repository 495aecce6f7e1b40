import { MONITOR_STAGES } from "../../monitor/monitor-stages.js";
import { DOORBELL_CALLS } from "../../operations/doorbell.js";
import type { Stage } from "../stage.js";
import * as entryExit from "./kvm-entry-exit.js";
import * as events from "./kvm-events.js";
import * as hypercall from "./kvm-hypercall.js";
import * as mitigations from "./kvm-mitigations.js";
import * as userSpace from "./kvm-user-space.js";
import { LATER_STAGES } from "./later.js";

/** Stages that systems with KVM compile when they first run: any of KVM's and the monitor's, and those that they share with Xen. */
export const KVM_LATER_STAGES: readonly Stage[] = [
  ...[entryExit, events, hypercall, mitigations, userSpace].flatMap((stages) =>
    Object.values<Stage | readonly Stage[]>(stages).flat(),
  ),
  ...MONITOR_STAGES.values(),
  ...DOORBELL_CALLS.map(({ stage }) => stage),
  ...LATER_STAGES,
];
