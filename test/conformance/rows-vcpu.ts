import { Errno } from "@hyperwalk/xen";
import {
  addressOf,
  BEYOND_MEMORY_GFN,
  frameOf,
  NOWHERE,
  pointer,
  type Row,
  row,
  type World,
  words,
} from "./row.js";

const { EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENXIO } = Errno;
const NO_SUCH_VCPU = 9;
/** Bytes of a `vcpu_runstate_info`, and of a `vcpu_time_info`. */
const RUNSTATE_BYTES = 48;
const TIME_BYTES = 32;
const NOTHING = 0xffffffffffffffffn;

const read32 =
  (page: "area" | "buffer", offset: number) =>
  ({ system, address }: World): number =>
    system.domain.guestMemory.readU32(address(page) + offset);
/** tsc_to_system_mul of a `vcpu_time_info` is never 0. */
const hasTime =
  (offset: number) =>
  ({ system, address }: World): boolean =>
    system.domain.guestMemory.readU32(address("time") + offset + 24) !== 0;

/** `struct vcpu_hvm_context` of 32-bit protected mode that does not start before it is brought up; it never is. */
const CONTEXT = [
  ...words("context", 0, 4, 0, 0, ...Array.from({ length: 30 }, () => 0)),
  ...words("context", 40, 4, 0x1000, 2, 0x11),
  // limits of CS, DS, SS, ES, TR
  ...words("context", 92, 4, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x67),
  // attributes, two to a word
  ...words("context", 112, 4, 0x0c930c9b, 0x0c930c93, 0x0000008b),
];

