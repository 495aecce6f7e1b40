import { Errno } from "@hyperwalk/xen";
import {
  BEYOND_MEMORY_GFN,
  frameOf,
  NOWHERE,
  pointer,
  type Row,
  row,
  SELF,
  saved,
  type World,
} from "./row.js";

const { EACCES, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } = Errno;
const NO_SUCH_PORT = 1000;
const NO_SUCH_DOMAIN = 77;

const isPending =
  (name: string) =>
  ({ system, saved: port }: World): boolean =>
    system.domain.eventChannels.isPending(port(name));

const isMasked =
  (name: string) =>
  ({ system, saved: port }: World): boolean =>
    system.domain.eventChannels.isMasked(port(name));

/** Ports on the 2-level ABI, then FIFO. */
export const EVENT_ROWS: readonly Row[] = [
  row("event_channel.alloc_unbound", "of its own", { dom: SELF, remote_dom: SELF }, 0, {
    outputs: { port: { save: "unbound" } },
  }),
  row("event_channel.alloc_unbound", "of the control domain", { dom: 0, remote_dom: SELF }, -EPERM),
  row("event_channel.alloc_unbound", "of nobody", { dom: NO_SUCH_DOMAIN, remote_dom: SELF }, -ESRCH),
  row("event_channel.alloc_unbound", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.send", "on an unbound port", { port: saved("unbound") }, 0),
  row("event_channel.status", "of an unbound port", { dom: SELF, port: saved("unbound") }, 0, {
    outputs: { status: 1, vcpu: 0, output1: 1 },
  }),
  row("event_channel.bind_interdomain", "to itself", { remote_dom: SELF, remote_port: saved("unbound") }, 0, {
    outputs: { local_port: { save: "bound" } },
  }),
  row(
    "event_channel.bind_interdomain",
    "to a port that is taken",
    { remote_dom: SELF, remote_port: saved("unbound") },
    -EINVAL,
  ),
  row(
    "event_channel.bind_interdomain",
    "to no port",
    { remote_dom: SELF, remote_port: NO_SUCH_PORT },
    -EINVAL,
  ),
  row("event_channel.bind_interdomain", "to nobody", { remote_dom: NO_SUCH_DOMAIN, remote_port: 1 }, -ESRCH),
  row("event_channel.bind_interdomain", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.send", "to itself", { port: saved("bound") }, 0, {
    look: isPending("unbound"),
    seen: true,
  }),
  row("event_channel.send", "already pending", { port: saved("bound") }, 0),
  row("event_channel.send", "on no port", { port: NO_SUCH_PORT }, -EINVAL),
  row("event_channel.send", "on the port that nobody gets", { port: 0 }, -EINVAL),
  row("event_channel.send", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.send", "struct across two pages", {}, 0, {
    before: [{ page: "buffer", offset: 4094, value: saved("bound"), bytes: 4 }],
    struct: pointer("buffer", 4094),
  }),
  row("event_channel.status", "of an interdomain port", { dom: SELF, port: saved("unbound") }, 0, {
    outputs: { status: 2, vcpu: 0, output1: 1, output2: { save: "other end" } },
  }),
  row("event_channel.send", "on the port that status tells", { port: saved("other end") }, 0),
  row("event_channel.status", "of no port", { dom: SELF, port: NO_SUCH_PORT }, -EINVAL),
  row("event_channel.status", "of nobody's", { dom: NO_SUCH_DOMAIN, port: 1 }, -ESRCH),
  row("event_channel.status", "of the control domain's", { dom: 0, port: 1 }, -EPERM),
  row("event_channel.status", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.bind_virq", "the timer's", { virq: 0, vcpu: 0 }, 0, {
    outputs: { port: { save: "timer" } },
  }),
  row("event_channel.bind_virq", "twice", { virq: 0, vcpu: 0 }, -EEXIST),
  row("event_channel.bind_virq", "that is none", { virq: 24, vcpu: 0 }, -EINVAL),
  row("event_channel.bind_virq", "of no vCPU", { virq: 0, vcpu: 9 }, -ENOENT),
  row("event_channel.bind_virq", "not one of a vCPU's on another vCPU", { virq: 11, vcpu: 1 }, -EINVAL),
  row("event_channel.bind_virq", "that only one domain gets", { virq: 2, vcpu: 0 }, -EBUSY),
  row("event_channel.bind_virq", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.bind_ipi", "to itself", { vcpu: 0 }, 0, { outputs: { port: { save: "ipi" } } }),
  row("event_channel.bind_ipi", "to no vCPU", { vcpu: 9 }, -ENOENT),
  row("event_channel.bind_ipi", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.bind_pirq", "with nothing behind it", { pirq: 9, flags: 0 }, 0, {
    outputs: { port: { save: "pirq" } },
  }),
  row("event_channel.bind_pirq", "again", { pirq: 9, flags: 0 }, -EEXIST),
  row("event_channel.bind_pirq", "of none", { pirq: 5000, flags: 0 }, -EINVAL),
  row("event_channel.bind_pirq", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.status", "of a physical interrupt", { dom: SELF, port: saved("pirq") }, 0, {
    outputs: { status: 3, vcpu: 0, output1: 9 },
  }),
  row("event_channel.bind_vcpu", "to the other vCPU", { vcpu: 1, port: saved("unbound") }, 0),
  row("event_channel.status", "of a port of the other vCPU", { dom: SELF, port: saved("unbound") }, 0, {
    outputs: { status: 2, vcpu: 1 },
  }),
  row("event_channel.bind_vcpu", "to no vCPU", { vcpu: 9, port: saved("unbound") }, -ENOENT),
  row("event_channel.bind_vcpu", "of no port", { vcpu: 0, port: NO_SUCH_PORT }, -EINVAL),
  row("event_channel.bind_vcpu", "of an IPI", { vcpu: 1, port: saved("ipi") }, -EINVAL),
  row("event_channel.bind_vcpu", "of a vCPU's VIRQ", { vcpu: 1, port: saved("timer") }, -EINVAL),
  row("event_channel.bind_vcpu", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.send", "an IPI", { port: saved("ipi") }, 0, { look: isPending("ipi"), seen: true }),
  row("event_channel.send", "on a VIRQ", { port: saved("timer") }, -EINVAL),
  row("event_channel.unmask", "what is not masked", { port: saved("ipi") }, 0, {
    look: isMasked("ipi"),
    seen: false,
  }),
  row("event_channel.unmask", "of no port", { port: NO_SUCH_PORT }, -EINVAL),
  row("event_channel.unmask", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.close", "an IPI", { port: saved("ipi") }, 0),
  row("event_channel.close", "what is closed", { port: saved("ipi") }, -EINVAL),
  row("event_channel.close", "of no port", { port: NO_SUCH_PORT }, -EINVAL),
  row("event_channel.close", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.status", "of a closed port", { dom: SELF, port: saved("ipi") }, 0, {
    outputs: { status: 0 },
  }),
  row("event_channel.set_priority", "without queues", { port: saved("bound"), priority: 3 }, -ENOSYS),
  row("event_channel.expand_array", "without queues", { array_gfn: frameOf("array") }, -EOPNOTSUPP),
  row(
    "event_channel.init_control",
    "of no vCPU",
    { control_gfn: frameOf("control"), offset: 0, vcpu: 9 },
    -ENOENT,
  ),
  row(
    "event_channel.init_control",
    "too near to the page's end",
    { control_gfn: frameOf("control"), offset: 4096 - 64, vcpu: 0 },
    -EINVAL,
  ),
  row(
    "event_channel.init_control",
    "unaligned",
    { control_gfn: frameOf("control"), offset: 4, vcpu: 0 },
    -EINVAL,
  ),
  row(
    "event_channel.init_control",
    "in a hole",
    { control_gfn: BEYOND_MEMORY_GFN, offset: 0, vcpu: 0 },
    -EINVAL,
  ),
  row("event_channel.init_control", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row(
    "event_channel.init_control",
    "of the first vCPU",
    { control_gfn: frameOf("control"), offset: 0, vcpu: 0 },
    0,
    { outputs: { link_bits: 17 }, lookups: 1 },
  ),
  row(
    "event_channel.init_control",
    "twice",
    { control_gfn: frameOf("control"), offset: 0, vcpu: 0 },
    -EINVAL,
  ),
  row("event_channel.expand_array", "by a page", { array_gfn: frameOf("array") }, 0, { lookups: 1 }),
  row("event_channel.expand_array", "with a hole", { array_gfn: BEYOND_MEMORY_GFN }, -EINVAL),
  row("event_channel.expand_array", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.set_priority", "of a port", { port: saved("bound"), priority: 3 }, 0),
  row("event_channel.set_priority", "that is none", { port: saved("bound"), priority: 16 }, -EINVAL),
  row("event_channel.set_priority", "of a closed port", { port: saved("ipi"), priority: 3 }, -EACCES),
  row("event_channel.set_priority", "of no port", { port: NO_SUCH_PORT, priority: 3 }, -EINVAL),
  row("event_channel.set_priority", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.send", "through a queue", { port: saved("unbound") }, 0, {
    look: isPending("bound"),
    seen: true,
  }),
];

/** Afterwards there are no ports any more, the console's among them. */
export const RESET_ROWS: readonly Row[] = [
  row("event_channel.reset", "of the control domain", { dom: 0 }, -EPERM),
  row("event_channel.reset", "of nobody", { dom: NO_SUCH_DOMAIN }, -ESRCH),
  row("event_channel.reset", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("event_channel.reset", "of itself", { dom: SELF }, 0, {
    look: ({ system, saved: port }) => system.domain.eventChannels.send(port("bound")),
    seen: -EINVAL,
  }),
];
