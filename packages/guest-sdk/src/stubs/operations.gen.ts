// Generated from the descriptions in packages/xen/abi; do not edit.
// Regenerate with: npm run generate

/** Names of the operations, as `OperationDescriptor.name` has them. */
export type OperationName =
  | "console_io.write"
  | "console_io.read"
  | "domctl.call"
  | "event_channel.bind_interdomain"
  | "event_channel.bind_virq"
  | "event_channel.bind_pirq"
  | "event_channel.close"
  | "event_channel.send"
  | "event_channel.status"
  | "event_channel.alloc_unbound"
  | "event_channel.bind_ipi"
  | "event_channel.bind_vcpu"
  | "event_channel.unmask"
  | "event_channel.reset"
  | "event_channel.init_control"
  | "event_channel.expand_array"
  | "event_channel.set_priority"
  | "grant_table.map_grant_ref"
  | "grant_table.unmap_grant_ref"
  | "grant_table.setup_table"
  | "grant_table.copy"
  | "grant_table.query_size"
  | "grant_table.set_version"
  | "grant_table.get_version"
  | "grant_table.swap_grant_ref"
  | "hvm.set_param"
  | "hvm.get_param"
  | "hvm.flush_tlbs"
  | "hvm.get_time"
  | "hvm.get_mem_type"
  | "hvm.set_evtchn_upcall_vector"
  | "memory.increase_reservation"
  | "memory.decrease_reservation"
  | "memory.populate_physmap"
  | "memory.add_to_physmap"
  | "memory.memory_map"
  | "memory.remove_from_physmap"
  | "memory.add_to_physmap_batch"
  | "memory.acquire_resource"
  | "multicall.call"
  | "physdev.map_pirq"
  | "physdev.unmap_pirq"
  | "platform_op.call"
  | "sched.yield"
  | "sched.block"
  | "sched.shutdown"
  | "sched.poll"
  | "sched.shutdown_code"
  | "sched.watchdog"
  | "sched.pin_override"
  | "set_timer_op.set"
  | "sysctl.call"
  | "vcpu.initialise"
  | "vcpu.up"
  | "vcpu.down"
  | "vcpu.is_up"
  | "vcpu.get_runstate_info"
  | "vcpu.register_runstate_memory_area"
  | "vcpu.set_periodic_timer"
  | "vcpu.stop_periodic_timer"
  | "vcpu.set_singleshot_timer"
  | "vcpu.stop_singleshot_timer"
  | "vcpu.register_vcpu_info"
  | "vcpu.send_nmi"
  | "vcpu.get_physid"
  | "vcpu.register_vcpu_time_memory_area"
  | "vcpu.register_runstate_phys_area"
  | "vcpu.register_vcpu_time_phys_area"
  | "version.version"
  | "version.extraversion"
  | "version.compile_info"
  | "version.capabilities"
  | "version.changeset"
  | "version.platform_parameters"
  | "version.get_features"
  | "version.pagesize"
  | "version.guest_handle"
  | "version.commandline"
  | "version.build_id"
  | "version.extraversion2"
  | "version.capabilities2"
  | "version.changeset2"
  | "version.commandline2"
  | "vm_assist.set";

/** Xen's own console; a release build refuses it to every domain but the hardware domain. */
export interface ConsoleIoStubs<Value, Result> {
  /** Writes text; returns 0. */
  write(inputs: { readonly count: Value; readonly buffer: Value }): Result;
  /** Reads text; returns the number of bytes. */
  read(inputs: { readonly count: Value; readonly buffer: Value }): Result;
}

/** Other domains, which only the control domain may change or look at. */
export interface DomctlStubs<Value, Result> {
  /** Refused, like every one of its commands. */
  call(inputs: { readonly cmd: Value; readonly interfaceVersion: Value }): Result;
}

