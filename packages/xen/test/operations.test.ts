import { describe, expect, it } from "vitest";
import { Console } from "../src/console.ts";
import { Domain } from "../src/domain.ts";
import { Errno } from "../src/errno.ts";
import { EventChannels } from "../src/event-channel.ts";
import { GrantTable } from "../src/grant-table.ts";
import type { GuestAccess } from "../src/guest-access/guest-access.ts";
import {
  DESCRIPTORS,
  HYPERCALLS,
  RUNSTATE_BLOCKED,
  RUNSTATE_OFFLINE,
} from "../src/operations/descriptors.gen.ts";
import { OPERATIONS, operationTable } from "../src/operations/index.ts";
import type { OperationCall } from "../src/operations/operation.ts";
import type { P2m } from "../src/p2m.ts";
import { Runstate } from "../src/runstate.ts";
import { VcpuTimers } from "../src/vcpu-timers.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

const SELF = 0x7ff0;
const DOMAIN = 5;
const GUEST_BYTES = 0x8000;
/** Machine frame of a guest frame: there are 256. */
const frameOf = (gfn: number): number => (gfn < 0x100 ? 0x400 + gfn : -1);

/** A domain of two vCPUs with the members that operations use, and guest memory without translation. */
class Bench {
  readonly cost: RecordingCost;
  readonly guest = new Uint8Array(GUEST_BYTES);
  readonly domain: {
    readonly id: number;
    readonly config: { readonly memoryBytes: number; readonly hardwareDomain: boolean };
    readonly vcpus: readonly {
      readonly runstate: Runstate;
      readonly timers: VcpuTimers;
      flushed: number;
      ticks: number;
    }[];
    readonly eventChannels: EventChannels;
    readonly console: Console;
    readonly params: Float64Array;
    readonly latchLayout: (is32Bit: boolean) => void;
    shutdownReason: number;
    shutdownCode: number;
    readonly shutDown: (reason: number) => void;
    sharedInfoAt: number;
    readonly mapSharedInfo: (gfn: number) => number;
    readonly findDomain: () => undefined;
    readonly grantTable: GrantTable;
    readonly mapped: [number, number][];
    readonly mapFrame: (mfn: number, gfn: number) => number;
    readonly placeFixedRegions: () => void;
    readonly frameHome: (mfn: number) => number;
    readonly released: number[];
    readonly releaseFrame: (gfn: number) => boolean;
    readonly p2m: Pick<P2m, "lookup" | "lookupForWriting" | "putPage">;
  };
  readonly console: Console;
  nowNs = 0n;
  readonly call: OperationCall;

  constructor(hardwareDomain = false) {
    const { memory, allocateFrame } = xenMemory();
    this.cost = new RecordingCost(memory);
    this.console = new Console({ readU32: () => 0, writeU32: () => {}, readBytes: () => new Uint8Array() });
    const bench = this;
    const vcpus = [0, 1].map((id) => {
      const vcpu = {
        id,
        runstate: new Runstate(id === 0 ? 0 : RUNSTATE_OFFLINE),
        down: id !== 0,
        timeLo: 0,
        timeHi: 0,
        flushed: 0,
        timers: new VcpuTimers(1),
        areas: { updateTime: () => {} },
        runner: { kick: () => {} },
        sendTimerEvent: () => {
          vcpu.ticks++;
        },
        ticks: 0,
        get nowNs() {
          return Number(bench.nowNs);
        },
        systemTimeNs: () => {
          vcpu.timeLo = Number(BigInt.asIntN(32, this.nowNs));
          vcpu.timeHi = Number(BigInt.asIntN(32, this.nowNs >> 32n));
        },
        flushTlb: () => vcpu.flushed++,
      };
      return vcpu;
    });
    const eventChannels = new EventChannels({
      memory,
      allocateFrame,
      domainId: DOMAIN,
      vcpus: 2,
      sharedInfoFrame: 8,
    });
    this.domain = {
      id: DOMAIN,
      config: { memoryBytes: 2 ** 32, hardwareDomain },
      vcpus,
      eventChannels,
      console: this.console,
      params: new Float64Array(39),
      shutdownReason: -1,
      shutdownCode: -1,
      shutDown: Domain.prototype.shutDown,
      placeFixedRegions: () => {},
      sharedInfoAt: -1,
      latchLayout: (is32Bit) => eventChannels.events.latchLayout(is32Bit),
      mapSharedInfo: (gfn: number) => {
        this.domain.sharedInfoAt = gfn;
        return 0;
      },
      findDomain: () => undefined,
      grantTable: new GrantTable({ memory, allocateFrame }),
      mapped: [],
      mapFrame: (mfn: number, gfn: number) => {
        this.domain.mapped.push([mfn, gfn]);
        return 0;
      },
      frameHome: (mfn: number) => this.domain.mapped.find(([each]) => each === mfn)?.[1] ?? -1,
      released: [],
      releaseFrame: (gfn: number) => gfn < 0x100 && this.domain.released.push(gfn) > 0,
      p2m: { lookup: frameOf, lookupForWriting: frameOf, putPage: () => {} },
    };
    const access = new PlainAccess(this.guest);
    this.call = {
      inputs: new Int32Array(16),
      outputs: new Int32Array(16),
      startExtent: 0,
      vcpu: vcpus[0],
      domain: this.domain,
      cost: this.cost,
      access,
    } as unknown as OperationCall;
  }

