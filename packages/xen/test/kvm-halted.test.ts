import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { caller } from "./flat-guest.ts";
import { must, PRIORITY } from "./kvm-rig.ts";
import {
  COUNTS,
  count,
  guest,
  HVM_OP,
  IRET,
  le,
  MEMORY_OP,
  put,
  SCHED_OP,
  SHARED,
  STRUCT,
  sleepUntil,
  VECTOR,
  word,
} from "./smp-guest.ts";

const PORT = 15;
const MS = 1_000_000;
const DUMMY_SLOT = 100;

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("a vCPU of KVM that halts under %s", (_, profile) => {
  const call = caller(profile);

  it.each([
    ["gfn", "the vCPU itself, as the timer found the page outdated", { eventsFast: 0, eventsSlow: 1 }],
    ["hva", "the timer's interrupt", { eventsFast: 1, eventsSlow: 0 }],
  ] as const)(
    "wakes for Xen's timer after a change of slots; by %s it is delivered by %s",
    (key, _by, paths) => {
      const system = guest<KvmSystem>(
        profile,
        1,
        {
          bodies: [
            [
              ...put(STRUCT, 0x7ff0),
              ...put(STRUCT + 4, 0),
              ...put(STRUCT + 8, 0),
              ...put(STRUCT + 12, SHARED >> 12),
              ...call(MEMORY_OP, 7, STRUCT), // shared_info
              ...put(STRUCT, 0x7ff0),
              ...put(STRUCT + 8, VECTOR),
              ...put(STRUCT + 12, 0x02000000),
              ...call(HVM_OP, 0, STRUCT), // HVM_PARAM_CALLBACK_IRQ
              ...sleepUntil(COUNTS, 1),
              ...put(STRUCT, 0),
              ...call(SCHED_OP, 2, STRUCT),
            ],
          ],
          handlers: { [VECTOR]: [0xc6, 0x05, ...le(SHARED), 0, ...count(COUNTS), IRET] },
        },
        (options) => createKvmSystem({ ...options, kvm: { sharedInfo: key } }),
      );
      const { vm } = system;
      const expiresNs = vm.nowNs() + 20 * MS;
      must(
        vm.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.TIMER, port: PORT, priority: PRIORITY, expiresNs }),
      );
      expect(system.run({ maxCycles: 10 * MS * profile.frequency.value })).toMatchObject({
        reason: "budget",
      });
      expect(system.vcpus[0].host.asleep).toBe(true);
      const [{ userspaceAddr }] = vm.memslots.all;
      const [guestPhysAddr, memorySize] = [2 ** 33, 4096];
      must(vm.setUserMemoryRegion({ slot: DUMMY_SLOT, flags: 0, guestPhysAddr, memorySize, userspaceAddr }));
      expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
      expect([word(system, COUNTS), word(system, SHARED + 2048)]).toEqual([1, 1 << PORT]);
      expect(vm.nowNs()).toBeLessThan(expiresNs + MS);
      expect(vm.counters).toMatchObject(paths);
    },
  );
});