/** Event channels, the paravirtual interrupt lines between domains. */
export interface EventChannelStubs<Value, Result> {
  /** Connects a new local port to a port that the remote domain left unbound for us. Results: local_port. */
  bindInterdomain(inputs: { readonly remoteDom: Value; readonly remotePort: Value }): Result;
  /** Binds a virtual interrupt source to a new port. Results: port. */
  bindVirq(inputs: { readonly virq: Value; readonly vcpu: Value }): Result;
  /** Binds a physical interrupt to a new port. An HVM or PVH domain may do so for any number that exists. Results: port. */
  bindPirq(inputs: { readonly pirq: Value; readonly flags: Value }): Result;
  /** Frees a port. */
  close(inputs: { readonly port: Value }): Result;
  /** Notifies the other end of a port; on an unbound port nothing happens. */
  send(inputs: { readonly port: Value }): Result;
  /** State of a port; the last two words depend on it. Results: status, vcpu, output1, output2. */
  status(inputs: { readonly dom: Value; readonly port: Value }): Result;
  /** Makes a new port that waits for the remote domain to bind it. Results: port. */
  allocUnbound(inputs: { readonly dom: Value; readonly remoteDom: Value }): Result;
  /** Makes a port that the domain's own vCPUs send to one of them. Results: port. */
  bindIpi(inputs: { readonly vcpu: Value }): Result;
  /** Moves a port's notifications to another vCPU. The registers are in the reverse order of the struct. */
  bindVcpu(inputs: { readonly vcpu: Value; readonly port: Value }): Result;
  /** Clears a port's mask bit and delivers the event if it is pending. */
  unmask(inputs: { readonly port: Value }): Result;
  /** Closes all ports and goes back to 2-level event channels; Xen may restart the call every 64 ports. */
  reset(inputs: { readonly dom: Value }): Result;
  /** Gives a vCPU its control block; the first one switches the domain to FIFO event channels. Results: link_bits. */
  initControl(inputs: { readonly controlGfn: Value; readonly offset: Value; readonly vcpu: Value }): Result;
  /** Adds a page of 1024 event words to the FIFO array. */
  expandArray(inputs: { readonly arrayGfn: Value }): Result;
  /** Chooses the FIFO queue of a port's later events, 0 (highest) to 15; ENOSYS on the 2-level ABI. */
  setPriority(inputs: { readonly port: Value; readonly priority: Value }): Result;
}

/** Grant tables, memory that domains share page by page. */
export interface GrantTableStubs<Value, Result> {
  /** Maps a granted frame at a guest-physical address; the result is a per-entry status. Results: handle, status, dev_bus_addr. */
  mapGrantRef(inputs: { readonly dom: Value; readonly hostAddr: Value; readonly flags: Value; readonly ref: Value }): Result;
  /** Unmaps a granted frame. The RFC returns nothing; the status is ours. Results: status. */
  unmapGrantRef(inputs: { readonly hostAddr: Value; readonly handle: Value }): Result;
  /** Grows the table and writes the guest frames at which its frames are mapped. HVM guests map them themselves. Results: status. */
  setupTable(inputs: { readonly nrFrames: Value; readonly frameList: Value }): Result;
  /** Copies between two frames, each granted or the caller's own; the result is a per-entry status. Results: status. */
  copy(inputs: { readonly source: Value; readonly sourceDomid: Value; readonly sourceOffset: Value; readonly dest: Value; readonly destDomid: Value; readonly destOffset: Value; readonly len: Value; readonly flags: Value }): Result;
  /** Present and largest number of grant frames. Results: nr_frames, max_nr_frames, status. */
  querySize(): Result;
  /** Chooses grant entries of version 1 or 2. Results: version. */
  setVersion(inputs: { readonly version: Value }): Result;
  /** Version of the grant entries in force. Results: version. */
  getVersion(): Result;
  /** Exchanges two entries of the caller's that nobody uses; the result is a per-entry status. Results: status. */
  swapGrantRef(inputs: { readonly refA: Value; readonly refB: Value }): Result;
}

/** Parameters and services of hardware-assisted domains. */
export interface HvmStubs<Value, Result> {
  /** Sets one of the parameters that a guest may set on itself. */
  setParam(inputs: { readonly domid: Value; readonly index: Value; readonly value: Value }): Result;
  /** Reads a parameter, for example where the console ring is. Results: value. */
  getParam(inputs: { readonly domid: Value; readonly index: Value }): Result;
  /** Flushes the TLBs of all the domain's vCPUs. The traditional pointer must be null. */
  flushTlbs(): Result;
  /** Guest system time in nanoseconds. Results: now. */
  getTime(): Result;
  /** Type of a guest frame: 0 read-write RAM, 1 read-only RAM, 2 emulated MMIO. Results: mem_type. */
  getMemType(inputs: { readonly domid: Value; readonly pfn: Value }): Result;
  /** Local-APIC vector that a vCPU's event channels raise. */
  setEvtchnUpcallVector(inputs: { readonly vcpu: Value; readonly vector: Value }): Result;
}

