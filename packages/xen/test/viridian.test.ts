import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { LongModeTables } from "@hyperwalk/mmu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import type { ViridianGroup } from "../src/viridian/viridian-group.ts";
import { createXenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";
import { ENABLE, END, EOI, flatGuest, IRET, le, print, STI, VECTOR } from "./flat-guest.ts";
import { ScriptedProcessor } from "./scripted-processor.ts";

vi.setConfig({ testTimeout: 60_000 });

const PARAMETERS = 0x300000;
const [RAX, RCX, RDX, R8] = [0, 1, 2, 8];
const FAST = 1 << 16;
const [FLUSH, FLUSH_LIST, SPIN, SEND_IPI, FLUSH_EX, FLUSH_LIST_EX, SEND_IPI_EX] = [
  2, 3, 8, 0xb, 0x13, 0x14, 0x15,
];
const [OK, INVALID_CODE, INVALID_PARAMETER] = [0, 2, 5];
const SCHED_YIELD = "viridian.notify_long_spin_wait";

interface Call {
  /** Control word: call code and fast bit; repetitions. */
  readonly control: number;
  readonly repetitions?: number;
  readonly input?: readonly [number, number];
  readonly output?: readonly [number, number];
  /** Words at PARAMETERS. */
  readonly parameters?: readonly number[];
}

/** One call from 64-bit code. */
function callInLong(
  profile: ProcessorProfile,
  call: Call,
  viridian: boolean | readonly ViridianGroup[] = true,
) {
  const { control, repetitions = 0, input = [PARAMETERS, 0], output = [0, 0], parameters = [] } = call;
  const cpu = new ScriptedProcessor(profile, (guest, step) => {
    if (step > 0) return undefined;
    guest.enterLongMode(guest.cr3);
    guest.set(RCX, control, repetitions);
    guest.set(RDX, ...input);
    guest.set(R8, ...output);
    return guest.hypercall(0x80000000 | 0);
  });
  const system = createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] }),
      memoryBytes: 64 * 2 ** 20,
      abi: "linear",
      viridian,
    },
    processor: cpu.asProcessor(),
  });
  let next = 0x400;
  const tables = new LongModeTables({
    memory: cpu.memory,
    allocate: () => next++,
    locate: (gfn) => system.domain.p2m.translate(gfn),
  });
  cpu.cr3 = tables.rootFrame * 4096; // nothing is mapped: parameters are at guest-physical addresses
  parameters.forEach((value, i) => {
    system.domain.guestMemory.writeU32(PARAMETERS + 4 * i, value >>> 0);
  });
  let name: string | undefined;
  let abi: string | undefined;
  system.on("hypercall", (event) => {
    ({ operation: name, abi } = event);
  });
  system.vlapic.apic.store(0xf0, 4, 0x1ff); // enabled by software
  const before = system.counters();
  system.run({ maxInstructions: 1 });
  const after = system.counters();
  return {
    system,
    name,
    abi,
    result: [cpu.words[2 * RAX], cpu.words[2 * RAX + 1]],
    bytes: after.bytesCopied - before.bytesCopied,
    lookups: after.p2mLookups - before.p2mLookups,
    pteReads: after.guestPteReads - before.guestPteReads,
    pending: system.vlapic.apic.waiting,
  };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("Hyper-V's hypercalls of a 64-bit guest under %s", (_, profile) => {
  const all = [0, 0, 1, 0, 0, 0]; // flags: all processors
  const first = [0, 0, 0, 0, 1, 0]; // mask: processor 0

  it.each([
    ["flush of an address space", { control: FLUSH, parameters: all }, [OK, 0], 24],
    ["flush of a list", { control: FLUSH_LIST, repetitions: 7, parameters: first }, [OK, 7], 24],
    ["no fast flush", { control: FLUSH | FAST }, [INVALID_PARAMETER, 0], 0],
    ["a flush with parameters nowhere", { control: FLUSH, input: [0, 0x70] }, [INVALID_PARAMETER, 0], 0],
    ["flush, set of all", { control: FLUSH_EX, parameters: [0, 0, 0, 0, 1, 0, 0, 0] }, [OK, 0], 32],
    [
      "flush, sparse set",
      { control: FLUSH_LIST_EX, repetitions: 3, parameters: [0, 0, 0, 0, 0, 0, 5, 0, 1, 0, 1, 0] },
      [OK, 3],
      32 + 16,
    ],
    [
      "a set of no known format",
      { control: FLUSH_EX, parameters: [0, 0, 0, 0, 2, 0, 1, 0] },
      [INVALID_PARAMETER, 0],
      32,
    ],
    ["long spin wait", { control: SPIN }, [OK, 0], 0],
    ["unknown code", { control: 0x5c }, [INVALID_CODE, 0], 0],
    ["query of capabilities", { control: 0x8001 }, [INVALID_CODE, 0], 0],
  ] as const)("%s", (_what, call, result, bytes) => {
    const done = callInLong(profile, call);
    expect([done.result, done.bytes, done.abi]).toEqual([result, bytes, "viridian"]);
    // one look-up for each copy, and never a look at the guest's tables
    const copies = bytes === 0 ? ("input" in call ? 1 : 0) : bytes === 48 ? 2 : 1;
    expect([done.pteReads, done.lookups]).toEqual([0, "input" in call ? 1 : copies]);
    if (call.control === SPIN) expect(done.name).toBe(SCHED_YIELD);
  });

  it.each([
    ["in memory", { control: SEND_IPI, parameters: [0x41, 0, 1, 0] }, OK, 0x41],
    ["in registers", { control: SEND_IPI | FAST, input: [0x42, 0], output: [1, 0] }, OK, 0x42],
    ["with a set", { control: SEND_IPI_EX, parameters: [0x43, 0, 0, 0, 1, 0, 1, 0] }, OK, 0x43],
    ["to somebody else", { control: SEND_IPI, parameters: [0x41, 0, 2, 0] }, OK, -1],
    [
      "of a vector of the processor's",
      { control: SEND_IPI, parameters: [0xf, 0, 1, 0] },
      INVALID_PARAMETER,
      -1,
    ],
    ["of a vector beyond 255", { control: SEND_IPI, parameters: [0x100, 0, 1, 0] }, INVALID_PARAMETER, -1],
    ["to another trust level", { control: SEND_IPI, parameters: [0x41, 1, 1, 0] }, INVALID_PARAMETER, -1],
    ["fast, with a wide vector", { control: SEND_IPI | FAST, input: [0x42, 1] }, INVALID_PARAMETER, -1],
    ["with a set, fast", { control: SEND_IPI_EX | FAST }, INVALID_PARAMETER, -1],
  ] as const)("send IPI %s", (_what, call, status, pending) => {
    const done = callInLong(profile, call);
    expect([done.result, done.pending]).toEqual([[status, 0], pending]);
  });

  it("are Xen's to refuse where the domain has no such interface", () => {
    const { result, abi } = callInLong(profile, { control: SPIN }, false);
    expect([result, abi]).toEqual([[-Errno.ENOSYS, -1], undefined]);
  });

  it("reach the guest's own handler, from 32-bit code through Hyper-V's page, beside Xen's", () => {
    const [eax, ecx, edx, ebx, esi, edi] = [0, 1, 2, 3, 6, 7];
    const load = (register: number, value: number) => [0xb8 + register, ...le(value)];
    const save = (at: number, register = eax) => [0x89, 0x05 | (register << 3), ...le(at)];
    const cpuid = (leaf: number, at: number) => [
      ...load(eax, leaf),
      ...load(ecx, 0),
      0x0f,
      0xa2,
      ...save(at),
      ...save(at + 4, ebx),
    ];
    const wrmsr = (msr: number, lo: number, hi = 0) => [
      ...load(ecx, msr),
      ...load(eax, lo),
      ...load(edx, hi),
      ...[0x0f, 0x30],
    ];
    const rdmsr = (msr: number, at: number) => [...load(ecx, msr), 0x0f, 0x32, ...save(at)];
    const call = (page: number) => [0xb8 + 5, ...le(page), 0xff, 0xd5]; // by ebp
    const [hv, xen, out] = [0x30000, 0x31000, 0x32000];
    const body = [
      ...cpuid(0x40000000, out),
      ...cpuid(0x40000003, out + 8),
      ...cpuid(0x40000004, out + 16),
      ...wrmsr(0x40000000, 0x1234, 0x400), // says what it is
      ...cpuid(0x40000004, out + 24),
      ...cpuid(0x40000100, out + 32),
      ...cpuid(0x40000102, out + 40),
      ...wrmsr(0x40000001, hv | 1),
      ...wrmsr(0x40000200, xen),
      ...rdmsr(0x40000002, out + 48),
      ...rdmsr(0x40000022, out + 52),
      ...rdmsr(0x40000001, out + 56),
      ...load(eax, 17),
      ...load(ebx, 0),
      ...call(xen + 32 * 17),
      ...save(out + 60),
      ...ENABLE,
      STI,
      // send IPI, fast: edx:eax control, ebx:ecx vector, edi:esi mask
      ...load(edx, 0),
      ...load(eax, SEND_IPI | FAST),
      ...load(ebx, 0),
      ...load(ecx, VECTOR),
      ...load(edi, 0),
      ...load(esi, 1),
      ...call(hv),
      ...save(out + 64),
      ...save(out + 68, edx),
      ...print("."),
      ...rdmsr(0x40000010, out + 72), // not there: #GP
    ];
    const system = flatGuest(
      profile,
      body,
      { [VECTOR]: [0x50, ...print("!"), ...EOI, 0x58, IRET], 13: [...print("G"), ...END] },
      { domain: { viridian: ["base", "freq", "hcall_ipi"] } },
    );
    const { guestMemory } = system.domain;
    guestMemory.writeU32(out + 64, 0x55);
    expect(system.run({ maxInstructions: 20_000 }).reason).toBe("halted");
    expect(system.console).toBe("!.G\n");
    const read = (offset: number) => guestMemory.readU32(out + offset);
    expect([read(0), read(4)]).toEqual([0x40000006, 0x7263694d]); // "Micr"
    expect(read(8)).toBe(0x870); // APIC, hypercall, VP index and frequency MSRs
    expect([read(16), read(24)]).toEqual([0, 0x428]); // no advice to strangers
    expect([read(32), read(36), read(44)]).toEqual([0x40000105, 0x566e6558, 0x40000200]);
    expect([read(48), read(52), read(56)]).toEqual([0, system.processor.profile.ghz * 1e9, hv | 1]);
    expect(read(60)).toBe((4 << 16) | 23);
    expect([read(64), read(68)]).toEqual([OK, 0]);
    const instruction = profile.vendor === "amd" ? 0xd9 : 0xc1;
    expect([...guestMemory.readBytes(hv, 10)]).toEqual([
      0x0d,
      0,
      0,
      0,
      0x80,
      0x0f,
      0x01,
      instruction,
      0xc3,
      0xcc,
    ]);
  });

  it("is in snapshots, and part of what a system is", () => {
    const body = [0xb9, ...le(0x40000000), 0xb8, ...le(0x55), 0xba, ...le(77), 0x0f, 0x30, 0xeb, 0xfe];
    const make = (viridian: boolean) => flatGuest(profile, body, {}, { domain: { viridian } });
    const first = make(true);
    first.run({ maxInstructions: 100 });
    const snapshot = first.snapshot();
    expect(snapshot.domain.viridian).toEqual({ guestOsId: [0x55, 77], hypercallPage: [0, 0] });
    const second = make(true);
    second.restore(snapshot);
    expect(second.domain.viridian?.guestOsIdHi).toBe(77);
    expect(() => make(false).restore(snapshot)).toThrow(/domain.viridian/);
    const bad = { ...snapshot, domain: { ...snapshot.domain, viridian: { guestOsId: "x" } } };
    expect(() => make(true).restore(bad)).toThrow(/not a snapshot/);
  });
});

describe("viridian in a domain's configuration", () => {
  const make = (viridian: unknown) => () =>
    flatGuest(epyc9124, END, {}, { domain: { viridian: viridian as boolean } });
  it.each([["all"], [["base", "hyperv"]], [["hcall_ipi"]], [1]])(
    "%j is refused with what is allowed",
    (value) => {
      expect(make(value)).toThrow(/domain.viridian.*allowed.*ex_processor_masks/);
    },
  );
});
