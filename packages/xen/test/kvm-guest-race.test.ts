import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import type { SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import { KVM_XEN_INVALID_GFN, KvmXenAttrType } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { caller } from "./flat-guest.ts";
import {
  balanced,
  CONTEXT,
  COUNTS,
  count,
  digest,
  EVENT_CHANNEL_OP,
  guest,
  HVM_OP,
  INITIALISE,
  IRET,
  le,
  MEMORY_OP,
  type Program,
  put,
  SCHED_OP,
  SHARED,
  STRUCT,
  sleepUntil,
  UP,
  VCPU_OP,
  VECTOR,
  word,
} from "./smp-guest.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

/** A hypercall that only this monitor has: takes shared_info away (0) or gives it back (1). */
const JUGGLE = 0x60;
const ROUNDS = 6;
const PORT = STRUCT + 0x100;
/** The juggler goes on while this is zero. */
const DONE = COUNTS + 8;
const PENDING = SHARED + 2048;
const MASK = PENDING + 128;

interface Race {
  readonly system: KvmSystem;
  /** Where vCPU 0 was, in its own code, whenever shared_info went or came: its RIP and whether it slept. */
  readonly places: Set<string>;
}

function race(profile: ProcessorProfile, key: SharedInfoKey, program: Program): Race {
  const places = new Set<string>();
  let system: KvmSystem | undefined;
  const made = guest<KvmSystem>(profile, 2, program, (options) =>
    createKvmSystem({
      ...options,
      kvm: { sharedInfo: key },
      hypercall: (exit) => {
        if (exit.input !== BigInt(JUGGLE) || system === undefined) return false;
        const { vm, domain, vcpus } = system;
        const isOn = exit.params[0] === 1n;
        const attr =
          key === "gfn"
            ? ({
                type: KvmXenAttrType.SHARED_INFO,
                gfn: isOn ? domain.sharedInfo.gfn : KVM_XEN_INVALID_GFN,
              } as const)
            : ({
                type: KvmXenAttrType.SHARED_INFO_HVA,
                hva: isOn ? vm.memslots.hvaOf(domain.sharedInfo.gfn) : 0,
              } as const);
        exit.result = BigInt(vm.xenHvmSetAttr(attr));
        const [{ host }] = vcpus;
        places.add(`${isOn ? "on" : "off"} ${host.asleep ? "asleep" : host.rip}`);
        return true;
      },
    }),
  );
  system = made;
  return { system: made, places };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)(
  "expectation 12 under %s, two vCPUs: shared_info taken away and given back by one",
  (_, profile) => {
    const call = caller(profile);
    const poweroff = [...put(DONE, 1), ...put(STRUCT, 0), ...call(SCHED_OP, 2, STRUCT)];
    const setUp = [
      ...put(STRUCT, 0x7ff0),
      ...put(STRUCT + 4, 0),
      ...put(STRUCT + 8, 0),
      ...put(STRUCT + 12, SHARED >> 12),
      ...call(MEMORY_OP, 7, STRUCT), // shared_info
      ...put(STRUCT, 0x7ff0),
      ...put(STRUCT + 4, 0),
      ...put(STRUCT + 8, VECTOR),
      ...put(STRUCT + 12, 0x02000000),
      ...call(HVM_OP, 0, STRUCT), // HVM_PARAM_CALLBACK_IRQ: the vector, and the layout of 32-bit guests
      ...put(STRUCT, 0),
      ...call(EVENT_CHANNEL_OP, 7, STRUCT), // bind_ipi to vCPU 0
      ...[0xa1, ...le(STRUCT + 4), 0xa3, ...le(PORT)],
      ...call(VCPU_OP, INITIALISE, 1, CONTEXT + 128),
      ...call(VCPU_OP, UP, 1),
    ];
    /** mov ecx, n; loop */
    const delay = (n: number) => [0xb9, ...le(n), 0xe2, 0xfe];
    const send = call(EVENT_CHANNEL_OP, 4, PORT);
    /** Repeats while the other one has not finished: cmp dword [DONE], 0; je back; then it sleeps. */
    const whileWanted = (code: readonly number[]) => [
      ...code,
      ...[0x83, 0x3d, ...le(DONE), 0],
      ...[0x0f, 0x84, ...le(-(code.length + 13))],
      ...[0xfa, 0xf4],
    ];
    const handlers = {
      [VECTOR]: [
        ...put(PENDING, 0),
        ...put(SHARED + 4, 0),
        ...[0xc6, 0x05, ...le(SHARED), 0], // evtchn_upcall_pending
        ...count(COUNTS),
        IRET,
      ],
    };

    describe.each(["hva", "gfn"] as const)("by %s", (key) => {
      it("while the other one sends itself events and sleeps until each has come: none is lost", () => {
        const paths = { eventsFast: 0, eventsSlow: 0, eventsRefused: 0 };
        const places = new Set<string>();
        for (let offset = 1; offset <= 3; offset++) {
          const rounds = Array.from({ length: ROUNDS }, (_, n) => [
            ...delay(701),
            ...send,
            ...sleepUntil(COUNTS, n + 1),
          ]);
          const juggle = [...delay(523 * offset), ...call(JUGGLE, 0), ...delay(1000), ...call(JUGGLE, 1)];
          const program = {
            bodies: [[...setUp, ...rounds.flat(), ...poweroff], whileWanted(juggle)],
            handlers,
          };
          const { system, places: seen } = race(profile, key, program);
          const outcome = system.run({ maxInstructions: 1e6 });
          expect([outcome.reason, outcome.shutdown, word(system, COUNTS)]).toEqual([
            "shutdown",
            "poweroff",
            ROUNDS,
          ]);
          expect(balanced(system)).toBe(true);
          const { counters } = system.vm;
          for (const path of ["eventsFast", "eventsSlow", "eventsRefused"] as const)
            paths[path] += counters[path];
          for (const place of seen) places.add(place);
          if (offset > 1) continue;
          const again = race(profile, key, program).system;
          again.run({ maxInstructions: 1e6 });
          expect(digest(again)).toBe(digest(system));
        }
        // Both went through the kernel, and through the monitor for want of the page.
        expect(paths.eventsFast).toBeGreaterThan(0);
        expect(paths.eventsRefused).toBeGreaterThan(0);
        expect(places.size).toBeGreaterThan(3);
      });

      it("and then sends an event to the other one, which polls for it with the port masked: none is lost", () => {
        for (let offset = 1; offset <= 2; offset++) {
          const poll = [
            ...put(STRUCT + 0x200, PORT), // sched_poll: ports, nr_ports, timeout
            ...put(STRUCT + 0x204, 1),
            ...call(SCHED_OP, 3, STRUCT + 0x200),
          ];
          // Again until the pending bit is there: cmp dword [PENDING], 0; je back.
          const polled = [...poll, 0x83, 0x3d, ...le(PENDING), 0, 0x74, 256 - (poll.length + 9)];
          const rounds = Array.from({ length: ROUNDS }, () => [
            ...polled,
            ...put(PENDING, 0),
            ...count(COUNTS),
          ]);
          // One event a round: it waits until the last one was seen.
          const await_ = (at: number) => [0xa1, ...le(at), 0x3b, 0x05, ...le(COUNTS + 4), 0x75, 0xf3];
          const juggle = [
            ...[...await_(COUNTS), ...delay(5003 * offset)],
            ...[...call(JUGGLE, 0), ...(offset % 2 === 0 ? send : []), ...delay(997), ...call(JUGGLE, 1)],
            ...[...(offset % 2 === 1 ? send : []), ...count(COUNTS + 4)],
          ];
          const program = {
            bodies: [
              [
                ...setUp.slice(0, -call(VCPU_OP, UP, 1).length),
                ...put(MASK, -1),
                ...call(VCPU_OP, UP, 1),
                ...rounds.flat(),
                ...poweroff,
              ],
              whileWanted(juggle),
            ],
            handlers,
          };
          const { system } = race(profile, key, program);
          const outcome = system.run({ maxInstructions: 1e6 });
          expect([offset, outcome.reason, outcome.shutdown, word(system, COUNTS)]).toEqual([
            offset,
            "shutdown",
            "poweroff",
            ROUNDS,
          ]);
        }
      });
    });
  },
);