/** The guest-physical memory map. */
export interface MemoryStubs<Value, Result> {
  /** Takes memory that is at no guest frame; returns the number of extents done. */
  increaseReservation(inputs: { readonly extentStart: Value; readonly nrExtents: Value; readonly extentOrder: Value; readonly memFlags: Value; readonly domid: Value }): Result;
  /** Gives guest frames back; returns the number of extents done. */
  decreaseReservation(inputs: { readonly extentStart: Value; readonly nrExtents: Value; readonly extentOrder: Value; readonly memFlags: Value; readonly domid: Value }): Result;
  /** Puts memory at guest frames; returns the number of extents done. */
  populatePhysmap(inputs: { readonly extentStart: Value; readonly nrExtents: Value; readonly extentOrder: Value; readonly memFlags: Value; readonly domid: Value }): Result;
  /** Places a special frame (shared_info, a grant frame) at a guest frame. */
  addToPhysmap(inputs: { readonly size: Value; readonly space: Value; readonly idx: Value; readonly gpfn: Value }): Result;
  /** Writes the memory map as 20-byte entries {addr u64, size u64, type u32} to the buffer. Results: nr_entries. */
  memoryMap(inputs: { readonly nrEntries: Value; readonly buffer: Value }): Result;
  /** Removes a guest frame from the map. */
  removeFromPhysmap(inputs: { readonly gpfn: Value }): Result;
  /** Places a list of frames, also other domains', each with an error of its own. */
  addToPhysmapBatch(inputs: { readonly domid: Value; readonly space: Value; readonly size: Value; readonly foreignDomid: Value; readonly idxs: Value; readonly gpfns: Value; readonly errs: Value }): Result;
  /** Places another domain's grant frames; without a list it returns how many there may be. Results: nr_frames. */
  acquireResource(inputs: { readonly domid: Value; readonly type: Value; readonly id: Value; readonly nrFrames: Value; readonly pad: Value; readonly frame: Value; readonly frameList: Value }): Result;
}

/** Several hypercalls in one. */
export interface MulticallStubs<Value, Result> {
  /** Makes the calls of a list in order; each entry gets its own result. Not from within one. */
  call(inputs: { readonly callList: Value; readonly nrCalls: Value }): Result;
}

/** Interrupts of physical devices, which PVH domains do not get as event channels. */
export interface PhysdevStubs<Value, Result> {
  /** Makes a physical interrupt one that can be bound to an event channel. Only a device model or the control domain may. */
  mapPirq(inputs: { readonly domid: Value; readonly type: Value; readonly index: Value; readonly pirq: Value; readonly bus: Value; readonly devfn: Value; readonly entryNr: Value; readonly tableBase: Value }): Result;
  /** Undoes that. */
  unmapPirq(inputs: { readonly domid: Value; readonly pirq: Value }): Result;
}

/** The machine itself, which only the control domain may change or look at. */
export interface PlatformOpStubs<Value, Result> {
  /** Refused, like every one of its commands. */
  call(inputs: { readonly cmd: Value; readonly interfaceVersion: Value }): Result;
}

/** Yield, block, poll and shut down. */
export interface SchedStubs<Value, Result> {
  /** Lets another vCPU run. */
  yield(): Result;
  /** Unmasks events and sleeps until one is pending. */
  block(): Result;
  /** Ends the domain: 0 power off, 1 reboot, 2 suspend, 3 crash, 4 watchdog, 5 soft reset. */
  shutdown(inputs: { readonly reason: Value }): Result;
  /** Sleeps until a port is pending or the absolute time (ns, 0 for none) has come. */
  poll(inputs: { readonly timeout: Value; readonly port: Value }): Result;
  /** Records the reason that a later crash of the domain will report. */
  shutdownCode(inputs: { readonly reason: Value }): Result;
  /** Sets (id 0), pokes or stops (timeout 0) a watchdog in seconds; returns the id of a new one. */
  watchdog(inputs: { readonly id: Value; readonly timeout: Value }): Result;
  /** Pins the vCPU to a physical processor; hardware domain only. */
  pinOverride(inputs: { readonly pcpu: Value }): Result;
}

