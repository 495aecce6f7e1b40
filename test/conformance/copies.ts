import type { OperationName } from "@hyperwalk/guest-sdk";

/** Bytes of the copies from and to the guest that the traditional handler makes when it succeeds. */
export interface Copies {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

const none: Copies = { from: [], to: [] };
const copies = (from: number, to: number): Copies => ({
  from: from === 0 ? [] : [from],
  to: to === 0 ? [] : [to],
});

/**
 * The columns "cf / ct" of facts/xen.md §3.1 and §3.2, typed from there and not from `abi/*.yml`, so that a mistake in one is
 * found by the other. Where a number depends on the call, the rows say it.
 */
export const COPIES: Readonly<Partial<Record<OperationName, Copies>>> = {
  "event_channel.bind_interdomain": copies(12, 12),
  "event_channel.bind_virq": copies(12, 12),
  "event_channel.bind_pirq": copies(12, 12),
  "event_channel.close": copies(4, 0),
  "event_channel.send": copies(4, 0),
  "event_channel.status": copies(24, 24),
  "event_channel.alloc_unbound": copies(8, 8),
  "event_channel.bind_ipi": copies(8, 8),
  "event_channel.bind_vcpu": copies(8, 0),
  "event_channel.unmask": copies(4, 0),
  "event_channel.reset": copies(2, 0),
  "event_channel.init_control": copies(24, 24),
  "event_channel.expand_array": copies(8, 0),
  "event_channel.set_priority": copies(8, 0),
  "grant_table.map_grant_ref": copies(32, 32),
  "grant_table.unmap_grant_ref": copies(24, 2),
  // The data themselves go from frame to frame.
  "grant_table.copy": copies(40, 2),
  "grant_table.query_size": copies(16, 16),
  "grant_table.set_version": copies(4, 4),
  "grant_table.get_version": copies(8, 4),
  // Not in the sheet: `gnttab_swap_grant_ref` takes its 12 bytes and gives the status back, as `gnttab_copy` does.
  "grant_table.swap_grant_ref": copies(12, 2),
  "hvm.set_param": copies(16, 0),
  "hvm.get_param": copies(16, 16),
  "hvm.flush_tlbs": none,
  "hvm.get_time": copies(0, 8),
  "hvm.get_mem_type": copies(16, 16),
  "hvm.set_evtchn_upcall_vector": copies(8, 0),
  "memory.add_to_physmap": copies(24, 0),
  "memory.remove_from_physmap": copies(16, 0),
  "sched.yield": none,
  "sched.block": none,
  "sched.shutdown": copies(4, 0),
  "sched.shutdown_code": copies(4, 0),
  "sched.poll": copies(24, 0),
  "sched.watchdog": copies(8, 0),
  "vcpu.initialise": copies(128, 0),
  "vcpu.up": none,
  "vcpu.down": none,
  "vcpu.is_up": none,
  "vcpu.get_runstate_info": copies(0, 48),
  "vcpu.register_runstate_memory_area": { from: [8], to: [48] },
  // The area's version, the area, its version again (`update_secondary_system_time`).
  "vcpu.register_vcpu_time_memory_area": { from: [8], to: [4, 32, 4] },
  "vcpu.set_periodic_timer": copies(8, 0),
  "vcpu.stop_periodic_timer": none,
  "vcpu.set_singleshot_timer": copies(16, 0),
  "vcpu.stop_singleshot_timer": none,
  "vcpu.register_vcpu_info": copies(16, 0),
  "vcpu.send_nmi": none,
  "vcpu.register_runstate_phys_area": copies(8, 0),
  "vcpu.register_vcpu_time_phys_area": copies(8, 0),
  "version.version": none,
  "version.get_features": copies(8, 8),
  "version.extraversion": copies(0, 16),
  "version.compile_info": copies(0, 144),
  "version.capabilities": copies(0, 1024),
  "version.changeset": copies(0, 64),
  "version.platform_parameters": copies(0, 8),
  "version.pagesize": none,
  "version.guest_handle": copies(0, 16),
  "set_timer_op.set": none,
  "vm_assist.set": none,
};
