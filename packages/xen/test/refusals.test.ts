import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import type { HypercallAbiName } from "../src/xen-config.ts";
import { longModeGuest } from "./long-mode-guest.ts";
import type { ScriptedProcessor } from "./scripted-processor.ts";

vi.setConfig({ testTimeout: 60_000 });

const BUFFER = 0x300000;
const UNMAPPED = 0x7f000000;
const SELF = 0x7ff0;
const ARGUMENTS = [7, 6, 2, 10, 8]; // rdi, rsi, rdx, r10, r8
const PLATFORM_OP = 7;
const VERSION = 17;
const VM_ASSIST = 21;
const VCPU_OP = 24;
const PHYSDEV_OP = 33;
const SYSCTL = 35;
const DOMCTL = 36;
const words = (...values: readonly number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

interface Call {
  readonly number: number;
  readonly args: readonly number[];
  /** What is at {@link BUFFER} before. */
  readonly memory?: Uint8Array | undefined;
}

/** Makes calls one after the other; each finds 0xee around its own memory. */
function make(
  profile: typeof epyc9124,
  abi: HypercallAbiName,
  hardwareDomain: boolean,
  calls: readonly Call[],
) {
  const results: { result: number; memory: Uint8Array }[] = [];
  const script = (guest: ScriptedProcessor, step: number) => {
    if (step === 0) guest.enterLongMode(guest.cr3);
    const { guestMemory } = system.domain;
    if (step > 0) results.push({ result: guest.words[0], memory: guestMemory.readBytes(BUFFER, 256) });
    if (step === calls.length) return undefined;
    const { number, args, memory = new Uint8Array() } = calls[step];
    guestMemory.writeBytes(BUFFER, new Uint8Array(256).fill(0xee));
    guestMemory.writeBytes(BUFFER, memory);
    ARGUMENTS.forEach((register, i) => {
      guest.set(register, args[i] ?? 0);
    });
    return guest.hypercall(number);
  };
  const { system } = longModeGuest(profile, { abi, hardwareDomain }, script);
  system.run({ maxInstructions: calls.length + 1 });
  return { results, system };
}

/** [call, errno name or result, result for a hardware domain if another] by `do_*` of Xen c447b7308b13. */
const { EACCES, EFAULT, EINVAL, ENOBUFS, ENODATA, ENOSYS, EPERM, ESRCH } = Errno;
const call = (number: number, args: readonly number[], memory?: Uint8Array): Call => ({
  number,
  args,
  memory,
});
const TABLE: readonly (readonly [string, Call, number, number?])[] = [
  // do_vm_assist: the type first
  ["vm_assist enable 5", call(VM_ASSIST, [0, 5]), 0],
  ["vm_assist disable 5", call(VM_ASSIST, [1, 5]), 0],
  ["vm_assist command 2", call(VM_ASSIST, [2, 5]), -ENOSYS],
  ["vm_assist writable page tables", call(VM_ASSIST, [0, 2]), -EINVAL],
  ["vm_assist command 2, type 64", call(VM_ASSIST, [2, 64]), -EINVAL],
  // do_sysctl, do_domctl, do_platform_op: memory, version, privilege
  ["sysctl", call(SYSCTL, [BUFFER], words(3, 0x16)), -EPERM, -ENOSYS],
  ["sysctl of another version", call(SYSCTL, [BUFFER], words(3, 0x15)), -EACCES],
  ["sysctl nowhere", call(SYSCTL, [UNMAPPED]), -EFAULT],
  ["domctl", call(DOMCTL, [BUFFER], words(5, 0x18, SELF)), -EPERM, -ENOSYS],
  ["domctl of another version", call(DOMCTL, [BUFFER], words(5, 0, SELF)), -EACCES],
  ["domctl nowhere", call(DOMCTL, [UNMAPPED]), -EFAULT],
  ["platform_op", call(PLATFORM_OP, [BUFFER], words(17, 0x03000001)), -EPERM, -ENOSYS],
  ["platform_op of another version", call(PLATFORM_OP, [BUFFER], words(17, 0x03000000)), -EACCES],
  // hvm_physdev_op
  ...[5, 12, 17, 23, 28, 2, 99].map(
    (command) => [`physdev ${command}`, call(PHYSDEV_OP, [command, BUFFER]), -ENOSYS] as const,
  ),
  ["map_pirq of its own", call(PHYSDEV_OP, [13, BUFFER], words(SELF, 1, 9, -1)), -EPERM, -EINVAL],
  ["map_pirq of nobody's", call(PHYSDEV_OP, [13, BUFFER], words(77, 1, 9, -1)), -ESRCH],
  ["map_pirq of a table", call(PHYSDEV_OP, [13, BUFFER], words(SELF, 4, 9, -1, 0, 0, 0, 0, 1, 0)), -EINVAL],
  ["map_pirq nowhere", call(PHYSDEV_OP, [13, UNMAPPED]), -EFAULT],
  ["unmap_pirq", call(PHYSDEV_OP, [14, BUFFER], words(SELF, 1)), -EPERM, -EINVAL],
  // do_xen_version, xenver_varbuf_op, xsm_xen_version
  ["platform_parameters", call(VERSION, [5, BUFFER]), 0],
  ["platform_parameters nowhere", call(VERSION, [5, UNMAPPED]), -EFAULT],
  ["get_features 1", call(VERSION, [6, BUFFER], words(1, 0)), -EINVAL],
  ["build_id", call(VERSION, [10, 0]), -EPERM, -ENODATA],
  ["commandline2", call(VERSION, [14, 0]), -EPERM, 0],
  ["extraversion2's length", call(VERSION, [11, 0]), 12],
  ["extraversion2", call(VERSION, [11, BUFFER], words(100)), 12],
  ["extraversion2, short", call(VERSION, [11, BUFFER], words(11)), -ENOBUFS],
  ["extraversion2 nowhere", call(VERSION, [11, UNMAPPED]), -EFAULT],
  ["capabilities2's length", call(VERSION, [12, 0]), "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ".length],
  ["changeset2's length", call(VERSION, [13, 0]), 11],
  ["version 15", call(VERSION, [15, 0]), -ENOSYS],
  // map_guest_area
  ["runstate area across pages", call(VCPU_OP, [14, 0, BUFFER], words(BUFFER + 4096 - 40, 0)), -Errno.ENXIO],
  ["runstate area, unaligned", call(VCPU_OP, [14, 0, BUFFER], words(BUFFER + 68, 0)), -Errno.ENXIO],
  ["runstate area nowhere", call(VCPU_OP, [14, 0, BUFFER], words(0, 1)), -EINVAL],
  ["no runstate area", call(VCPU_OP, [14, 0, BUFFER], words(-1, -1)), 0],
  ["time area of vCPU 9", call(VCPU_OP, [15, 9, BUFFER], words(BUFFER, 0)), -Errno.ENOENT],
  ["time area", call(VCPU_OP, [15, 0, BUFFER], words(BUFFER + 4096 - 32, 0)), 0],
  ["time area by address", call(VCPU_OP, [13, 0, BUFFER], words(BUFFER + 0x80, 0)), 0],
  ["time area by address nowhere", call(VCPU_OP, [13, 0, BUFFER], words(UNMAPPED, 0)), 0],
  ["runstate area by address nowhere", call(VCPU_OP, [5, 0, BUFFER], words(UNMAPPED, 0)), 0],
];

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("calls that a domain may make in vain, under %s", (_, profile) => {
  it.each([
    ["linear", false],
    ["physaddr", false],
    ["fastabi", false],
    ["linear", true],
  ] as const)("get Xen's answers, %s, hardware domain: %s", (abi, hardwareDomain) => {
    const { results } = make(
      profile,
      abi,
      hardwareDomain,
      TABLE.map(([, each]) => each),
    );
    const expected = TABLE.map(([name, , guest, hardware]) => [
      name,
      hardwareDomain ? (hardware ?? guest) : guest,
    ]);
    expect(results.map(({ result }, i) => [TABLE[i][0], result])).toEqual(expected);
  });

  it("are answered with no more than there is to say", () => {
    const { results } = make(profile, "linear", false, [
      call(VERSION, [11, BUFFER], words(100)),
      call(VERSION, [9, BUFFER]),
      call(VERSION, [5, BUFFER]),
    ]);
    const [extra, commandline, parameters] = results.map(({ memory }) => memory);
    expect(text(extra.subarray(4, 16))).toBe(".0-hyperwalk");
    expect(extra[16]).toBe(0xee); // no end of its own
    expect(text(commandline.subarray(0, 9))).toBe("<denied>\0");
    expect(commandline[9]).toBe(0xee);
    expect([...parameters.subarray(0, 9)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0xee]);
  });
});