  /** Runs an operation on values by name. @returns its result and its outputs by name */
  run(name: string, values: Readonly<Record<string, number | bigint>> = {}) {
    const operation = OPERATIONS.find((o) => o.descriptor.name === name);
    if (operation === undefined) throw new Error(`no operation ${name}`);
    const { inputs, outputs } = operation.descriptor;
    this.call.inputs.fill(0);
    this.call.outputs.fill(0);
    inputs.forEach((field, i) => {
      const value = BigInt(values[field.name] ?? 0);
      this.call.inputs[2 * i] = Number(BigInt.asIntN(32, value));
      this.call.inputs[2 * i + 1] = Number(BigInt.asIntN(32, value >> 32n));
    });
    const result = operation.handle(this.call);
    const word = (at: number) => BigInt.asUintN(32, BigInt(this.call.outputs[at]));
    const out = Object.fromEntries(
      outputs.map((field, i) => [field.name, word(2 * i) | (word(2 * i + 1) << 32n)] as const),
    );
    return { result, ...out } as { result: number } & Record<string, bigint>;
  }
}

/** Guest access that finds guest address n at byte n, and nothing above the guest's memory. */
class PlainAccess implements GuestAccess {
  readonly id = "physical";
  readonly buffer = new DataView(new ArrayBuffer(1024));
  private readonly guest: Uint8Array;

  constructor(guest: Uint8Array) {
    this.guest = guest;
  }

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    if (hi !== 0 || lo < 0 || lo + bytes > this.guest.length) return -Errno.EFAULT;
    new Uint8Array(this.buffer.buffer).set(this.guest.subarray(lo, lo + bytes));
    return 0;
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    if (hi !== 0 || lo < 0 || lo + bytes > this.guest.length) return -Errno.EFAULT;
    this.guest.set(new Uint8Array(this.buffer.buffer, 0, bytes), lo);
    return 0;
  }
}

describe("the list of operations", () => {
  it("has each once, with a price that says what it rests on", () => {
    expect(new Set(OPERATIONS.map((o) => o.descriptor)).size).toBe(OPERATIONS.length);
    for (const { descriptor, stage } of OPERATIONS) {
      expect(DESCRIPTORS).toContain(descriptor);
      expect(stage.source).not.toBe("");
      if (stage.basis === "estimate") expect(stage.range, descriptor.name).toBeDefined();
      const [least, most] = stage.range ?? [stage.instructions, stage.instructions];
      expect(stage.instructions).toBeGreaterThanOrEqual(least as number);
      expect(stage.instructions).toBeLessThanOrEqual(most as number);
    }
  });

  it("is found by hypercall and sub-operation", () => {
    const table = operationTable();
    expect(table[HYPERCALLS.vcpu]?.[4]?.descriptor.name).toBe("vcpu.get_runstate_info");
    expect(table[HYPERCALLS.vcpu]?.[16]).toBeUndefined();
    expect(table[HYPERCALLS.console_io]?.[0]).toBeDefined();
    expect(operationTable(OPERATIONS, true)[HYPERCALLS.console_io]).toBeUndefined();
  });
});