/** One timer interrupt at an absolute system time. */
export interface SetTimerOpStubs<Value, Result> {
  /** Nanoseconds of system time; 0 stops the timer. What is negative or more than 2^50 ns ahead fires after 100 ms. */
  set(inputs: { readonly timeout: Value }): Result;
}

/** The hypervisor as a whole, which only the control domain may change or look at. */
export interface SysctlStubs<Value, Result> {
  /** Refused, like every one of its commands. */
  call(inputs: { readonly cmd: Value; readonly interfaceVersion: Value }): Result;
}

/** State, time and registration areas of a vCPU. */
export interface VcpuStubs<Value, Result> {
  /** First register state of a vCPU that is not running yet. */
  initialise(inputs: { readonly vcpuid: Value; readonly contextGfn: Value }): Result;
  /** Starts an initialised vCPU. */
  up(inputs: { readonly vcpuid: Value }): Result;
  /** Stops a vCPU; stopping the last one shuts the domain down. */
  down(inputs: { readonly vcpuid: Value }): Result;
  /** 1 when the vCPU is running, 0 when it is down. */
  isUp(inputs: { readonly vcpuid: Value }): Result;
  /** Present run state and the nanoseconds spent in each: running 0, runnable 1, blocked 2, offline 3. Results: state, state_entry_time, time[0], time[1], time[2], time[3]. */
  getRunstateInfo(inputs: { readonly vcpuid: Value }): Result;
  /** Address, as the guest maps it, where Xen keeps a copy of the run state; 0 for none. */
  registerRunstateMemoryArea(inputs: { readonly vcpuid: Value; readonly addrH: Value }): Result;
  /** Period of the vCPU's timer interrupt in nanoseconds, 1 ms to 2^62 - 1 ns. */
  setPeriodicTimer(inputs: { readonly vcpuid: Value; readonly periodNs: Value }): Result;
  /** Stops the periodic timer. */
  stopPeriodicTimer(inputs: { readonly vcpuid: Value }): Result;
  /** One timer interrupt at an absolute system time in nanoseconds, at once if that has passed; own vCPU only. */
  setSingleshotTimer(inputs: { readonly vcpuid: Value; readonly timeoutAbsNs: Value; readonly flags: Value }): Result;
  /** Stops the one-shot timer; own vCPU only. */
  stopSingleshotTimer(inputs: { readonly vcpuid: Value }): Result;
  /** Moves the vCPU's vcpu_info out of shared_info to a frame (for HVM a guest frame) and offset; once. */
  registerVcpuInfo(inputs: { readonly vcpuid: Value; readonly mfn: Value; readonly offset: Value }): Result;
  /** Sends an NMI to a vCPU. The traditional pointer must be null. */
  sendNmi(inputs: { readonly vcpuid: Value }): Result;
  /** Physical identity of a pinned hardware-domain vCPU. Results: phys_id. */
  getPhysid(inputs: { readonly vcpuid: Value }): Result;
  /** Address, as the guest maps it, where Xen keeps a copy of the vCPU's time information; 0 for none. */
  registerVcpuTimeMemoryArea(inputs: { readonly vcpuid: Value; readonly addrH: Value }): Result;
  /** Guest-physical address where Xen keeps a copy of the run state; all ones for none. */
  registerRunstatePhysArea(inputs: { readonly vcpuid: Value; readonly addrP: Value }): Result;
  /** Guest-physical address where Xen keeps a copy of the vCPU's time information; all ones for none. */
  registerVcpuTimePhysArea(inputs: { readonly vcpuid: Value; readonly addrP: Value }): Result;
}

