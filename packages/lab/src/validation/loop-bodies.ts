import {
  at,
  atLabel,
  eax,
  ecx,
  type GuestBuffer,
  type GuestProgram,
  IMAGE_LINEAR,
  linearAddress,
  type Operand,
  physicalAddress,
  r9,
  rax,
  rbx,
  rdi,
  rdx,
  rsi,
} from "@hyperwalk/guest-sdk";
import type { LoopBody } from "./guest-loop.js";

const SELF = 0x7ff0;
const VCPU_OP = 24;
const EVENT_CHANNEL_OP = 32;
const MULTICALL = 13;
const GET_RUNSTATE_INFO = 4;
const SEND = 4;
const PAGE = 4096;
/** `struct multicall_entry`: number, result, six arguments. */
const ENTRY_BYTES = 64;

/** A number that no table has. */
const UNKNOWN_NUMBER = 60;
const EFER = 0xc0000080;

/** Makes a hypercall by its number, with what is in the argument registers, as the vendor's instruction has it. */
function hypercall(g: GuestProgram, number: number): void {
  g.asm.mov(eax, number);
  g.asm.plain(g.vendor === "amd" ? "vmmcall" : "vmcall");
}

/** Address of a byte of a buffer, as the interface wants it. */
function addressOf(g: GuestProgram, buffer: GuestBuffer, offset = 0): Operand {
  return g.abi === "linear" ? linearAddress(buffer.label, offset) : physicalAddress(buffer.label, offset);
}

/** Two pages, the second of them next to the first. */
function twoPages(g: GuestProgram): GuestBuffer {
  return g.buffer(2 * PAGE, PAGE);
}

/** A port of the guest's own that reaches itself. */
function ownPort(g: GuestProgram): ReturnType<GuestProgram["variable"]> {
  const remotePort = g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }).output("port");
  const port = g.hypercall.eventChannel.bindInterdomain({ remoteDom: SELF, remotePort }).output("local_port");
  remotePort.release();
  return port;
}

const plain =
  (call: (g: GuestProgram) => unknown): LoopBody =>
  (g) =>
  () =>
    void call(g);

const unknownHypercall: LoopBody = plain((g) => hypercall(g, UNKNOWN_NUMBER));
const xenVersion: LoopBody = plain((g) => g.hypercall.version.version());
const getFeatures: LoopBody = plain((g) => g.hypercall.version.getFeatures({ submapIdx: 0 }));
const isUp: LoopBody = plain((g) => g.hypercall.vcpu.isUp({ vcpuid: 0 }));
const setTimer: LoopBody = plain((g) => g.hypercall.setTimerOp.set({ timeout: 0 }));
const schedYield: LoopBody = plain((g) => g.hypercall.sched.yield());
const getRunstateInfo: LoopBody = plain((g) => g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 }));
const getTime: LoopBody = plain((g) => g.hypercall.hvm.getTime());
const getParam: LoopBody = plain((g) => g.hypercall.hvm.getParam({ domid: SELF, index: 17 }));
const portStatus: LoopBody = plain((g) => g.hypercall.eventChannel.status({ dom: SELF, port: 1 }));

/** EVTCHNOP_send to a port that is pending from the first time on. */
const sendPending: LoopBody = (g) => {
  const port = ownPort(g);
  return () => void g.hypercall.eventChannel.send({ port });
};

/** get_runstate_info into a struct whose end lies in the next page. */
const getRunstateInfoAcross: LoopBody = (g) => {
  const pages = twoPages(g);
  return () => {
    g.asm.mov(rdi, GET_RUNSTATE_INFO);
    g.asm.mov(rsi, 0);
    g.asm.mov(rdx, addressOf(g, pages, PAGE - 24));
    hypercall(g, VCPU_OP);
  };
};

/** EVTCHNOP_send of a struct that lies across two pages. */
const sendPendingAcross: LoopBody = (g) => {
  const pages = twoPages(g);
  const port = ownPort(g);
  g.asm.mov(atLabel(pages.label, PAGE - 2), port.register, 32);
  port.release();
  return () => {
    g.asm.mov(rdi, SEND);
    g.asm.mov(rsi, addressOf(g, pages, PAGE - 2));
    hypercall(g, EVENT_CHANNEL_OP);
  };
};

/** A multicall; each entry is a number and its arguments. */
function multicall(
  entries: (g: GuestProgram, spare: GuestBuffer) => readonly (readonly Operand[])[],
): LoopBody {
  return (g) => {
    const list = g.buffer(PAGE, PAGE);
    const spare = g.buffer(PAGE, PAGE);
    const made = entries(g, spare);
    made.forEach(([number, ...values], i) => {
      const place = (word: number, value: Operand) => {
        g.asm.mov(rax, value);
        g.asm.mov(atLabel(list.label, ENTRY_BYTES * i + 8 * word), rax);
      };
      place(0, number);
      for (const [n, value] of values.entries()) place(2 + n, value);
    });
    return () => {
      g.asm.mov(rdi, addressOf(g, list));
      g.asm.mov(rsi, made.length);
      hypercall(g, MULTICALL);
    };
  };
}