describe("version", () => {
  it("answers", () => {
    const bench = new Bench();
    expect(bench.run("version.version").result).toBe((4 << 16) | 23);
    const { result, submap } = bench.run("version.get_features", { submap_idx: 0 });
    const bits = [0, 2, 8, 9, 13, 16, 18, 19, 20];
    expect([result, submap]).toEqual([0, BigInt(bits.reduce((sum, bit) => sum + 2 ** bit, 0))]);
    expect(new Bench(true).run("version.get_features").submap).toBe(submap + 2n ** 11n);
    expect(bench.run("version.get_features", { submap_idx: 1 }).result).toBe(-Errno.EINVAL);
    expect(bench.run("version.get_features", { submap_idx: 0xffffffff }).result).toBe(-Errno.EINVAL);
  });
});

describe("vcpu", () => {
  it("reports run states to the nanosecond", () => {
    const bench = new Bench();
    bench.nowNs = 0x1_2345_6789n;
    const info = bench.run("vcpu.get_runstate_info", { vcpuid: 0 });
    expect(info).toMatchObject({ result: 0, state: 0n, state_entry_time: 0n, "time[0]": 0x1_2345_6789n });
    expect([info["time[1]"], info["time[2]"], info["time[3]"]]).toEqual([0n, 0n, 0n]);
    expect(bench.run("vcpu.get_runstate_info", { vcpuid: 1 })["time[3]"]).toBe(0x1_2345_6789n);
  });

  it("knows which vCPUs are up and which do not exist", () => {
    const bench = new Bench();
    expect([0, 1].map((vcpuid) => bench.run("vcpu.is_up", { vcpuid }).result)).toEqual([1, 0]);
    const operations = ["is_up", "initialise", "up", "down", "send_nmi", "get_runstate_info", "get_physid"];
    for (const name of operations.map((each) => `vcpu.${each}`))
      for (const vcpuid of [2, 0x80000000, 0xffffffff])
        expect(bench.run(name, { vcpuid }).result).toBe(-Errno.ENOENT);
    expect(bench.run("vcpu.get_physid", { vcpuid: 0 }).result).toBe(-Errno.EINVAL);
  });
});

describe("timers", () => {
  const start = (now: bigint) => {
    const bench = new Bench();
    bench.nowNs = now;
    const [own, other] = bench.domain.vcpus;
    return { bench, own, other };
  };
  const MS = 1_000_000;

  it("answer as common_vcpu_op does", () => {
    const { bench } = start(0n);
    const periodic = (vcpuid: number, period_ns: number | bigint) =>
      bench.run("vcpu.set_periodic_timer", { vcpuid, period_ns }).result;
    expect([periodic(2, MS), periodic(0, MS - 1), periodic(0, 0)]).toEqual([
      -Errno.ENOENT,
      -Errno.EINVAL,
      -Errno.EINVAL,
    ]);
    expect([periodic(0, MS), periodic(1, 2n ** 62n - 1n), periodic(0, 2n ** 62n)]).toEqual([
      0,
      0,
      -Errno.EINVAL,
    ]);
    for (const name of ["stop_periodic_timer", "set_singleshot_timer", "stop_singleshot_timer"]) {
      const of = (vcpuid: number) => bench.run(`vcpu.${name}`, { vcpuid }).result;
      expect([of(2), of(0)], name).toEqual([-Errno.ENOENT, 0]);
      expect(of(1), name).toBe(name === "stop_periodic_timer" ? 0 : -Errno.EINVAL); // only one's own
    }
  });

  it("that have passed are events at once, also where the future was asked for", () => {
    const { bench, own } = start(1000n);
    for (const flags of [0, 1]) {
      own.timers.setSingleshot(5000);
      expect(bench.run("vcpu.set_singleshot_timer", { vcpuid: 0, timeout_abs_ns: 999, flags }).result).toBe(
        0,
      );
      expect([own.ticks, own.timers.running]).toEqual([flags + 1, false]);
    }
    bench.run("vcpu.set_singleshot_timer", { vcpuid: 0, timeout_abs_ns: 1000 });
    expect([own.ticks, own.timers.snapshot().singleshot]).toEqual([2, 1000]); // as soon as Xen looks
  });

  it("tick at once when none has for a period", () => {
    const { bench, own, other } = start(BigInt(5 * MS));
    bench.run("vcpu.set_periodic_timer", { vcpuid: 0, period_ns: 2 * MS });
    bench.run("vcpu.set_periodic_timer", { vcpuid: 1, period_ns: 6 * MS });
    expect([own.ticks, other.ticks]).toEqual([1, 0]);
    expect([own.timers.snapshot().periodic, other.timers.snapshot().periodic]).toEqual([7 * MS, 6 * MS]);
    bench.nowNs = BigInt(6 * MS);
    bench.run("vcpu.set_periodic_timer", { vcpuid: 0, period_ns: 2 * MS }); // the last tick still counts
    expect([own.ticks, own.timers.snapshot().periodic]).toEqual([1, 7 * MS]);
    bench.run("vcpu.stop_periodic_timer", { vcpuid: 0 });
    expect(own.timers.running).toBe(false);
  });

  it("take what old guests mean by instants far away", () => {
    const set = (timeout: bigint) => {
      const { bench, own } = start(1000n);
      own.timers.setSingleshot(1);
      expect(bench.run("set_timer_op.set", { timeout }).result).toBe(0);
      return own.timers.snapshot().singleshot;
    };
    const mistake = 1000 + 100 * MS;
    expect([set(0n), set(1n), set(2000n)]).toEqual([-1, 1, 2000]);
    expect([set(-1n), set(-(2n ** 63n)), set(2n ** 63n - 1n)]).toEqual([mistake, mistake, mistake]);
    expect([set(2n ** 50n + 999n), set(2n ** 50n + 1000n)]).toEqual([2 ** 50 + 999, mistake]);
  });
});

