import { atLabel } from "../assembler/memory.js";
import { resized } from "../assembler/register.js";
import type { GuestBuffer, GuestProgram, HypercallResult, Value } from "../guest-program.js";
import { descriptorOf } from "../stubs/descriptor-of.js";
import type { OperationName } from "../stubs/operations.gen.js";
import type { Variable } from "../variable.js";

/** What a sample's source works with, besides the program itself. */
export interface SampleTools {
  /** Two pages of the guest's own, for data and for lists. */
  readonly data: GuestBuffer;
  readonly list: GuestBuffer;
  /** A page that may lose its frame. */
  readonly spare: GuestBuffer;
  /** Makes the call several times, with what it needs before and after; only {@link measured} is timed. */
  readonly again: (body: () => void) => void;
  /** The one call that is timed, within {@link again}. */
  readonly measured: (call: () => HypercallResult) => void;
}

/** How a guest makes one operation's call again and again, or why it cannot. */
export type OperationSample =
  | {
      readonly operation: OperationName;
      /** What its cost depends on, and how that is here. */
      readonly condition?: string;
      readonly emit: (g: GuestProgram, tools: SampleTools) => void;
    }
  | { readonly operation: OperationName; readonly unmeasured: string };

const SELF = 0x7ff0;
const FAR_AWAY_NS = 2n ** 49n;
const CONSOLE_PFN = 17;
const CALLBACK_IRQ = 0;
const SHUTDOWN_CRASH = 3;

/** A call that needs nothing and leaves nothing. */
function plain(
  operation: OperationName,
  call: (g: GuestProgram, tools: SampleTools) => HypercallResult,
): OperationSample {
  return {
    operation,
    emit: (g, tools) => {
      tools.again(() => {
        tools.measured(() => call(g, tools));
      });
    },
  };
}

function not(operation: OperationName, unmeasured: string): OperationSample {
  return { operation, unmeasured };
}

/** Stores a value in a buffer, with code. */
function store(g: GuestProgram, buffer: GuestBuffer, offset: number, value: Value, bytes: 4 | 8 = 8): void {
  const variable = g.variable(value);
  const place = atLabel(buffer.label, offset);
  g.asm.mov(place, bytes === 8 ? variable.register : resized(variable.register, 32));
  variable.release();
}

/** A port that its own domain sends on. */
function pair(g: GuestProgram): readonly [Variable, Variable] {
  const receives = g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }).output("port");
  const sends = g.hypercall.eventChannel
    .bindInterdomain({ remoteDom: SELF, remotePort: receives })
    .output("local_port");
  return [receives, sends];
}

function close(g: GuestProgram, ...ports: readonly Variable[]): void {
  for (const port of ports) {
    g.hypercall.eventChannel.close({ port });
    port.release();
  }
}

/** Makes a port each time, and closes it: the lowest that is free. If it is another, the domain ends. */
function makesPort(operation: OperationName, make: (g: GuestProgram) => HypercallResult): OperationSample {
  return {
    operation,
    emit: (g, { again, measured }) => {
      again(() => {
        const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
        g.hypercall.eventChannel.close({ port });
        measured(() => make(g));
        // Its own result is gone by now, but the port is taken if it was given out.
        const next = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
        g.when(next, "e", port, () => g.shutdown(SHUTDOWN_CRASH));
        close(g, next, port);
      });
    },
  };
}

/** The page of a buffer as a guest frame, for one call. */
function withFrame(g: GuestProgram, buffer: GuestBuffer, use: (frame: Variable) => void): void {
  const frame = g.frameOf(buffer);
  use(frame);
  frame.release();
}

/** Guest-physical address of a buffer. */
function withAddress(g: GuestProgram, buffer: GuestBuffer, use: (address: Variable) => void): void {
  withFrame(g, buffer, (frame) => {
    g.asm.shift("shl", frame.register, 12);
    use(frame);
  });
}

/**
 * One sample for each operation, in the order in which one guest can make them: those that change the domain's memory come
 * last. Where nothing else is said the call succeeds; those that Xen refuses to a guest are measured as they are refused.
 */
