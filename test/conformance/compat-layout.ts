import type { OperationName } from "@hyperwalk/guest-sdk";

/** A member of a C struct: byte offset and size. */
export type Member = readonly [offset: number, bytes: 1 | 2 | 4 | 8];

/** Members of a struct by the names of the operation's values. */
export interface CompatStruct {
  readonly bytes: number;
  readonly members: Readonly<Record<string, Member>>;
}

const RESERVATION: CompatStruct = {
  bytes: 20,
  members: {
    extent_start: [0, 4],
    nr_extents: [4, 4],
    extent_order: [8, 4],
    mem_flags: [12, 4],
    domid: [16, 2],
  },
};
const AREA: CompatStruct = { bytes: 8, members: { "addr.h": [0, 4] } };

/**
 * Structs of Xen's public headers that i386 lays out in another way than x86-64: pointers and `unsigned long` have 4 bytes, and
 * 64-bit integers are aligned to 4. Typed from the headers and not from `abi/*.yml`, so that a mistake in one is found by the other.
 */
export const COMPAT_STRUCTS: Readonly<Partial<Record<OperationName, CompatStruct>>> = {
  "memory.increase_reservation": RESERVATION,
  "memory.decrease_reservation": RESERVATION,
  "memory.populate_physmap": RESERVATION,
  "memory.memory_map": { bytes: 8, members: { nr_entries: [0, 4], buffer: [4, 4] } },
  "memory.add_to_physmap": {
    bytes: 16,
    members: { domid: [0, 2], size: [2, 2], space: [4, 4], idx: [8, 4], gpfn: [12, 4] },
  },
  "memory.remove_from_physmap": { bytes: 8, members: { domid: [0, 2], gpfn: [4, 4] } },
  "memory.add_to_physmap_batch": {
    bytes: 20,
    members: {
      domid: [0, 2],
      space: [2, 2],
      size: [4, 2],
      foreign_domid: [6, 2],
      idxs: [8, 4],
      gpfns: [12, 4],
      errs: [16, 4],
    },
  },
  "memory.acquire_resource": {
    bytes: 28,
    members: {
      domid: [0, 2],
      type: [2, 2],
      id: [4, 4],
      nr_frames: [8, 4],
      pad: [12, 4],
      frame: [16, 8],
      frame_list: [24, 4],
    },
  },
  "grant_table.setup_table": {
    bytes: 16,
    members: { dom: [0, 2], nr_frames: [4, 4], status: [8, 2], frame_list: [12, 4] },
  },
  "grant_table.copy": {
    bytes: 24,
    members: {
      source: [0, 4],
      source_domid: [4, 2],
      source_offset: [6, 2],
      dest: [8, 4],
      dest_domid: [12, 2],
      dest_offset: [14, 2],
      len: [16, 2],
      flags: [18, 2],
      status: [20, 2],
    },
  },
  "physdev.map_pirq": {
    bytes: 36,
    members: {
      domid: [0, 2],
      type: [4, 4],
      index: [8, 4],
      pirq: [12, 4],
      bus: [16, 4],
      devfn: [20, 4],
      entry_nr: [24, 4],
      table_base: [28, 8],
    },
  },
  "sched.poll": { bytes: 16, members: { ports: [0, 4], nr_ports: [4, 4], timeout: [8, 8] } },
  "vcpu.get_runstate_info": {
    bytes: 44,
    members: {
      state: [0, 4],
      state_entry_time: [4, 8],
      "time[0]": [12, 8],
      "time[1]": [20, 8],
      "time[2]": [28, 8],
      "time[3]": [36, 8],
    },
  },
  "vcpu.register_runstate_memory_area": AREA,
  "vcpu.register_vcpu_time_memory_area": AREA,
  "vcpu.set_singleshot_timer": { bytes: 12, members: { timeout_abs_ns: [0, 8], flags: [8, 4] } },
  "version.platform_parameters": { bytes: 4, members: { virt_start: [0, 4] } },
};

/** Register arguments of 64 bits, which 32-bit callers pass in two registers, the low word first. */
export const PAIRED_ARGUMENTS: readonly OperationName[] = ["set_timer_op.set"];