describe("vcpu_info", () => {
  it("moves once, to one page of RAM", () => {
    const bench = new Bench();
    const register = (mfn: number | bigint, offset: number, vcpuid = 0) =>
      bench.run("vcpu.register_vcpu_info", { vcpuid, mfn, offset }).result;
    expect(register(5, 4096 - 63)).toBe(-Errno.ENXIO);
    // common_vcpu_op: the offset has to stay in the frame; map_guest_area: and so has the whole vcpu_info.
    expect([register(5, 4096), register(5, 0xffffffc0)]).toEqual([-Errno.EINVAL, -Errno.EINVAL]);
    expect(register(5, 4)).toBe(-Errno.ENXIO);
    expect(register(0x100, 64)).toBe(-Errno.EINVAL);
    expect(register(1n << 40n, 64)).toBe(-Errno.EINVAL);
    expect(register(5, 64, 2)).toBe(-Errno.ENOENT);
    expect(register(5, 64)).toBe(0);
    expect(register(5, 64)).toBe(-Errno.EBUSY);
    expect(bench.domain.eventChannels.events.hasUpcall(0)).toBe(true);
  });
});

describe("hvm", () => {
  it("takes a vector of its own for a vCPU's events", () => {
    const bench = new Bench();
    const set = (vcpu: number, vector: number) =>
      bench.run("hvm.set_evtchn_upcall_vector", { vcpu, vector }).result;
    expect([set(0, 15), set(2, 0xf3), set(1, 0xf3)]).toEqual([-Errno.EINVAL, -Errno.ENOENT, 0]);
    expect([...bench.domain.eventChannels.upcallVectors]).toEqual([0, 0xf3]);
  });

  it("lets a guest read and set only its parameters", () => {
    const bench = new Bench();
    const set = (index: number, value: number | bigint, domid = SELF) =>
      bench.run("hvm.set_param", { domid, index, value }).result;
    const get = (index: number, domid = SELF) => bench.run("hvm.get_param", { domid, index });
    bench.domain.params[17] = 0xfefff;
    expect(get(17)).toMatchObject({ result: 0, value: 0xfeffen + 1n });
    expect(set(17, 1)).toBe(-Errno.EPERM);
    expect(get(5).result).toBe(-Errno.EPERM);
    expect(get(13).result).toBe(-Errno.EINVAL);
    for (const index of [39, 0x7fffffff, 0x80000000, 0xffffffff]) {
      expect(get(index).result).toBe(-Errno.EINVAL);
      expect(set(index, 0)).toBe(-Errno.EINVAL);
    }
    expect(get(17, 0).result).toBe(-Errno.EPERM);
    expect(get(17, 6).result).toBe(-Errno.ESRCH);
    expect(get(17, DOMAIN).result).toBe(0);
    expect(set(34, 0x1_0000_2000)).toBe(0);
    expect(get(34).value).toBe(0x1_0000_2000n);
    expect([set(36, 3), set(36, 8)]).toEqual([-Errno.EINVAL, 0]);
  });

  it("keeps all bits of the callback", () => {
    const bench = new Bench();
    const value = (2n << 56n) | 0xf3n;
    expect(bench.run("hvm.set_param", { domid: SELF, index: 0, value }).result).toBe(0);
    expect(bench.run("hvm.get_param", { domid: SELF, index: 0 }).value).toBe(value);
    expect(bench.domain.eventChannels.callbackVector).toBe(0xf3);
  });

  it("tells the time and flushes", () => {
    const bench = new Bench();
    bench.nowNs = 0xffff_ffff_0000_0001n >> 12n;
    expect(bench.run("hvm.get_time")).toEqual({ result: 0, now: bench.nowNs });
    expect(bench.run("hvm.flush_tlbs", { arg: 1n << 40n }).result).toBe(-Errno.EINVAL);
    expect(bench.run("hvm.flush_tlbs").result).toBe(0);
    expect(bench.domain.vcpus.map((v) => v.flushed)).toEqual([1, 1]);
  });
});