export const OPERATION_SAMPLES: readonly OperationSample[] = [
  plain("version.version", (g) => g.hypercall.version.version()),
  plain("version.get_features", (g) => g.hypercall.version.getFeatures({ submapIdx: 0 })),
  plain("version.extraversion", (g, { data }) => g.hypercall.version.extraversion({ buffer: data })),
  plain("version.compile_info", (g, { data }) => g.hypercall.version.compileInfo({ buffer: data })),
  plain("version.capabilities", (g, { data }) => g.hypercall.version.capabilities({ buffer: data })),
  plain("version.changeset", (g, { data }) => g.hypercall.version.changeset({ buffer: data })),
  plain("version.platform_parameters", (g) => g.hypercall.version.platformParameters()),
  plain("version.pagesize", (g) => g.hypercall.version.pagesize({ buffer: 0 })),
  plain("version.guest_handle", (g, { data }) => g.hypercall.version.guestHandle({ buffer: data })),
  plain("version.commandline", (g, { data }) => g.hypercall.version.commandline({ buffer: data })),
  plain("version.build_id", (g) => g.hypercall.version.buildId({ buffer: 0 })),
  ...(["extraversion2", "capabilities2", "changeset2", "commandline2"] as const).map(
    (which): OperationSample => ({
      operation: `version.${which}`,
      emit: (g, { data, again, measured }) => {
        store(g, data, 0, 4096 - 4, 4);
        again(() => {
          measured(() => g.hypercall.version[which]({ buffer: data }));
        });
      },
    }),
  ),
  plain("hvm.get_time", (g) => g.hypercall.hvm.getTime()),
  plain("hvm.get_param", (g) => g.hypercall.hvm.getParam({ domid: SELF, index: CONSOLE_PFN })),
  plain("hvm.set_param", (g) => g.hypercall.hvm.setParam({ domid: SELF, index: CALLBACK_IRQ, value: 0 })),
  plain("hvm.flush_tlbs", (g) => g.hypercall.hvm.flushTlbs()),
  plain("hvm.get_mem_type", (g) => g.hypercall.hvm.getMemType({ domid: SELF, pfn: 1 })),
  plain("hvm.set_evtchn_upcall_vector", (g) =>
    g.hypercall.hvm.setEvtchnUpcallVector({ vcpu: 0, vector: 0x30 }),
  ),
  plain("vcpu.is_up", (g) => g.hypercall.vcpu.isUp({ vcpuid: 0 })),
  plain("vcpu.get_runstate_info", (g) => g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 })),
  plain("vcpu.up", (g) => g.hypercall.vcpu.up({ vcpuid: 0 })),
  plain("vcpu.get_physid", (g) => g.hypercall.vcpu.getPhysid({ vcpuid: 0 })),
  not("vcpu.initialise", "once for each vCPU"),
  not("vcpu.down", "of the only vCPU ends the domain"),
  not("vcpu.send_nmi", "the guest has no handler for it"),
  not("vcpu.register_vcpu_info", "once for each vCPU"),
  plain("vcpu.set_periodic_timer", (g) =>
    g.hypercall.vcpu.setPeriodicTimer({ vcpuid: 0, periodNs: FAR_AWAY_NS }),
  ),
  plain("vcpu.stop_periodic_timer", (g) => g.hypercall.vcpu.stopPeriodicTimer({ vcpuid: 0 })),
  plain("vcpu.set_singleshot_timer", (g) =>
    g.hypercall.vcpu.setSingleshotTimer({ vcpuid: 0, timeoutAbsNs: FAR_AWAY_NS, flags: 0 }),
  ),
  plain("vcpu.stop_singleshot_timer", (g) => g.hypercall.vcpu.stopSingleshotTimer({ vcpuid: 0 })),
  plain("set_timer_op.set", (g) => g.hypercall.setTimerOp.set({ timeout: 0 })),
  plain("vm_assist.set", (g) => g.hypercall.vmAssist.set({ cmd: 1, type: 5 })),
  plain("sched.yield", (g) => g.hypercall.sched.yield()),
  {
    operation: "sched.poll",
    emit: (g, { list, again, measured }) => {
      store(g, list, 0, 1, 4);
      // One port, until an instant that has passed: in a register, or as an array.
      const inputs = g.abi === "fastabi" ? [1, 1] : [1, undefined, list, 1];
      again(() => {
        measured(() => g.call(descriptorOf("sched.poll"), inputs));
      });
    },
  },
  plain("sched.pin_override", (g) => g.hypercall.sched.pinOverride({ pcpu: 0 })),
  plain("sched.shutdown_code", (g) => g.hypercall.sched.shutdownCode({ reason: 0 })),
  not("sched.shutdown", "ends the domain"),
  {
    operation: "sched.watchdog",
    emit: (g, { again, measured }) => {
      g.hypercall.sched.watchdog({ id: 0, timeout: 1000 });
      again(() => {
        measured(() => g.hypercall.sched.watchdog({ id: 1, timeout: 1000 }));
      });
      g.hypercall.sched.watchdog({ id: 1, timeout: 0 });
    },
  },
  plain("console_io.write", (g, { data }) => g.hypercall.consoleIo.write({ count: 1, buffer: data })),
  plain("console_io.read", (g, { data }) => g.hypercall.consoleIo.read({ count: 1, buffer: data })),
  plain("physdev.map_pirq", (g) =>
    g.hypercall.physdev.mapPirq({
      domid: SELF,
      type: 1,
      index: 9,
      pirq: -1,
      bus: 0,
      devfn: 0,
      entryNr: 0,
      tableBase: 0,
    }),
  ),
  plain("physdev.unmap_pirq", (g) => g.hypercall.physdev.unmapPirq({ domid: SELF, pirq: 1 })),
  plain("sysctl.call", (g) => g.hypercall.sysctl.call({ cmd: 3, interfaceVersion: 0x16 })),
  plain("domctl.call", (g) => g.hypercall.domctl.call({ cmd: 5, interfaceVersion: 0x18 })),
  plain("platform_op.call", (g) => g.hypercall.platformOp.call({ cmd: 17, interfaceVersion: 0x03000001 })),
  {
    operation: "multicall.call",
    emit: (g, { list, again, measured }) => {
      // Eight times xen_version(version).
      for (let i = 0; i < 8; i++) store(g, list, 64 * i, 17);
      again(() => {
        measured(() => g.hypercall.multicall.call({ callList: list, nrCalls: 8 }));
      });
    },
  },
  plain("grant_table.query_size", (g) => g.hypercall.grantTable.querySize()),
  plain("grant_table.get_version", (g) => g.hypercall.grantTable.getVersion()),
  plain("grant_table.set_version", (g) => g.hypercall.grantTable.setVersion({ version: 1 })),
  plain("grant_table.setup_table", (g, { list }) =>
    g.call(descriptorOf("grant_table.setup_table"), [SELF, 1, list]),
  ),
  {
    operation: "grant_table.copy",
    condition: "64 bytes between two frames of its own",
    emit: (g, { data, list, again, measured }) => {
      const [source, dest] = [g.frameOf(list), g.frameOf(data)];
      const inputs = {
        sourceDomid: SELF,
        sourceOffset: 0,
        destDomid: SELF,
        destOffset: 0,
        len: 64,
        flags: 0,
      };
      again(() => {
        measured(() => g.hypercall.grantTable.copy({ source, dest, ...inputs }));
      });
      source.release();
      dest.release();
    },
  },
  plain("grant_table.swap_grant_ref", (g) => g.hypercall.grantTable.swapGrantRef({ refA: 8, refB: 9 })),
  not("grant_table.map_grant_ref", "needs another domain's grant"),
  not("grant_table.unmap_grant_ref", "needs another domain's grant"),
  {
    operation: "event_channel.send",
    condition: "to a port that is not pending; its vCPU has been told of another",
    emit: (g, { again, measured }) => {
      again(() => {
        const [receives, sends] = pair(g);
        measured(() => g.hypercall.eventChannel.send({ port: sends }));
        close(g, sends, receives);
      });
    },
  },
  {
    operation: "event_channel.status",
    emit: (g, { again, measured }) => {
      again(() => {
        measured(() => g.hypercall.eventChannel.status({ dom: SELF, port: 1 }));
      });
    },
  },
  {
    operation: "event_channel.unmask",
    emit: (g, { again, measured }) => {
      const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
      again(() => {
        measured(() => g.hypercall.eventChannel.unmask({ port }));
      });
      close(g, port);
    },
  },
  {
    operation: "event_channel.bind_vcpu",
    emit: (g, { again, measured }) => {
      const port = g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }).output("port");
      again(() => {
        measured(() => g.hypercall.eventChannel.bindVcpu({ vcpu: 0, port }));
      });
      close(g, port);
    },
  },
  makesPort("event_channel.alloc_unbound", (g) =>
    g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }),
  ),
  makesPort("event_channel.bind_ipi", (g) => g.hypercall.eventChannel.bindIpi({ vcpu: 0 })),
  makesPort("event_channel.bind_virq", (g) => g.hypercall.eventChannel.bindVirq({ virq: 0, vcpu: 0 })),
  makesPort("event_channel.bind_pirq", (g) => g.hypercall.eventChannel.bindPirq({ pirq: 9, flags: 0 })),
  {
    operation: "event_channel.bind_interdomain",
    emit: (g, { again, measured }) => {
      again(() => {
        const port = g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }).output("port");
        measured(() => g.hypercall.eventChannel.bindInterdomain({ remoteDom: SELF, remotePort: port }));
        // The lowest free port: one more than the first, closed before it.
        g.add(port, 1);
        g.hypercall.eventChannel.close({ port });
        g.subtract(port, 1);
        close(g, port);
      });
    },
  },
  {
    operation: "event_channel.close",
    emit: (g, { again, measured }) => {
      again(() => {
        const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
        measured(() => g.hypercall.eventChannel.close({ port }));
        port.release();
      });
    },
  },
  {
    operation: "sched.block",
    emit: (g, { again, measured }) => {
      const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
      g.hypercall.eventChannel.send({ port });
      again(() => {
        measured(() => g.hypercall.sched.block());
      });
      close(g, port);
    },
  },
  not("event_channel.reset", "closes the console's port, too"),
  not("event_channel.init_control", "once for each vCPU"),
  ...(
    [
      ["vcpu.register_runstate_phys_area", "registerRunstatePhysArea"],
      ["vcpu.register_vcpu_time_phys_area", "registerVcpuTimePhysArea"],
    ] as const
  ).map(
    ([operation, method]): OperationSample => ({
      operation,
      emit: (g, { data, again, measured }) => {
        withAddress(g, data, (addrP) => {
          again(() => {
            measured(() => g.hypercall.vcpu[method]({ vcpuid: 0, addrP }));
          });
        });
        g.hypercall.vcpu[method]({ vcpuid: 0, addrP: -1 });
      },
    }),
  ),
  ...(
    [
      ["vcpu.register_runstate_memory_area", "registerRunstateMemoryArea"],
      ["vcpu.register_vcpu_time_memory_area", "registerVcpuTimeMemoryArea"],
    ] as const
  ).map(
    ([operation, method]): OperationSample => ({
      operation,
      emit: (g, { data, again, measured }) => {
        again(() => {
          measured(() => g.hypercall.vcpu[method]({ vcpuid: 0, addrH: data }));
        });
        g.hypercall.vcpu[method]({ vcpuid: 0, addrH: 0 });
      },
    }),
  ),
  plain("memory.memory_map", (g, { list }) => g.hypercall.memory.memoryMap({ nrEntries: 8, buffer: list })),
  {
    operation: "memory.decrease_reservation",
    emit: (g, tools) => {
      emitReservation(g, tools, "decrease");
    },
  },
  {
    operation: "memory.populate_physmap",
    emit: (g, tools) => {
      emitReservation(g, tools, "populate");
    },
  },
  {
    operation: "memory.add_to_physmap",
    emit: (g, { spare, again, measured }) => {
      withFrame(g, spare, (gpfn) => {
        again(() => {
          measured(() => g.hypercall.memory.addToPhysmap({ size: 0, space: 0, idx: 0, gpfn }));
        });
      });
    },
  },
  {
    operation: "memory.remove_from_physmap",
    emit: (g, { spare, again, measured }) => {
      withFrame(g, spare, (gpfn) => {
        again(() => {
          g.hypercall.memory.addToPhysmap({ size: 0, space: 0, idx: 0, gpfn });
          measured(() => g.hypercall.memory.removeFromPhysmap({ gpfn }));
        });
      });
    },
  },
  // From here on event channels are FIFO ones.
  {
    operation: "event_channel.expand_array",
    condition: "the second page and further ones",
    emit: (g, { data, list, again, measured }) => {
      withFrame(g, data, (controlGfn) => {
        g.hypercall.eventChannel.initControl({ controlGfn, offset: 0, vcpu: 0 });
      });
      withFrame(g, list, (arrayGfn) => {
        g.hypercall.eventChannel.expandArray({ arrayGfn });
        again(() => {
          measured(() => g.hypercall.eventChannel.expandArray({ arrayGfn }));
        });
      });
    },
  },
  {
    operation: "event_channel.set_priority",
    emit: (g, { data, list, again, measured }) => {
      // After the sample above: the first is refused and changes nothing, the second is one page more.
      withFrame(g, data, (controlGfn) => {
        g.hypercall.eventChannel.initControl({ controlGfn, offset: 0, vcpu: 0 });
      });
      withFrame(g, list, (arrayGfn) => {
        g.hypercall.eventChannel.expandArray({ arrayGfn });
      });
      const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
      again(() => {
        measured(() => g.hypercall.eventChannel.setPriority({ port, priority: 3 }));
      });
      close(g, port);
    },
  },
];

/** Gives one frame back and takes it again; one of the two is measured. */
function emitReservation(
  g: GuestProgram,
  { list, spare, again, measured }: SampleTools,
  which: "decrease" | "populate",
): void {
  const inputs = { extentStart: list, nrExtents: 1, extentOrder: 0, memFlags: 0, domid: SELF };
  const decrease = () => g.hypercall.memory.decreaseReservation(inputs);
  const populate = () => g.hypercall.memory.populatePhysmap(inputs);
  withFrame(g, spare, (frame) => {
    store(g, list, 0, frame);
  });
  again(() => {
    if (which === "decrease") measured(decrease);
    else decrease();
    if (which === "populate") measured(populate);
    else populate();
  });
}
