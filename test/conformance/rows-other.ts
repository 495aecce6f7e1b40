import { Errno } from "@hyperwalk/xen";
import {
  BEYOND_MEMORY_GFN,
  longs,
  NOWHERE,
  type PageName,
  pointer,
  type Row,
  type RowValue,
  row,
  SELF,
  type World,
  words,
} from "./row.js";

const { EACCES, EFAULT, EINVAL, ENOBUFS, ENOENT, ENOSYS, EPERM, ESRCH } = Errno;
const CALLBACK_IRQ = 0;
const DEPRECATED_PARAM = 3;
const FORBIDDEN_PARAM = 5;
const CONSOLE_PFN = 17;
const NR_PARAMS = 39;
/** HVM_PARAM_CALLBACK_TYPE_VECTOR, vector 0x40. */
const CALLBACK = (2n << 56n) | 0x40n;
const VERSION = (4 << 16) | 23;
const NOTHING = 0;
const MARK = 0x65656565; // "eeee"

const text =
  (page: PageName, offset: number, length: number) =>
  ({ system, address }: World): string =>
    new TextDecoder().decode(system.domain.guestMemory.readBytes(address(page) + offset, length));
/** The guest's time in the 8 bytes that were "e", and nothing after them. */
const hasTime = ({ system, address }: World): boolean => {
  const [low, high, after] = [0, 4, 8].map((at) => system.domain.guestMemory.readU32(address("buffer") + at));
  return low !== MARK && high < 0x10000 && after === MARK;
};
const mark = (at: number) => words("buffer", at, 4, MARK);

/** `struct multicall_entry`: number, result, six arguments, all of them longs. */
const entry = (index: number, number: RowValue, ...args: readonly RowValue[]) =>
  longs("list", 0, [number, 0x7777, ...args], 8 * index);
const resultOf =
  (...entries: readonly number[]) =>
  ({ system, address, longBytes }: World): number[] =>
    entries.map((i) => system.domain.guestMemory.readU32(address("list") + longBytes * (8 * i + 1)) | 0);