describe("event channels", () => {
  it("checks a FIFO control block and event words as Xen does", () => {
    const bench = new Bench();
    const run = (name: string, values: Readonly<Record<string, number | bigint>>) =>
      bench.run(`event_channel.${name}`, values);
    const init = (values: Readonly<Record<string, number | bigint>>) =>
      run("init_control", { control_gfn: 3, ...values }).result;
    expect(run("expand_array", { array_gfn: 3 }).result).toBe(-Errno.EOPNOTSUPP);
    expect([init({ vcpu: 2 }), init({ vcpu: 0xffffffff })]).toEqual([-Errno.ENOENT, -Errno.ENOENT]);
    for (const offset of [4, 4028, 4032, 4088, 0xfffffff8]) expect(init({ offset })).toBe(-Errno.EINVAL);
    for (const control_gfn of [0x100, 2n ** 53n + 3n, 2n ** 64n - 1n])
      expect(init({ control_gfn })).toBe(-Errno.EINVAL);
    expect(run("expand_array", { array_gfn: 3 }).result).toBe(-Errno.EOPNOTSUPP); // still 2-level
    expect(run("init_control", { control_gfn: 3, offset: 4024 })).toEqual({ result: 0, link_bits: 17n });
    expect([init({}), init({ vcpu: 1 })]).toEqual([-Errno.EINVAL, 0]);
    expect(run("expand_array", { array_gfn: 2n ** 40n }).result).toBe(-Errno.EINVAL);
    for (let page = 0; page < 128; page++) expect(run("expand_array", { array_gfn: 4 }).result).toBe(0);
    expect(run("expand_array", { array_gfn: 4 }).result).toBe(-Errno.ENOSPC);
  });

  it("checks priorities as Xen does, and resets", () => {
    const bench = new Bench();
    const set = (port: number, priority: number) =>
      bench.run("event_channel.set_priority", { port, priority }).result;
    const reset = (dom: number) => bench.run("event_channel.reset", { dom }).result;
    bench.run("event_channel.bind_ipi", { vcpu: 1 });
    expect([set(1, 0), set(100, 0)]).toEqual([-Errno.ENOSYS, -Errno.EINVAL]);
    bench.run("event_channel.init_control", { control_gfn: 3 });
    expect([set(1, 15), set(1, 16), set(1, 0xffffffff)]).toEqual([0, -Errno.EINVAL, -Errno.EINVAL]);
    expect([set(2, 0), set(64, 0), set(0xffffffff, 0)]).toEqual([
      -Errno.EACCES,
      -Errno.EINVAL,
      -Errno.EINVAL,
    ]);
    expect([reset(0), reset(9), reset(SELF)]).toEqual([-Errno.EPERM, -Errno.ESRCH, 0]);
    expect(bench.run("event_channel.send", { port: 1 }).result).toBe(-Errno.EINVAL);
    expect(set(1, 0)).toBe(-Errno.ENOSYS);
    expect([reset(DOMAIN), bench.run("event_channel.bind_ipi", { vcpu: 1 }).port]).toEqual([0, 1n]);
  });

  it("binds, sends, reports and closes", () => {
    const bench = new Bench();
    const { port } = bench.run("event_channel.alloc_unbound", { dom: SELF, remote_dom: SELF });
    const { local_port } = bench.run("event_channel.bind_interdomain", {
      remote_dom: SELF,
      remote_port: port,
    });
    expect([port, local_port]).toEqual([1n, 2n]);
    expect(bench.run("event_channel.send", { port: 2 }).result).toBe(0);
    expect(bench.run("event_channel.status", { dom: SELF, port: 2 })).toEqual({
      result: 0,
      status: 2n,
      vcpu: 0n,
      output1: 5n,
      output2: 1n,
    });
    expect(bench.run("event_channel.bind_vcpu", { port: 1, vcpu: 1 }).result).toBe(0);
    expect(bench.run("event_channel.bind_virq", { virq: 0, vcpu: 0 })).toMatchObject({ result: 0, port: 3n });
    expect(bench.run("event_channel.bind_ipi", { vcpu: 1 })).toMatchObject({ result: 0, port: 4n });
    expect(bench.run("event_channel.unmask", { port: 4 }).result).toBe(0);
    expect(bench.run("event_channel.close", { port: 4 }).result).toBe(0);
    expect(bench.run("event_channel.send", { port: 4 }).result).toBe(-Errno.EINVAL);
    expect(bench.run("event_channel.send", { port: 0xffffffff }).result).toBe(-Errno.EINVAL);
  });
});

