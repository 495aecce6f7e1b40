// Generated from the descriptions in packages/xen/abi; do not edit.
// Regenerate with: npm run generate

import type { OperationDescriptor } from "./operation.js";

// console_io: hypercall 18

/** Writes text; returns 0. */
export const CONSOLE_IO_WRITE: OperationDescriptor = {
  name: "console_io.write",
  hypercall: 18,
  subop: 0,
  inputs: [
    { name: "count", bytes: 4, signed: false, register: 0, offset: -1 },
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const CONSOLE_IO_WRITE_IN = { count: 0, buffer: 2 } as const;

/** Reads text; returns the number of bytes. */
export const CONSOLE_IO_READ: OperationDescriptor = {
  name: "console_io.read",
  hypercall: 18,
  subop: 1,
  inputs: [
    { name: "count", bytes: 4, signed: false, register: 0, offset: -1 },
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const CONSOLE_IO_READ_IN = { count: 0, buffer: 2 } as const;

// domctl: hypercall 36

export const XEN_DOMCTL_INTERFACE_VERSION = 24;
export const XEN_DOMCTL_GET_DOMAIN_STATE = 90;

/** Refused, like every one of its commands. */
export const DOMCTL_CALL: OperationDescriptor = {
  name: "domctl.call",
  hypercall: 36,
  subop: 0,
  inputs: [
    { name: "cmd", bytes: 4, signed: false, register: 0, offset: 0 },
    { name: "interface_version", bytes: 4, signed: false, register: 0, offset: 4 },
  ],
  outputs: [],
  struct: { name: "xen_domctl", bytes: 144 },
  copyIn: 144,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const DOMCTL_CALL_IN = { cmd: 0, interfaceVersion: 2 } as const;

// event_channel: hypercall 32

export const EVTCHNSTAT_CLOSED = 0;
export const EVTCHNSTAT_UNBOUND = 1;
export const EVTCHNSTAT_INTERDOMAIN = 2;
export const EVTCHNSTAT_PIRQ = 3;
export const EVTCHNSTAT_VIRQ = 4;
export const EVTCHNSTAT_IPI = 5;
export const EVTCHN_FIFO_PRIORITY_MAX = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
export const EVTCHN_FIFO_PRIORITY_MIN = 15;
export const EVTCHN_FIFO_PENDING = 31;
export const EVTCHN_FIFO_MASKED = 30;
export const EVTCHN_FIFO_LINKED = 29;
export const EVTCHN_FIFO_BUSY = 28;
export const EVTCHN_FIFO_LINK_BITS = 17;

/** Connects a new local port to a port that the remote domain left unbound for us. */
export const EVENT_CHANNEL_BIND_INTERDOMAIN: OperationDescriptor = {
  name: "event_channel.bind_interdomain",
  hypercall: 32,
  subop: 0,
  inputs: [
    { name: "remote_dom", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "remote_port", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [
    { name: "local_port", bytes: 4, signed: false, register: 4, offset: 8 },
  ],
  struct: { name: "evtchn_bind_interdomain", bytes: 12 },
  copyIn: 12,
  copyOut: 12,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_BIND_INTERDOMAIN_IN = { remoteDom: 0, remotePort: 2 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_BIND_INTERDOMAIN_OUT = { localPort: 0 } as const;

/** Binds a virtual interrupt source to a new port. */
export const EVENT_CHANNEL_BIND_VIRQ: OperationDescriptor = {
  name: "event_channel.bind_virq",
  hypercall: 32,
  subop: 1,
  inputs: [
    { name: "virq", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "vcpu", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [
    { name: "port", bytes: 4, signed: false, register: 4, offset: 8 },
  ],
  struct: { name: "evtchn_bind_virq", bytes: 12 },
  copyIn: 12,
  copyOut: 12,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_BIND_VIRQ_IN = { virq: 0, vcpu: 2 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_BIND_VIRQ_OUT = { port: 0 } as const;

/** Binds a physical interrupt to a new port. An HVM or PVH domain may do so for any number that exists. */
export const EVENT_CHANNEL_BIND_PIRQ: OperationDescriptor = {
  name: "event_channel.bind_pirq",
  hypercall: 32,
  subop: 2,
  inputs: [
    { name: "pirq", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "flags", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [
    { name: "port", bytes: 4, signed: false, register: 4, offset: 8 },
  ],
  struct: { name: "evtchn_bind_pirq", bytes: 12 },
  copyIn: 12,
  copyOut: 12,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_BIND_PIRQ_IN = { pirq: 0, flags: 2 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_BIND_PIRQ_OUT = { port: 0 } as const;

/** Frees a port. */
export const EVENT_CHANNEL_CLOSE: OperationDescriptor = {
  name: "event_channel.close",
  hypercall: 32,
  subop: 3,
  inputs: [
    { name: "port", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_close", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_CLOSE_IN = { port: 0 } as const;

/** Notifies the other end of a port; on an unbound port nothing happens. */
export const EVENT_CHANNEL_SEND: OperationDescriptor = {
  name: "event_channel.send",
  hypercall: 32,
  subop: 4,
  inputs: [
    { name: "port", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_send", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_SEND_IN = { port: 0 } as const;

/** State of a port; the last two words depend on it. */
export const EVENT_CHANNEL_STATUS: OperationDescriptor = {
  name: "event_channel.status",
  hypercall: 32,
  subop: 5,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "port", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [
    { name: "status", bytes: 4, signed: false, register: 4, offset: 8 },
    { name: "vcpu", bytes: 4, signed: false, register: 5, offset: 12 },
    { name: "output1", bytes: 4, signed: false, register: 6, offset: 16 },
    { name: "output2", bytes: 4, signed: false, register: 7, offset: 20 },
  ],
  struct: { name: "evtchn_status", bytes: 24 },
  copyIn: 24,
  copyOut: 24,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_STATUS_IN = { dom: 0, port: 2 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_STATUS_OUT = { status: 0, vcpu: 2, output1: 4, output2: 6 } as const;

/** Makes a new port that waits for the remote domain to bind it. */
export const EVENT_CHANNEL_ALLOC_UNBOUND: OperationDescriptor = {
  name: "event_channel.alloc_unbound",
  hypercall: 32,
  subop: 6,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "remote_dom", bytes: 2, signed: false, register: 3, offset: 2 },
  ],
  outputs: [
    { name: "port", bytes: 4, signed: false, register: 4, offset: 4 },
  ],
  struct: { name: "evtchn_alloc_unbound", bytes: 8 },
  copyIn: 8,
  copyOut: 8,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_ALLOC_UNBOUND_IN = { dom: 0, remoteDom: 2 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_ALLOC_UNBOUND_OUT = { port: 0 } as const;

/** Makes a port that the domain's own vCPUs send to one of them. */
export const EVENT_CHANNEL_BIND_IPI: OperationDescriptor = {
  name: "event_channel.bind_ipi",
  hypercall: 32,
  subop: 7,
  inputs: [
    { name: "vcpu", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [
    { name: "port", bytes: 4, signed: false, register: 4, offset: 4 },
  ],
  struct: { name: "evtchn_bind_ipi", bytes: 8 },
  copyIn: 8,
  copyOut: 8,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_BIND_IPI_IN = { vcpu: 0 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_BIND_IPI_OUT = { port: 0 } as const;

/** Moves a port's notifications to another vCPU. The registers are in the reverse order of the struct. */
export const EVENT_CHANNEL_BIND_VCPU: OperationDescriptor = {
  name: "event_channel.bind_vcpu",
  hypercall: 32,
  subop: 8,
  inputs: [
    { name: "vcpu", bytes: 4, signed: false, register: 2, offset: 4 },
    { name: "port", bytes: 4, signed: false, register: 3, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_bind_vcpu", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_BIND_VCPU_IN = { vcpu: 0, port: 2 } as const;

/** Clears a port's mask bit and delivers the event if it is pending. */
export const EVENT_CHANNEL_UNMASK: OperationDescriptor = {
  name: "event_channel.unmask",
  hypercall: 32,
  subop: 9,
  inputs: [
    { name: "port", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_unmask", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_UNMASK_IN = { port: 0 } as const;

/** Closes all ports and goes back to 2-level event channels; Xen may restart the call every 64 ports. */
export const EVENT_CHANNEL_RESET: OperationDescriptor = {
  name: "event_channel.reset",
  hypercall: 32,
  subop: 10,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_reset", bytes: 2 },
  copyIn: 2,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_RESET_IN = { dom: 0 } as const;

/** Gives a vCPU its control block; the first one switches the domain to FIFO event channels. */
export const EVENT_CHANNEL_INIT_CONTROL: OperationDescriptor = {
  name: "event_channel.init_control",
  hypercall: 32,
  subop: 11,
  inputs: [
    { name: "control_gfn", bytes: 8, signed: false, register: 2, offset: 0 },
    { name: "offset", bytes: 4, signed: false, register: 3, offset: 8 },
    { name: "vcpu", bytes: 4, signed: false, register: 4, offset: 12 },
  ],
  outputs: [
    { name: "link_bits", bytes: 1, signed: false, register: 5, offset: 16 },
  ],
  struct: { name: "evtchn_init_control", bytes: 24 },
  copyIn: 24,
  copyOut: 24,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_INIT_CONTROL_IN = { controlGfn: 0, offset: 2, vcpu: 4 } as const;

/** Low words in `call.outputs`. */
export const EVENT_CHANNEL_INIT_CONTROL_OUT = { linkBits: 0 } as const;

/** Adds a page of 1024 event words to the FIFO array. */
export const EVENT_CHANNEL_EXPAND_ARRAY: OperationDescriptor = {
  name: "event_channel.expand_array",
  hypercall: 32,
  subop: 12,
  inputs: [
    { name: "array_gfn", bytes: 8, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "evtchn_expand_array", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_EXPAND_ARRAY_IN = { arrayGfn: 0 } as const;

/** Chooses the FIFO queue of a port's later events, 0 (highest) to 15; ENOSYS on the 2-level ABI. */
export const EVENT_CHANNEL_SET_PRIORITY: OperationDescriptor = {
  name: "event_channel.set_priority",
  hypercall: 32,
  subop: 13,
  inputs: [
    { name: "port", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "priority", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [],
  struct: { name: "evtchn_set_priority", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const EVENT_CHANNEL_SET_PRIORITY_IN = { port: 0, priority: 2 } as const;

// grant_table: hypercall 20

export const GNTMAP_DEVICE_MAP = 1;
export const GNTMAP_HOST_MAP = 2;
export const GNTMAP_READONLY = 4;
export const GNTMAP_APPLICATION_MAP = 8;
export const GNTMAP_CONTAINS_PTE = 16;
export const GNTCOPY_SOURCE_GREF = 1;
export const GNTCOPY_DEST_GREF = 2;
export const GTF_INVALID = 0;
export const GTF_PERMIT_ACCESS = 1;
export const GTF_ACCEPT_TRANSFER = 2;
export const GTF_TRANSITIVE = 3;
export const GTF_TYPE_MASK = 3;
export const GTF_READONLY = 4;
export const GTF_READING = 8;
export const GTF_WRITING = 16;
export const GTF_SUB_PAGE = 256;
export const GNTST_OKAY = 0;
export const GNTST_GENERAL_ERROR = -1;
export const GNTST_BAD_DOMAIN = -2;
export const GNTST_BAD_GNTREF = -3;
export const GNTST_BAD_HANDLE = -4;
export const GNTST_BAD_VIRT_ADDR = -5;
export const GNTST_BAD_DEV_ADDR = -6;
export const GNTST_NO_DEVICE_SPACE = -7;
export const GNTST_PERMISSION_DENIED = -8;
export const GNTST_BAD_PAGE = -9;
export const GNTST_BAD_COPY_ARG = -10;
export const GNTST_ADDRESS_TOO_BIG = -11;
export const GNTST_EAGAIN = -12;
export const GNTST_NO_SPACE = -13;

/** Maps a granted frame at a guest-physical address; the result is a per-entry status. */
export const GRANT_TABLE_MAP_GRANT_REF: OperationDescriptor = {
  name: "grant_table.map_grant_ref",
  hypercall: 20,
  subop: 0,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 2, offset: 16 },
    { name: "host_addr", bytes: 8, signed: false, register: 3, offset: 0 },
    { name: "flags", bytes: 4, signed: false, register: 4, offset: 8 },
    { name: "ref", bytes: 4, signed: false, register: 5, offset: 12 },
  ],
  outputs: [
    { name: "handle", bytes: 4, signed: false, register: 6, offset: 20 },
    { name: "status", bytes: 2, signed: true, register: 7, offset: 18 },
    { name: "dev_bus_addr", bytes: 8, signed: false, register: 0, offset: 24 },
  ],
  struct: { name: "gnttab_map_grant_ref", bytes: 32 },
  copyIn: 32,
  copyOut: 32,
  array: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_MAP_GRANT_REF_IN = { dom: 0, hostAddr: 2, flags: 4, ref: 6 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_MAP_GRANT_REF_OUT = { handle: 0, status: 2, devBusAddr: 4 } as const;

/** Unmaps a granted frame. The RFC returns nothing; the status is ours. */
export const GRANT_TABLE_UNMAP_GRANT_REF: OperationDescriptor = {
  name: "grant_table.unmap_grant_ref",
  hypercall: 20,
  subop: 1,
  inputs: [
    { name: "host_addr", bytes: 8, signed: false, register: 3, offset: 0 },
    { name: "handle", bytes: 4, signed: false, register: 6, offset: 16 },
  ],
  outputs: [
    { name: "status", bytes: 2, signed: true, register: 7, offset: 20 },
  ],
  struct: { name: "gnttab_unmap_grant_ref", bytes: 24 },
  copyIn: 24,
  copyOut: 2,
  copyOutField: "status",
  array: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_UNMAP_GRANT_REF_IN = { hostAddr: 0, handle: 2 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_UNMAP_GRANT_REF_OUT = { status: 0 } as const;

/** Grows the table and writes the guest frames at which its frames are mapped. HVM guests map them themselves. */
export const GRANT_TABLE_SETUP_TABLE: OperationDescriptor = {
  name: "grant_table.setup_table",
  hypercall: 20,
  subop: 2,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 0, offset: 0, implied: 32752 },
    { name: "nr_frames", bytes: 4, signed: false, register: 0, offset: 4 },
    { name: "frame_list", bytes: 8, signed: false, register: 0, offset: 16, compatOffset: 12, compatBytes: 4, pointer: true },
  ],
  outputs: [
    { name: "status", bytes: 2, signed: true, register: 0, offset: 8 },
  ],
  struct: { name: "gnttab_setup_table", bytes: 24, compatBytes: 16 },
  copyIn: 24,
  copyOut: 2,
  copyOutField: "status",
  array: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_SETUP_TABLE_IN = { dom: 0, nrFrames: 2, frameList: 4 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_SETUP_TABLE_OUT = { status: 0 } as const;

/** Copies between two frames, each granted or the caller's own; the result is a per-entry status. */
export const GRANT_TABLE_COPY: OperationDescriptor = {
  name: "grant_table.copy",
  hypercall: 20,
  subop: 5,
  inputs: [
    { name: "source", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4 },
    { name: "source_domid", bytes: 2, signed: false, register: 0, offset: 8, compatOffset: 4 },
    { name: "source_offset", bytes: 2, signed: false, register: 0, offset: 10, compatOffset: 6 },
    { name: "dest", bytes: 8, signed: false, register: 0, offset: 16, compatOffset: 8, compatBytes: 4 },
    { name: "dest_domid", bytes: 2, signed: false, register: 0, offset: 24, compatOffset: 12 },
    { name: "dest_offset", bytes: 2, signed: false, register: 0, offset: 26, compatOffset: 14 },
    { name: "len", bytes: 2, signed: false, register: 0, offset: 32, compatOffset: 16 },
    { name: "flags", bytes: 2, signed: false, register: 0, offset: 34, compatOffset: 18 },
  ],
  outputs: [
    { name: "status", bytes: 2, signed: true, register: 0, offset: 36, compatOffset: 20 },
  ],
  struct: { name: "gnttab_copy", bytes: 40, compatBytes: 24 },
  copyIn: 40,
  copyOut: 2,
  copyOutField: "status",
  array: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_COPY_IN = { source: 0, sourceDomid: 2, sourceOffset: 4, dest: 6, destDomid: 8, destOffset: 10, len: 12, flags: 14 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_COPY_OUT = { status: 0 } as const;

/** Present and largest number of grant frames. */
export const GRANT_TABLE_QUERY_SIZE: OperationDescriptor = {
  name: "grant_table.query_size",
  hypercall: 20,
  subop: 6,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 0, offset: 0, implied: 32752 },
  ],
  outputs: [
    { name: "nr_frames", bytes: 4, signed: false, register: 2, offset: 4 },
    { name: "max_nr_frames", bytes: 4, signed: false, register: 3, offset: 8 },
    { name: "status", bytes: 2, signed: true, register: 0, offset: 12 },
  ],
  struct: { name: "gnttab_query_size", bytes: 16 },
  copyIn: 16,
  copyOut: 16,
  array: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_QUERY_SIZE_IN = { dom: 0 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_QUERY_SIZE_OUT = { nrFrames: 0, maxNrFrames: 2, status: 4 } as const;

/** Chooses grant entries of version 1 or 2. */
export const GRANT_TABLE_SET_VERSION: OperationDescriptor = {
  name: "grant_table.set_version",
  hypercall: 20,
  subop: 8,
  inputs: [
    { name: "version", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [
    { name: "version", bytes: 4, signed: false, register: 0, offset: 0 },
  ],
  struct: { name: "gnttab_set_version", bytes: 4 },
  copyIn: 4,
  copyOut: 4,
  alwaysOut: true,
  array: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_SET_VERSION_IN = { version: 0 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_SET_VERSION_OUT = { version: 0 } as const;

/** Version of the grant entries in force. */
export const GRANT_TABLE_GET_VERSION: OperationDescriptor = {
  name: "grant_table.get_version",
  hypercall: 20,
  subop: 10,
  inputs: [
    { name: "dom", bytes: 2, signed: false, register: 0, offset: 0, implied: 32752 },
  ],
  outputs: [
    { name: "version", bytes: 4, signed: false, register: 2, offset: 4 },
  ],
  struct: { name: "gnttab_get_version", bytes: 8 },
  copyIn: 8,
  copyOut: 4,
  copyOutField: "version",
  array: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_GET_VERSION_IN = { dom: 0 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_GET_VERSION_OUT = { version: 0 } as const;

/** Exchanges two entries of the caller's that nobody uses; the result is a per-entry status. */
export const GRANT_TABLE_SWAP_GRANT_REF: OperationDescriptor = {
  name: "grant_table.swap_grant_ref",
  hypercall: 20,
  subop: 11,
  inputs: [
    { name: "ref_a", bytes: 4, signed: false, register: 0, offset: 0 },
    { name: "ref_b", bytes: 4, signed: false, register: 0, offset: 4 },
  ],
  outputs: [
    { name: "status", bytes: 2, signed: true, register: 0, offset: 8 },
  ],
  struct: { name: "gnttab_swap_grant_ref", bytes: 12 },
  copyIn: 12,
  copyOut: 2,
  copyOutField: "status",
  array: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const GRANT_TABLE_SWAP_GRANT_REF_IN = { refA: 0, refB: 2 } as const;

/** Low words in `call.outputs`. */
export const GRANT_TABLE_SWAP_GRANT_REF_OUT = { status: 0 } as const;

// hvm: hypercall 34

export const HVM_PARAM_CALLBACK_IRQ = 0;
export const HVM_PARAM_STORE_PFN = 1;
export const HVM_PARAM_STORE_EVTCHN = 2;
export const HVM_PARAM_IOREQ_PFN = 5;
export const HVM_PARAM_BUFIOREQ_PFN = 6;
export const HVM_PARAM_VIRIDIAN = 9;
export const HVM_PARAM_TIMER_MODE = 10;
export const HVM_PARAM_HPET_ENABLED = 11;
export const HVM_PARAM_IDENT_PT = 12;
export const HVM_PARAM_ACPI_S_STATE = 14;
export const HVM_PARAM_VM86_TSS = 15;
export const HVM_PARAM_VPT_ALIGN = 16;
export const HVM_PARAM_CONSOLE_PFN = 17;
export const HVM_PARAM_CONSOLE_EVTCHN = 18;
export const HVM_PARAM_ACPI_IOPORTS_LOCATION = 19;
export const HVM_PARAM_BUFIOREQ_EVTCHN = 26;
export const HVM_PARAM_PAGING_RING_PFN = 27;
export const HVM_PARAM_MONITOR_RING_PFN = 28;
export const HVM_PARAM_SHARING_RING_PFN = 29;
export const HVM_PARAM_TRIPLE_FAULT_REASON = 31;
export const HVM_PARAM_IOREQ_SERVER_PFN = 32;
export const HVM_PARAM_NR_IOREQ_SERVER_PAGES = 33;
export const HVM_PARAM_VM_GENERATION_ID_ADDR = 34;
export const HVM_PARAM_ALTP2M = 35;
export const HVM_PARAM_X87_FIP_WIDTH = 36;
export const HVM_PARAM_VM86_TSS_SIZED = 37;
export const HVM_PARAM_MCA_CAP = 38;
export const HVM_NR_PARAMS = 39;
export const HVMMEM_RAM_RW = 0;
export const HVMMEM_RAM_RO = 1;
export const HVMMEM_MMIO_DM = 2;

/** Sets one of the parameters that a guest may set on itself. */
export const HVM_SET_PARAM: OperationDescriptor = {
  name: "hvm.set_param",
  hypercall: 34,
  subop: 0,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "index", bytes: 4, signed: false, register: 3, offset: 4 },
    { name: "value", bytes: 8, signed: false, register: 4, offset: 8 },
  ],
  outputs: [],
  struct: { name: "xen_hvm_param", bytes: 16 },
  copyIn: 16,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const HVM_SET_PARAM_IN = { domid: 0, index: 2, value: 4 } as const;

/** Reads a parameter, for example where the console ring is. */
export const HVM_GET_PARAM: OperationDescriptor = {
  name: "hvm.get_param",
  hypercall: 34,
  subop: 1,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "index", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [
    { name: "value", bytes: 8, signed: false, register: 4, offset: 8 },
  ],
  struct: { name: "xen_hvm_param", bytes: 16 },
  copyIn: 16,
  copyOut: 16,
};

/** Low words in `call.inputs`. */
export const HVM_GET_PARAM_IN = { domid: 0, index: 2 } as const;

/** Low words in `call.outputs`. */
export const HVM_GET_PARAM_OUT = { value: 0 } as const;

/** Flushes the TLBs of all the domain's vCPUs. The traditional pointer must be null. */
export const HVM_FLUSH_TLBS: OperationDescriptor = {
  name: "hvm.flush_tlbs",
  hypercall: 34,
  subop: 5,
  inputs: [
    { name: "arg", bytes: 8, signed: false, register: 0, offset: -1, pointer: true, implied: 0 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const HVM_FLUSH_TLBS_IN = { arg: 0 } as const;

/** Guest system time in nanoseconds. */
export const HVM_GET_TIME: OperationDescriptor = {
  name: "hvm.get_time",
  hypercall: 34,
  subop: 10,
  inputs: [],
  outputs: [
    { name: "now", bytes: 8, signed: false, register: 2, offset: 0 },
  ],
  struct: { name: "xen_hvm_get_time", bytes: 8 },
  copyIn: 0,
  copyOut: 8,
};

/** Low words in `call.outputs`. */
export const HVM_GET_TIME_OUT = { now: 0 } as const;

/** Type of a guest frame: 0 read-write RAM, 1 read-only RAM, 2 emulated MMIO. */
export const HVM_GET_MEM_TYPE: OperationDescriptor = {
  name: "hvm.get_mem_type",
  hypercall: 34,
  subop: 15,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 2, offset: 0 },
    { name: "pfn", bytes: 8, signed: false, register: 3, offset: 8 },
  ],
  outputs: [
    { name: "mem_type", bytes: 2, signed: false, register: 4, offset: 2 },
  ],
  struct: { name: "xen_hvm_get_mem_type", bytes: 16 },
  copyIn: 16,
  copyOut: 16,
};

/** Low words in `call.inputs`. */
export const HVM_GET_MEM_TYPE_IN = { domid: 0, pfn: 2 } as const;

/** Low words in `call.outputs`. */
export const HVM_GET_MEM_TYPE_OUT = { memType: 0 } as const;

/** Local-APIC vector that a vCPU's event channels raise. */
export const HVM_SET_EVTCHN_UPCALL_VECTOR: OperationDescriptor = {
  name: "hvm.set_evtchn_upcall_vector",
  hypercall: 34,
  subop: 23,
  inputs: [
    { name: "vcpu", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "vector", bytes: 1, signed: false, register: 3, offset: 4 },
  ],
  outputs: [],
  struct: { name: "xen_hvm_evtchn_upcall_vector", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const HVM_SET_EVTCHN_UPCALL_VECTOR_IN = { vcpu: 0, vector: 2 } as const;

// memory: hypercall 12

export const XENMAPSPACE_SHARED_INFO = 0;
export const XENMAPSPACE_GRANT_TABLE = 1;
export const XENMAPSPACE_GMFN = 2;
export const XENMAPSPACE_GMFN_RANGE = 3;
export const XENMAPSPACE_GMFN_FOREIGN = 4;
export const XENMAPSPACE_DEV_MMIO = 5;
export const XENMEM_RESOURCE_IOREQ_SERVER = 0;
export const XENMEM_RESOURCE_GRANT_TABLE = 1;
export const XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED = 0;
export const XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS = 1;

/** Takes memory that is at no guest frame; returns the number of extents done. */
export const MEMORY_INCREASE_RESERVATION: OperationDescriptor = {
  name: "memory.increase_reservation",
  hypercall: 12,
  subop: 0,
  inputs: [
    { name: "extent_start", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
    { name: "nr_extents", bytes: 8, signed: false, register: 0, offset: 8, compatOffset: 4, compatBytes: 4 },
    { name: "extent_order", bytes: 4, signed: false, register: 0, offset: 16, compatOffset: 8 },
    { name: "mem_flags", bytes: 4, signed: false, register: 0, offset: 20, compatOffset: 12 },
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 24, compatOffset: 16 },
  ],
  outputs: [],
  struct: { name: "xen_memory_reservation", bytes: 32, compatBytes: 20 },
  copyIn: 32,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MEMORY_INCREASE_RESERVATION_IN = { extentStart: 0, nrExtents: 2, extentOrder: 4, memFlags: 6, domid: 8 } as const;

/** Gives guest frames back; returns the number of extents done. */
export const MEMORY_DECREASE_RESERVATION: OperationDescriptor = {
  name: "memory.decrease_reservation",
  hypercall: 12,
  subop: 1,
  inputs: [
    { name: "extent_start", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
    { name: "nr_extents", bytes: 8, signed: false, register: 0, offset: 8, compatOffset: 4, compatBytes: 4 },
    { name: "extent_order", bytes: 4, signed: false, register: 0, offset: 16, compatOffset: 8 },
    { name: "mem_flags", bytes: 4, signed: false, register: 0, offset: 20, compatOffset: 12 },
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 24, compatOffset: 16 },
  ],
  outputs: [],
  struct: { name: "xen_memory_reservation", bytes: 32, compatBytes: 20 },
  copyIn: 32,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MEMORY_DECREASE_RESERVATION_IN = { extentStart: 0, nrExtents: 2, extentOrder: 4, memFlags: 6, domid: 8 } as const;

/** Puts memory at guest frames; returns the number of extents done. */
export const MEMORY_POPULATE_PHYSMAP: OperationDescriptor = {
  name: "memory.populate_physmap",
  hypercall: 12,
  subop: 6,
  inputs: [
    { name: "extent_start", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
    { name: "nr_extents", bytes: 8, signed: false, register: 0, offset: 8, compatOffset: 4, compatBytes: 4 },
    { name: "extent_order", bytes: 4, signed: false, register: 0, offset: 16, compatOffset: 8 },
    { name: "mem_flags", bytes: 4, signed: false, register: 0, offset: 20, compatOffset: 12 },
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 24, compatOffset: 16 },
  ],
  outputs: [],
  struct: { name: "xen_memory_reservation", bytes: 32, compatBytes: 20 },
  copyIn: 32,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MEMORY_POPULATE_PHYSMAP_IN = { extentStart: 0, nrExtents: 2, extentOrder: 4, memFlags: 6, domid: 8 } as const;

/** Places a special frame (shared_info, a grant frame) at a guest frame. */
export const MEMORY_ADD_TO_PHYSMAP: OperationDescriptor = {
  name: "memory.add_to_physmap",
  hypercall: 12,
  subop: 7,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0, implied: 32752 },
    { name: "size", bytes: 2, signed: false, register: 2, offset: 2 },
    { name: "space", bytes: 4, signed: false, register: 3, offset: 4 },
    { name: "idx", bytes: 8, signed: false, register: 4, offset: 8, compatBytes: 4 },
    { name: "gpfn", bytes: 8, signed: false, register: 5, offset: 16, compatOffset: 12, compatBytes: 4 },
  ],
  outputs: [],
  struct: { name: "xen_add_to_physmap", bytes: 24, compatBytes: 16 },
  copyIn: 24,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const MEMORY_ADD_TO_PHYSMAP_IN = { domid: 0, size: 2, space: 4, idx: 6, gpfn: 8 } as const;

/** Writes the memory map as 20-byte entries {addr u64, size u64, type u32} to the buffer. */
export const MEMORY_MEMORY_MAP: OperationDescriptor = {
  name: "memory.memory_map",
  hypercall: 12,
  subop: 9,
  inputs: [
    { name: "nr_entries", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "buffer", bytes: 8, signed: false, register: 3, offset: 8, compatOffset: 4, compatBytes: 4, pointer: true },
  ],
  outputs: [
    { name: "nr_entries", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  struct: { name: "xen_memory_map", bytes: 16, compatBytes: 8 },
  copyIn: 16,
  copyOut: 16,
};

/** Low words in `call.inputs`. */
export const MEMORY_MEMORY_MAP_IN = { nrEntries: 0, buffer: 2 } as const;

/** Low words in `call.outputs`. */
export const MEMORY_MEMORY_MAP_OUT = { nrEntries: 0 } as const;

/** Removes a guest frame from the map. */
export const MEMORY_REMOVE_FROM_PHYSMAP: OperationDescriptor = {
  name: "memory.remove_from_physmap",
  hypercall: 12,
  subop: 15,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0, implied: 32752 },
    { name: "gpfn", bytes: 8, signed: false, register: 5, offset: 8, compatOffset: 4, compatBytes: 4 },
  ],
  outputs: [],
  struct: { name: "xen_remove_from_physmap", bytes: 16, compatBytes: 8 },
  copyIn: 16,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const MEMORY_REMOVE_FROM_PHYSMAP_IN = { domid: 0, gpfn: 2 } as const;

/** Places a list of frames, also other domains', each with an error of its own. */
export const MEMORY_ADD_TO_PHYSMAP_BATCH: OperationDescriptor = {
  name: "memory.add_to_physmap_batch",
  hypercall: 12,
  subop: 23,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0 },
    { name: "space", bytes: 2, signed: false, register: 0, offset: 2 },
    { name: "size", bytes: 2, signed: false, register: 0, offset: 4 },
    { name: "foreign_domid", bytes: 2, signed: false, register: 0, offset: 6 },
    { name: "idxs", bytes: 8, signed: false, register: 0, offset: 8, compatBytes: 4, pointer: true },
    { name: "gpfns", bytes: 8, signed: false, register: 0, offset: 16, compatOffset: 12, compatBytes: 4, pointer: true },
    { name: "errs", bytes: 8, signed: false, register: 0, offset: 24, compatOffset: 16, compatBytes: 4, pointer: true },
  ],
  outputs: [],
  struct: { name: "xen_add_to_physmap_batch", bytes: 32, compatBytes: 20 },
  copyIn: 32,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MEMORY_ADD_TO_PHYSMAP_BATCH_IN = { domid: 0, space: 2, size: 4, foreignDomid: 6, idxs: 8, gpfns: 10, errs: 12 } as const;

/** Places another domain's grant frames; without a list it returns how many there may be. */
export const MEMORY_ACQUIRE_RESOURCE: OperationDescriptor = {
  name: "memory.acquire_resource",
  hypercall: 12,
  subop: 28,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0 },
    { name: "type", bytes: 2, signed: false, register: 0, offset: 2 },
    { name: "id", bytes: 4, signed: false, register: 0, offset: 4 },
    { name: "nr_frames", bytes: 4, signed: false, register: 0, offset: 8 },
    { name: "pad", bytes: 4, signed: false, register: 0, offset: 12 },
    { name: "frame", bytes: 8, signed: false, register: 0, offset: 16 },
    { name: "frame_list", bytes: 8, signed: false, register: 0, offset: 24, compatBytes: 4, pointer: true },
  ],
  outputs: [
    { name: "nr_frames", bytes: 4, signed: false, register: 0, offset: 8 },
  ],
  struct: { name: "xen_mem_acquire_resource", bytes: 32, compatBytes: 28 },
  copyIn: 32,
  copyOut: 4,
  copyOutField: "nr_frames",
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MEMORY_ACQUIRE_RESOURCE_IN = { domid: 0, type: 2, id: 4, nrFrames: 6, pad: 8, frame: 10, frameList: 12 } as const;

/** Low words in `call.outputs`. */
export const MEMORY_ACQUIRE_RESOURCE_OUT = { nrFrames: 0 } as const;

// multicall: hypercall 13

/** Makes the calls of a list in order; each entry gets its own result. Not from within one. */
export const MULTICALL_CALL: OperationDescriptor = {
  name: "multicall.call",
  hypercall: 13,
  subop: 0,
  inputs: [
    { name: "call_list", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
    { name: "nr_calls", bytes: 8, signed: false, register: 0, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const MULTICALL_CALL_IN = { callList: 0, nrCalls: 2 } as const;

// physdev: hypercall 33

export const MAP_PIRQ_TYPE_MULTI_MSI = 4;

/** Makes a physical interrupt one that can be bound to an event channel. Only a device model or the control domain may. */
export const PHYSDEV_MAP_PIRQ: OperationDescriptor = {
  name: "physdev.map_pirq",
  hypercall: 33,
  subop: 13,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0 },
    { name: "type", bytes: 4, signed: true, register: 0, offset: 4 },
    { name: "index", bytes: 4, signed: true, register: 0, offset: 8 },
    { name: "pirq", bytes: 4, signed: true, register: 0, offset: 12 },
    { name: "bus", bytes: 4, signed: true, register: 0, offset: 16 },
    { name: "devfn", bytes: 4, signed: true, register: 0, offset: 20 },
    { name: "entry_nr", bytes: 4, signed: true, register: 0, offset: 24 },
    { name: "table_base", bytes: 8, signed: false, register: 0, offset: 32, compatOffset: 28 },
  ],
  outputs: [],
  struct: { name: "physdev_map_pirq", bytes: 40, compatBytes: 36 },
  copyIn: 40,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const PHYSDEV_MAP_PIRQ_IN = { domid: 0, type: 2, index: 4, pirq: 6, bus: 8, devfn: 10, entryNr: 12, tableBase: 14 } as const;

/** Undoes that. */
export const PHYSDEV_UNMAP_PIRQ: OperationDescriptor = {
  name: "physdev.unmap_pirq",
  hypercall: 33,
  subop: 14,
  inputs: [
    { name: "domid", bytes: 2, signed: false, register: 0, offset: 0 },
    { name: "pirq", bytes: 4, signed: true, register: 0, offset: 4 },
  ],
  outputs: [],
  struct: { name: "physdev_unmap_pirq", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const PHYSDEV_UNMAP_PIRQ_IN = { domid: 0, pirq: 2 } as const;

// platform_op: hypercall 7

export const XENPF_INTERFACE_VERSION = 50331649;

/** Refused, like every one of its commands. */
export const PLATFORM_OP_CALL: OperationDescriptor = {
  name: "platform_op.call",
  hypercall: 7,
  subop: 0,
  inputs: [
    { name: "cmd", bytes: 4, signed: false, register: 0, offset: 0 },
    { name: "interface_version", bytes: 4, signed: false, register: 0, offset: 4 },
  ],
  outputs: [],
  struct: { name: "xen_platform_op", bytes: 136 },
  copyIn: 136,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const PLATFORM_OP_CALL_IN = { cmd: 0, interfaceVersion: 2 } as const;

// sched: hypercall 29

export const SHUTDOWN_POWEROFF = 0;
export const SHUTDOWN_REBOOT = 1;
export const SHUTDOWN_SUSPEND = 2;
export const SHUTDOWN_CRASH = 3;
export const SHUTDOWN_WATCHDOG = 4;
export const SHUTDOWN_SOFT_RESET = 5;

/** Lets another vCPU run. */
export const SCHED_YIELD: OperationDescriptor = {
  name: "sched.yield",
  hypercall: 29,
  subop: 0,
  inputs: [],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Unmasks events and sleeps until one is pending. */
export const SCHED_BLOCK: OperationDescriptor = {
  name: "sched.block",
  hypercall: 29,
  subop: 1,
  inputs: [],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Ends the domain: 0 power off, 1 reboot, 2 suspend, 3 crash, 4 watchdog, 5 soft reset. */
export const SCHED_SHUTDOWN: OperationDescriptor = {
  name: "sched.shutdown",
  hypercall: 29,
  subop: 2,
  inputs: [
    { name: "reason", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "sched_shutdown", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const SCHED_SHUTDOWN_IN = { reason: 0 } as const;

/** Sleeps until a port is pending or the absolute time (ns, 0 for none) has come. */
export const SCHED_POLL: OperationDescriptor = {
  name: "sched.poll",
  hypercall: 29,
  subop: 3,
  inputs: [
    { name: "timeout", bytes: 8, signed: false, register: 2, offset: 16, compatOffset: 8 },
    { name: "port", bytes: 4, signed: false, register: 3, offset: -2 },
    { name: "ports", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
    { name: "nr_ports", bytes: 4, signed: false, register: 0, offset: 8, compatOffset: 4 },
  ],
  outputs: [],
  struct: { name: "sched_poll", bytes: 24, compatBytes: 16 },
  copyIn: 24,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const SCHED_POLL_IN = { timeout: 0, port: 2, ports: 4, nrPorts: 6 } as const;

/** Records the reason that a later crash of the domain will report. */
export const SCHED_SHUTDOWN_CODE: OperationDescriptor = {
  name: "sched.shutdown_code",
  hypercall: 29,
  subop: 5,
  inputs: [
    { name: "reason", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "sched_shutdown", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const SCHED_SHUTDOWN_CODE_IN = { reason: 0 } as const;

/** Sets (id 0), pokes or stops (timeout 0) a watchdog in seconds; returns the id of a new one. */
export const SCHED_WATCHDOG: OperationDescriptor = {
  name: "sched.watchdog",
  hypercall: 29,
  subop: 6,
  inputs: [
    { name: "id", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "timeout", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  outputs: [],
  struct: { name: "sched_watchdog", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const SCHED_WATCHDOG_IN = { id: 0, timeout: 2 } as const;

/** Pins the vCPU to a physical processor; hardware domain only. */
export const SCHED_PIN_OVERRIDE: OperationDescriptor = {
  name: "sched.pin_override",
  hypercall: 29,
  subop: 7,
  inputs: [
    { name: "pcpu", bytes: 4, signed: true, register: 2, offset: 0 },
  ],
  outputs: [],
  struct: { name: "sched_pin_override", bytes: 4 },
  copyIn: 4,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const SCHED_PIN_OVERRIDE_IN = { pcpu: 0 } as const;

// set_timer_op: hypercall 15

/** Nanoseconds of system time; 0 stops the timer. What is negative or more than 2^50 ns ahead fires after 100 ms. */
export const SET_TIMER_OP_SET: OperationDescriptor = {
  name: "set_timer_op.set",
  hypercall: 15,
  subop: 0,
  inputs: [
    { name: "timeout", bytes: 8, signed: true, register: 0, offset: -1, compatPair: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const SET_TIMER_OP_SET_IN = { timeout: 0 } as const;

// sysctl: hypercall 35

export const XEN_SYSCTL_INTERFACE_VERSION = 22;

/** Refused, like every one of its commands. */
export const SYSCTL_CALL: OperationDescriptor = {
  name: "sysctl.call",
  hypercall: 35,
  subop: 0,
  inputs: [
    { name: "cmd", bytes: 4, signed: false, register: 0, offset: 0 },
    { name: "interface_version", bytes: 4, signed: false, register: 0, offset: 4 },
  ],
  outputs: [],
  struct: { name: "xen_sysctl", bytes: 136 },
  copyIn: 136,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const SYSCTL_CALL_IN = { cmd: 0, interfaceVersion: 2 } as const;

// vcpu: hypercall 24

export const RUNSTATE_RUNNING = 0;
export const RUNSTATE_RUNNABLE = 1;
export const RUNSTATE_BLOCKED = 2;
export const RUNSTATE_OFFLINE = 3;
export const VCPU_SSHOTTMR_FUTURE = 1;

/** First register state of a vCPU that is not running yet. */
export const VCPU_INITIALISE: OperationDescriptor = {
  name: "vcpu.initialise",
  hypercall: 24,
  subop: 0,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "context_gfn", bytes: 8, signed: false, register: 3, offset: -2 },
  ],
  outputs: [],
  struct: { name: "vcpu_hvm_context", bytes: 128 },
  copyIn: 128,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_INITIALISE_IN = { vcpuid: 0, contextGfn: 2 } as const;

/** Starts an initialised vCPU. */
export const VCPU_UP: OperationDescriptor = {
  name: "vcpu.up",
  hypercall: 24,
  subop: 1,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_UP_IN = { vcpuid: 0 } as const;

/** Stops a vCPU; stopping the last one shuts the domain down. */
export const VCPU_DOWN: OperationDescriptor = {
  name: "vcpu.down",
  hypercall: 24,
  subop: 2,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_DOWN_IN = { vcpuid: 0 } as const;

/** 1 when the vCPU is running, 0 when it is down. */
export const VCPU_IS_UP: OperationDescriptor = {
  name: "vcpu.is_up",
  hypercall: 24,
  subop: 3,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_IS_UP_IN = { vcpuid: 0 } as const;

/** Present run state and the nanoseconds spent in each: running 0, runnable 1, blocked 2, offline 3. */
export const VCPU_GET_RUNSTATE_INFO: OperationDescriptor = {
  name: "vcpu.get_runstate_info",
  hypercall: 24,
  subop: 4,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [
    { name: "state", bytes: 4, signed: false, register: 2, offset: 0 },
    { name: "state_entry_time", bytes: 8, signed: false, register: 3, offset: 8, compatOffset: 4 },
    { name: "time[0]", bytes: 8, signed: false, register: 4, offset: 16, compatOffset: 12 },
    { name: "time[1]", bytes: 8, signed: false, register: 5, offset: 24, compatOffset: 20 },
    { name: "time[2]", bytes: 8, signed: false, register: 6, offset: 32, compatOffset: 28 },
    { name: "time[3]", bytes: 8, signed: false, register: 7, offset: 40, compatOffset: 36 },
  ],
  struct: { name: "vcpu_runstate_info", bytes: 48, compatBytes: 44 },
  copyIn: 0,
  copyOut: 48,
};

/** Low words in `call.inputs`. */
export const VCPU_GET_RUNSTATE_INFO_IN = { vcpuid: 0 } as const;

/** Low words in `call.outputs`. */
export const VCPU_GET_RUNSTATE_INFO_OUT = { state: 0, stateEntryTime: 2, time0: 4, time1: 6, time2: 8, time3: 10 } as const;

/** Address, as the guest maps it, where Xen keeps a copy of the run state; 0 for none. */
export const VCPU_REGISTER_RUNSTATE_MEMORY_AREA: OperationDescriptor = {
  name: "vcpu.register_runstate_memory_area",
  hypercall: 24,
  subop: 5,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 0, offset: -1 },
    { name: "addr.h", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
  ],
  outputs: [],
  struct: { name: "vcpu_register_memory_area", bytes: 8, compatBytes: 4 },
  copyIn: 8,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VCPU_REGISTER_RUNSTATE_MEMORY_AREA_IN = { vcpuid: 0, addrH: 2 } as const;

/** Period of the vCPU's timer interrupt in nanoseconds, 1 ms to 2^62 - 1 ns. */
export const VCPU_SET_PERIODIC_TIMER: OperationDescriptor = {
  name: "vcpu.set_periodic_timer",
  hypercall: 24,
  subop: 6,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "period_ns", bytes: 8, signed: false, register: 3, offset: 0 },
  ],
  outputs: [],
  struct: { name: "vcpu_set_periodic_timer", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_SET_PERIODIC_TIMER_IN = { vcpuid: 0, periodNs: 2 } as const;

/** Stops the periodic timer. */
export const VCPU_STOP_PERIODIC_TIMER: OperationDescriptor = {
  name: "vcpu.stop_periodic_timer",
  hypercall: 24,
  subop: 7,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_STOP_PERIODIC_TIMER_IN = { vcpuid: 0 } as const;

/** One timer interrupt at an absolute system time in nanoseconds, at once if that has passed; own vCPU only. */
export const VCPU_SET_SINGLESHOT_TIMER: OperationDescriptor = {
  name: "vcpu.set_singleshot_timer",
  hypercall: 24,
  subop: 8,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "timeout_abs_ns", bytes: 8, signed: false, register: 3, offset: 0 },
    { name: "flags", bytes: 4, signed: false, register: 4, offset: 8 },
  ],
  outputs: [],
  struct: { name: "vcpu_set_singleshot_timer", bytes: 16 },
  copyIn: 16,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_SET_SINGLESHOT_TIMER_IN = { vcpuid: 0, timeoutAbsNs: 2, flags: 4 } as const;

/** Stops the one-shot timer; own vCPU only. */
export const VCPU_STOP_SINGLESHOT_TIMER: OperationDescriptor = {
  name: "vcpu.stop_singleshot_timer",
  hypercall: 24,
  subop: 9,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_STOP_SINGLESHOT_TIMER_IN = { vcpuid: 0 } as const;

/** Moves the vCPU's vcpu_info out of shared_info to a frame (for HVM a guest frame) and offset; once. */
export const VCPU_REGISTER_VCPU_INFO: OperationDescriptor = {
  name: "vcpu.register_vcpu_info",
  hypercall: 24,
  subop: 10,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "mfn", bytes: 8, signed: false, register: 3, offset: 0 },
    { name: "offset", bytes: 4, signed: false, register: 4, offset: 8 },
  ],
  outputs: [],
  struct: { name: "vcpu_register_vcpu_info", bytes: 16 },
  copyIn: 16,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_REGISTER_VCPU_INFO_IN = { vcpuid: 0, mfn: 2, offset: 4 } as const;

/** Sends an NMI to a vCPU. The traditional pointer must be null. */
export const VCPU_SEND_NMI: OperationDescriptor = {
  name: "vcpu.send_nmi",
  hypercall: 24,
  subop: 11,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "arg", bytes: 8, signed: false, register: 0, offset: -1, pointer: true, implied: 0 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_SEND_NMI_IN = { vcpuid: 0, arg: 2 } as const;

/** Physical identity of a pinned hardware-domain vCPU. */
export const VCPU_GET_PHYSID: OperationDescriptor = {
  name: "vcpu.get_physid",
  hypercall: 24,
  subop: 12,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
  ],
  outputs: [
    { name: "phys_id", bytes: 8, signed: false, register: 3, offset: 0 },
  ],
  struct: { name: "vcpu_get_physid", bytes: 8 },
  copyIn: 0,
  copyOut: 8,
};

/** Low words in `call.inputs`. */
export const VCPU_GET_PHYSID_IN = { vcpuid: 0 } as const;

/** Low words in `call.outputs`. */
export const VCPU_GET_PHYSID_OUT = { physId: 0 } as const;

/** Address, as the guest maps it, where Xen keeps a copy of the vCPU's time information; 0 for none. */
export const VCPU_REGISTER_VCPU_TIME_MEMORY_AREA: OperationDescriptor = {
  name: "vcpu.register_vcpu_time_memory_area",
  hypercall: 24,
  subop: 13,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 0, offset: -1 },
    { name: "addr.h", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4, pointer: true },
  ],
  outputs: [],
  struct: { name: "vcpu_register_memory_area", bytes: 8, compatBytes: 4 },
  copyIn: 8,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VCPU_REGISTER_VCPU_TIME_MEMORY_AREA_IN = { vcpuid: 0, addrH: 2 } as const;

/** Guest-physical address where Xen keeps a copy of the run state; all ones for none. */
export const VCPU_REGISTER_RUNSTATE_PHYS_AREA: OperationDescriptor = {
  name: "vcpu.register_runstate_phys_area",
  hypercall: 24,
  subop: 14,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "addr.p", bytes: 8, signed: false, register: 3, offset: 0 },
  ],
  outputs: [],
  struct: { name: "vcpu_register_time_memory_area", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_REGISTER_RUNSTATE_PHYS_AREA_IN = { vcpuid: 0, addrP: 2 } as const;

/** Guest-physical address where Xen keeps a copy of the vCPU's time information; all ones for none. */
export const VCPU_REGISTER_VCPU_TIME_PHYS_AREA: OperationDescriptor = {
  name: "vcpu.register_vcpu_time_phys_area",
  hypercall: 24,
  subop: 15,
  inputs: [
    { name: "vcpuid", bytes: 4, signed: false, register: 2, offset: -1 },
    { name: "addr.p", bytes: 8, signed: false, register: 3, offset: 0 },
  ],
  outputs: [],
  struct: { name: "vcpu_register_time_memory_area", bytes: 8 },
  copyIn: 8,
  copyOut: 0,
};

/** Low words in `call.inputs`. */
export const VCPU_REGISTER_VCPU_TIME_PHYS_AREA_IN = { vcpuid: 0, addrP: 2 } as const;

// version: hypercall 17

export const XENFEAT_WRITABLE_PAGE_TABLES = 0;
export const XENFEAT_AUTO_TRANSLATED_PHYSMAP = 2;
export const XENFEAT_HVM_CALLBACK_VECTOR = 8;
export const XENFEAT_HVM_SAFE_PVCLOCK = 9;
export const XENFEAT_HVM_PIRQS = 10;
export const XENFEAT_DOM0 = 11;
export const XENFEAT_MEMORY_OP_VNODE = 13;
export const XENFEAT_NOT_DIRECT_MAPPED = 16;
export const XENFEAT_RUNSTATE_PHYS_AREA = 18;
export const XENFEAT_VCPU_TIME_PHYS_AREA = 19;
export const XENFEAT_DM_MSIX_ALL_WRITES = 20;

/** The version in the result register: major * 65536 + minor. */
export const VERSION_VERSION: OperationDescriptor = {
  name: "version.version",
  hypercall: 17,
  subop: 0,
  inputs: [],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
};

/** What follows the version number, 16 bytes of text. */
export const VERSION_EXTRAVERSION: OperationDescriptor = {
  name: "version.extraversion",
  hypercall: 17,
  subop: 1,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_EXTRAVERSION_IN = { buffer: 0 } as const;

/** Compiler, who compiled where, and when: texts of 64, 16, 32 and 32 bytes. */
export const VERSION_COMPILE_INFO: OperationDescriptor = {
  name: "version.compile_info",
  hypercall: 17,
  subop: 2,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_COMPILE_INFO_IN = { buffer: 0 } as const;

/** Kinds of guests that the hypervisor can run, 1024 bytes of text. */
export const VERSION_CAPABILITIES: OperationDescriptor = {
  name: "version.capabilities",
  hypercall: 17,
  subop: 3,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_CAPABILITIES_IN = { buffer: 0 } as const;

/** What it was built from, 64 bytes of text. */
export const VERSION_CHANGESET: OperationDescriptor = {
  name: "version.changeset",
  hypercall: 17,
  subop: 4,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_CHANGESET_IN = { buffer: 0 } as const;

/** Where the hypervisor is in a PV guest's address space; 0 for others. */
export const VERSION_PLATFORM_PARAMETERS: OperationDescriptor = {
  name: "version.platform_parameters",
  hypercall: 17,
  subop: 5,
  inputs: [],
  outputs: [
    { name: "virt_start", bytes: 8, signed: false, register: 0, offset: 0, compatBytes: 4 },
  ],
  struct: { name: "xen_platform_parameters", bytes: 8, compatBytes: 4 },
  copyIn: 0,
  copyOut: 8,
  traditionalOnly: true,
};

/** Low words in `call.outputs`. */
export const VERSION_PLATFORM_PARAMETERS_OUT = { virtStart: 0 } as const;

/** A word of feature flags. */
export const VERSION_GET_FEATURES: OperationDescriptor = {
  name: "version.get_features",
  hypercall: 17,
  subop: 6,
  inputs: [
    { name: "submap_idx", bytes: 4, signed: false, register: 2, offset: 0 },
  ],
  outputs: [
    { name: "submap", bytes: 4, signed: false, register: 3, offset: 4 },
  ],
  struct: { name: "xen_feature_info", bytes: 8 },
  copyIn: 8,
  copyOut: 8,
};

/** Low words in `call.inputs`. */
export const VERSION_GET_FEATURES_IN = { submapIdx: 0 } as const;

/** Low words in `call.outputs`. */
export const VERSION_GET_FEATURES_OUT = { submap: 0 } as const;

/** Bytes of a page. */
export const VERSION_PAGESIZE: OperationDescriptor = {
  name: "version.pagesize",
  hypercall: 17,
  subop: 7,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_PAGESIZE_IN = { buffer: 0 } as const;

/** UUID of the domain, 16 bytes. */
export const VERSION_GUEST_HANDLE: OperationDescriptor = {
  name: "version.guest_handle",
  hypercall: 17,
  subop: 8,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_GUEST_HANDLE_IN = { buffer: 0 } as const;

/** The hypervisor's command line, 1024 bytes of text; other domains than the hardware domain read that they may not. */
export const VERSION_COMMANDLINE: OperationDescriptor = {
  name: "version.commandline",
  hypercall: 17,
  subop: 9,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_COMMANDLINE_IN = { buffer: 0 } as const;

/** What the build is known by; for the control domain. */
export const VERSION_BUILD_ID: OperationDescriptor = {
  name: "version.build_id",
  hypercall: 17,
  subop: 10,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_BUILD_ID_IN = { buffer: 0 } as const;

/** What follows the version number, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
export const VERSION_EXTRAVERSION2: OperationDescriptor = {
  name: "version.extraversion2",
  hypercall: 17,
  subop: 11,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_EXTRAVERSION2_IN = { buffer: 0 } as const;

/** Kinds of guests that the hypervisor can run, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
export const VERSION_CAPABILITIES2: OperationDescriptor = {
  name: "version.capabilities2",
  hypercall: 17,
  subop: 12,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_CAPABILITIES2_IN = { buffer: 0 } as const;

/** What it was built from, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
export const VERSION_CHANGESET2: OperationDescriptor = {
  name: "version.changeset2",
  hypercall: 17,
  subop: 13,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_CHANGESET2_IN = { buffer: 0 } as const;

/** The hypervisor's command line, for the control domain, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
export const VERSION_COMMANDLINE2: OperationDescriptor = {
  name: "version.commandline2",
  hypercall: 17,
  subop: 14,
  inputs: [
    { name: "buffer", bytes: 8, signed: false, register: 0, offset: -1, pointer: true },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VERSION_COMMANDLINE2_IN = { buffer: 0 } as const;

// vm_assist: hypercall 21

export const VMASST_CMD_ENABLE = 0;
export const VMASST_CMD_DISABLE = 1;
export const VMASST_TYPE_RUNSTATE_UPDATE_FLAG = 5;

/** Command 0 turns a type on, 1 off. HVM domains have type 5 alone: run-state areas tell of their updates. */
export const VM_ASSIST_SET: OperationDescriptor = {
  name: "vm_assist.set",
  hypercall: 21,
  subop: 0,
  inputs: [
    { name: "cmd", bytes: 4, signed: false, register: 0, offset: -1 },
    { name: "type", bytes: 4, signed: false, register: 0, offset: -1 },
  ],
  outputs: [],
  struct: undefined,
  copyIn: 0,
  copyOut: 0,
  plain: true,
  traditionalOnly: true,
};

/** Low words in `call.inputs`. */
export const VM_ASSIST_SET_IN = { cmd: 0, type: 2 } as const;

/** Every described operation, in the order of hypercall and sub-operation of its file. */
export const DESCRIPTORS: readonly OperationDescriptor[] = [
  CONSOLE_IO_WRITE,
  CONSOLE_IO_READ,
  DOMCTL_CALL,
  EVENT_CHANNEL_BIND_INTERDOMAIN,
  EVENT_CHANNEL_BIND_VIRQ,
  EVENT_CHANNEL_BIND_PIRQ,
  EVENT_CHANNEL_CLOSE,
  EVENT_CHANNEL_SEND,
  EVENT_CHANNEL_STATUS,
  EVENT_CHANNEL_ALLOC_UNBOUND,
  EVENT_CHANNEL_BIND_IPI,
  EVENT_CHANNEL_BIND_VCPU,
  EVENT_CHANNEL_UNMASK,
  EVENT_CHANNEL_RESET,
  EVENT_CHANNEL_INIT_CONTROL,
  EVENT_CHANNEL_EXPAND_ARRAY,
  EVENT_CHANNEL_SET_PRIORITY,
  GRANT_TABLE_MAP_GRANT_REF,
  GRANT_TABLE_UNMAP_GRANT_REF,
  GRANT_TABLE_SETUP_TABLE,
  GRANT_TABLE_COPY,
  GRANT_TABLE_QUERY_SIZE,
  GRANT_TABLE_SET_VERSION,
  GRANT_TABLE_GET_VERSION,
  GRANT_TABLE_SWAP_GRANT_REF,
  HVM_SET_PARAM,
  HVM_GET_PARAM,
  HVM_FLUSH_TLBS,
  HVM_GET_TIME,
  HVM_GET_MEM_TYPE,
  HVM_SET_EVTCHN_UPCALL_VECTOR,
  MEMORY_INCREASE_RESERVATION,
  MEMORY_DECREASE_RESERVATION,
  MEMORY_POPULATE_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_MEMORY_MAP,
  MEMORY_REMOVE_FROM_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_BATCH,
  MEMORY_ACQUIRE_RESOURCE,
  MULTICALL_CALL,
  PHYSDEV_MAP_PIRQ,
  PHYSDEV_UNMAP_PIRQ,
  PLATFORM_OP_CALL,
  SCHED_YIELD,
  SCHED_BLOCK,
  SCHED_SHUTDOWN,
  SCHED_POLL,
  SCHED_SHUTDOWN_CODE,
  SCHED_WATCHDOG,
  SCHED_PIN_OVERRIDE,
  SET_TIMER_OP_SET,
  SYSCTL_CALL,
  VCPU_INITIALISE,
  VCPU_UP,
  VCPU_DOWN,
  VCPU_IS_UP,
  VCPU_GET_RUNSTATE_INFO,
  VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
  VCPU_SET_PERIODIC_TIMER,
  VCPU_STOP_PERIODIC_TIMER,
  VCPU_SET_SINGLESHOT_TIMER,
  VCPU_STOP_SINGLESHOT_TIMER,
  VCPU_REGISTER_VCPU_INFO,
  VCPU_SEND_NMI,
  VCPU_GET_PHYSID,
  VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
  VCPU_REGISTER_RUNSTATE_PHYS_AREA,
  VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
  VERSION_VERSION,
  VERSION_EXTRAVERSION,
  VERSION_COMPILE_INFO,
  VERSION_CAPABILITIES,
  VERSION_CHANGESET,
  VERSION_PLATFORM_PARAMETERS,
  VERSION_GET_FEATURES,
  VERSION_PAGESIZE,
  VERSION_GUEST_HANDLE,
  VERSION_COMMANDLINE,
  VERSION_BUILD_ID,
  VERSION_EXTRAVERSION2,
  VERSION_CAPABILITIES2,
  VERSION_CHANGESET2,
  VERSION_COMMANDLINE2,
  VM_ASSIST_SET,
];

const BY_HYPERCALL: Readonly<Record<number, readonly (OperationDescriptor | undefined)[]>> = {
  18: [
    CONSOLE_IO_WRITE,
    CONSOLE_IO_READ,
  ],
  36: [
    DOMCTL_CALL,
  ],
  32: [
    EVENT_CHANNEL_BIND_INTERDOMAIN,
    EVENT_CHANNEL_BIND_VIRQ,
    EVENT_CHANNEL_BIND_PIRQ,
    EVENT_CHANNEL_CLOSE,
    EVENT_CHANNEL_SEND,
    EVENT_CHANNEL_STATUS,
    EVENT_CHANNEL_ALLOC_UNBOUND,
    EVENT_CHANNEL_BIND_IPI,
    EVENT_CHANNEL_BIND_VCPU,
    EVENT_CHANNEL_UNMASK,
    EVENT_CHANNEL_RESET,
    EVENT_CHANNEL_INIT_CONTROL,
    EVENT_CHANNEL_EXPAND_ARRAY,
    EVENT_CHANNEL_SET_PRIORITY,
  ],
  20: [
    GRANT_TABLE_MAP_GRANT_REF,
    GRANT_TABLE_UNMAP_GRANT_REF,
    GRANT_TABLE_SETUP_TABLE,
    undefined,
    undefined,
    GRANT_TABLE_COPY,
    GRANT_TABLE_QUERY_SIZE,
    undefined,
    GRANT_TABLE_SET_VERSION,
    undefined,
    GRANT_TABLE_GET_VERSION,
    GRANT_TABLE_SWAP_GRANT_REF,
  ],
  34: [
    HVM_SET_PARAM,
    HVM_GET_PARAM,
    undefined,
    undefined,
    undefined,
    HVM_FLUSH_TLBS,
    undefined,
    undefined,
    undefined,
    undefined,
    HVM_GET_TIME,
    undefined,
    undefined,
    undefined,
    undefined,
    HVM_GET_MEM_TYPE,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    HVM_SET_EVTCHN_UPCALL_VECTOR,
  ],
  12: [
    MEMORY_INCREASE_RESERVATION,
    MEMORY_DECREASE_RESERVATION,
    undefined,
    undefined,
    undefined,
    undefined,
    MEMORY_POPULATE_PHYSMAP,
    MEMORY_ADD_TO_PHYSMAP,
    undefined,
    MEMORY_MEMORY_MAP,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    MEMORY_REMOVE_FROM_PHYSMAP,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    MEMORY_ADD_TO_PHYSMAP_BATCH,
    undefined,
    undefined,
    undefined,
    undefined,
    MEMORY_ACQUIRE_RESOURCE,
  ],
  13: [
    MULTICALL_CALL,
  ],
  33: [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    PHYSDEV_MAP_PIRQ,
    PHYSDEV_UNMAP_PIRQ,
  ],
  7: [
    PLATFORM_OP_CALL,
  ],
  29: [
    SCHED_YIELD,
    SCHED_BLOCK,
    SCHED_SHUTDOWN,
    SCHED_POLL,
    undefined,
    SCHED_SHUTDOWN_CODE,
    SCHED_WATCHDOG,
    SCHED_PIN_OVERRIDE,
  ],
  15: [
    SET_TIMER_OP_SET,
  ],
  35: [
    SYSCTL_CALL,
  ],
  24: [
    VCPU_INITIALISE,
    VCPU_UP,
    VCPU_DOWN,
    VCPU_IS_UP,
    VCPU_GET_RUNSTATE_INFO,
    VCPU_REGISTER_RUNSTATE_MEMORY_AREA,
    VCPU_SET_PERIODIC_TIMER,
    VCPU_STOP_PERIODIC_TIMER,
    VCPU_SET_SINGLESHOT_TIMER,
    VCPU_STOP_SINGLESHOT_TIMER,
    VCPU_REGISTER_VCPU_INFO,
    VCPU_SEND_NMI,
    VCPU_GET_PHYSID,
    VCPU_REGISTER_VCPU_TIME_MEMORY_AREA,
    VCPU_REGISTER_RUNSTATE_PHYS_AREA,
    VCPU_REGISTER_VCPU_TIME_PHYS_AREA,
  ],
  17: [
    VERSION_VERSION,
    VERSION_EXTRAVERSION,
    VERSION_COMPILE_INFO,
    VERSION_CAPABILITIES,
    VERSION_CHANGESET,
    VERSION_PLATFORM_PARAMETERS,
    VERSION_GET_FEATURES,
    VERSION_PAGESIZE,
    VERSION_GUEST_HANDLE,
    VERSION_COMMANDLINE,
    VERSION_BUILD_ID,
    VERSION_EXTRAVERSION2,
    VERSION_CAPABILITIES2,
    VERSION_CHANGESET2,
    VERSION_COMMANDLINE2,
  ],
  21: [
    VM_ASSIST_SET,
  ],
};

/** Descriptor of a hypercall's sub-operation, or `undefined` when no file describes it. */
export function findDescriptor(hypercall: number, subop: number): OperationDescriptor | undefined {
  return BY_HYPERCALL[hypercall]?.[subop];
}

/** Hypercall numbers by group name. */
export const HYPERCALLS = { console_io: 18, domctl: 36, event_channel: 32, grant_table: 20, hvm: 34, memory: 12, multicall: 13, physdev: 33, platform_op: 7, sched: 29, set_timer_op: 15, sysctl: 35, vcpu: 24, version: 17, vm_assist: 21 } as const;
