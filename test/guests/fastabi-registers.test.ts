import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { DESCRIPTORS, type XenSystem } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";
import {
  clobbered,
  FASTABI_REGISTERS,
  FREE_GFN,
  operationOf,
  type RegisterCall,
  runRegisterCalls,
} from "./register-calls.js";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

const SELF = 0x7ff0;
const SELF_ID = 1;
const EPERM = -1;
const ENOENT = -2;
const EFAULT = -14;
const EEXIST = -17;
const EINVAL = -22;
const ENOSPC = -28;
const ENOSYS = -38;
const EOPNOTSUPP = -95;
const ESRCH = -3;
const EBUSY = -16;
const ENXIO = -6;
const FREE = FREE_GFN * 4096;
const HOLE = 0xf0000;
/** A negative GNTST code as the register has it. */
const STATUS = (code: number) => BigInt.asUintN(64, BigInt(code));

const call = (
  operation: RegisterCall["operation"],
  inputs: RegisterCall["inputs"] = {},
  result = 0,
  outputs: RegisterCall["outputs"] = {},
): RegisterCall => ({ operation, inputs, result, outputs });

/** In order: later calls build on earlier ones. The toolstack has ports 1 and 2. */
const CALLS: readonly RegisterCall[] = [
  call("version.version", {}, 0x40017),
  call("version.get_features", { submap_idx: 0 }, 0, { submap: 0x1d2305 }),
  call("version.get_features", { submap_idx: 1 }, EINVAL),

  call("sched.poll", { timeout: 0, port: 4096 }, EINVAL),
  call("event_channel.alloc_unbound", { dom: SELF, remote_dom: SELF }, 0, { port: 3 }),
  call("event_channel.alloc_unbound", { dom: 77, remote_dom: SELF }, ESRCH),
  call("event_channel.bind_interdomain", { remote_dom: SELF, remote_port: 3 }, 0, { local_port: 4 }),
  call("event_channel.bind_interdomain", { remote_dom: SELF, remote_port: 99 }, EINVAL),
  call("event_channel.bind_virq", { virq: 0, vcpu: 0 }, 0, { port: 5 }),
  call("event_channel.bind_virq", { virq: 0, vcpu: 0 }, EEXIST),
  call("event_channel.bind_virq", { virq: 99, vcpu: 0 }, EINVAL),
  call("event_channel.bind_ipi", { vcpu: 1 }, 0, { port: 6 }),
  call("event_channel.bind_ipi", { vcpu: 2 }, ENOENT),
  call("event_channel.bind_pirq", { pirq: 9, flags: 0 }, 0, { port: 7 }),
  call("event_channel.bind_pirq", { pirq: 9, flags: 1 }, EEXIST),
  call("event_channel.bind_pirq", { pirq: 0xffffffff, flags: 0 }, EINVAL),
  call("event_channel.status", { dom: SELF, port: 3 }, 0, {
    status: 2,
    vcpu: 0,
    output1: SELF_ID,
    output2: 4,
  }),
  call("event_channel.status", { dom: SELF, port: 5 }, 0, { status: 4, vcpu: 0, output1: 0, output2: 0 }),
  call("event_channel.status", { dom: SELF, port: 6 }, 0, { status: 5, vcpu: 1 }),
  call("event_channel.status", { dom: SELF, port: 7 }, 0, { status: 3, vcpu: 0, output1: 9, output2: 0 }),
  call("event_channel.status", { dom: SELF, port: 4096 }, EINVAL),
  call("event_channel.send", { port: 4 }),
  call("event_channel.send", { port: 7 }, EINVAL),
  call("event_channel.send", { port: 5000 }, EINVAL),
  call("event_channel.unmask", { port: 4 }),
  call("event_channel.unmask", { port: 5000 }, EINVAL),
  call("event_channel.bind_vcpu", { vcpu: 1, port: 7 }),
  call("event_channel.status", { dom: SELF, port: 7 }, 0, { status: 3, vcpu: 1 }),
  call("event_channel.bind_vcpu", { vcpu: 2, port: 7 }, ENOENT),
  call("event_channel.bind_vcpu", { vcpu: 0, port: 6 }, EINVAL),
  call("event_channel.set_priority", { port: 4, priority: 3 }, ENOSYS),
  call("event_channel.expand_array", { array_gfn: FREE_GFN }, EOPNOTSUPP),
  // An event waits: neither sleeps.
  call("sched.block"),
  call("sched.poll", { timeout: 0, port: 3 }),
  call("event_channel.init_control", { control_gfn: FREE_GFN, offset: 4, vcpu: 0 }, EINVAL),
  call("event_channel.init_control", { control_gfn: FREE_GFN, offset: 64, vcpu: 0 }, 0, { link_bits: 17 }),
  call("event_channel.init_control", { control_gfn: FREE_GFN + 1, offset: 0, vcpu: 1 }, 0, { link_bits: 17 }),
  call("event_channel.expand_array", { array_gfn: FREE_GFN + 2 }),
  call("event_channel.expand_array", { array_gfn: HOLE }, EINVAL),
  call("event_channel.set_priority", { port: 4, priority: 3 }),
  call("event_channel.set_priority", { port: 4, priority: 16 }, EINVAL),
  call("event_channel.close", { port: 7 }),
  call("event_channel.close", { port: 7 }, EINVAL),

  call("grant_table.query_size", {}, 0, { nr_frames: 1, max_nr_frames: 64 }),
  call("grant_table.get_version", {}, 0, { version: 1 }),
  call("grant_table.set_version", { version: 3 }, EINVAL),
  call("grant_table.set_version", { version: 2 }),
  call("grant_table.get_version", {}, 0, { version: 2 }),

  // Of a domain that there is not, and of a mapping that there is not.
  call("grant_table.map_grant_ref", { dom: 77, host_addr: FREE, flags: 2, ref: 8 }, 0, {
    status: STATUS(-2),
  }),
  call("grant_table.unmap_grant_ref", { host_addr: FREE, handle: 12345 }, 0, { status: STATUS(-4) }),

  call("hvm.set_param", { domid: SELF, index: 36, value: 8 }),
  call("hvm.get_param", { domid: SELF, index: 36 }, 0, { value: 8 }),
  call("hvm.set_param", { domid: SELF, index: 36, value: 5 }, EINVAL),
  call("hvm.set_param", { domid: SELF, index: 17, value: 5 }, EPERM),
  call("hvm.get_param", { domid: SELF, index: 39 }, EINVAL),
  call("hvm.get_param", { domid: 99, index: 17 }, ESRCH),
  call("hvm.flush_tlbs"),
  call("hvm.get_time"),
  call("hvm.get_mem_type", { domid: SELF, pfn: FREE_GFN }, 0, { mem_type: 0 }),
  call("hvm.get_mem_type", { domid: SELF, pfn: HOLE }, 0, { mem_type: 2 }),
  call("hvm.get_mem_type", { domid: 0, pfn: FREE_GFN }, EPERM),
  call("hvm.set_evtchn_upcall_vector", { vcpu: 0, vector: 0x50 }),
  call("hvm.set_evtchn_upcall_vector", { vcpu: 0, vector: 15 }, EINVAL),
  call("hvm.set_evtchn_upcall_vector", { vcpu: 2, vector: 0x50 }, ENOENT),

  call("memory.memory_map", { nr_entries: 16, buffer: FREE + 0x4000 }, 0, { nr_entries: 2 }),
  call("memory.memory_map", { nr_entries: 1, buffer: FREE + 0x4000 }, 0, { nr_entries: 1 }),
  call("memory.memory_map", { nr_entries: 16, buffer: HOLE * 4096 }, EFAULT),
  call("memory.add_to_physmap", { size: 0, space: 0, idx: 0, gpfn: FREE_GFN + 5 }),
  call("memory.add_to_physmap", { size: 0, space: 9, idx: 0, gpfn: FREE_GFN + 5 }, EINVAL),
  call("memory.remove_from_physmap", { gpfn: FREE_GFN + 5 }),
  call("memory.remove_from_physmap", { gpfn: FREE_GFN + 5 }, ENOENT),

  call("vcpu.is_up", { vcpuid: 0 }, 1),
  call("vcpu.is_up", { vcpuid: 1 }, 0),
  call("vcpu.is_up", { vcpuid: 2 }, ENOENT),
  call("vcpu.up", { vcpuid: 1 }, EINVAL),
  call("vcpu.initialise", { vcpuid: 0, context_gfn: FREE_GFN + 6 }, EEXIST),
  call("vcpu.initialise", { vcpuid: 1, context_gfn: HOLE }, EINVAL),
  call("vcpu.down", { vcpuid: 2 }, ENOENT),
  call("vcpu.get_runstate_info", { vcpuid: 0 }, 0, { state: 0, "time[1]": 0, "time[2]": 0, "time[3]": 0 }),
  call("vcpu.get_runstate_info", { vcpuid: 1 }, 0, { state: 3, state_entry_time: 0, "time[0]": 0 }),
  call("vcpu.get_runstate_info", { vcpuid: 2 }, ENOENT),
  call("vcpu.set_periodic_timer", { vcpuid: 0, period_ns: 2n ** 61n }),
  call("vcpu.set_periodic_timer", { vcpuid: 0, period_ns: 999_999 }, EINVAL),
  call("vcpu.set_periodic_timer", { vcpuid: 0, period_ns: 2n ** 62n }, EINVAL),
  call("vcpu.stop_periodic_timer", { vcpuid: 0 }),
  call("vcpu.stop_periodic_timer", { vcpuid: 2 }, ENOENT),
  call("vcpu.set_singleshot_timer", { vcpuid: 0, timeout_abs_ns: 10n ** 15n, flags: 0 }),
  call("vcpu.set_singleshot_timer", { vcpuid: 1, timeout_abs_ns: 10n ** 15n, flags: 0 }, EINVAL),
  call("vcpu.stop_singleshot_timer", { vcpuid: 0 }),
  call("vcpu.stop_singleshot_timer", { vcpuid: 1 }, EINVAL),
  call("vcpu.register_vcpu_info", { vcpuid: 1, mfn: FREE_GFN + 7, offset: 4096 }, EINVAL),
  call("vcpu.register_vcpu_info", { vcpuid: 1, mfn: FREE_GFN + 7, offset: 4092 }, ENXIO),
  call("vcpu.register_vcpu_info", { vcpuid: 1, mfn: FREE_GFN + 7, offset: 64 }),
  call("vcpu.register_vcpu_info", { vcpuid: 1, mfn: FREE_GFN + 7, offset: 64 }, EBUSY),
  call("vcpu.get_physid", { vcpuid: 0 }, EINVAL),
  call("vcpu.get_physid", { vcpuid: 2 }, ENOENT),
  call("vcpu.register_runstate_phys_area", { vcpuid: 0, "addr.p": FREE + 0x8000 }),
  call("vcpu.register_runstate_phys_area", { vcpuid: 0, "addr.p": FREE + 0x8ff8 }, ENXIO),
  call("vcpu.register_runstate_phys_area", { vcpuid: 0, "addr.p": 2n ** 64n - 1n }),
  call("vcpu.register_vcpu_time_phys_area", { vcpuid: 0, "addr.p": FREE + 0x8100 }),
  call("vcpu.register_vcpu_time_phys_area", { vcpuid: 0, "addr.p": HOLE * 4096 }, EINVAL),
  call("vcpu.send_nmi", { vcpuid: 2 }, ENOENT),
  // Not initialised: it waits with the vCPU.
  call("vcpu.send_nmi", { vcpuid: 1 }),

  call("sched.yield"),
  call("sched.poll", { timeout: 1, port: 6 }),
  call("sched.watchdog", { id: 3, timeout: 9 }, EINVAL),
  call("sched.watchdog", { id: 1, timeout: 9 }, EINVAL),
  call("sched.watchdog", { id: 0, timeout: 1000 }, 1),
  call("sched.watchdog", { id: 0, timeout: 1000 }, 2),
  call("sched.watchdog", { id: 0, timeout: 1000 }, ENOSPC),
  call("sched.watchdog", { id: 1, timeout: 2000 }),
  call("sched.watchdog", { id: 1, timeout: 0 }),
  call("sched.watchdog", { id: 2, timeout: 0 }),
  call("sched.pin_override", { pcpu: 0 }, EPERM),
  call("sched.shutdown_code", { reason: 1 }),

  // What nobody has: a number, a sub-operation, one beyond the table, one in the upper half of rdi.
  call([99, 0], {}, ENOSYS),
  call([15, 0], {}, ENOSYS),
  call([32, 77], {}, ENOSYS),
  call([24, 0xffffffff], {}, ENOSYS),
  call([24, 0x1_0000_0003n], {}, ENOSYS),
  call([20, 2], {}, ENOSYS), // setup_table, whose list is in memory
  call([17, 1], {}, ENOSYS),

  call("event_channel.reset", { dom: 77 }, ESRCH),
  call("event_channel.reset", { dom: SELF }),
  call("event_channel.status", { dom: SELF, port: 4 }, 0, { status: 0 }),
];

