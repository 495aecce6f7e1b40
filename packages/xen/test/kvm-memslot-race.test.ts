import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import type { KernelSteps } from "../src/host/kvm/kernel-steps.ts";
import { SHARED_INFO_KEYS, type SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import { MEMSLOT_UPDATES, type MemslotUpdate } from "../src/host/kvm/memslot-events.ts";
import { KvmXenAttrType, KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import { everyInterleaving, interleave } from "./interleavings.ts";
import { KvmRig, must, PAGE, PRIORITY, SHINFO_GFN } from "./kvm-rig.ts";

const PORT = 15;
const TIMER_PORT = 13;
const MOVED_GFN: number = SHINFO_GFN + 64;
const SETTINGS: readonly (readonly [SharedInfoKey, MemslotUpdate])[] = SHARED_INFO_KEYS.flatMap((key) =>
  MEMSLOT_UPDATES.map((update) => [key, update] as const),
);

/** A rig that goes back to where it was before each run. */
function arena(key: SharedInfoKey) {
  const rig = new KvmRig({ key });
  const timer = { port: TIMER_PORT, priority: PRIORITY, expiresNs: 0 };
  must(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.TIMER, ...timer }));
  const saved = rig.vm.snapshot();
  const again = () => {
    rig.vm.restore(saved);
    rig.clear();
    for (const vcpu of rig.idle) vcpu.kicks = 0;
  };
  return { rig, again };
}

/** Is the frame by which the kernel knows shared_info now in a slot that can be used? */
function isThere(rig: KvmRig): boolean {
  return rig.vm.memslots.hvaOf(rig.vm.sharedInfo.cache.gpa / PAGE) >= 0;
}

/** The monitor's thread in KVM_SET_USER_MEMORY_REGION. */
function* region(rig: KvmRig, to: ReturnType<KvmRig["region"]>): KernelSteps<void> {
  const steps = rig.vm.memslots.steps(to);
  if (typeof steps === "number") throw new Error(`errno ${-steps}`);
  for (let next = steps.next(); next.done !== true; next = steps.next()) yield next.value;
}

/** The monitor's thread through all of an update. */
function* updateSlots(rig: KvmRig, update: MemslotUpdate): KernelSteps<void> {
  if (update === "another")
    yield* region(rig, {
      ...rig.region(SHINFO_GFN + 128, PAGE),
      slot: 11,
    });
  if (update === "move") yield* region(rig, rig.region(MOVED_GFN));
  if (update === "replace") {
    yield* region(rig, rig.region(SHINFO_GFN, 0));
    yield* region(rig, rig.region(SHINFO_GFN));
  }
}

/** The monitor's thread that tells the kernel where shared_info and the vCPU's record in it are now. */
function* tell(rig: KvmRig, gfn: number): KernelSteps<void> {
  expect(yield* rig.vm.xenHvmSetAttrSteps({ type: KvmXenAttrType.SHARED_INFO, gfn })).toBe(0);
  yield "SHARED_INFO set";
  const gpa = gfn * PAGE + 0x40;
  expect(yield* rig.vcpus[0].xenSetAttrSteps({ type: KvmXenVcpuAttrType.VCPU_INFO, gpa })).toBe(0);
}

/** A thread in KVM_XEN_HVM_EVTCHN_SEND. @param before called before each of its steps */
function* send(rig: KvmRig, results: number[], before: () => void): KernelSteps<void> {
  const steps = rig.vm.xenHvmEvtchnSendSteps({ port: PORT, vcpu: 0, priority: PRIORITY });
  for (;;) {
    before();
    const { value, done } = steps.next();
    if (done === true) {
      results.push(value as number);
      return;
    }
    yield value;
  }
}

/** All or nothing, wherever the event was interrupted, once the vCPU has looked; and the next one gets through. */
function expectWhole(rig: KvmRig, port: number, isDelivered: boolean): void {
  const [vcpu] = rig.vcpus;
  const told = () => {
    const { upcall, selector } = rig.vcpuInfo();
    return [upcall, selector, vcpu.pendingSel];
  };
  vcpu.beforeEntry();
  expect([rig.isPending(port), ...told()]).toEqual(isDelivered ? [true, 1, 1, 0n] : [false, 0, 0, 0n]);
  const { active, valid, frame, uhva } = rig.vm.sharedInfo.cache.snapshot();
  if (valid) expect([active, rig.vm.userSpace.frameOf(uhva)]).toEqual([true, frame]);
  rig.clear();
  expect([rig.send(PORT + 1), rig.isPending(PORT + 1)]).toEqual([0, true]);
  vcpu.beforeEntry();
  expect(told()).toEqual([1, 1, 0n]);
}

