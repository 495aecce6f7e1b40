import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { DeadlockError } from "../src/host/deadlock-error.ts";
import type { KernelSteps } from "../src/host/kvm/kernel-steps.ts";
import { KVM_XEN_INVALID_GFN, KvmXenAttrType } from "../src/host/kvm/uapi.ts";
import { everyInterleaving, interleave } from "./interleavings.ts";
import { KvmRig, PAGE, PRIORITY, SHINFO_GFN, SHINFO_HVA } from "./kvm-rig.ts";

const PORT = 15;
const KEYS = ["gfn", "hva"] as const;
type Key = (typeof KEYS)[number];

/** A rig that goes back to where it was before each run. */
function arena(key: Key) {
  const rig = new KvmRig({ key, vcpus: 2 });
  const saved = rig.vm.snapshot();
  const again = () => {
    rig.vm.restore(saved);
    rig.memory.writeBytes(rig.at(0), new Uint8Array(PAGE));
    for (const vcpu of rig.idle) vcpu.kicks = 0;
  };
  return { rig, again };
}

const off = (key: Key) =>
  key === "gfn"
    ? { type: KvmXenAttrType.SHARED_INFO, gfn: KVM_XEN_INVALID_GFN }
    : { type: KvmXenAttrType.SHARED_INFO_HVA, hva: 0 };
const on = (key: Key) =>
  key === "gfn"
    ? { type: KvmXenAttrType.SHARED_INFO, gfn: SHINFO_GFN }
    : { type: KvmXenAttrType.SHARED_INFO_HVA, hva: SHINFO_HVA };

/** The monitor's thread that takes shared_info away and gives it back, until it has come round once. */
function* juggle(rig: KvmRig, key: Key): KernelSteps<void> {
  expect(yield* rig.vm.xenHvmSetAttrSteps(off(key))).toBe(0);
  yield "off";
  expect(yield* rig.vm.xenHvmSetAttrSteps(on(key))).toBe(0);
}

/** A thread in KVM_XEN_HVM_EVTCHN_SEND. */
function* send(rig: KvmRig, results: number[], port = PORT): KernelSteps<void> {
  results.push(yield* rig.vm.xenHvmEvtchnSendSteps({ port, vcpu: 0, priority: PRIORITY }));
}

/** A vCPU in SCHEDOP_poll, up to where it blocks or does not. */
function* poll(rig: KvmRig, blocked: boolean[]): KernelSteps<void> {
  const [vcpu] = rig.vcpus;
  const isPending = yield* vcpu.pollSteps([PORT], 0);
  // kvm_vcpu_halt looks at the requests once more: a kick before is a kick.
  blocked.push(!isPending && rig.idle[0].kicks === 0);
}

function expectSound(rig: KvmRig): void {
  const { active, valid, frame, uhva } = rig.vm.sharedInfo.cache.snapshot();
  if (valid) expect([active, rig.vm.userSpace.frameOf(uhva)]).toEqual([true, frame]);
}

