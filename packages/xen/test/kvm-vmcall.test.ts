import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import type { KvmXenExitHcall } from "../src/host/kvm/uapi.ts";
import { KvmXenAttrType } from "../src/host/kvm/uapi.ts";
import { CONTEXT_DEFAULTS } from "../src/host/vcpu-context.ts";
import { createKvmSystem, type KvmSystem, type KvmSystemOptions } from "../src/kvm.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { le } from "./flat-guest.ts";
import { type CallRegisters, CODE, HypercallDriver } from "./hypercall-driver.ts";

const PAGE = 0x180000;
const HV_PAGE = 0x181000;
const STACK = 0x1c0000;
const RESULTS = 0x1d0000;
const VERSION = 17;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const ARGUMENTS = [0x1111111111n, 0x2222222222n, 0x3333333333n, 0x4444444444n, 0x5555555555n, 0x6666666666n];
const RESULT = 0x00abcdef12345678n;

const words = (value: bigint): readonly [number, number] => [
  Number(BigInt.asIntN(32, value)),
  Number(BigInt.asIntN(32, value >> 32n)),
];

/** Registers of a call: rdi, rsi, rdx, r10, r8, r9. */
function call(number: number | bigint, args: readonly (number | bigint)[]): CallRegisters {
  const registers: [number, number][] = Array.from({ length: 16 }, () => [0, 0]);
  registers[0] = [...words(BigInt(number))];
  [7, 6, 2, 10, 8, 9].forEach((register, i) => {
    registers[register] = [...words(BigInt(args[i] ?? 0))];
  });
  return registers;
}

type Extra = Pick<KvmSystemOptions, "hypercall" | "kvm"> & { readonly domain?: Partial<DomainConfig> };

function driver(
  profile: ProcessorProfile,
  calls: readonly CallRegisters[],
  { domain, ...extra }: Extra = {},
) {
  return new HypercallDriver<KvmSystem>(profile, domain ?? {}, calls, (options) =>
    createKvmSystem({ ...options, ...extra }),
  );
}

/** What a monitor saw of a call, which it answers with {@link RESULT}. */
function recorder(seen: KvmXenExitHcall[]): (exit: KvmXenExitHcall) => boolean {
  return (exit) => {
    const { longmode, cpl, input, params } = exit;
    seen.push({ longmode, cpl, input, params: [...params], result: 0n });
    exit.result = RESULT;
    return true;
  };
}

/** 64-bit code in the place of the driver's. */
function codeGuest(profile: ProcessorProfile, code: readonly number[], extra: Extra = {}): KvmSystem {
  const { system } = driver(profile, [], extra);
  system.domain.guestMemory.writeBytes(CODE, Uint8Array.from([...code, 0xfa, 0xf4]));
  return system;
}

const mov64 = (register: number, value: bigint): number[] => [
  register >= 8 ? 0x49 : 0x48,
  0xb8 + (register & 7),
  ...le(Number(value & 0xffffffffn)),
  ...le(Number(value >> 32n)),
];
const wrmsr = (msr: number, lo: number, hi = 0): number[] => [
  ...[0xb9, ...le(msr)],
  ...[0xb8, ...le(lo)],
  ...[0xba, ...le(hi)],
  ...[0x0f, 0x30],
];
/** call address; then rax to memory. */
const callTo = (address: number, result: number): number[] => [
  ...[0x49, 0xbb, ...le(address), ...le(0)], // mov r11, address
  ...[0x41, 0xff, 0xd3],
  ...[0x48, 0x89, 0x04, 0x25, ...le(result)],
];
const stack = [0x48, 0xbc, ...le(STACK), ...le(0)];
const read64 = ({ domain }: KvmSystem, at: number): bigint =>
  (BigInt(domain.guestMemory.readU32(at + 4)) << 32n) | BigInt(domain.guestMemory.readU32(at));

