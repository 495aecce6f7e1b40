import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import type { KvmSystemSnapshot } from "../src/snapshot/system-snapshot.ts";
import { createXenSystem } from "../src/xen.ts";
import { caller } from "./flat-guest.ts";
import {
  await_,
  CONTEXT,
  COUNTS,
  count,
  digest,
  ENABLE,
  EOI,
  EVENT_CHANNEL_OP,
  guest,
  HVM_OP,
  INITIALISE,
  IRET,
  le,
  MEMORY_OP,
  put,
  RESULTS,
  SCHED_OP,
  SHARED,
  STRUCT,
  sleepUntil,
  UP,
  unless,
  VCPU_OP,
  VECTOR,
  word,
} from "./smp-guest.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const ROUNDS = 3;
const AREA = 0x30000;

/**
 * A guest with something of everything: a measured window, shared_info, run-state area, IPIs by event channels, a port of the
 * kernel's timer, and a poll with a time-out.
 */
function everything(vcpus: 1 | 2, key: SharedInfoKey, profile = epyc9124): KvmSystem {
  const call = caller(profile);
  const portOf = (id: number) => STRUCT + 0x100 + 16 * id;
  const send = (id: number) => call(EVENT_CHANNEL_OP, 4, portOf(id));
  const bind = (id: number) => [
    ...put(STRUCT, id),
    ...call(EVENT_CHANNEL_OP, 7, STRUCT),
    ...[0xa1, ...le(STRUCT + 4), 0xa3, ...le(portOf(id))],
    ...put(STRUCT, id),
    ...put(STRUCT + 4, VECTOR + id),
    ...call(HVM_OP, 23, STRUCT),
  ];
  const clear = (id: number) => [
    ...put(SHARED + 2048, 0),
    ...put(SHARED + 64 * id + 4, 0),
    ...put(SHARED + 64 * id, 0),
    ...EOI,
  ];
  const other = vcpus - 1;
  const before = [
    ...[0x0f, 0x31, 0x0f, 0x31], // a measured window: rdtsc; rdtsc
    ...ENABLE,
    ...put(STRUCT, 0x7ff0),
    ...put(STRUCT + 4, 0),
    ...put(STRUCT + 8, 0),
    ...put(STRUCT + 12, SHARED >> 12),
    ...call(MEMORY_OP, 7, STRUCT),
    ...put(STRUCT, 0x7ff0),
    ...put(STRUCT + 8, 1),
    ...call(HVM_OP, 0, STRUCT), // a callback that is no vector: the layout of 32-bit guests is latched
    ...Array.from({ length: vcpus }, (_, id) => bind(id)).flat(),
    ...put(STRUCT, 0), // VIRQ_TIMER
    ...put(STRUCT + 4, 0),
    ...call(EVENT_CHANNEL_OP, 1, STRUCT),
    ...put(STRUCT, AREA),
    ...put(STRUCT + 4, 0),
    ...call(VCPU_OP, 5, 0, STRUCT),
  ];
  const rest = [
    ...put(STRUCT + 0x200, portOf(0)),
    ...put(STRUCT + 0x204, 1),
    ...put(STRUCT + 0x208, 1000),
    ...call(SCHED_OP, 3, STRUCT + 0x200), // times out after a jiffy
    ...call(VCPU_OP, 4, 0, STRUCT + 0x300),
    ...put(STRUCT, 0),
    ...call(SCHED_OP, 2, STRUCT),
  ];
  const startOther = [
    ...call(VCPU_OP, INITIALISE, 1, CONTEXT + 128),
    ...call(VCPU_OP, UP, 1),
    ...await_(RESULTS + 64, 1),
  ];
  return guest<KvmSystem>(
    profile,
    vcpus,
    {
      bodies: [
        [
          ...before,
          ...(vcpus === 2 ? startOther : []),
          ...send(other),
          ...sleepUntil(COUNTS, ROUNDS),
          ...[0xb9, ...le(60), 0xe2, 0xfe],
          ...rest,
        ],
        [...ENABLE, ...put(RESULTS + 64, 1), ...sleepUntil(COUNTS + 4, 1e6)],
      ].slice(0, vcpus),
      handlers: {
        [VECTOR]: [0x60, ...clear(0), ...count(COUNTS), ...unless(COUNTS, ROUNDS, send(other)), 0x61, IRET],
        [VECTOR + 1]: [0x60, ...clear(1), ...count(COUNTS + 4), ...send(0), 0x61, IRET],
      },
    },
    (options) => createKvmSystem({ ...options, kvm: { sharedInfo: key } }),
  );
}