describe.each(KEYS)("expectation 12: shared_info by %s taken away and given back", (key) => {
  it("while an event is sent, in every order: the sender is told what happened, and what was delivered is there", () => {
    const { rig, again } = arena(key);
    const seen = new Map<string, number>();
    const runs = everyInterleaving((choose) => {
      again();
      const results: number[] = [];
      interleave([juggle(rig, key), send(rig, results)], choose);
      expectSound(rig);
      const [result] = results;
      const isThere = rig.isPending(PORT);
      const { selector, upcall } = rig.vcpuInfo();
      expect([isThere, selector, upcall, rig.idle[0].kicks]).toEqual(
        result === 0 ? [true, 1, 1, 1] : [false, 0, 0, 0],
      );
      expect([0, -Errno.EINVAL]).toContain(result);
      const { eventsSlow } = rig.vm.counters;
      const path = result !== 0 ? "refused" : eventsSlow > 0 ? "slow" : "fast";
      seen.set(path, (seen.get(path) ?? 0) + 1);
      // Whatever happened, the next one gets through.
      rig.clear();
      expect([rig.send(PORT), rig.isPending(PORT)]).toEqual([0, true]);
    });
    expect(runs).toBeGreaterThan(50);
    // All three come about: before, while the page was coming back, and while there was none.
    expect([...seen.keys()].sort()).toEqual(["fast", "refused", "slow"]);
  });

  it("while two events are sent, in every order of their first eight steps: both or those that were not refused are there", () => {
    const { rig, again } = arena(key);
    everyInterleaving((choose) => {
      again();
      // The juggler's slow half is its way back: it alone, as all orders of three threads are too many.
      rig.vm.xenHvmSetAttr(off(key));
      const [first, second]: [number[], number[]] = [[], []];
      interleave(
        [rig.vm.xenHvmSetAttrSteps(on(key)), send(rig, first), send(rig, second, PORT + 1)],
        limited(choose, 8),
      );
      expectSound(rig);
      expect([rig.isPending(PORT), rig.isPending(PORT + 1)]).toEqual([first[0] === 0, second[0] === 0]);
      const told = [first[0], second[0]].some((result) => result === 0);
      expect(rig.vcpuInfo().upcall).toBe(told ? 1 : 0);
    });
  });

  it("while a vCPU polls a masked port, in every order: it never sleeps through an event that was delivered", () => {
    const { rig, again } = arena(key);
    const wasEverAsleep: boolean[] = [];
    const runs = everyInterleaving((choose) => {
      again();
      rig.setMasked(PORT);
      const [results, blocked]: [number[], boolean[]] = [[], []];
      interleave([send(rig, results), poll(rig, blocked)], choose);
      const isAsleep = blocked[0] && rig.idle[0].kicks === 0;
      expect([results[0], rig.isPending(PORT), isAsleep]).toEqual([0, true, false]);
      wasEverAsleep.push(blocked[0]);
    });
    expect(runs).toBe(wasEverAsleep.length);
    expect(new Set(wasEverAsleep)).toEqual(new Set([false, true])); // woken in some orders, never asleep in others
  });

  it("while a vCPU polls and another sends, in 1500 sampled orders of three threads", () => {
    const { rig, again } = arena(key);
    let seed = 1;
    const random = (options: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * options);
    };
    for (let run = 0; run < 1500; run++) {
      again();
      rig.setMasked(PORT);
      const [results, blocked]: [number[], boolean[]] = [[], []];
      const order = interleave([juggle(rig, key), send(rig, results), poll(rig, blocked)], random);
      const isAsleep = blocked[0] && rig.idle[0].kicks === 0;
      const isDelivered = results[0] === 0;
      expect({ order, lost: isAsleep && isDelivered }).toEqual({ order, lost: false });
      expect([0, -Errno.EINVAL]).toContain(results[0]);
    }
  });
});

describe("mappings that go while a cache is refreshed", () => {
  it.each(KEYS)("shared_info by %s: in every order the page that is there in the end is used", (key) => {
    const { rig, again } = arena(key);
    let retries = 0;
    everyInterleaving((choose) => {
      again();
      rig.vm.userSpace.mmap(SHINFO_HVA, PAGE, 0x100);
      const results: number[] = [];
      function* remap(): KernelSteps<void> {
        const steps = rig.vm.userSpace.mmapSteps(SHINFO_HVA, PAGE, 0x200);
        for (let next = steps.next(); next.done !== true; next = steps.next()) yield next.value;
      }
      rig.memory.writeBytes(0x200 * PAGE, new Uint8Array(PAGE));
      interleave([remap(), send(rig, results)], choose);
      retries += rig.vm.counters.cacheRetries;
      expectSound(rig);
      expect(results).toEqual([0]);
      // On the page that was there when it was delivered: the old one only if that was before the tables changed.
      const old = rig.memory.readU8(0x100 * PAGE + 2048 + (PORT >>> 3)) !== 0;
      expect([rig.isPending(PORT), old].filter(Boolean)).toHaveLength(1);
      rig.clear();
      expect([rig.send(PORT), rig.isPending(PORT)]).toEqual([0, true]);
    });
    expect(retries).toBeGreaterThan(0);
  });

  it("a caller that would sleep for ever says so", () => {
    const { rig } = arena("gfn");
    const juggler = juggle(rig, "gfn");
    juggler.next();
    expect(() => rig.setSharedInfo("hva")).toThrow(DeadlockError);
  });
});

/** Chooses among all orders for so many steps and then lets the first thread that can go on. */
function limited(choose: (options: number) => number, steps: number): (options: number) => number {
  let left = steps;
  return (options) => (left-- > 0 ? choose(options) : 0);
}
