import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { generatedFiles } from "../../../scripts/generate/generated-files.ts";
import { DESCRIPTORS, findDescriptor, HYPERCALLS } from "../src/operations/descriptors.gen.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/**
 * Xen's public headers compiled for x86-64: operation, struct bytes, copied in, copied out, struct members by offset.
 * Only what the register mapping names.
 */
const TABLE: readonly [string, number, number, number, Readonly<Record<string, number>>][] = [
  ["event_channel.bind_interdomain", 12, 12, 12, { remote_dom: 0, remote_port: 4, local_port: 8 }],
  ["event_channel.bind_virq", 12, 12, 12, { virq: 0, vcpu: 4, port: 8 }],
  ["event_channel.bind_pirq", 12, 12, 12, { pirq: 0, flags: 4, port: 8 }],
  ["event_channel.close", 4, 4, 0, { port: 0 }],
  ["event_channel.send", 4, 4, 0, { port: 0 }],
  ["event_channel.status", 24, 24, 24, { dom: 0, port: 4, status: 8, vcpu: 12, output1: 16, output2: 20 }],
  ["event_channel.alloc_unbound", 8, 8, 8, { dom: 0, remote_dom: 2, port: 4 }],
  ["event_channel.bind_ipi", 8, 8, 8, { vcpu: 0, port: 4 }],
  ["event_channel.bind_vcpu", 8, 8, 0, { port: 0, vcpu: 4 }],
  ["event_channel.unmask", 4, 4, 0, { port: 0 }],
  ["event_channel.reset", 2, 2, 0, { dom: 0 }],
  ["event_channel.init_control", 24, 24, 24, { control_gfn: 0, offset: 8, vcpu: 12, link_bits: 16 }],
  ["event_channel.expand_array", 8, 8, 0, { array_gfn: 0 }],
  ["event_channel.set_priority", 8, 8, 0, { port: 0, priority: 4 }],
  [
    "grant_table.map_grant_ref",
    32,
    32,
    32,
    { host_addr: 0, flags: 8, ref: 12, dom: 16, status: 18, handle: 20, dev_bus_addr: 24 },
  ],
  ["grant_table.unmap_grant_ref", 24, 24, 2, { host_addr: 0, handle: 16, status: 20 }],
  ["grant_table.setup_table", 24, 24, 2, { dom: 0, nr_frames: 4, status: 8, frame_list: 16 }],
  [
    "grant_table.copy",
    40,
    40,
    2,
    {
      source: 0,
      source_domid: 8,
      source_offset: 10,
      dest: 16,
      dest_domid: 24,
      dest_offset: 26,
      len: 32,
      flags: 34,
      status: 36,
    },
  ],
  ["grant_table.swap_grant_ref", 12, 12, 2, { ref_a: 0, ref_b: 4, status: 8 }],
  ["grant_table.query_size", 16, 16, 16, { dom: 0, nr_frames: 4, max_nr_frames: 8, status: 12 }],
  ["grant_table.set_version", 4, 4, 4, { version: 0 }],
  ["grant_table.get_version", 8, 8, 4, { dom: 0, version: 4 }],
  ["hvm.set_param", 16, 16, 0, { domid: 0, index: 4, value: 8 }],
  ["hvm.get_param", 16, 16, 16, { domid: 0, index: 4, value: 8 }],
  ["hvm.get_time", 8, 0, 8, { now: 0 }],
  ["hvm.get_mem_type", 16, 16, 16, { domid: 0, mem_type: 2, pfn: 8 }],
  ["hvm.set_evtchn_upcall_vector", 8, 8, 0, { vcpu: 0, vector: 4 }],
  ["memory.add_to_physmap", 24, 24, 0, { domid: 0, size: 2, space: 4, idx: 8, gpfn: 16 }],
  ["memory.memory_map", 16, 16, 16, { nr_entries: 0, buffer: 8 }],
  ["memory.remove_from_physmap", 16, 16, 0, { domid: 0, gpfn: 8 }],
  ["sched.shutdown", 4, 4, 0, { reason: 0 }],
  ["sched.poll", 24, 24, 0, { ports: 0, nr_ports: 8, timeout: 16 }],
  ["sched.shutdown_code", 4, 4, 0, { reason: 0 }],
  ["sched.watchdog", 8, 8, 0, { id: 0, timeout: 4 }],
  ["sched.pin_override", 4, 4, 0, { pcpu: 0 }],
  ["domctl.call", 144, 144, 0, { cmd: 0, interface_version: 4 }],
  ["sysctl.call", 136, 136, 0, { cmd: 0, interface_version: 4 }],
  ["platform_op.call", 136, 136, 0, { cmd: 0, interface_version: 4 }],
  [
    "physdev.map_pirq",
    40,
    40,
    0,
    { domid: 0, type: 4, index: 8, pirq: 12, bus: 16, devfn: 20, entry_nr: 24, table_base: 32 },
  ],
  ["physdev.unmap_pirq", 8, 8, 0, { domid: 0, pirq: 4 }],
  ["version.platform_parameters", 8, 0, 8, { virt_start: 0 }],
  ["vcpu.initialise", 128, 128, 0, {}],
  ["vcpu.get_runstate_info", 48, 0, 48, { state: 0, state_entry_time: 8, "time[0]": 16, "time[3]": 40 }],
  ["vcpu.register_runstate_memory_area", 8, 8, 0, { "addr.h": 0 }],
  ["vcpu.register_vcpu_time_memory_area", 8, 8, 0, { "addr.h": 0 }],
  ["vcpu.set_periodic_timer", 8, 8, 0, { period_ns: 0 }],
  ["vcpu.set_singleshot_timer", 16, 16, 0, { timeout_abs_ns: 0, flags: 8 }],
  ["vcpu.register_vcpu_info", 16, 16, 0, { mfn: 0, offset: 8 }],
  ["vcpu.get_physid", 8, 0, 8, { phys_id: 0 }],
  ["vcpu.register_runstate_phys_area", 8, 8, 0, { "addr.p": 0 }],
  ["vcpu.register_vcpu_time_phys_area", 8, 8, 0, { "addr.p": 0 }],
  [
    "memory.decrease_reservation",
    32,
    32,
    0,
    { extent_start: 0, nr_extents: 8, extent_order: 16, mem_flags: 20, domid: 24 },
  ],
  ["memory.increase_reservation", 32, 32, 0, { extent_start: 0, nr_extents: 8, domid: 24 }],
  [
    "memory.add_to_physmap_batch",
    32,
    32,
    0,
    { domid: 0, space: 2, size: 4, foreign_domid: 6, idxs: 8, gpfns: 16, errs: 24 },
  ],
  [
    "memory.acquire_resource",
    32,
    32,
    4,
    { domid: 0, type: 2, id: 4, nr_frames: 8, pad: 12, frame: 16, frame_list: 24 },
  ],
  ["memory.populate_physmap", 32, 32, 0, { extent_start: 0, nr_extents: 8, domid: 24 }],
  ["version.get_features", 8, 8, 8, { submap_idx: 0, submap: 4 }],
];