/** A multicall of one HVMOP_get_time. */
const multicallOfGetTime: LoopBody = multicall((g, spare) => [[34, 10, addressOf(g, spare)]]);
/** A multicall of xen_version(version) and VCPUOP_is_up. */
const multicallOfTwo: LoopBody = multicall(() => [
  [17, 0],
  [VCPU_OP, 3, 0],
]);

/** XENMEM_memory_map with room for one entry. */
const memoryMap: LoopBody = (g) => {
  const buffer = g.buffer(PAGE, PAGE);
  return () => void g.hypercall.memory.memoryMap({ nrEntries: 1, buffer });
};

/** CPUID of a leaf. */
const cpuid = (leaf: number): LoopBody =>
  plain((g) => {
    g.asm.mov(eax, leaf);
    g.asm.mov(ecx, 0);
    keepingRbx(g, () => g.asm.plain("cpuid"));
  });

const rdmsr: LoopBody = plain((g) => {
  g.asm.mov(ecx, EFER);
  g.asm.plain("rdmsr");
});

/** IN AL from port 0xe9, which Xen answers itself. */
const inFromDebugPort: LoopBody = plain((g) => g.asm.raw(0xe4, 0xe9));

/** Nothing: what the loop itself takes. */
const nothing: LoopBody = () => () => {};

/** RBX holds a variable of the program. */
function keepingRbx(g: GuestProgram, body: () => void): void {
  g.asm.mov(r9, rbx);
  body();
  g.asm.mov(rbx, r9);
}

/** EVTCHNOP_send with its struct at a constant address. */
const sendFrom = (address: bigint): LoopBody =>
  plain((g) => {
    g.asm.mov(rdi, SEND);
    g.asm.mov(rsi, address);
    hypercall(g, EVENT_CHANNEL_OP);
  });

/** The last page of the region that the image is mapped in, which nothing uses. */
const LAST_PAGE = IMAGE_LINEAR + 2n ** 21n - 4096n;

/** An address whose walk ends at the n-th entry, so far away from where the image is mapped; the fourth entry is cleared. */
const nowhere =
  (entry: 1 | 2 | 3 | 4): LoopBody =>
  (g) => {
    if (entry === 4) clearEntry(g, LAST_PAGE);
    const far = [-(2n ** 45n), -(2n ** 31n) + 2n ** 30n, 2n ** 29n, 0n][entry - 1];
    return sendFrom(LAST_PAGE + far)(g);
  };

/** Clears the leaf entry of a page that was never touched; tables lie in low memory, which is mapped at itself. */
function clearEntry(g: GuestProgram, address: bigint): void {
  g.asm.movFromControl(rax, 3);
  for (const shift of [39n, 30n, 21n]) {
    g.asm.alu("and", rax, -PAGE);
    g.asm.mov(rax, at(rax, 8 * Number((address >> shift) & 511n)));
  }
  g.asm.alu("and", rax, -PAGE);
  g.asm.mov(at(rax, 8 * Number((address >> 12n) & 511n)), 0, 64);
}

/** Names of {@link LOOP_BODIES}. */
export type LoopBodyName =
  | "unknown hypercall"
  | "xen_version"
  | "xen_version(get_features)"
  | "vcpu_op is_up"
  | "set_timer_op"
  | "sched_op yield"
  | "get_runstate_info"
  | "get_runstate_info across pages"
  | "get_time"
  | "hvm_op(get_param)"
  | "evtchn_op(status)"
  | "evtchn_send"
  | "evtchn_send across pages"
  | "multicall of get_time"
  | "multicall of two"
  | "XENMEM_memory_map"
  | "evtchn_send, nothing at entry 1"
  | "evtchn_send, nothing at entry 2"
  | "evtchn_send, nothing at entry 3"
  | "evtchn_send, nothing at entry 4"
  | "evtchn_send, beyond memory"
  | "CPUID(0)"
  | "CPUID(0x40000000)"
  | "RDMSR(EFER)"
  | "IN 0xe9"
  | "nothing";

/** The loops that figures and predictions are read off, by name. */
export const LOOP_BODIES: Readonly<Record<LoopBodyName, LoopBody>> = {
  "unknown hypercall": unknownHypercall,
  xen_version: xenVersion,
  "xen_version(get_features)": getFeatures,
  "vcpu_op is_up": isUp,
  set_timer_op: setTimer,
  "sched_op yield": schedYield,
  get_runstate_info: getRunstateInfo,
  "get_runstate_info across pages": getRunstateInfoAcross,
  get_time: getTime,
  "hvm_op(get_param)": getParam,
  "evtchn_op(status)": portStatus,
  evtchn_send: sendPending,
  "evtchn_send across pages": sendPendingAcross,
  "multicall of get_time": multicallOfGetTime,
  "multicall of two": multicallOfTwo,
  XENMEM_memory_map: memoryMap,
  "evtchn_send, nothing at entry 1": nowhere(1),
  "evtchn_send, nothing at entry 2": nowhere(2),
  "evtchn_send, nothing at entry 3": nowhere(3),
  "evtchn_send, nothing at entry 4": nowhere(4),
  "evtchn_send, beyond memory": sendFrom(2n ** 40n),
  "CPUID(0)": cpuid(0),
  "CPUID(0x40000000)": cpuid(0x40000000),
  "RDMSR(EFER)": rdmsr,
  "IN 0xe9": inFromDebugPort,
  nothing,
};
