import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { createXenSystem, fastabi, SnapshotError } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";
import {
  clobbered,
  FREE_GFN,
  type RegisterCall,
  type RegisterRecord,
  runRegisterCalls,
} from "./register-calls.js";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

const SELF = 0x7ff0;
const EFAULT = -14;
const EINVAL = -22;
const ENOSYS = -38;
const FREE = FREE_GFN * 4096;
const [RSI, RDI, R8, R9, R11, R12] = [6, 7, 8, 9, 11, 12];

const call = (operation: string, inputs: RegisterCall["inputs"] = {}): RegisterCall => ({
  operation,
  inputs,
});
const result = ({ after }: RegisterRecord) => Number(BigInt.asIntN(64, after[0]));
const kept = ({ before, after }: RegisterRecord, register: number) => before[register] === after[register];

describe.each([
  [epyc9124, fastabi(), false],
  [epyc9124, fastabi({ rfcQuirks: true }), true],
  [skylakeSp, fastabi(), false],
  [skylakeSp, fastabi({ rfcQuirks: true }), true],
] as const)("FastABI on $id", (profile, abi, quirks) => {
  describe(quirks ? "as the RFC's code has it" : "as its document has it", () => {
    const run = (calls: readonly RegisterCall[], options: Parameters<typeof runRegisterCalls>[2] = {}) =>
      runRegisterCalls(profile, calls, { abi, ...options });

    it("memory_map says how many entries there are, or fails after having written them", () => {
      const { records, system } = run([call("memory.memory_map", { nr_entries: 16, buffer: FREE })]);
      expect(result(records[0])).toBe(quirks ? EFAULT : 0);
      expect(records[0].after[RSI]).toBe(quirks ? 16n : 2n);
      expect(system.domain.guestMemory.readU32(FREE + 8)).toBe(64 * 2 ** 20);
      expect(clobbered(call("memory.memory_map"), records[0])).toEqual([]);
    });

    it("status has zeros, or nothing, where the port's state has no value", () => {
      const { records } = run([
        call("event_channel.bind_ipi", { vcpu: 0 }),
        call("event_channel.status", { dom: SELF, port: 3 }),
        call("event_channel.bind_virq", { virq: 0, vcpu: 0 }),
        call("event_channel.status", { dom: SELF, port: 4 }),
        call("event_channel.status", { dom: SELF, port: 1 }),
      ]);
      expect(records.map(result)).toEqual([0, 0, 0, 0, 0]);
      const left = [1, 3, 4].map((n) => [R11, R12].filter((register) => kept(records[n], register)));
      expect(left).toEqual(quirks ? [[R11, R12], [R12], []] : [[], [], []]);
      expect([records[3].after[R11], records[4].after[R12]]).toEqual([0n, 64n]);
    });

    it("poll names one port, of which 0 is none", () => {
      const { records } = run([
        call("sched.poll", { timeout: 1, port: 0 }),
        call("sched.poll", { timeout: 1, port: 1 }),
        call("sched.poll", { timeout: 1, port: 4096 }),
      ]);
      expect(records.map(result)).toEqual([quirks ? EINVAL : 0, 0, EINVAL]);
    });

    it("bind_vcpu takes the vCPU first and the port second", () => {
      const { records } = run(
        [
          call("event_channel.bind_vcpu", { vcpu: 1, port: 2 }),
          call("event_channel.status", { dom: SELF, port: 2 }),
        ],
        { vcpus: 2 },
      );
      expect([result(records[0]), records[0].before[RSI], records[0].before[R8]]).toEqual([0, 1n, 2n]);
      expect(records[1].after[10]).toBe(1n);
    });

    it("get_physid returns what the RFC's description takes as an input", () => {
      const { records } = run(
        [call("vcpu.get_physid", { vcpuid: 0 }), call("vcpu.get_physid", { vcpuid: 1 })],
        {
          hardwareDomain: true,
          vcpus: 2,
        },
      );
      expect(records.map((record) => [result(record), record.after[R8]])).toEqual([
        [0, 0n],
        [0, 0x1_0000_0001n],
      ]);
    });

    it("initialise reads the frame that it is given, or where the vCPU's number points to", () => {
      const context = new Uint8Array(128);
      const view = new DataView(context.buffer);
      view.setUint32(48, 1, true); // cr0: PE
      for (let segment = 0; segment < 4; segment++) {
        view.setUint32(92 + 4 * segment, 0xffffffff, true);
        view.setUint16(112 + 2 * segment, segment === 0 ? 0xc9b : 0xc93, true);
      }
      view.setUint32(108, 0x67, true);
      view.setUint16(120, 0x8b, true);
      const initialise = (vcpuid: bigint) => call("vcpu.initialise", { vcpuid, context_gfn: FREE_GFN });
      const at = (place: number, vcpuid: bigint) => {
        const { records } = run([initialise(vcpuid)], {
          vcpus: 2,
          prepare: ({ domain }) => domain.guestMemory.writeBytes(place, context),
        });
        return result(records[0]);
      };
      expect(at(FREE, 1n)).toBe(quirks ? EINVAL : 0);
      expect(at(1, 1n)).toBe(quirks ? 0 : EINVAL);
      // The same vCPU by its low half, and an address that nothing is at.
      expect(at(FREE, 0x7000_0000_0001n)).toBe(quirks ? EFAULT : 0);
    });

    it("down of the only vCPU ends the domain, or leaves it with nobody to run", () => {
      const { outcome } = run([call("vcpu.down", { vcpuid: 0 })]);
      expect(outcome).toMatchObject(
        quirks ? { reason: "halted" } : { reason: "shutdown", shutdown: "poweroff" },
      );
    });

    it("dispatches grant mappings, or not", () => {
      const { records } = run([
        call("grant_table.map_grant_ref", { dom: 0, host_addr: FREE, flags: 2, ref: 0 }),
        call("grant_table.unmap_grant_ref", { host_addr: FREE, handle: 0 }),
      ]);
      if (quirks) expect(records.map(result)).toEqual([ENOSYS, ENOSYS]);
      for (const [n, record] of records.entries())
        if (quirks)
          expect([n, [1, 2, 3, RSI, RDI, R8, R9].filter((register) => !kept(record, register))]).toEqual([
            n,
            [],
          ]);
    });

    it("goes on with a call that makes room, or forgets the rest of it", () => {
      const ports = Array.from({ length: 100 }, () => call("event_channel.bind_ipi", { vcpu: 0 }));
      const reset = call("event_channel.reset", { dom: SELF });
      const status = call("event_channel.status", { dom: SELF, port: 90 });
      // The first run tells when the reset is, the second has a timer expire in the middle of it.
      const { records: before } = run([...ports, call("hvm.get_time"), reset, status]);
      const timer = { vcpuid: 0, timeout_abs_ns: before[100].after[RSI] + 4000n, flags: 0 };
      const { records, system } = run([...ports, call("vcpu.set_singleshot_timer", timer), reset, status]);
      expect(result(records[100])).toBe(0);
      expect(result(records[101])).toBe(quirks ? 0x40000020 : 0);
      expect(records[101].after[RDI]).toBe(quirks ? 14n : 10n);
      expect(clobbered(reset, records[101])).toEqual(quirks ? [RDI] : []);
      expect(records[102].after[R9]).toBe(quirks ? 5n : 0n);
      const { records: plain, system: other } = run([...ports, call("hvm.get_time"), reset, status]);
      expect(result(plain[101])).toBe(0);
      expect(system.counters().hypercalls - other.counters().hypercalls).toBe(quirks ? 0 : 1);
    });

    it("clobbers nothing on a debug build either", () => {
      const calls = [
        call("version.version"),
        call("vcpu.is_up", { vcpuid: 0 }),
        call("event_channel.close", { port: 999 }),
      ];
      const { records } = run(calls, { xen: { debugBuild: true } });
      expect(records.map((record, n) => clobbered(calls[n], record))).toEqual([[], [], []]);
    });
  });
});

it("a snapshot of the one is none of the other", () => {
  const { system } = runRegisterCalls(epyc9124, [call("version.version")]);
  const { image } = system.config.domain;
  const domain = { image, memoryBytes: 64 * 2 ** 20 };
  const other = createXenSystem({
    profile: epyc9124,
    domain: { ...domain, abi: fastabi({ rfcQuirks: true }) },
  });
  expect(() => other.restore(system.snapshot())).toThrow(SnapshotError);
  const same = createXenSystem({ profile: epyc9124, domain: { ...domain, abi: fastabi({}) } });
  same.restore(system.snapshot());
});