/** What hypervisor this is. */
export interface VersionStubs<Value, Result> {
  /** The version in the result register: major * 65536 + minor. */
  version(): Result;
  /** What follows the version number, 16 bytes of text. */
  extraversion(inputs: { readonly buffer: Value }): Result;
  /** Compiler, who compiled where, and when: texts of 64, 16, 32 and 32 bytes. */
  compileInfo(inputs: { readonly buffer: Value }): Result;
  /** Kinds of guests that the hypervisor can run, 1024 bytes of text. */
  capabilities(inputs: { readonly buffer: Value }): Result;
  /** What it was built from, 64 bytes of text. */
  changeset(inputs: { readonly buffer: Value }): Result;
  /** Where the hypervisor is in a PV guest's address space; 0 for others. Results: virt_start. */
  platformParameters(): Result;
  /** A word of feature flags. Results: submap. */
  getFeatures(inputs: { readonly submapIdx: Value }): Result;
  /** Bytes of a page. */
  pagesize(inputs: { readonly buffer: Value }): Result;
  /** UUID of the domain, 16 bytes. */
  guestHandle(inputs: { readonly buffer: Value }): Result;
  /** The hypervisor's command line, 1024 bytes of text; other domains than the hardware domain read that they may not. */
  commandline(inputs: { readonly buffer: Value }): Result;
  /** What the build is known by; for the control domain. */
  buildId(inputs: { readonly buffer: Value }): Result;
  /** What follows the version number, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
  extraversion2(inputs: { readonly buffer: Value }): Result;
  /** Kinds of guests that the hypervisor can run, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
  capabilities2(inputs: { readonly buffer: Value }): Result;
  /** What it was built from, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
  changeset2(inputs: { readonly buffer: Value }): Result;
  /** The hypervisor's command line, for the control domain, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
  commandline2(inputs: { readonly buffer: Value }): Result;
}

/** Turns assistance on and off. */
export interface VmAssistStubs<Value, Result> {
  /** Command 0 turns a type on, 1 off. HVM domains have type 5 alone: run-state areas tell of their updates. */
  set(inputs: { readonly cmd: Value; readonly type: Value }): Result;
}

/** All stubs, by group: `stubs.vcpu.getRunstateInfo({ vcpuid: 0 })`. */
export interface HypercallStubs<Value, Result> {
  readonly consoleIo: ConsoleIoStubs<Value, Result>;
  readonly domctl: DomctlStubs<Value, Result>;
  readonly eventChannel: EventChannelStubs<Value, Result>;
  readonly grantTable: GrantTableStubs<Value, Result>;
  readonly hvm: HvmStubs<Value, Result>;
  readonly memory: MemoryStubs<Value, Result>;
  readonly multicall: MulticallStubs<Value, Result>;
  readonly physdev: PhysdevStubs<Value, Result>;
  readonly platformOp: PlatformOpStubs<Value, Result>;
  readonly sched: SchedStubs<Value, Result>;
  readonly setTimerOp: SetTimerOpStubs<Value, Result>;
  readonly sysctl: SysctlStubs<Value, Result>;
  readonly vcpu: VcpuStubs<Value, Result>;
  readonly version: VersionStubs<Value, Result>;
  readonly vmAssist: VmAssistStubs<Value, Result>;
}

/**
 * Makes the stubs. Each calls `call` with the operation's name and the values in the order of
 * `OperationDescriptor.inputs`; `undefined` stands for a value that stubs do not ask for (`implied` or 0).
 */
export function bindHypercallStubs<Value, Result>(
  call: (operation: OperationName, inputs: readonly (Value | undefined)[]) => Result,
): HypercallStubs<Value, Result> {
  return {
    consoleIo: {
      write: (inputs) => call("console_io.write", [inputs.count, inputs.buffer]),
      read: (inputs) => call("console_io.read", [inputs.count, inputs.buffer]),
    },
    domctl: {
      call: (inputs) => call("domctl.call", [inputs.cmd, inputs.interfaceVersion]),
    },
    eventChannel: {
      bindInterdomain: (inputs) => call("event_channel.bind_interdomain", [inputs.remoteDom, inputs.remotePort]),
      bindVirq: (inputs) => call("event_channel.bind_virq", [inputs.virq, inputs.vcpu]),
      bindPirq: (inputs) => call("event_channel.bind_pirq", [inputs.pirq, inputs.flags]),
      close: (inputs) => call("event_channel.close", [inputs.port]),
      send: (inputs) => call("event_channel.send", [inputs.port]),
      status: (inputs) => call("event_channel.status", [inputs.dom, inputs.port]),
      allocUnbound: (inputs) => call("event_channel.alloc_unbound", [inputs.dom, inputs.remoteDom]),
      bindIpi: (inputs) => call("event_channel.bind_ipi", [inputs.vcpu]),
      bindVcpu: (inputs) => call("event_channel.bind_vcpu", [inputs.vcpu, inputs.port]),
      unmask: (inputs) => call("event_channel.unmask", [inputs.port]),
      reset: (inputs) => call("event_channel.reset", [inputs.dom]),
      initControl: (inputs) => call("event_channel.init_control", [inputs.controlGfn, inputs.offset, inputs.vcpu]),
      expandArray: (inputs) => call("event_channel.expand_array", [inputs.arrayGfn]),
      setPriority: (inputs) => call("event_channel.set_priority", [inputs.port, inputs.priority]),
    },
    grantTable: {
      mapGrantRef: (inputs) => call("grant_table.map_grant_ref", [inputs.dom, inputs.hostAddr, inputs.flags, inputs.ref]),
      unmapGrantRef: (inputs) => call("grant_table.unmap_grant_ref", [inputs.hostAddr, inputs.handle]),
      setupTable: (inputs) => call("grant_table.setup_table", [undefined, inputs.nrFrames, inputs.frameList]),
      copy: (inputs) => call("grant_table.copy", [inputs.source, inputs.sourceDomid, inputs.sourceOffset, inputs.dest, inputs.destDomid, inputs.destOffset, inputs.len, inputs.flags]),
      querySize: () => call("grant_table.query_size", [undefined]),
      setVersion: (inputs) => call("grant_table.set_version", [inputs.version]),
      getVersion: () => call("grant_table.get_version", [undefined]),
      swapGrantRef: (inputs) => call("grant_table.swap_grant_ref", [inputs.refA, inputs.refB]),
    },
    hvm: {
      setParam: (inputs) => call("hvm.set_param", [inputs.domid, inputs.index, inputs.value]),
      getParam: (inputs) => call("hvm.get_param", [inputs.domid, inputs.index]),
      flushTlbs: () => call("hvm.flush_tlbs", [undefined]),
      getTime: () => call("hvm.get_time", []),
      getMemType: (inputs) => call("hvm.get_mem_type", [inputs.domid, inputs.pfn]),
      setEvtchnUpcallVector: (inputs) => call("hvm.set_evtchn_upcall_vector", [inputs.vcpu, inputs.vector]),
    },
    memory: {
      increaseReservation: (inputs) => call("memory.increase_reservation", [inputs.extentStart, inputs.nrExtents, inputs.extentOrder, inputs.memFlags, inputs.domid]),
      decreaseReservation: (inputs) => call("memory.decrease_reservation", [inputs.extentStart, inputs.nrExtents, inputs.extentOrder, inputs.memFlags, inputs.domid]),
      populatePhysmap: (inputs) => call("memory.populate_physmap", [inputs.extentStart, inputs.nrExtents, inputs.extentOrder, inputs.memFlags, inputs.domid]),
      addToPhysmap: (inputs) => call("memory.add_to_physmap", [undefined, inputs.size, inputs.space, inputs.idx, inputs.gpfn]),
      memoryMap: (inputs) => call("memory.memory_map", [inputs.nrEntries, inputs.buffer]),
      removeFromPhysmap: (inputs) => call("memory.remove_from_physmap", [undefined, inputs.gpfn]),
      addToPhysmapBatch: (inputs) => call("memory.add_to_physmap_batch", [inputs.domid, inputs.space, inputs.size, inputs.foreignDomid, inputs.idxs, inputs.gpfns, inputs.errs]),
      acquireResource: (inputs) => call("memory.acquire_resource", [inputs.domid, inputs.type, inputs.id, inputs.nrFrames, inputs.pad, inputs.frame, inputs.frameList]),
    },
    multicall: {
      call: (inputs) => call("multicall.call", [inputs.callList, inputs.nrCalls]),
    },
    physdev: {
      mapPirq: (inputs) => call("physdev.map_pirq", [inputs.domid, inputs.type, inputs.index, inputs.pirq, inputs.bus, inputs.devfn, inputs.entryNr, inputs.tableBase]),
      unmapPirq: (inputs) => call("physdev.unmap_pirq", [inputs.domid, inputs.pirq]),
    },
    platformOp: {
      call: (inputs) => call("platform_op.call", [inputs.cmd, inputs.interfaceVersion]),
    },
    sched: {
      yield: () => call("sched.yield", []),
      block: () => call("sched.block", []),
      shutdown: (inputs) => call("sched.shutdown", [inputs.reason]),
      poll: (inputs) => call("sched.poll", [inputs.timeout, inputs.port, undefined, undefined]),
      shutdownCode: (inputs) => call("sched.shutdown_code", [inputs.reason]),
      watchdog: (inputs) => call("sched.watchdog", [inputs.id, inputs.timeout]),
      pinOverride: (inputs) => call("sched.pin_override", [inputs.pcpu]),
    },
    setTimerOp: {
      set: (inputs) => call("set_timer_op.set", [inputs.timeout]),
    },
    sysctl: {
      call: (inputs) => call("sysctl.call", [inputs.cmd, inputs.interfaceVersion]),
    },
    vcpu: {
      initialise: (inputs) => call("vcpu.initialise", [inputs.vcpuid, inputs.contextGfn]),
      up: (inputs) => call("vcpu.up", [inputs.vcpuid]),
      down: (inputs) => call("vcpu.down", [inputs.vcpuid]),
      isUp: (inputs) => call("vcpu.is_up", [inputs.vcpuid]),
      getRunstateInfo: (inputs) => call("vcpu.get_runstate_info", [inputs.vcpuid]),
      registerRunstateMemoryArea: (inputs) => call("vcpu.register_runstate_memory_area", [inputs.vcpuid, inputs.addrH]),
      setPeriodicTimer: (inputs) => call("vcpu.set_periodic_timer", [inputs.vcpuid, inputs.periodNs]),
      stopPeriodicTimer: (inputs) => call("vcpu.stop_periodic_timer", [inputs.vcpuid]),
      setSingleshotTimer: (inputs) => call("vcpu.set_singleshot_timer", [inputs.vcpuid, inputs.timeoutAbsNs, inputs.flags]),
      stopSingleshotTimer: (inputs) => call("vcpu.stop_singleshot_timer", [inputs.vcpuid]),
      registerVcpuInfo: (inputs) => call("vcpu.register_vcpu_info", [inputs.vcpuid, inputs.mfn, inputs.offset]),
      sendNmi: (inputs) => call("vcpu.send_nmi", [inputs.vcpuid, undefined]),
      getPhysid: (inputs) => call("vcpu.get_physid", [inputs.vcpuid]),
      registerVcpuTimeMemoryArea: (inputs) => call("vcpu.register_vcpu_time_memory_area", [inputs.vcpuid, inputs.addrH]),
      registerRunstatePhysArea: (inputs) => call("vcpu.register_runstate_phys_area", [inputs.vcpuid, inputs.addrP]),
      registerVcpuTimePhysArea: (inputs) => call("vcpu.register_vcpu_time_phys_area", [inputs.vcpuid, inputs.addrP]),
    },
    version: {
      version: () => call("version.version", []),
      extraversion: (inputs) => call("version.extraversion", [inputs.buffer]),
      compileInfo: (inputs) => call("version.compile_info", [inputs.buffer]),
      capabilities: (inputs) => call("version.capabilities", [inputs.buffer]),
      changeset: (inputs) => call("version.changeset", [inputs.buffer]),
      platformParameters: () => call("version.platform_parameters", []),
      getFeatures: (inputs) => call("version.get_features", [inputs.submapIdx]),
      pagesize: (inputs) => call("version.pagesize", [inputs.buffer]),
      guestHandle: (inputs) => call("version.guest_handle", [inputs.buffer]),
      commandline: (inputs) => call("version.commandline", [inputs.buffer]),
      buildId: (inputs) => call("version.build_id", [inputs.buffer]),
      extraversion2: (inputs) => call("version.extraversion2", [inputs.buffer]),
      capabilities2: (inputs) => call("version.capabilities2", [inputs.buffer]),
      changeset2: (inputs) => call("version.changeset2", [inputs.buffer]),
      commandline2: (inputs) => call("version.commandline2", [inputs.buffer]),
    },
    vmAssist: {
      set: (inputs) => call("vm_assist.set", [inputs.cmd, inputs.type]),
    },
  };
}