export const VCPU_ROWS: readonly Row[] = [
  row("vcpu.is_up", "of itself", { vcpuid: 0 }, 1),
  row("vcpu.is_up", "of one that is not", { vcpuid: 1 }, 0),
  row("vcpu.is_up", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.get_runstate_info", "of itself", { vcpuid: 0 }, 0, { outputs: { state: 0 } }),
  row("vcpu.get_runstate_info", "of one that is down", { vcpuid: 1 }, 0, { outputs: { state: 3 } }),
  row("vcpu.get_runstate_info", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.get_runstate_info", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.get_runstate_info", "struct across two pages", { vcpuid: 0 }, 0, {
    struct: pointer("buffer", 4096 - 16),
    look: read32("buffer", 4096 - 16),
    seen: 0,
  }),
  row("vcpu.up", "before it has registers", { vcpuid: 1 }, -EINVAL),
  row("vcpu.up", "of itself", { vcpuid: 0 }, 0),
  row("vcpu.up", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.initialise", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT, {
    struct: pointer("context"),
    before: CONTEXT,
  }),
  row("vcpu.initialise", "of itself", { vcpuid: 0 }, -EEXIST, { struct: pointer("context") }),
  row("vcpu.initialise", "in an unknown mode", { vcpuid: 1 }, -EINVAL, {
    struct: pointer("context"),
    before: words("context", 0, 4, 2),
  }),
  row("vcpu.initialise", "struct nowhere", { vcpuid: 1 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.initialise", "of another", { vcpuid: 1 }, 0, {
    struct: pointer("context"),
    before: words("context", 0, 4, 0),
  }),
  row("vcpu.initialise", "twice", { vcpuid: 1 }, -EEXIST, { struct: pointer("context") }),
  row(
    "vcpu.initialise",
    "of none, by frame",
    { vcpuid: NO_SUCH_VCPU, context_gfn: frameOf("context") },
    -ENOENT,
  ),
  row("vcpu.initialise", "in a hole", { vcpuid: 1, context_gfn: BEYOND_MEMORY_GFN }, -EINVAL),
  row("vcpu.down", "of one that is", { vcpuid: 1 }, 0),
  row("vcpu.down", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.send_nmi", "to none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.send_nmi", "with an argument", { vcpuid: 1, arg: 1 }, -EINVAL),
  row("vcpu.get_physid", "of a guest's", { vcpuid: 0 }, -EINVAL),
  row("vcpu.get_physid", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row("vcpu.register_runstate_memory_area", "of itself", { vcpuid: 0, "addr.h": pointer("area") }, 0, {
    before: words("area", 0, 4, 77),
    look: read32("area", 0),
    seen: 0,
    copies: { from: [8], to: [RUNSTATE_BYTES] },
  }),
  row(
    "vcpu.register_runstate_memory_area",
    "of none",
    { vcpuid: NO_SUCH_VCPU, "addr.h": pointer("area") },
    -ENOENT,
  ),
  row("vcpu.register_runstate_memory_area", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.register_vcpu_time_memory_area", "of itself", { vcpuid: 0, "addr.h": pointer("time") }, 0, {
    look: hasTime(0),
    seen: true,
  }),
  row(
    "vcpu.register_vcpu_time_memory_area",
    "of none",
    { vcpuid: NO_SUCH_VCPU, "addr.h": pointer("time") },
    -ENOENT,
  ),
  row("vcpu.register_vcpu_time_memory_area", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.register_runstate_phys_area", "of itself", { vcpuid: 0, "addr.p": addressOf("area", 64) }, 0, {
    lookups: 1,
  }),
  row(
    "vcpu.register_runstate_phys_area",
    "across two pages",
    { vcpuid: 0, "addr.p": addressOf("area", 4096 - RUNSTATE_BYTES + 8) },
    -ENXIO,
  ),
  row(
    "vcpu.register_runstate_phys_area",
    "unaligned",
    { vcpuid: 0, "addr.p": addressOf("area", 66) },
    -ENXIO,
  ),
  row("vcpu.register_runstate_phys_area", "in a hole", { vcpuid: 0, "addr.p": NOWHERE }, -EINVAL),
  row("vcpu.register_runstate_phys_area", "no longer", { vcpuid: 0, "addr.p": NOTHING }, 0, { lookups: 0 }),
  row("vcpu.register_runstate_phys_area", "of none", { vcpuid: NO_SUCH_VCPU, "addr.p": 0 }, -ENOENT),
  row("vcpu.register_runstate_phys_area", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.register_vcpu_time_phys_area", "of itself", { vcpuid: 0, "addr.p": addressOf("time", 64) }, 0, {
    look: hasTime(64),
    seen: true,
    lookups: 1,
  }),
  row(
    "vcpu.register_vcpu_time_phys_area",
    "across two pages",
    { vcpuid: 0, "addr.p": addressOf("time", 4096 - TIME_BYTES + 8) },
    -ENXIO,
  ),
  row("vcpu.register_vcpu_time_phys_area", "in a hole", { vcpuid: 0, "addr.p": NOWHERE }, -EINVAL),
  row("vcpu.register_vcpu_time_phys_area", "of none", { vcpuid: NO_SUCH_VCPU, "addr.p": 0 }, -ENOENT),
  row("vcpu.register_vcpu_time_phys_area", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row(
    "vcpu.register_vcpu_info",
    "beyond its page",
    { vcpuid: 1, mfn: frameOf("info"), offset: 4096 },
    -EINVAL,
  ),
  row(
    "vcpu.register_vcpu_info",
    "across two pages",
    { vcpuid: 1, mfn: frameOf("info"), offset: 4096 - 56 },
    -ENXIO,
  ),
  row("vcpu.register_vcpu_info", "unaligned", { vcpuid: 1, mfn: frameOf("info"), offset: 2 }, -ENXIO),
  row("vcpu.register_vcpu_info", "in a hole", { vcpuid: 1, mfn: BEYOND_MEMORY_GFN, offset: 0 }, -EINVAL),
  row(
    "vcpu.register_vcpu_info",
    "of none",
    { vcpuid: NO_SUCH_VCPU, mfn: frameOf("info"), offset: 0 },
    -ENOENT,
  ),
  row("vcpu.register_vcpu_info", "struct nowhere", { vcpuid: 1 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.register_vcpu_info", "of another", { vcpuid: 1, mfn: frameOf("info"), offset: 64 }, 0, {
    lookups: 1,
  }),
  row("vcpu.register_vcpu_info", "twice", { vcpuid: 1, mfn: frameOf("info"), offset: 128 }, -EBUSY),
  row("vcpu.set_periodic_timer", "of 10 ms", { vcpuid: 0, period_ns: 10_000_000 }, 0),
  row("vcpu.set_periodic_timer", "of less than 1 ms", { vcpuid: 0, period_ns: 999_999 }, -EINVAL),
  row("vcpu.set_periodic_timer", "of 146 years", { vcpuid: 0, period_ns: 0x4000000000000000n }, -EINVAL),
  row("vcpu.set_periodic_timer", "of none", { vcpuid: NO_SUCH_VCPU, period_ns: 10_000_000 }, -ENOENT),
  row("vcpu.set_periodic_timer", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.stop_periodic_timer", "of its own", { vcpuid: 0 }, 0),
  row("vcpu.stop_periodic_timer", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
  row(
    "vcpu.set_singleshot_timer",
    "in a day",
    { vcpuid: 0, timeout_abs_ns: 86_400_000_000_000n, flags: 0 },
    0,
  ),
  row("vcpu.set_singleshot_timer", "of another", { vcpuid: 1, timeout_abs_ns: 1, flags: 0 }, -EINVAL),
  row("vcpu.set_singleshot_timer", "of none", { vcpuid: NO_SUCH_VCPU, timeout_abs_ns: 1, flags: 0 }, -ENOENT),
  row("vcpu.set_singleshot_timer", "struct nowhere", { vcpuid: 0 }, -EFAULT, { struct: NOWHERE }),
  row("vcpu.stop_singleshot_timer", "of its own", { vcpuid: 0 }, 0),
  row("vcpu.stop_singleshot_timer", "of another", { vcpuid: 1 }, -EINVAL),
  row("vcpu.stop_singleshot_timer", "of none", { vcpuid: NO_SUCH_VCPU }, -ENOENT),
];
