import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { SHARED_INFO_KEYS, type SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import { KvmXenAttrType, KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { EVTCHNSTAT_INTERDOMAIN } from "../src/operations/descriptors.gen.ts";
import { type CallRegisters, HypercallDriver } from "./hypercall-driver.ts";
import { must, PENDING, PRIORITY } from "./kvm-rig.ts";

const ARGUMENTS = 0x300000;
/** Guest frames of shared_info, in turn. */
const FIRST_GFN = 0x500;
const SECOND_GFN = 0x501;
const MEMORY_OP = 12;
const SET_TIMER_OP = 15;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const ADD_TO_PHYSMAP = 7;
const BIND_VIRQ = 1;
const SEND = 4;
const BIND_IPI = 7;
const POLL = 3;
const MS = 1_000_000;

/** First port that neither the console nor the store has. */
const FREE_PORT = 3;

/** A call with its structure, of 32-bit words, in guest memory. */
interface Call {
  readonly number: number;
  readonly command: number;
  readonly words?: readonly number[];
}

const addSharedInfo = (gfn: number): Call => ({
  number: MEMORY_OP,
  command: ADD_TO_PHYSMAP,
  words: [0x7ff0, 0, 0, 0, gfn, 0], // DOMID_SELF, XENMAPSPACE_shared_info
});
const bindIpi: Call = { number: EVENT_CHANNEL_OP, command: BIND_IPI, words: [0, 0] };
const bindTimer: Call = { number: EVENT_CHANNEL_OP, command: BIND_VIRQ, words: [0, 0, 0] };
const send = (port: number): Call => ({ number: EVENT_CHANNEL_OP, command: SEND, words: [port] });

/** A 64-bit guest under KVM that makes these calls. */
function guest(profile: ProcessorProfile, sharedInfo: SharedInfoKey, calls: readonly Call[]) {
  const at = (i: number) => ARGUMENTS + 64 * i;
  const registers = calls.map(({ command, words }, i): CallRegisters => {
    const set: [number, number][] = Array.from({ length: 16 }, () => [0, 0]);
    set[0] = [calls[i].number, 0];
    set[7] = [command, 0];
    set[6] = [words === undefined ? 0 : at(i), 0];
    return set;
  });
  const driver = new HypercallDriver<KvmSystem>(profile, {}, registers, (options) =>
    createKvmSystem({ ...options, kvm: { sharedInfo } }),
  );
  const { system } = driver;
  calls.forEach(({ words = [] }, i) => {
    words.forEach((word, j) => {
      system.domain.guestMemory.writeU32(at(i) + 4 * j, word);
    });
  });
  const isPending = (port: number) =>
    (system.processor.memory.readU8(system.domain.sharedInfo.frame * 4096 + PENDING + (port >>> 3)) &
      (1 << (port & 7))) !==
    0;
  return { driver, system, isPending, results: () => calls.map((_, i) => driver.resultOf(i)) };
}

describe.each([epyc9124, skylakeSp])("a guest under KVM on $id", (profile) => {
  it.each(SHARED_INFO_KEYS)(
    "with shared_info by %s sends to itself in the kernel, before and after it moved shared_info",
    (key) => {
      const { system, isPending, results } = guest(profile, key, [
        addSharedInfo(FIRST_GFN),
        bindIpi,
        bindIpi,
        send(FREE_PORT),
        addSharedInfo(SECOND_GFN),
        send(FREE_PORT + 1),
      ]);
      system.run();
      expect(results()).toEqual([0, 0, 0, 0, 0, 0]);
      const there = [isPending(FREE_PORT), isPending(FREE_PORT + 1)];
      expect([...there, system.vm.counters.eventsRefused]).toEqual([true, true, 0]);
      // Placing shared_info and binding ports are the monitor's: neither of the sends is.
      expect(system.userExits).toBe(4);
    },
  );

  it.each(SHARED_INFO_KEYS)(
    "expectations 6 and 8, by %s: a device's irqfd at every step of the guest's own XENMEM_add_to_physmap",
    (key) => {
      const { system, isPending, results } = guest(profile, key, [
        addSharedInfo(FIRST_GFN),
        addSharedInfo(SECOND_GFN),
      ]);
      const { vm } = system;
      const ports = Array.from({ length: 32 }, (_, i) => 64 + i);
      must(
        vm.irqfds.setRouting(
          ports.map((port, i) => ({
            gsi: 32 + i,
            type: 5 as const,
            xenEvtchn: { port, vcpu: 0, priority: PRIORITY },
          })),
        ),
      );
      const eventfds = ports.map((_, i) => {
        const eventfd = vm.eventfds.create();
        must(vm.irqfds.set({ fd: eventfd.fd, gsi: 32 + i }));
        return eventfd;
      });
      const sent: { point: string; port: number; isThere: boolean }[] = [];
      const signal = (point: string, gfn = FIRST_GFN) => {
        const isThere = vm.memslots.hvaOf(gfn) >= 0;
        eventfds[sent.length].signal();
        vm.irqfds.runWork();
        sent.push({ point, port: ports[sent.length], isThere });
      };
      vm.memslots.subscribe({
        // Once shared_info has its first place: the guest moves it.
        beforeChange: (change) => {
          if (system.domain.sharedInfo.gfn >= 0) signal(`before ${change}`);
        },
        afterStep: (step) => {
          if (system.domain.sharedInfo.gfn >= 0) signal(step);
        },
      });
      system.run();
      signal("after", SECOND_GFN);
      expect(results()).toEqual([0, 0]);
      // Its slot and that of the memory around its new place go; two come.
      expect(sent.filter(({ point }) => point.startsWith("before")).map(({ point }) => point)).toEqual([
        "before delete",
        "before delete",
        "before create",
        "before create",
      ]);
      // The frame that the kernel knows it by goes with its slot, and another one is known when all is done.
      const there = sent.filter(({ isThere }) => isThere);
      expect(there).toEqual([sent[0], sent[sent.length - 1]]);
      const lost = sent.filter(({ port }) => !isPending(port));
      const { eventsSlow, eventsRefused, cachesOutdated } = vm.counters;
      if (key === "hva") expect([lost, eventsSlow, eventsRefused, cachesOutdated]).toEqual([[], 0, 0, 0]);
      else {
        expect(lost).toEqual(sent.filter(({ isThere }) => !isThere));
        expect([eventsRefused, cachesOutdated > 0]).toEqual([lost.length, true]);
      }
    },
  );

  it.each(SHARED_INFO_KEYS)(
    "expectation 8, by %s: EVTCHNOP_send on a port that is an eventfd's comes back through its irqfd",
    (key) => {
      const { system, isPending, results } = guest(profile, key, [addSharedInfo(FIRST_GFN), send(197)]);
      const { vm } = system;
      const { fd } = vm.eventfds.create();
      must(
        vm.irqfds.setRouting([{ gsi: 33, type: 5, xenEvtchn: { port: 66, vcpu: 0, priority: PRIORITY } }]),
      );
      must(vm.irqfds.set({ fd, gsi: 33 }));
      const attr = { type: KvmXenAttrType.EVTCHN, sendPort: 197, evtchnType: EVTCHNSTAT_INTERDOMAIN };
      must(vm.xenHvmSetAttr({ ...attr, flags: 0, deliver: { eventfd: { fd } } }));
      system.run();
      expect([...results(), isPending(66), isPending(197), system.userExits]).toEqual([0, 0, true, false, 1]);
    },
  );

  it.each(SHARED_INFO_KEYS)(
    "expectation 6, by %s: an event that waits for a worker is there when the guest goes on",
    (key) => {
      const { system, isPending } = guest(profile, key, [
        addSharedInfo(FIRST_GFN),
        addSharedInfo(SECOND_GFN),
      ]);
      const { vm } = system;
      const eventfd = vm.eventfds.create();
      must(
        vm.irqfds.setRouting([{ gsi: 33, type: 5, xenEvtchn: { port: 66, vcpu: 0, priority: PRIORITY } }]),
      );
      must(vm.irqfds.set({ fd: eventfd.fd, gsi: 33 }));
      let moves = 0;
      vm.memslots.subscribe({
        commitMemoryRegion: () => {
          if (system.domain.sharedInfo.gfn >= 0 && moves++ === 0) eventfd.signal();
        },
      });
      system.run();
      expect([moves > 0, isPending(66), vm.counters.irqfdWork, vm.counters.eventsSlow]).toEqual(
        key === "gfn" ? [true, true, 1, 1] : [true, true, 0, 0],
      );
    },
  );

  it("expectations 9 and 10: a timer that the kernel keeps ends SCHEDOP_poll after its 100 ms", () => {
    const ports = ARGUMENTS + 0x1000;
    const { system, isPending, results } = guest(profile, "hva", [
      addSharedInfo(FIRST_GFN),
      bindTimer,
      { number: SET_TIMER_OP, command: 100 * MS },
      { number: SCHED_OP, command: POLL, words: [ports, 0, 1, 0, 0, 0] },
    ]);
    system.domain.guestMemory.writeU32(ports, FREE_PORT);
    const outcome = system.run({ maxCycles: 4e9 });
    expect(results()).toEqual([0, 0, 0, 0]);
    expect(isPending(FREE_PORT)).toBe(true);
    const ns = system.cycles / profile.frequency.value;
    expect(ns).toBeGreaterThan(100 * MS);
    expect(ns).toBeLessThan(101 * MS);
    expect(system.vm.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.TIMER)).toMatchObject({
      port: FREE_PORT,
      expiresNs: 0,
    });
    expect(outcome.reason).not.toBe("budget");
  });
});