/** What only a hardware domain gets. */
const HARDWARE_DOMAIN_CALLS: readonly RegisterCall[] = [
  call("vcpu.get_physid", { vcpuid: 1 }, 0, { phys_id: 0x1_0000_0001n }),
  call("event_channel.bind_virq", { virq: 2, vcpu: 0 }, 0, { port: 1 }),
  call("sched.pin_override", { pcpu: 0 }, EINVAL),
];

/** Starts vCPU 1 with a context that {@link writeSpinner} put into a frame, and stops it. */
const VCPU_CALLS: readonly RegisterCall[] = [
  call("vcpu.initialise", { vcpuid: 1, context_gfn: FREE_GFN }),
  call("vcpu.initialise", { vcpuid: 1, context_gfn: FREE_GFN }, EEXIST),
  call("vcpu.is_up", { vcpuid: 1 }, 0),
  call("vcpu.up", { vcpuid: 1 }),
  call("vcpu.up", { vcpuid: 1 }),
  call("vcpu.is_up", { vcpuid: 1 }, 1),
  call("sched.yield"),
  call("vcpu.down", { vcpuid: 1 }),
  call("vcpu.is_up", { vcpuid: 1 }, 0),
  call("vcpu.down", { vcpuid: 1 }),
];

/** A `vcpu_hvm_context` of 32-bit protected mode at FREE_GFN, and at the next frame a loop for it to run. */
function writeSpinner({ domain }: XenSystem): void {
  const context = new DataView(new ArrayBuffer(128));
  context.setUint32(8 + 32, FREE + 4096, true); // eip
  context.setUint32(8 + 40, 1, true); // cr0: PE
  for (let segment = 0; segment < 4; segment++) {
    context.setUint32(92 + 4 * segment, 0xffffffff, true);
    context.setUint16(112 + 2 * segment, segment === 0 ? 0xc9b : 0xc93, true);
  }
  context.setUint32(92 + 16, 0x67, true);
  context.setUint16(112 + 8, 0x8b, true);
  domain.guestMemory.writeBytes(FREE, new Uint8Array(context.buffer));
  domain.guestMemory.writeBytes(FREE + 4096, Uint8Array.of(0xeb, 0xfe));
}

