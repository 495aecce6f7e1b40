import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
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

describe.each([
  ["Xen", createXenSystem],
  ["KVM", createKvmSystem],
] as const)("an emulator of %s writes with the guest's own rights", (_, make) => {
  const run = (code: readonly number[], profile = epyc9124, cr0 = 0x80000011 | WRITE_PROTECT) => {
    const system = guest<XenSystem | KvmSystem>(
      profile,
      1,
      {
        bodies: [onReadOnlyPages([...code, ...put(0xa000, 0x77), CLI, HLT], cr0)],
        handlers: { [PAGE_FAULT]: [0x58, ...keep(0), 0x0f, 0x20, 0xd0, ...keep(1), CLI, HLT] },
      },
      (options) => make({ ...options, domain: { ...options.domain, hypercallFixup: "patch" } }),
    );
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "halted" });
    const [errorCode, address] = results(system, 2);
    return { errorCode, address };
  };
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