export const OTHER_ROWS: readonly Row[] = [
  row("version.version", "always", {}, VERSION),
  row("version.get_features", "first words", { submap_idx: 0 }, 0, { outputs: { submap: 0x1d2305 } }),
  row("version.get_features", "further words", { submap_idx: 1 }, -EINVAL),
  row("version.get_features", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("version.get_features", "struct across two pages", {}, 0, {
    before: words("buffer", 4092, 4, 0, 0),
    struct: pointer("buffer", 4092),
  }),
  row("version.extraversion", "whole", { buffer: pointer("buffer") }, 0, {
    before: mark(16),
    look: text("buffer", 0, 20),
    seen: ".0-hyperwalk\0\0\0\0eeee",
  }),
  row("version.extraversion", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.compile_info", "whole", { buffer: pointer("buffer") }, 0),
  row("version.compile_info", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.capabilities", "whole", { buffer: pointer("buffer") }, 0, {
    look: text("buffer", 0, 14),
    seen: "hvm-3.0-x86_32",
  }),
  row("version.capabilities", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.changeset", "whole", { buffer: pointer("buffer") }, 0, {
    look: text("buffer", 0, 12),
    seen: "unavailable\0",
  }),
  row("version.changeset", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.platform_parameters", "of a guest with hardware support", {}, 0, {
    outputs: { virt_start: 0 },
  }),
  row("version.platform_parameters", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("version.pagesize", "with nothing", { buffer: 0 }, 4096),
  row("version.pagesize", "with a buffer", { buffer: pointer("buffer") }, -EINVAL),
  row("version.guest_handle", "whole", { buffer: pointer("buffer") }, 0, {
    before: mark(16),
    look: text("buffer", 0, 20),
    seen: `${"\0".repeat(16)}eeee`,
  }),
  row("version.guest_handle", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.commandline", "of whom it is no business", { buffer: pointer("buffer") }, 0, {
    before: [...mark(8), ...mark(12)],
    look: text("buffer", 0, 12),
    seen: "<denied>\0eee",
    copies: { from: [], to: [9] },
  }),
  row("version.commandline", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.build_id", "of whom it is no business", { buffer: 0 }, -EPERM),
  row("version.extraversion2", "its length", { buffer: 0 }, 12, { copies: { from: [], to: [] } }),
  row("version.extraversion2", "whole", { buffer: pointer("buffer") }, 12, {
    before: words("buffer", 0, 4, 100),
    look: text("buffer", 4, 12),
    seen: ".0-hyperwalk",
    copies: { from: [4], to: [12] },
  }),
  row("version.extraversion2", "no room", { buffer: pointer("buffer") }, -ENOBUFS, {
    before: words("buffer", 0, 4, 11),
  }),
  row("version.extraversion2", "nowhere", { buffer: NOWHERE }, -EFAULT),
  row("version.capabilities2", "its length", { buffer: 0 }, 46, { copies: { from: [], to: [] } }),
  row("version.capabilities2", "no room", { buffer: pointer("buffer") }, -ENOBUFS, {
    before: words("buffer", 0, 4, 45),
  }),
  row("version.changeset2", "its length", { buffer: 0 }, 11, { copies: { from: [], to: [] } }),
  row("version.changeset2", "no room", { buffer: pointer("buffer") }, -ENOBUFS, {
    before: words("buffer", 0, 4, 10),
  }),
  row("version.commandline2", "of whom it is no business", { buffer: 0 }, -EPERM),

  row("hvm.set_param", "the callback", { domid: SELF, index: CALLBACK_IRQ, value: CALLBACK }, 0, {
    look: ({ system }) => system.domain.eventChannels.callbackVector,
    seen: 0x40,
  }),
  row("hvm.get_param", "the callback", { domid: SELF, index: CALLBACK_IRQ }, 0, {
    outputs: { value: CALLBACK },
  }),
  row("hvm.set_param", "that may only be read", { domid: SELF, index: CONSOLE_PFN, value: 0 }, -EPERM),
  row("hvm.set_param", "that is none", { domid: SELF, index: NR_PARAMS, value: 0 }, -EINVAL),
  row("hvm.set_param", "that is no longer one", { domid: SELF, index: DEPRECATED_PARAM, value: 0 }, -EINVAL),
  row("hvm.set_param", "of nobody", { domid: 77, index: CALLBACK_IRQ, value: 0 }, -ESRCH),
  row("hvm.set_param", "of the control domain", { domid: 0, index: CALLBACK_IRQ, value: 0 }, -EPERM),
  row("hvm.set_param", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("hvm.get_param", "that is not the guest's", { domid: SELF, index: FORBIDDEN_PARAM }, -EPERM),
  row("hvm.get_param", "that is none", { domid: SELF, index: NR_PARAMS }, -EINVAL),
  row("hvm.get_param", "that is no longer one", { domid: SELF, index: DEPRECATED_PARAM }, -EINVAL),
  row("hvm.get_param", "of nobody", { domid: 77, index: CALLBACK_IRQ }, -ESRCH),
  row("hvm.get_param", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("hvm.get_param", "struct across two pages", {}, 0, {
    before: words("buffer", 4088, 4, SELF, CALLBACK_IRQ, 0, 0),
    struct: pointer("buffer", 4088),
  }),
  row("hvm.flush_tlbs", "of all vCPUs", {}, 0),
  row("hvm.flush_tlbs", "with an argument", { arg: 1 }, -EINVAL),
  row("hvm.get_mem_type", "of RAM", { domid: SELF, pfn: 1 }, 0, {
    outputs: { mem_type: 0 },
    uncounted: true,
  }),
  row("hvm.get_mem_type", "of nothing", { domid: SELF, pfn: BEYOND_MEMORY_GFN }, 0, {
    outputs: { mem_type: 2 },
    uncounted: true,
    lookups: 1,
  }),
  row("hvm.get_mem_type", "of nobody's", { domid: 77, pfn: 1 }, -ESRCH),
  row("hvm.get_mem_type", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("hvm.get_time", "of the guest", {}, 0),
  row("hvm.get_time", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("hvm.set_evtchn_upcall_vector", "of the processor's", { vcpu: 0, vector: 0xf }, -EINVAL),
  row("hvm.set_evtchn_upcall_vector", "of no vCPU", { vcpu: 9, vector: 0x30 }, -ENOENT),
  row("hvm.set_evtchn_upcall_vector", "of another vCPU", { vcpu: 1, vector: 0x30 }, 0, {
    look: ({ system }) => system.domain.eventChannels.upcallVectors[1],
    seen: 0x30,
  }),
  row("hvm.set_evtchn_upcall_vector", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),

  row("console_io.write", "by a guest", { count: 1, buffer: pointer("buffer") }, -EPERM),
  row("console_io.read", "by a guest", { count: 1, buffer: pointer("buffer") }, -EPERM),
  row("physdev.map_pirq", "by a guest", { domid: SELF, type: 1, index: 9, pirq: -1 }, -EPERM),
  row("physdev.map_pirq", "of nobody's", { domid: 77, type: 1, index: 9, pirq: -1 }, -ESRCH),
  row("physdev.map_pirq", "of a table", { domid: SELF, type: 4, index: 9, pirq: -1, table_base: 1 }, -EINVAL),
  row("physdev.map_pirq", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("physdev.unmap_pirq", "by a guest", { domid: SELF, pirq: 1 }, -EPERM),
  row("physdev.unmap_pirq", "of nobody's", { domid: 77, pirq: 1 }, -ESRCH),
  row("physdev.unmap_pirq", "struct nowhere", {}, -EFAULT, { struct: NOWHERE }),
  row("sysctl.call", "by a guest", { cmd: 3, interface_version: 0x16 }, -EPERM),
  row("sysctl.call", "of another version", { cmd: 3, interface_version: 1 }, -EACCES),
  row("domctl.call", "by a guest", { cmd: 5, interface_version: 0x18 }, -EPERM),
  row("domctl.call", "of another version", { cmd: 5, interface_version: 1 }, -EACCES),
  row("platform_op.call", "by a guest", { cmd: 17, interface_version: 0x03000001 }, -EPERM),
  row("platform_op.call", "of another version", { cmd: 17, interface_version: 1 }, -EACCES),
  row("vm_assist.set", "the one that there is", { cmd: 0, type: 5 }, 0, {
    look: ({ system }) => system.domain.vmAssist,
    seen: 1 << 5,
  }),
  row("vm_assist.set", "off again", { cmd: 1, type: 5 }, 0),
  row("vm_assist.set", "of other guests", { cmd: 0, type: 2 }, -EINVAL),
  row("vm_assist.set", "with no such command", { cmd: 2, type: 5 }, -ENOSYS),
  row("set_timer_op.set", "off", { timeout: 0 }, 0),
  row("set_timer_op.set", "in a day", { timeout: 86_400_000_000_000n }, 0),

  row("multicall.call", "two calls", { call_list: pointer("list"), nr_calls: 2 }, 0, {
    before: [...entry(0, 17, 0, NOTHING), ...entry(1, 24, 3, 9)],
    look: resultOf(0, 1),
    seen: [VERSION, -ENOENT],
    copies: { from: [64, 64], to: [8, 8] },
  }),
  row("multicall.call", "one that copies", { call_list: pointer("list"), nr_calls: 1 }, 0, {
    before: [...mark(0), ...mark(4), ...mark(8), ...entry(0, { call: 34 }, 10, pointer("buffer"))],
    look: (world) => [resultOf(0)(world), hasTime(world)],
    seen: [[0], true],
    copies: { from: [64], to: [8, 8] },
  }),
  row("multicall.call", "one with a linear pointer", { call_list: pointer("list"), nr_calls: 1 }, 0, {
    before: [...mark(0), ...mark(4), ...mark(8), ...entry(0, 34, 10, { page: "buffer", linear: true })],
    look: (world) => [resultOf(0)(world), hasTime(world)],
    seen: [[0], true],
    copies: { from: [64], to: [8, 8] },
  }),
  row("multicall.call", "none", { call_list: pointer("list"), nr_calls: 0 }, 0, {
    copies: { from: [], to: [] },
  }),
  row("multicall.call", "of a multicall", { call_list: pointer("list"), nr_calls: 1 }, 0, {
    before: entry(0, { call: 13 }, pointer("list"), 1),
    look: resultOf(0),
    seen: [-EINVAL],
    copies: { from: [64], to: [8] },
  }),
  row("multicall.call", "of no call", { call_list: pointer("list"), nr_calls: 1 }, 0, {
    before: entry(0, 63, 0),
    look: resultOf(0),
    seen: [-ENOSYS],
    copies: { from: [64], to: [8] },
  }),
  row("multicall.call", "list nowhere", { call_list: NOWHERE, nr_calls: 1 }, -EFAULT),
];