describe.each([epyc9124, skylakeSp])("every operation by FastABI from a guest on $id", (profile) => {
  const runs = [
    { calls: CALLS, run: runRegisterCalls(profile, CALLS, { vcpus: 2 }) },
    {
      calls: HARDWARE_DOMAIN_CALLS,
      run: runRegisterCalls(profile, HARDWARE_DOMAIN_CALLS, { vcpus: 2, hardwareDomain: true }),
    },
    { calls: VCPU_CALLS, run: runRegisterCalls(profile, VCPU_CALLS, { vcpus: 2, prepare: writeSpinner }) },
  ];
  const made = runs.flatMap(({ calls, run }) => calls.map((each, n) => ({ each, record: run.records[n] })));

  it("gets to its end, with the reason that was recorded first", () => {
    expect(runs[0].run.outcome).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
    for (const { run } of runs.slice(1))
      expect(run.outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
  });

  it("has the results and outputs of the table", () => {
    const seen = made.map(({ each, record }) => {
      const outputs = Object.keys(each.outputs ?? {}).map((name) => {
        const field = operationOf(each)?.outputs.find((output) => output.name === name);
        return [name, record.after[FASTABI_REGISTERS[field?.register ?? 0]]];
      });
      return [
        each.operation,
        each.inputs,
        Number(BigInt.asIntN(64, record.after[0])),
        Object.fromEntries(outputs),
      ];
    });
    const big = (values: RegisterCall["outputs"]) =>
      Object.fromEntries(Object.entries(values ?? {}).map(([name, value]) => [name, BigInt(value)]));
    expect(seen).toEqual(
      made.map(({ each }) => [each.operation, each.inputs, each.result, big(each.outputs)]),
    );
  });

  it("changes no register that is not declared, and with an error rax alone", () => {
    for (const { each, record } of made)
      expect([each.operation, clobbered(each, record)]).toEqual([each.operation, []]);
  });

  it("made calls of every operation that FastABI dispatches", () => {
    const called = new Set(made.map(({ each }) => each.operation));
    // Every one of these guests ends by a shutdown.
    const elsewhere = ["sched.shutdown"];
    const missing = DESCRIPTORS.filter(({ name, traditionalOnly }) => !traditionalOnly && !called.has(name));
    expect(missing.map(({ name }) => name).filter((name) => !elsewhere.includes(name))).toEqual([]);
  });
});