/** Everything that a run comes to, memory, the kernel's and the monitor's state with it. */
function whole(system: KvmSystem): string {
  const { memory, identity, vcpus, ...rest } = system.snapshot();
  const frames = memory.frames.map((frame, i) => [frame, checksum(memory.bytes, 4096 * i)]);
  return JSON.stringify([
    digest(system),
    rest,
    frames.sort(([a], [b]) => a - b),
    vcpus.map(({ host }) => host),
  ]);
}

function checksum(bytes: Uint8Array, from: number): number {
  let sum = 0;
  for (let i = 0; i < 4096; i++) sum = (Math.imul(sum, 31) + bytes[from + i]) | 0;
  return sum;
}

function problem(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof SnapshotError) return error.code;
    throw error;
  }
}

describe.each([
  [1, "hva", epyc9124],
  [1, "gfn", skylakeSp],
  [2, "gfn", epyc9124],
  [2, "hva", skylakeSp],
] as const)("a system of KVM with %i vCPUs, shared_info by %s", (vcpus, key, profile) => {
  it("goes on from snapshots wherever it was cut, as if nothing had been", () => {
    const uninterrupted = everything(vcpus, key, profile);
    const outcome = uninterrupted.run({ maxInstructions: 1e6 });
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(word(uninterrupted, COUNTS)).toBe(ROUNDS);
    const expected = whole(uninterrupted);
    const { cycles } = uninterrupted;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9999 }), { minLength: 1, maxLength: 2 }), (cuts) => {
        let system = everything(vcpus, key, profile);
        for (const share of cuts.sort((a, b) => a - b)) {
          const maxCycles = Math.floor((cycles * share) / 10_000 - system.cycles);
          if (maxCycles > 0) system.run({ maxCycles });
          const next = everything(vcpus, key, profile);
          next.restore(decodeSnapshot(encodeSnapshot(system.snapshot())));
          system = next;
        }
        expect(system.run({ maxInstructions: 1e6 })).toEqual(outcome);
        expect(whole(system)).toBe(expected);
      }),
      { numRuns: 2, endOnFailure: true },
    );
  });
});