describe.each([epyc9124, skylakeSp])("KVM_EXIT_XEN on $id", (profile) => {
  it("tells user space of a direct call with six arguments, and gives the guest its result (1)", () => {
    const seen: KvmXenExitHcall[] = [];
    const guest = driver(profile, [call(VERSION, ARGUMENTS)], { hypercall: recorder(seen) });
    guest.system.run();
    expect(guest.done).toBe(1);
    expect(seen).toEqual([{ longmode: true, cpl: 0, input: 17n, params: ARGUMENTS, result: 0n }]);
    expect(read64(guest.system, 0x200000 + 120)).toBe(RESULT);
    expect(guest.system.userExits).toBe(1);
  });

  it("does the same through the hypercall page (2)", () => {
    const seen: KvmXenExitHcall[] = [];
    const code = [
      ...stack,
      ...wrmsr(0x40000000, PAGE),
      ...[7, 6, 2, 10, 8, 9].flatMap((register, i) => mov64(register, ARGUMENTS[i])),
      ...callTo(PAGE + VERSION * 32, RESULTS),
    ];
    const system = codeGuest(profile, code, { hypercall: recorder(seen) });
    system.run();
    expect(seen).toEqual([{ longmode: true, cpl: 0, input: 17n, params: ARGUMENTS, result: 0n }]);
    expect(read64(system, RESULTS)).toBe(RESULT);
  });

  it("tells Hyper-V's calls from Xen's by bit 31, each through its own page (3)", () => {
    const seen: KvmXenExitHcall[] = [];
    const signalEvent = [...mov64(1, 0x5dn), ...mov64(2, 0x5a5a5a5an)];
    const code = [
      ...stack,
      ...wrmsr(0x40000000, 0x5a), // HV_X64_MSR_GUEST_OS_ID
      ...wrmsr(0x40000001, HV_PAGE | 1),
      ...wrmsr(0x40000200, PAGE),
      ...signalEvent,
      ...callTo(HV_PAGE, RESULTS),
      ...mov64(7, ARGUMENTS[0]), // not XENVER_version, which the kernel answers
      ...callTo(PAGE + VERSION * 32, RESULTS + 8),
    ];
    const system = codeGuest(profile, code, { hypercall: recorder(seen), domain: { viridian: true } });
    system.run();
    expect(read64(system, RESULTS)).toBe(4n); // HV_STATUS_INVALID_ALIGNMENT
    expect(seen.map(({ input }) => input)).toEqual([17n]);
    expect(read64(system, RESULTS + 8)).toBe(RESULT);
  });

  it("fills the page with 128 stubs, 23 among them; another index than 0 is #GP", () => {
    const system = codeGuest(profile, wrmsr(0x40000000, PAGE));
    system.run();
    const page = system.domain.guestMemory.readBytes(PAGE, 4096);
    const vendor = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
    for (let n = 0; n < 128; n++)
      expect([...page.subarray(32 * n, 32 * n + 10)]).toEqual([0xb8, n, 0, 0, 0, ...vendor, 0xc3, 0xcc]);
    const refused = codeGuest(profile, wrmsr(0x40000000, PAGE | 1));
    expect(refused.run().reason).toBe("triple-fault"); // it has no IDT
  });

  it("leaves calls of user code to user space, which refuses them", () => {
    const seen: number[] = [];
    const { system } = driver(profile, [], {
      hypercall: ({ cpl }) => {
        seen.push(cpl);
        return false;
      },
    });
    const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
    // Flat 32-bit code without paging, at CPL 3; then a HLT that it may not execute.
    system.domain.guestMemory.writeBytes(
      CODE,
      Uint8Array.from([0xb8, ...le(VERSION), ...instruction, 0xa3, ...le(RESULTS), 0xf4]),
    );
    const flat = (attributes: number, selector: number) => ({ selector, base: 0, limit: -1, attributes });
    system.domain.vcpus[0].runner.load({
      ...CONTEXT_DEFAULTS,
      registers: Array.from({ length: 8 }, () => [0, 0] as const),
      rip: [CODE, 0],
      rflags: [2, 0],
      cr0: [0x31, 0],
      cr3: [0, 0],
      cr4: [0, 0],
      efer: [0, 0],
      cs: flat(0xcfb, 0x1b),
      ds: flat(0xcf3, 0x23),
      es: flat(0xcf3, 0x23),
      ss: flat(0xcf3, 0x23),
      tr: { ...flat(0x8b, 0), limit: 0x67 },
    });
    system.run();
    expect(seen).toEqual([3]);
    expect(system.domain.guestMemory.readU32(RESULTS) | 0).toBe(-Errno.EPERM);
  });

  it("writes no result where user space has moved the guest meanwhile", () => {
    let system: KvmSystem | undefined;
    const vendor = profile.vendor === "amd" ? 0xd9 : 0xc1;
    const code = [...mov64(7, ARGUMENTS[0]), ...[0xb8, ...le(VERSION)], 0x0f, 0x01, vendor];
    const after = CODE + code.length + 2; // behind CLI and HLT
    system = codeGuest(profile, code, {
      hypercall: (exit) => {
        exit.result = RESULT;
        const { registers } = (system as KvmSystem).vcpus[0].control;
        registers.skip(5); // the instruction, CLI and HLT
        return true;
      },
    });
    const store = [0x48, 0x89, 0x04, 0x25, ...le(RESULTS), 0xfa, 0xf4];
    system.domain.guestMemory.writeBytes(after, Uint8Array.from(store));
    system.run();
    expect(read64(system, RESULTS)).toBe(BigInt(VERSION));
  });
});

