import { Errno } from "@hyperwalk/xen";
import { NOWHERE, pointer, type Row, row, words } from "./row.js";

const { EFAULT, EINVAL, ENOSPC, EPERM } = Errno;
const NO_SUCH_PORT = 1000;
const MAX_PORTS = 128;

/** Before any event is pending: then poll returns at once. */
export const POLL_ROWS: readonly Row[] = [
  row("sched.poll", "one port, until an instant that has passed", { timeout: 1, port: 1 }, 0),
  row("sched.poll", "no such port", { timeout: 1, port: NO_SUCH_PORT }, -EINVAL),
  row("sched.poll", "two ports in memory", { timeout: 1, ports: pointer("list"), nr_ports: 2 }, 0, {
    before: words("list", 0, 4, 1, 2),
    copies: { from: [24, 4, 4], to: [] },
  }),
  row("sched.poll", "ports nowhere", { timeout: 1, ports: NOWHERE, nr_ports: 2 }, -EFAULT),
  row(
    "sched.poll",
    "too many ports",
    { timeout: 1, ports: pointer("list"), nr_ports: MAX_PORTS + 1 },
    -EINVAL,
  ),
  row("sched.poll", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
];

/** While one is. */
export const SCHED_ROWS: readonly Row[] = [
  row("sched.yield", "to nobody", {}, 0),
  row("sched.block", "with an event pending", {}, 0),
  row("sched.poll", "with an event pending", { timeout: 0, port: NO_SUCH_PORT }, 0),
  row("sched.watchdog", "that does not run", { id: 1, timeout: 9 }, -EINVAL),
  row("sched.watchdog", "a new one", { id: 0, timeout: 9 }, 1),
  row("sched.watchdog", "another", { id: 0, timeout: 9 }, 2),
  row("sched.watchdog", "one too many", { id: 0, timeout: 9 }, -ENOSPC),
  row("sched.watchdog", "poked", { id: 1, timeout: 19 }, 0),
  row("sched.watchdog", "stopped", { id: 1, timeout: 0 }, 0),
  row("sched.watchdog", "stopped again", { id: 1, timeout: 0 }, -EINVAL),
  row("sched.watchdog", "the other stopped", { id: 2, timeout: 0 }, 0),
  row("sched.watchdog", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("sched.pin_override", "by a guest", { pcpu: 0 }, -EPERM),
  row("sched.pin_override", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
];

/** The last ones. */
export const SHUTDOWN_ROWS: readonly Row[] = [
  row("sched.shutdown_code", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("sched.shutdown_code", "to be kept", { reason: 1 }, 0, {
    look: ({ system }) => system.domain.shutdownCode,
    seen: 1,
  }),
  row("sched.shutdown", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("sched.shutdown", "with another reason", { reason: 0 }, "does not return", {
    look: ({ system }) => system.domain.shutdownReason,
    seen: 1,
  }),
];