describe("sched", () => {
  it("shuts down once, with the low byte of the reason", () => {
    const bench = new Bench();
    expect(bench.run("sched.shutdown", { reason: 0x103 }).result).toBe(0);
    bench.run("sched.shutdown", { reason: 0 });
    expect(bench.domain.shutdownReason).toBe(3);
    const crashed = new Bench();
    for (const reason of [3, 1]) expect(crashed.run("sched.shutdown_code", { reason }).result).toBe(0);
    expect(crashed.domain.shutdownReason).toBe(-1);
    crashed.run("sched.shutdown", { reason: 0 });
    expect(crashed.domain.shutdownReason).toBe(3);
  });

  it("blocks only while no event waits", () => {
    const bench = new Bench();
    const [vcpu] = bench.domain.vcpus;
    const { port } = bench.run("event_channel.bind_ipi", { vcpu: 0 });
    bench.run("event_channel.send", { port });
    expect([bench.run("sched.block").result, vcpu.runstate.state]).toEqual([0, 0]);
    const other = new Bench();
    expect([other.run("sched.block").result, other.domain.vcpus[0].runstate.state]).toEqual([
      0,
      RUNSTATE_BLOCKED,
    ]);
    expect(other.run("sched.yield").result).toBe(0);
  });

  it("polls one port in a register or an array in memory", () => {
    const state = (values: Record<string, number>, pendingPort = 0, now = 100n) => {
      const bench = new Bench();
      bench.nowNs = now;
      for (let i = 0; i < 3; i++) bench.run("event_channel.bind_virq", { virq: [0, 1, 7][i], vcpu: 0 });
      new DataView(bench.guest.buffer).setUint32(0x100, 1, true);
      new DataView(bench.guest.buffer).setUint32(0x104, 2, true);
      new DataView(bench.guest.buffer).setUint32(0x200, 5000, true);
      if (pendingPort > 0) {
        bench.cost.memory.writeU8(8 * 4096 + 2560, 0xff); // masked: only the port's pending bit speaks
        bench.domain.eventChannels.raise(pendingPort);
      }
      const { result } = bench.run("sched.poll", values);
      return [result, bench.domain.vcpus[0].runstate.state];
    };
    expect(state({ port: 2 })).toEqual([0, RUNSTATE_BLOCKED]);
    expect(state({ port: 2 }, 2)).toEqual([0, 0]);
    expect(state({ port: 3 }, 2)).toEqual([0, RUNSTATE_BLOCKED]);
    expect(state({ ports: 0x100, nr_ports: 2 }, 2)).toEqual([0, 0]);
    expect(state({ ports: 0x100, nr_ports: 1 }, 2)).toEqual([0, RUNSTATE_BLOCKED]);
    expect(state({ timeout: 100 })).toEqual([0, 0]);
    expect(state({ timeout: 101 })).toEqual([0, RUNSTATE_BLOCKED]);
    expect(state({ nr_ports: 129 })[0]).toBe(-Errno.EINVAL);
    expect(state({ port: 5000 })[0]).toBe(-Errno.EINVAL);
    expect(state({ ports: 0x200, nr_ports: 1 })[0]).toBe(-Errno.EINVAL);
    expect(state({ ports: GUEST_BYTES - 4, nr_ports: 2 })[0]).toBe(-Errno.EFAULT);
  });

  it("refuses to pin", () => {
    expect(new Bench().run("sched.pin_override", { pcpu: 0 }).result).toBe(-Errno.EPERM);
  });
});

