import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { caller } from "./flat-guest.ts";
import {
  await_,
  CONTEXT,
  COUNTS,
  count,
  EDGE_INIT,
  ENABLE,
  guest,
  INITIALISE,
  le,
  put,
  SCHED_OP,
  SIPI,
  STRUCT,
  sendIpi,
  TRAMPOLINE,
  UP,
  VCPU_OP,
  word,
} from "./smp-guest.ts";

const HOSTS = [
  ["Xen", createXenSystem, 2],
  ["KVM", createKvmSystem, 1],
] as const;
const PROFILES = [epyc9124, skylakeSp] as const;

describe.each(
  HOSTS.flatMap(([host, make, apicId]) =>
    PROFILES.map((profile) => [host, profile.id, { make, apicId, profile }] as const),
  ),
)("INIT under %s on %s", (_, _id, { make, apicId, profile }) => {
  it("leaves nothing of what a running vCPU's local APIC was told", () => {
    const call = caller(profile);
    const system = guest<XenSystem | KvmSystem>(
      profile,
      2,
      {
        bodies: [
          [
            ...ENABLE,
            ...call(VCPU_OP, INITIALISE, 1, CONTEXT + 128),
            ...call(VCPU_OP, UP, 1),
            ...await_(COUNTS, 1),
            ...sendIpi(apicId, EDGE_INIT),
            ...sendIpi(apicId, SIPI | (TRAMPOLINE >> 12)),
            ...await_(COUNTS, 2),
            ...put(STRUCT, 0),
            ...call(SCHED_OP, 2, STRUCT),
          ],
          [...ENABLE, ...put(0xfee00000 + 0x80, 0x40), ...count(COUNTS), 0xeb, 0xfe],
        ],
        // xor ax, ax; mov ds, ax; lock inc dword [COUNTS]; jmp $
        trampoline: [0x31, 0xc0, 0x8e, 0xd8, 0xf0, 0x66, 0xff, 0x06, ...le(COUNTS, 2), 0xeb, 0xfe],
      },
      make,
    );
    const [, { vlapic }] = system.vcpus;
    const fresh = vlapic.apic.snapshot();
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, COUNTS)).toBe(2);
    expect(vlapic.apic.snapshot()).toEqual(fresh);
  });
});
