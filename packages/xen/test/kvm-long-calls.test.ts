import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { Cause, ticks } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { DOORBELL_PORT, DoorbellRegister } from "../src/devices/doorbell.ts";
import { Errno } from "../src/errno.ts";
import { KvmXenHvmConfigFlag } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem, type KvmSystemOptions } from "../src/kvm.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { le } from "./flat-guest.ts";
import { type CallRegisters, CODE, HypercallDriver, MAPPED_BYTES } from "./hypercall-driver.ts";

const MULTICALL = 13;
const SCHED_OP = 29;
const SCHEDOP_POLL = 3;
const LIST = 0x300000;
const STRUCT = 0x100800;
const SECOND_NS = 1e9;
const MS_NS = 1e6;

function call(number: number, ...args: readonly number[]): CallRegisters {
  const registers: [number, number][] = Array.from({ length: 16 }, () => [0, 0]);
  registers[0] = [number, 0];
  [7, 6, 2].forEach((register, i) => {
    registers[register] = [args[i] ?? 0, 0];
  });
  return registers;
}

type Extra = Pick<KvmSystemOptions, "hypercall" | "accounting"> & { readonly domain?: Partial<DomainConfig> };

function driver(profile: ProcessorProfile, calls: readonly CallRegisters[], extra: Extra = {}) {
  const { domain, ...more } = extra;
  return new HypercallDriver<KvmSystem>(profile, domain ?? {}, calls, (options) =>
    createKvmSystem({ ...options, ...more }),
  );
}

/** Other code in the driver's place, which ends with HLT. */
function codeGuest(profile: ProcessorProfile, code: readonly number[], extra: Extra = {}): KvmSystem {
  const { system } = driver(profile, [call(99)], extra);
  system.domain.guestMemory.writeBytes(CODE, Uint8Array.from([...code, 0xfa, 0xf4]));
  return system;
}

describe.each([epyc9124, skylakeSp])("a hypercall that takes long under KVM on $id", (profile) => {
  /** Time passes up to 1 ms before the next second, at which calls make room for what has come up. */
  const beforeSecond = ({ vcpu, ledger }: KvmSystem) => {
    const left = SECOND_NS - (vcpu.nowNs % SECOND_NS) - MS_NS;
    ledger.charge(Cause.Idle, ticks(Math.floor(left * profile.frequency.value)));
  };

  it("leaves run() when the budget is used up, and goes on with the next one", () => {
    const entries = 20_000; // of zeros: each is a hypercall that there is not
    const guest = driver(profile, [call(MULTICALL, LIST, entries)]);
    const { system } = guest;
    beforeSecond(system);
    const before = system.vcpu.nowNs;
    expect(system.run({ maxCycles: 300_000 })).toMatchObject({ reason: "budget", budget: "cycles" });
    const passed = system.vcpu.nowNs - before;
    expect(passed).toBeGreaterThan(0.9 * MS_NS);
    expect(passed).toBeLessThan(1.5 * MS_NS);
    expect(guest.done).toBe(0);
    expect(system.run()).toMatchObject({ reason: "halted" });
    expect([guest.done, guest.resultOf(0)]).toEqual([1, 0]);
    expect(system.vcpu.nowNs - before).toBeGreaterThan(2 * MS_NS);
    const last = LIST + 64 * (entries - 1);
    expect(system.domain.guestMemory.readU32(last + 8) | 0).toBe(-Errno.ENOSYS);
    expect(system.userExits).toBe(1); // the rounds are the monitor's own
  });

  it("goes on from a snapshot in the middle, as if nothing had been", () => {
    const made = () => {
      const { system } = driver(profile, [call(MULTICALL, LIST, 2000), call(MULTICALL, LIST, 1)]);
      const events: string[] = [];
      system.on("hypercall", ({ arguments: texts, result }) => events.push(`${texts}: ${result}`));
      return { system, events };
    };
    const whole = made();
    beforeSecond(whole.system);
    whole.system.run();
    const cut = made();
    beforeSecond(cut.system);
    cut.system.run({ maxCycles: 300_000 });
    const snapshot = cut.system.snapshot();
    expect(snapshot.vcpus[0].host).toMatchObject({ callBytes: 3, ready: false });
    expect(cut.events).toEqual([]);
    const next = made();
    next.system.restore(decodeSnapshot(encodeSnapshot(snapshot)));
    expect(next.system.run()).toMatchObject({ reason: "halted" });
    expect(next.events).toEqual(whole.events);
    expect(next.system.counters()).toEqual(whole.system.counters());
    expect(next.system.ledger.rows()).toEqual(whole.system.ledger.rows());
  });
});