describe("grant_table", () => {
  it("answers the version in force, also when it refuses another", () => {
    const bench = new Bench();
    const set = (version: number) => bench.run("grant_table.set_version", { version });
    expect(set(2)).toEqual({ result: 0, version: 2n });
    expect(set(3)).toEqual({ result: -Errno.EINVAL, version: 2n });
    const get = (dom: number) => bench.run("grant_table.get_version", { dom });
    expect(get(SELF)).toEqual({ result: 0, version: 2n });
    expect([get(0).result, get(9).result]).toEqual([-Errno.EPERM, -Errno.ESRCH]);
  });

  it("says of the size what is wrong with the domain as a status", () => {
    const bench = new Bench();
    const query = (dom: number) => bench.run("grant_table.query_size", { dom });
    expect(query(DOMAIN)).toEqual({ result: 0, nr_frames: 1n, max_nr_frames: 64n, status: 0n });
    expect([query(0), query(9)].map(({ status }) => BigInt.asIntN(16, status))).toEqual([-8n, -2n]);
  });

  it("grows the table and lists where its frames are", () => {
    const bench = new Bench();
    bench.run("memory.add_to_physmap", { domid: SELF, space: 1, idx: 1, gpfn: 0x300 });
    const setup = (values: object) =>
      bench.run("grant_table.setup_table", { dom: SELF, nr_frames: 2, frame_list: 0x100, ...values });
    expect(setup({})).toEqual({ result: 0, status: 0n });
    const view = new DataView(bench.guest.buffer);
    expect([view.getBigInt64(0x100, true), view.getBigInt64(0x108, true)]).toEqual([-1n, 0x300n]);
    expect(BigInt.asIntN(16, setup({ nr_frames: 65 }).status)).toBe(-1n);
  });

  it("says of the list what is wrong with it as a status, and goes no further", () => {
    const bench = new Bench();
    const { grantTable, mapped } = bench.domain;
    const setup = (frame_list: number, compat = false) => {
      bench.call.compat = compat;
      const { result, status } = bench.run("grant_table.setup_table", {
        dom: SELF,
        nr_frames: 3,
        frame_list,
      });
      return [result, BigInt.asIntN(16, status)];
    };
    const view = new DataView(bench.guest.buffer);
    expect(setup(GUEST_BYTES - 8)).toEqual([0, -5n]); // GNTST_bad_virt_addr
    expect(view.getBigInt64(GUEST_BYTES - 8, true)).toBe(-1n);
    expect(grantTable.frames).toBe(3);
    mapped.push([grantTable.sharedFrame(0), 0x300]);
    expect(setup(0x100, true)).toEqual([0, -11n]); // GNTST_address_too_big
    expect([view.getUint32(0x100, true), view.getUint32(0x104, true)]).toEqual([0x300, 0]);
    mapped.push([grantTable.sharedFrame(1), 0x301], [grantTable.sharedFrame(2), 0x302]);
    expect(setup(0x100, true)).toEqual([0, 0n]);
    expect([0x100, 0x104, 0x108, 0x10c].map((at) => view.getUint32(at, true))).toEqual([
      0x300, 0x301, 0x302, 0,
    ]);
    expect(setup(GUEST_BYTES - 8, true)).toEqual([0, -5n]);
  });
});