describe("a snapshot of a system of KVM", () => {
  const ran = () => {
    const system = everything(2, "hva");
    system.run({ maxInstructions: 200 });
    return system.snapshot();
  };

  it("gives back every part that was put into it, between two runs and in the middle of anything", () => {
    const snapshot = ran();
    const { vcpus, threads } = snapshot;
    expect(snapshot.window?.instants.length).toBeGreaterThan(0);
    const parts: KvmSystemSnapshot = {
      ...snapshot,
      vcpus: vcpus.map((vcpu, id) => ({
        ...vcpu,
        runDelayNs: 100 + id,
        host: {
          ...vcpu.host,
          ready: !vcpu.host.ready,
          requests: 1 + id,
          waitsFor: `something of ${id}`,
          windowWanted: !vcpu.host.windowWanted,
          stepsOverIret: !vcpu.host.stepsOverIret,
          userExits: 50 + id,
          freshRun: !vcpu.host.freshRun,
          unblocked: !vcpu.host.unblocked,
          clockUpdate: !vcpu.host.clockUpdate,
          flushRequested: !vcpu.host.flushRequested,
          initReceived: !vcpu.host.initReceived,
          callBytes: 3 + id,
          callTexts: [`rdi=${id}`],
        },
      })),
      tdp: { filled: 1234, zapped: 56 },
      forwarded: { instructions: 7, cycles: 8 },
      threads: threads && {
        ...threads,
        kernelOn: 1 - threads.kernelOn,
        running: 1 - threads.running,
        until: 99,
        messages: [{ at: 3, target: 1, mode: 0, vector: 48, level: false }],
      },
    };
    const system = everything(2, "hva");
    system.restore(decodeSnapshot(encodeSnapshot(parts)));
    // Caches and the like are compared where runs go on.
    const small = ({ memory: _memory, vcpus, ...rest }: KvmSystemSnapshot) => ({
      ...rest,
      vcpus: vcpus.map(({ processor: _processor, cost: _cost, ...own }) => own),
    });
    expect(small(system.snapshot())).toEqual(small(parts));
    expect(system.vm.cost).toBe(system.vcpus[1 - (threads?.kernelOn ?? 1)].pcpu.cost);
  });

  it("is refused by systems that were made otherwise, Xen's among them", () => {
    const snapshot = ran();
    expect(problem(() => everything(2, "gfn").restore(snapshot))).toBe("MISMATCH");
    expect(() => everything(2, "gfn").restore(snapshot)).toThrow("kvm.sharedInfo");
    expect(problem(() => everything(1, "hva").restore(snapshot))).toBe("MISMATCH");
    expect(problem(() => everything(2, "hva", skylakeSp).restore(snapshot))).toBe("MISMATCH");
    const { domain } = everything(2, "hva").config;
    const xen = createXenSystem({ profile: epyc9124, domain, accounting: true });
    expect(problem(() => xen.restore(snapshot))).toBe("MISMATCH");
    expect(problem(() => everything(2, "hva").restore(xen.snapshot()))).toBe("MISMATCH");
    const again = everything(2, "hva");
    again.run({ maxInstructions: 10 });
    expect(problem(() => again.restore(snapshot))).toBe("MISMATCH");
  });

  it("is refused when a part cannot be", () => {
    const snapshot = ran();
    const { vm, vcpus, regions, attributes, threads } = snapshot;
    const [slot] = vm.memslots.slots;
    const host = (part: object) => ({
      vcpus: vcpus.map((vcpu) => ({ ...vcpu, host: { ...vcpu.host, ...part } })),
    });
    const wrong: readonly Partial<Record<keyof KvmSystemSnapshot, unknown>>[] = [
      { vm: undefined },
      { vm: { ...vm, longMode: 1 } },
      { vm: { ...vm, memslots: { ...vm.memslots, generation: -1 } } },
      { vm: { ...vm, memslots: { ...vm.memslots, slots: [slot, slot] } } },
      { vm: { ...vm, sharedInfo: { ...vm.sharedInfo, frame: vm.sharedInfo.frame + 1 } } },
      { vm: { ...vm, userSpace: { ...vm.userSpace, mappings: [{ page: -1, pages: 1, frame: 0 }] } } },
      { vm: { ...vm, vcpus: vm.vcpus.slice(1) } },
      { regions: { ...regions, freeSlots: [0, 0] } },
      { regions: { nextSlot: 1, freeSlots: [] } },
      { attributes: { ...attributes, ports: [[77, 0]] } },
      { attributes: { ...attributes, timerPorts: [0] } },
      { threads: undefined },
      { threads: { ...threads, kernelOn: 2 } },
      { threads: { ...threads, running: 7 } },
      host({ callBytes: 16 }),
      host({ freshRun: 1 }),
      { vcpus: vcpus.slice(1) },
      { peers: [{}] } as never,
    ];
    for (const part of wrong)
      expect(
        problem(() => everything(2, "hva").restore({ ...snapshot, ...part })),
        JSON.stringify(Object.keys(part)),
      ).toBe("CORRUPT");
  });
});