/** Register mapping of the RFC: inputs and outputs by register number. */
const REGISTERS: readonly [string, Readonly<Record<string, number>>, Readonly<Record<string, number>>][] = [
  ["event_channel.status", { dom: 2, port: 3 }, { status: 4, vcpu: 5, output1: 6, output2: 7 }],
  ["event_channel.bind_vcpu", { vcpu: 2, port: 3 }, {}],
  ["event_channel.send", { port: 2 }, {}],
  [
    "vcpu.get_runstate_info",
    { vcpuid: 2 },
    { state: 2, state_entry_time: 3, "time[0]": 4, "time[1]": 5, "time[2]": 6, "time[3]": 7 },
  ],
  ["vcpu.get_physid", { vcpuid: 2 }, { phys_id: 3 }],
  ["hvm.get_time", {}, { now: 2 }],
  ["hvm.get_param", { domid: 2, index: 3 }, { value: 4 }],
  ["sched.poll", { timeout: 2, port: 3 }, {}],
  ["memory.add_to_physmap", { size: 2, space: 3, idx: 4, gpfn: 5 }, {}],
  ["grant_table.setup_table", {}, {}],
  ["grant_table.query_size", {}, { nr_frames: 2, max_nr_frames: 3 }],
];

const named = (name: string) => {
  const found = DESCRIPTORS.find((d) => d.name === name);
  if (found === undefined) throw new Error(`no descriptor ${name}`);
  return found;
};

describe("descriptors", () => {
  it.each(TABLE)("%s has Xen's struct layout", (name, bytes, copyIn, copyOut, offsets) => {
    const descriptor = named(name);
    expect([descriptor.struct?.bytes, descriptor.copyIn, descriptor.copyOut]).toEqual([
      bytes,
      copyIn,
      copyOut,
    ]);
    const fields = [...descriptor.inputs, ...descriptor.outputs];
    for (const [field, offset] of Object.entries(offsets))
      expect([field, fields.find((f) => f.name === field)?.offset]).toEqual([field, offset]);
  });

  it.each(REGISTERS)("%s has the RFC's registers", (name, inputs, outputs) => {
    const carried = (fields: readonly { name: string; register: number }[]) =>
      Object.fromEntries(fields.filter((f) => f.register !== 0).map((f) => [f.name, f.register]));
    expect([carried(named(name).inputs), carried(named(name).outputs)]).toEqual([inputs, outputs]);
  });

  it("covers every operation with a struct in the table above", () => {
    const tabled = TABLE.map(([name]) => name);
    expect(DESCRIPTORS.filter((d) => d.struct !== undefined && !tabled.includes(d.name))).toEqual([]);
  });

  it("keeps every field inside its struct, and structs inside the hypervisor's 256-byte copy", () => {
    for (const { struct, inputs, outputs } of DESCRIPTORS) {
      expect(struct?.bytes ?? 0).toBeLessThanOrEqual(256);
      for (const f of [...inputs, ...outputs]) {
        if (f.offset >= 0) expect(f.offset + f.bytes).toBeLessThanOrEqual(struct?.bytes ?? 0);
      }
    }
  });

  it("finds each by hypercall and sub-operation, and nothing else", () => {
    for (const d of DESCRIPTORS) expect(findDescriptor(d.hypercall, d.subop)).toBe(d);
    expect(findDescriptor(HYPERCALLS.vcpu, 16)).toBeUndefined();
    expect(findDescriptor(HYPERCALLS.vcpu, 63)).toBeUndefined();
    expect(findDescriptor(0, 0)).toBeUndefined();
    expect(findDescriptor(-1, -1)).toBeUndefined();
  });
});

describe("generated files", () => {
  it.each(generatedFiles(ROOT))("%s is fresh (npm run generate)", (path, text) => {
    expect(readFileSync(`${ROOT}/${path}`, "utf8")).toBe(text);
  });
});