describe("memory", () => {
  it("places shared_info, grant frames and status frames", () => {
    const bench = new Bench();
    const add = (space: number, gpfn: number | bigint, idx: number | bigint = 0, domid = SELF) =>
      bench.run("memory.add_to_physmap", { domid, space, idx, gpfn }).result;
    expect([add(0, 0x123), bench.domain.sharedInfoAt]).toEqual([0, 0x123]);
    expect(add(0, 1n << 36n)).toBe(-Errno.EINVAL);
    expect(add(0, 1, 1n << 40n)).toBe(-Errno.EINVAL);
    expect([add(4, 1), add(6, 1), add(0xffffffff, 1)]).toEqual([-Errno.ENOSYS, -Errno.EINVAL, -Errno.EINVAL]);
    const { grantTable, mapped } = bench.domain;
    expect([add(1, 0x200), add(1, 0x201, 2), add(1, 1, 64)]).toEqual([0, 0, -Errno.EINVAL]);
    expect(mapped).toEqual([
      [grantTable.sharedFrame(0), 0x200],
      [grantTable.sharedFrame(2), 0x201],
    ]);
    expect(add(1, 0x202, 0x80000000)).toBe(-Errno.EINVAL);
    bench.run("grant_table.set_version", { version: 2 });
    expect([add(1, 0x202, 0x80000000), mapped.at(-1)]).toEqual([0, [grantTable.statusFrame(0), 0x202]]);
    expect([add(0, 1, 0, 0), add(0, 1, 0, 9)]).toEqual([-Errno.EPERM, -Errno.ESRCH]);
  });

  it("counts the extents that it gave back, up to the first hole", () => {
    const bench = new Bench();
    const view = new DataView(bench.guest.buffer);
    [3n, 4n, 0x100n, 5n].forEach((gfn, i) => {
      view.setBigUint64(0x100 + 8 * i, gfn, true);
    });
    const give = (values: Readonly<Record<string, number>>) =>
      bench.run("memory.decrease_reservation", { extent_start: 0x100, domid: SELF, ...values }).result;
    expect(give({ nr_extents: 4 })).toBe(2);
    expect(bench.domain.released).toEqual([3, 4]);
    expect(give({ nr_extents: 1, extent_order: 10 })).toBe(0); // too large
    expect(give({ nr_extents: 1, extent_start: GUEST_BYTES })).toBe(0); // no such memory
    expect(give({ nr_extents: 2 ** 26 })).toBe(0); // no continuation could count them
    expect([give({ nr_extents: 1, domid: 0 }), give({ nr_extents: 1, domid: 9 })]).toEqual([0, 0]);
    view.setBigUint64(0x100, 0xfen, true);
    expect(give({ nr_extents: 1, extent_order: 2 })).toBe(0); // its third frame is a hole
    expect(bench.domain.released).toEqual([3, 4, 0xfe, 0xff]);
  });

  it("writes as much of the map as there is room for", () => {
    const bench = new Bench();
    expect(bench.run("memory.memory_map", { nr_entries: 128, buffer: 0x100 })).toEqual({
      result: 0,
      nr_entries: 3n,
    });
    const view = new DataView(bench.guest.buffer);
    const entry = (at: number) => [
      view.getBigUint64(at, true),
      view.getBigUint64(at + 8, true),
      view.getUint32(at + 16, true),
    ];
    expect([0x100, 0x114, 0x128].map(entry)).toEqual([
      [0n, 0xfc000000n, 1],
      [0xfeff8000n, 0x8000n, 2],
      [0x100000000n, 0x4000000n, 1],
    ]);
    expect(bench.run("memory.memory_map", { nr_entries: 1, buffer: 0x100 }).nr_entries).toBe(1n);
    expect(bench.run("memory.memory_map", { nr_entries: 0, buffer: 1n << 40n })).toEqual({
      result: 0,
      nr_entries: 0n,
    });
    expect(bench.run("memory.memory_map", { nr_entries: 9, buffer: GUEST_BYTES - 8 }).result).toBe(
      -Errno.EFAULT,
    );
  });
});

describe("console_io", () => {
  it("is for the hardware domain", () => {
    const bench = new Bench();
    expect(bench.run("console_io.write", { count: 3, buffer: 0 }).result).toBe(-Errno.EPERM);
    expect(bench.run("console_io.read", { count: 3, buffer: 0 }).result).toBe(-Errno.EPERM);
  });

  it("takes text in pieces and stops at a bad address", () => {
    const bench = new Bench(true);
    const text = Array.from({ length: 40 }, (_, i) => `line ${i}\n`).join("");
    bench.guest.set(new TextEncoder().encode(text), 0x100);
    expect(bench.run("console_io.write", { count: text.length, buffer: 0x100 }).result).toBe(0);
    expect(bench.console.text).toBe(text);
    bench.guest.fill(0x2e, GUEST_BYTES - 200);
    const result = bench.run("console_io.write", { count: 400, buffer: GUEST_BYTES - 200 }).result;
    expect([result, bench.console.text.length]).toEqual([-Errno.EFAULT, text.length + 127]);
    expect(bench.run("console_io.read", { count: 9, buffer: 0 }).result).toBe(0);
  });
});
