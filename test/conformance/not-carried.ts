import type { OperationName } from "@hyperwalk/guest-sdk";
import type { HypercallAbiName } from "@hyperwalk/xen";
import { NO_STRUCTS } from "./guest.js";
import type { Row } from "./row.js";

/** Of facts/xen.md §3.2: not in FastABI's descriptions, so that its dispatcher answers -ENOSYS. */
const NOT_IN_FASTABI: readonly OperationName[] = [
  "console_io.read",
  "console_io.write",
  "domctl.call",
  "grant_table.copy",
  "grant_table.setup_table",
  "grant_table.swap_grant_ref",
  "memory.acquire_resource",
  "memory.add_to_physmap_batch",
  "memory.decrease_reservation",
  "memory.increase_reservation",
  "memory.populate_physmap",
  "multicall.call",
  "physdev.map_pirq",
  "physdev.unmap_pirq",
  "platform_op.call",
  "set_timer_op.set",
  "sysctl.call",
  "vcpu.register_runstate_memory_area",
  "vcpu.register_vcpu_time_memory_area",
  "version.build_id",
  "version.capabilities",
  "version.capabilities2",
  "version.changeset",
  "version.changeset2",
  "version.commandline",
  "version.commandline2",
  "version.compile_info",
  "version.extraversion",
  "version.extraversion2",
  "version.guest_handle",
  "version.pagesize",
  "version.platform_parameters",
  "vm_assist.set",
];

/** Values of operations that FastABI has, but for which it has no register: §3.1, "self only", "arg must be NULL". */
const NO_REGISTER: Readonly<Partial<Record<OperationName, readonly string[]>>> = {
  "grant_table.get_version": ["dom"],
  "grant_table.query_size": ["dom"],
  "hvm.flush_tlbs": ["arg"],
  "memory.add_to_physmap": ["domid"],
  "memory.remove_from_physmap": ["domid"],
  "sched.poll": ["ports", "nr_ports"],
  "vcpu.send_nmi": ["arg"],
};

/** Values that FastABI has instead of the traditional struct's: one port, a frame. */
const ONLY_IN_FASTABI: Readonly<Partial<Record<OperationName, string>>> = {
  "sched.poll": "port",
  "vcpu.initialise": "context_gfn",
};

/** Why an interface cannot carry a row; `undefined` for one that it must carry. */
export function reasonNotCarried(
  { operation, inputs, struct }: Row,
  abi: HypercallAbiName,
): string | undefined {
  if (abi !== "fastabi") {
    const own = ONLY_IN_FASTABI[operation];
    if (own === undefined || !(own in inputs)) return undefined;
    return `${operation}: only FastABI carries ${own}; the ${abi} interface takes a struct that these stubs do not fill`;
  }
  if (struct !== undefined) return NO_STRUCTS;
  if (NOT_IN_FASTABI.includes(operation)) return `${operation}: FastABI does not dispatch it`;
  const value = NO_REGISTER[operation]?.find((name) => name in inputs);
  return value === undefined ? undefined : `${operation}: FastABI does not carry ${value}`;
}

/** Operations of which an interface carries no row at all. */
export function operationsNotCarried(abi: HypercallAbiName): readonly OperationName[] {
  return abi === "fastabi" ? NOT_IN_FASTABI : [];
}