describe("an event whose every step may have steps of a memslot update before it", () => {
  it.each(SETTINGS)("by %s, %s: delivered whole, or refused with EFAULT and nothing done", (key, update) => {
    const { rig, again } = arena(key);
    const seen = new Set<string>();
    const { cacheRefreshes } = rig.vm.counters; // when shared_info and vcpu_info were set
    everyInterleaving((choose) => {
      again();
      const { generation } = rig.vm.memslots;
      const results: number[] = [];
      const there: boolean[] = []; // at each step of the sender
      let isFast = false;
      const before = () => {
        if (there.length === 0) isFast = key === "hva" || rig.vm.memslots.generation === generation;
        there.push(key === "hva" || isThere(rig));
      };
      interleave([updateSlots(rig, update), send(rig, results, before)], choose);
      const { eventsFast, eventsSlow, eventsRefused, eventsDeferred } = rig.vm.counters;
      const [result] = results;
      const path = isFast ? "fast" : result === 0 ? "slow" : "refused";
      seen.add(path);
      expect([result, eventsFast, eventsSlow, eventsRefused]).toEqual(
        { fast: [0, 1, 0, 0], slow: [0, 0, 1, 0], refused: [-Errno.EFAULT, 0, 0, 1] }[path],
      );
      // Nowhere all the time: it cannot be slow; there all the time: it cannot be refused.
      if (!there.includes(true)) expect(path).toBe("refused");
      if (!there.includes(false)) expect(path).not.toBe("refused");
      expect(rig.idle[0].kicks).toBe(result === 0 ? 1 : 0);
      if (key === "hva") {
        const { cachesOutdated, cachesInvalidated } = rig.vm.counters;
        expect([eventsDeferred, cachesOutdated, cachesInvalidated]).toEqual([0, 0, 0]);
        expect(rig.vm.counters.cacheRefreshes).toBe(cacheRefreshes);
      } else if (update === "move") for (const _ of tell(rig, MOVED_GFN));
      expectWhole(rig, PORT, result === 0);
    });
    const byGfn = {
      move: ["fast", "refused"],
      replace: ["fast", "refused", "slow"],
      another: ["fast", "slow"],
    };
    expect([...seen].sort()).toEqual(key === "hva" ? ["fast"] : byGfn[update]);
  });

  it("by gfn, when the slot has moved: nor while the monitor says where it is now", () => {
    const { rig, again } = arena("gfn");
    const seen = new Set<string>();
    everyInterleaving((choose) => {
      again();
      must(rig.vm.setUserMemoryRegion(rig.region(MOVED_GFN)));
      const results: number[] = [];
      interleave([tell(rig, MOVED_GFN), send(rig, results, () => {})], choose);
      const [result] = results;
      const { eventsFast, eventsSlow, eventsRefused } = rig.vm.counters;
      expect([0, -Errno.EFAULT]).toContain(result);
      expect([eventsFast + eventsSlow, eventsRefused]).toEqual(result === 0 ? [1, 0] : [0, 1]);
      seen.add(result !== 0 ? "refused" : eventsSlow > 0 ? "slow" : "fast");
      expectWhole(rig, PORT, result === 0);
    });
    // Sent before, while the frame was looked up, and afterwards.
    expect([...seen].sort()).toEqual(["fast", "refused", "slow"]);
  });
});

describe("a vCPU that runs while the monitor updates its slots", () => {
  it.each(SETTINGS)(
    "by %s, %s: loses its timer's event if it looks while the frame is in no slot",
    (key, update) => {
      const { rig, again } = arena(key);
      const { timer } = rig.vcpus[0];
      const seen = new Set<string>();
      everyInterleaving((choose) => {
        again();
        const { generation } = rig.vm.memslots;
        let expected = "";
        function* vcpu(): KernelSteps<void> {
          const isOutdated = key === "gfn" && rig.vm.memslots.generation !== generation;
          timer.start(rig.now + 1);
          timer.expire(timer.due);
          yield "timer";
          expected = !isOutdated ? "at once" : isThere(rig) ? "by the vCPU" : "lost";
          rig.vcpus[0].beforeEntry();
        }
        interleave([updateSlots(rig, update), vcpu()], choose);
        if (key === "gfn" && update === "move") for (const _ of tell(rig, MOVED_GFN));
        const { eventsFast, eventsSlow, eventsRefused } = rig.vm.counters;
        expect([eventsFast, eventsSlow, eventsRefused]).toEqual(
          { "at once": [1, 0, 0], "by the vCPU": [0, 1, 0], lost: [0, 0, 1] }[expected],
        );
        expect([timer.pending, timer.expiresNs]).toEqual([false, 0]); // done, whatever became of it
        expectWhole(rig, TIMER_PORT, expected !== "lost");
        seen.add(expected);
      });
      const byGfn = {
        move: ["at once", "lost"],
        replace: ["at once", "by the vCPU", "lost"],
        another: ["at once", "by the vCPU"],
      };
      expect([...seen].sort()).toEqual(key === "hva" ? ["at once"] : byGfn[update]);
    },
  );
});
