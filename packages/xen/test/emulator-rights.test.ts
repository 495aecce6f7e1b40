import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { BODY, CLI, guest, HLT, keep, le, put, results } from "./smp-guest.ts";

const DIRECTORY = 0x40000;
/** The same memory once more, read-only. */
const ALIAS = 0x400000;
const PAGE_FAULT = 14;
/** Error code of a supervisor's write to a page that is there. */
const PROTECTED_WRITE = 3;
const WRITE_PROTECT = 0x10000;

/** Turns paging on with an alias of all memory that may only be read, and runs code there. */
function onReadOnlyPages(code: readonly number[], cr0: number): number[] {
  const start = [
    ...[...put(DIRECTORY, 0x87), ...put(DIRECTORY + 4, 0x85)], // 4 MiB pages: present, user, and the first one writable
    ...[0xb8, ...le(DIRECTORY), 0x0f, 0x22, 0xd8], // mov cr3, eax
    ...[0xb8, ...le(0x10), 0x0f, 0x22, 0xe0], // CR4.PSE
    ...[0xb8, ...le(cr0), 0x0f, 0x22, 0xc0],
  ];
  return [...start, 0xb8, ...le(ALIAS + BODY[0] + start.length + 7), 0xff, 0xe0, ...code];
}

type Make = typeof createXenSystem | typeof createKvmSystem;

/** The error code and address of the page fault that code takes; 0x77 where it takes none. */
function faultOf(
  make: Make,
  profile: ProcessorProfile,
  body: readonly number[],
  prepare: (write: (at: number, bytes: readonly number[]) => void) => void = () => {},
) {
  const handler = [0x58, ...keep(0), 0x0f, 0x20, 0xd0, ...keep(1), CLI, HLT];
  const system = guest<XenSystem | KvmSystem>(
    profile,
    1,
    { bodies: [body], handlers: { [PAGE_FAULT]: handler } },
    (options) => make({ ...options, domain: { ...options.domain, hypercallFixup: "patch" } }),
  );
  prepare((at, bytes) => system.domain.guestMemory.writeBytes(at, Uint8Array.from(bytes)));
  expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "halted" });
  const [errorCode, address] = results(system, 2);
  return { errorCode, address };
}

describe.each([
  ["Xen", createXenSystem],
  ["KVM", createKvmSystem],
] as const)("an emulator of %s writes with the guest's own rights", (_, make) => {
  const run = (code: readonly number[], profile = epyc9124, cr0 = 0x80000011 | WRITE_PROTECT) =>
    faultOf(make, profile, onReadOnlyPages([...code, ...put(0xa000, 0x77), CLI, HLT], cr0));
  // The other vendor's instruction, with a number that nobody has.
  const hypercall = (vendor: "amd" | "intel") => [
    0xb8,
    ...le(0x77),
    0x0f,
    0x01,
    vendor === "amd" ? 0xc1 : 0xd9,
  ];

  it.each([epyc9124, skylakeSp])(
    "when it patches a hypercall on $id: a read-only page is #PF, unless CR0.WP is off",
    (profile) => {
      const { errorCode, address } = run(hypercall(profile.vendor), profile);
      expect([errorCode, address - ALIAS > BODY[0]]).toEqual([PROTECTED_WRITE, true]);
      expect(run(hypercall(profile.vendor), profile, 0x80000011 | 0).errorCode).toBe(0x77);
    },
  );

  it("when it carries INS out", () => {
    // mov edi, ALIAS + 0x50000; mov dx, 0xe9; insb
    const ins = [0xbf, ...le(ALIAS + 0x50000), 0x66, 0xba, 0xe9, 0, 0x6c];
    expect(run(ins)).toEqual({ errorCode: PROTECTED_WRITE, address: ALIAS + 0x50000 });
  });
});

const GDT_AT = 0x41000;
const TSS = 0x42000;
const KERNEL_STACK = 0x44000;
const USER_STACK = 0x46000;
/** The same memory a third time, for the kernel alone. */
const KERNEL_ONLY = 0x800000;
/** Error code of a user's write to a page that is there. */
const USER_WRITE = 7;

/** Runs code there at CPL 3, with I/O privilege; where memory is mapped at itself user code may write. */
function atUserPrivilege(code: readonly number[], cr0: number): number[] {
  const user = [...put(0xa000, 0x55), ...code, ...put(0xa000, 0x77), HLT];
  const start = [
    ...[...put(DIRECTORY + 8, 0x83), ...put(DIRECTORY + 12, 0)], // the kernel's own alias
    ...[0x0f, 0x01, 0x15, ...le(GDT_AT + 0x40)], // lgdt
    ...[0x66, 0xb8, 0x28, 0x00, 0x0f, 0x00, 0xd8], // mov ax, 28h; ltr ax
    ...[0x66, 0xb8, 0x23, 0x00, 0x8e, 0xd8, 0x8e, 0xc0], // mov ax, 23h; mov ds, ax; mov es, ax
    ...[0x6a, 0x23, 0x68, ...le(USER_STACK), 0x68, ...le(0x3002), 0x6a, 0x1b], // ss, esp, eflags, cs
  ];
  const before = onReadOnlyPages([], cr0).length + start.length + 6;
  return onReadOnlyPages([...start, 0x68, ...le(ALIAS + BODY[0] + before), 0xcf, ...user], cr0);
}

describe.each([
  ["Xen", createXenSystem],
  ["KVM", createKvmSystem],
] as const)("an emulator of %s writes with the rights of code at CPL 3", (_, make) => {
  const run = (code: readonly number[], profile = epyc9124, cr0 = 0x80000011 | WRITE_PROTECT) =>
    faultOf(make, profile, atUserPrivilege(code, cr0), (write) => {
      const flat = (type: number) => [0xff, 0xff, 0, 0, 0, type, 0xcf, 0];
      const tss = [0x67, 0, ...le(TSS, 3), 0x89, 0, 0];
      write(GDT_AT, [...le(0, 8), ...[0x9b, 0x93, 0xfb, 0xf3].flatMap(flat), ...tss]);
      write(GDT_AT + 0x40, [...le(0x2f, 2), ...le(GDT_AT)]);
      write(TSS + 4, [...le(KERNEL_STACK), ...le(0x10)]);
    });
  const insTo = (address: number) => [0xbf, ...le(address), 0x66, 0xba, 0xe9, 0, 0x6c];

  it.each([epyc9124, skylakeSp])(
    "when it patches a hypercall on $id: a read-only page is #PF, CR0.WP or not",
    (profile) => {
      const hypercall = [0x0f, 0x01, profile.vendor === "amd" ? 0xc1 : 0xd9];
      for (const cr0 of [0x80000011 | WRITE_PROTECT, 0x80000011 | 0]) {
        const { errorCode, address } = run(hypercall, profile, cr0);
        expect([errorCode, address - ALIAS > BODY[0]]).toEqual([USER_WRITE, true]);
      }
    },
  );

  it("when it carries INS out: not to the kernel's pages", () => {
    expect(run(insTo(KERNEL_ONLY + 0x50000))).toEqual({
      errorCode: USER_WRITE,
      address: KERNEL_ONLY + 0x50000,
    });
    expect(run(insTo(0x50000)).errorCode).toBe(0x77);
  });
});