describe("hypercalls that the kernel serves", () => {
  it("reads all ports of SCHEDOP_poll before it looks at them", () => {
    const guest = driver(epyc9124, [
      call(SCHED_OP, SCHEDOP_POLL, STRUCT),
      call(SCHED_OP, SCHEDOP_POLL, STRUCT),
    ]);
    const { guestMemory } = guest.system.domain;
    guestMemory.writeU32(STRUCT, MAPPED_BYTES - 4);
    guestMemory.writeU32(STRUCT + 8, 2);
    guestMemory.writeU32(MAPPED_BYTES - 4, 0xffff); // no port, but the next is in no page
    guest.system.run();
    expect(guest.resultOf(0)).toBe(-Errno.EFAULT);
    // The struct, and the ports in one piece.
    expect(guest.system.counters().copiesFromGuest).toBe(4);
  });

  it("to a doorbell go on from a snapshot", () => {
    const made = () => {
      const domain = { doorbell: { handler: "hypervisor" } } as const;
      return driver(epyc9124, [call(100, 0, 0, 0), call(100, 1, 0, 0)], { domain }).system;
    };
    const whole = made();
    whole.run();
    const cut = made();
    cut.run({ maxInstructions: whole.counters().guestInstructions - 5 });
    const next = made();
    next.restore(decodeSnapshot(encodeSnapshot(cut.snapshot())));
    next.run();
    expect(next.ledger.rows()).toEqual(whole.ledger.rows());
  });

  it("are KVM's own where user space does not intercept Xen's", () => {
    const guest = driver(skylakeSp, [call(17), call(1)]);
    const { vm } = guest.system;
    expect(
      vm.xenHvmConfig({ ...vm.config, flags: vm.config.flags & ~KvmXenHvmConfigFlag.INTERCEPT_HCALL }),
    ).toBe(0);
    guest.system.run();
    expect([guest.resultOf(0), guest.resultOf(1), guest.system.userExits]).toEqual([-1000, 0, 0]);
  });

  it("have accounts by their names, and those of a monitor's own code by their numbers", () => {
    const { system } = driver(epyc9124, [call(100, 0, 0, 0), call(99)], {
      accounting: true,
      domain: { doorbell: { handler: "hypervisor" } },
      hypercall: (exit) => {
        exit.result = 7n;
        return true;
      },
    });
    const names: (string | undefined)[] = [];
    system.on("hypercall", ({ operation }) => names.push(operation));
    system.run();
    // The dearest first.
    expect(system.hypercallAccounts().map(({ name }) => name)).toEqual(["hypercall-0x63", "doorbell.notify"]);
    expect(names).toEqual(["doorbell.notify", undefined]);
  });
});

describe.each([epyc9124, skylakeSp])("exits under KVM on $id", (profile) => {
  it("latch the guest's mode for the hypercall page alone", () => {
    // mov ecx, 0x10; xor eax, eax; xor edx, edx; wrmsr
    const system = codeGuest(profile, [0xb9, ...le(0x10), 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30]);
    expect(system.vm.longMode).toBe(false);
    system.run();
    expect(system.vm.longMode).toBe(false);
  });

  it("go to the monitor for all registers of a doorbell with an eventfd but the one that notifies", () => {
    const at = (register: number) => [0xba, ...le(DOORBELL_PORT + register)]; // mov edx, port
    const [IN, OUT] = [0xed, 0xef];
    const code = [...at(0), IN, OUT, ...at(DoorbellRegister.Messages), IN, ...at(DoorbellRegister.Ring), OUT];
    const exits = (handler: "ioeventfd" | "hypervisor" | "user-space") => {
      const system = codeGuest(profile, code, { domain: { doorbell: { handler } } });
      system.run();
      expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(1);
      return system.userExits;
    };
    expect([exits("ioeventfd"), exits("hypervisor"), exits("user-space")]).toEqual([3, 0, 4]);
  });
});