describe.each([epyc9124, skylakeSp])("hypercalls in the kernel on $id", (profile) => {
  it("answers the version that user space has set, and otherwise leaves it", () => {
    const calls = [call(VERSION, [0])];
    const inKernel = driver(profile, calls);
    inKernel.system.run();
    expect(inKernel.resultOf(0)).toBe((4 << 16) | 23);
    expect(inKernel.system.userExits).toBe(0);
    const left = driver(profile, calls);
    left.system.vm.xenHvmSetAttr({ type: KvmXenAttrType.XEN_VERSION, xenVersion: 0 });
    left.system.run();
    expect(left.resultOf(0)).toBe((4 << 16) | 23);
    expect(left.system.userExits).toBe(1);
  });

  it("sends on ports that the monitor has registered, and leaves the others", () => {
    const struct = 0x100800;
    const at = (port: number, index: number) => [port, struct + 64 * index] as const;
    const calls = [
      call(EVENT_CHANNEL_OP, [7, struct]), // bind_ipi: port 3 after console and xenstore
      call(EVENT_CHANNEL_OP, [4, struct + 64]),
      call(EVENT_CHANNEL_OP, [4, struct + 128]),
      call(EVENT_CHANNEL_OP, [4, 0xffff800000000000n]),
    ];
    const guest = driver(profile, calls);
    const { guestMemory, eventChannels } = guest.system.domain;
    for (const [port, address] of [at(3, 1), at(1, 2)]) guestMemory.writeU32(address, port);
    guest.system.run();
    expect(guestMemory.readU32(struct + 4)).toBe(3);
    expect([1, 2, 3].map((n) => guest.resultOf(n))).toEqual([0, 0, -Errno.EFAULT]);
    expect(eventChannels.isPending(3)).toBe(true);
    // bind_ipi and the console's port; the third send fails in the kernel.
    expect(guest.system.userExits).toBe(2);
    expect(guest.system.vm.counters.eventsFast).toBe(1);
  });

  it("polls: too many ports and ports beyond the last are refused, a time-out ends it", () => {
    const struct = 0x100800;
    const ports = 0x100900;
    const poll = (n: number) => call(SCHED_OP, [3, struct + 64 * n]);
    const guest = driver(profile, [poll(0), poll(1), poll(2)]);
    const { guestMemory } = guest.system.domain;
    const write = (n: number, count: number, timeout: number, port: number) => {
      guestMemory.writeU32(struct + 64 * n, ports + 4 * n);
      guestMemory.writeU32(struct + 64 * n + 8, count);
      guestMemory.writeU32(struct + 64 * n + 16, timeout);
      guestMemory.writeU32(ports + 4 * n, port);
    };
    write(0, 129, 0, 1);
    write(1, 1, 0, 4096);
    write(2, 1, 20_000_000, 5);
    const before = guest.system.vcpu.nowNs;
    guest.system.run();
    expect([0, 1, 2].map((n) => guest.resultOf(n))).toEqual([-Errno.EINVAL, -Errno.EINVAL, 0]);
    expect(guest.system.vcpu.nowNs - before).toBeGreaterThan(15_000_000);
    expect(guest.system.userExits).toBe(0);
  });
});
