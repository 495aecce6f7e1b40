import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { KvmXenAttrType, KvmXenEvtchnFlag, KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import {
  EVTCHNSTAT_INTERDOMAIN,
  EVTCHNSTAT_IPI,
  EVTCHNSTAT_VIRQ,
} from "../src/operations/descriptors.gen.ts";
import {
  KvmRig,
  must,
  PAGE,
  PENDING,
  PRIORITY,
  SHINFO_GFN,
  SHINFO_GPA,
  SHINFO_HVA,
  VCPU_INFO,
} from "./kvm-rig.ts";

const KEYS = ["gfn", "hva"] as const;
const PORT = 15;
/** In the second word of 64. */
const PORT2 = 66;

describe.each(KEYS)("events with shared_info by %s", (key) => {
  it("expectation 1: the guest's own flag asks for an upcall", () => {
    const rig = new KvmRig({ key });
    expect(rig.vcpus[0].hasInterrupt()).toBe(false);
    rig.memory.writeU8(rig.at(0x40), 1);
    expect(rig.vcpus[0].hasInterrupt()).toBe(true);
  });

  it("expectation 5: a masked event sets its pending bit and no more, an unmasked one gets its upcall", () => {
    const rig = new KvmRig({ key });
    rig.setMasked(PORT);
    expect(rig.send(PORT)).toBe(0);
    expect([rig.isPending(PORT), rig.vcpuInfo()]).toEqual([true, { upcall: 0, selector: 0 }]);
    expect([rig.idle[0].kicks, rig.vm.counters.eventsMasked]).toEqual([0, 1]);
    expect(rig.send(PORT2)).toBe(0);
    expect([rig.isPending(PORT2), rig.vcpuInfo()]).toEqual([true, { upcall: 1, selector: 2 }]);
    expect(rig.idle[0].kicks).toBe(1);
  });

  it("expectation 6: an event after a memslot was added still arrives, and only a page known by gfn is slow", () => {
    const rig = new KvmRig({ key });
    rig.send(PORT);
    rig.clear();
    const { eventsFast } = rig.vm.counters;
    rig.addDummySlot(11);
    rig.send(PORT);
    expect([rig.isPending(PORT), rig.idle[0].kicks]).toEqual([true, 2]);
    const { counters } = rig.vm;
    const isSlow = key === "gfn" ? 1 : 0;
    expect([counters.eventsFast - eventsFast, counters.eventsSlow]).toEqual([1 - isSlow, isSlow]);
  });

  it("expectation 7: KVM_XEN_HVM_EVTCHN_SEND delivers, also when pending already", () => {
    const rig = new KvmRig({ key });
    expect(rig.send(PORT2)).toBe(0);
    expect(rig.send(PORT2)).toBe(0);
    expect([rig.isPending(PORT2), rig.vm.counters.eventsCoalesced, rig.idle[0].kicks]).toEqual([true, 1, 1]);
    expect(rig.send(0)).toBe(-Errno.EINVAL);
    expect(rig.send(4096)).toBe(-Errno.EINVAL);
    expect(rig.send(PORT, 7)).toBe(-Errno.EINVAL); // no such vCPU
    expect(rig.vm.xenHvmEvtchnSend({ port: PORT, vcpu: 0, priority: 0 })).toBe(-Errno.EINVAL);
  });

  it("expectation 7: the guest's EVTCHNOP_send reaches the port and the vCPU that UPDATE named, after a memslot change too", () => {
    const rig = new KvmRig({ key });
    const attr = (vcpu: number, flags: number) => ({
      type: KvmXenAttrType.EVTCHN,
      sendPort: 127,
      evtchnType: EVTCHNSTAT_INTERDOMAIN,
      flags,
      deliver: { port: { port: PORT, vcpu, priority: PRIORITY } },
    });
    expect(rig.vm.xenHvmSetAttr(attr(1, 0))).toBe(0); // a vCPU that is not there yet
    expect(rig.vm.guestEvtchnSend(127)).toBe(false); // so that user space has to do it
    expect(rig.vm.xenHvmSetAttr(attr(0, KvmXenEvtchnFlag.UPDATE))).toBe(0);
    for (const slot of [undefined, 12]) {
      if (slot !== undefined) rig.addDummySlot(slot);
      expect(rig.vm.guestEvtchnSend(127)).toBe(true);
      rig.vcpus[0].beforeEntry(); // its vcpu_info went the way of shared_info
      expect([rig.isPending(PORT), rig.vcpuInfo()]).toEqual([true, { upcall: 1, selector: 1 }]);
      rig.clear();
    }
    expect(rig.vm.guestEvtchnSend(128)).toBe(false);
  });

  it("expectation 8: a port sent to an eventfd comes back through an irqfd as an event", () => {
    const rig = new KvmRig({ key });
    const { vm } = rig;
    const [first, second] = [vm.eventfds.create(), vm.eventfds.create()];
    const route = (gsi: number, port: number) =>
      ({ gsi, type: 5, xenEvtchn: { port, vcpu: 0, priority: PRIORITY } }) as const;
    expect(vm.irqfds.setRouting([route(32, PORT), route(33, PORT2)])).toBe(0);
    expect(vm.irqfds.set({ fd: first.fd, gsi: 32 })).toBe(0);
    expect(vm.irqfds.set({ fd: second.fd, gsi: 33 })).toBe(0);
    expect(vm.irqfds.set({ fd: second.fd, gsi: 33 })).toBe(-Errno.EBUSY);
    expect(vm.irqfds.set({ fd: 99, gsi: 33 })).toBe(-Errno.EBADF);
    const deliver = { eventfd: { fd: second.fd } };
    const attr = { type: KvmXenAttrType.EVTCHN, sendPort: 197, evtchnType: EVTCHNSTAT_INTERDOMAIN } as const;
    expect(vm.xenHvmSetAttr({ ...attr, flags: 0, deliver })).toBe(0);
    expect(vm.guestEvtchnSend(197)).toBe(true);
    expect([rig.isPending(PORT), rig.isPending(PORT2), rig.vcpuInfo().upcall]).toEqual([false, true, 1]);
    first.signal();
    expect([rig.isPending(PORT), first.pending]).toEqual([true, 0n]);
  });

  it("an irqfd's event that would have to sleep is a worker's", () => {
    const rig = new KvmRig({ key });
    const { vm } = rig;
    const eventfd = vm.eventfds.create();
    vm.irqfds.setRouting([{ gsi: 32, type: 5, xenEvtchn: { port: PORT, vcpu: 0, priority: PRIORITY } }]);
    vm.irqfds.set({ fd: eventfd.fd, gsi: 32 });
    rig.addDummySlot(11);
    eventfd.signal();
    const isSlow = key === "gfn";
    expect([rig.isPending(PORT), vm.irqfds.hasWork]).toEqual([!isSlow, isSlow]);
    vm.irqfds.runWork();
    expect([rig.isPending(PORT), vm.irqfds.hasWork, vm.counters.eventsSlow]).toEqual([
      true,
      false,
      isSlow ? 1 : 0,
    ]);
  });

  it("expectation 10: SCHEDOP_poll returns at once when pending, and a masked port wakes it", () => {
    const rig = new KvmRig({ key });
    const [vcpu] = rig.vcpus;
    rig.setMasked(PORT);
    rig.send(PORT);
    expect(vcpu.startPoll([3, PORT], 0)).toBe(true);
    vcpu.endPoll();
    rig.clear();
    expect(vcpu.startPoll([PORT], 0)).toBe(false);
    rig.idle[0].isBlocked = true;
    rig.send(PORT2); // another one: an upcall of its own
    expect([rig.idle[0].kicks, vcpu.isPolling]).toEqual([1, true]);
    rig.idle[0].isBlocked = true;
    rig.send(PORT);
    expect([rig.idle[0].kicks, rig.idle[0].isBlocked, vcpu.isPolling]).toEqual([2, false, false]);
    expect(rig.vcpuInfo().selector).toBe(2); // the masked port's word is not selected
    vcpu.endPoll();
  });

  it("expectation 10: SCHEDOP_poll times out", () => {
    const rig = new KvmRig({ key });
    const [vcpu] = rig.vcpus;
    expect(vcpu.startPoll([PORT], 100_000_000)).toBe(false);
    const { due } = vcpu.timer;
    expect(due).toBeGreaterThanOrEqual(rig.now + 96_000_000); // in jiffies, which have begun already
    expect(due).toBeLessThanOrEqual(rig.now + 100_000_000);
    vcpu.timer.expire(due - 1);
    expect(rig.idle[0].kicks).toBe(0);
    vcpu.timer.expire(due);
    expect(rig.idle[0].kicks).toBe(1);
    vcpu.endPoll();
    expect(vcpu.timer.due).toBe(Number.POSITIVE_INFINITY);
  });

  it("expectation 13: after a mapping over shared_info's host address the new page is used", () => {
    const rig = new KvmRig({ key });
    rig.send(PORT);
    const old = rig.at(PENDING);
    rig.clear();
    rig.vm.userSpace.mmap(SHINFO_HVA, PAGE, 0x200);
    expect(rig.vm.counters.cachesInvalidated).toBe(2); // shared_info and the vcpu_info in it
    expect(rig.send(PORT)).toBe(0);
    expect([rig.isPending(PORT), rig.memory.readU32(old)]).toEqual([true, 0]);
    expect(rig.vm.counters.eventsSlow).toBe(1);
  });

  it("a vcpu_info that is not there has its selector kept by the kernel until the vCPU puts it there", () => {
    const rig = new KvmRig({ key, vcpus: 2 });
    // vCPU 1's record on a page of its own, which goes.
    const page = SHINFO_HVA + PAGE;
    must(
      key === "gfn"
        ? rig.vcpus[1].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO, gpa: SHINFO_GPA + PAGE })
        : rig.vcpus[1].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: page }),
    );
    rig.vm.userSpace.munmap(page, PAGE);
    expect(rig.send(PORT, 1)).toBe(0);
    expect(rig.send(PORT2, 1)).toBe(0);
    expect([rig.vcpus[1].pendingSel, rig.idle[1].kicks]).toEqual([3n, 2]);
    rig.vcpus[1].beforeEntry(); // still not there: it waits on
    expect([rig.vcpus[1].pendingSel, rig.vm.counters.injections]).toEqual([3n, 0]);
    rig.vm.userSpace.mmap(page, PAGE, 0x300);
    rig.vcpus[1].beforeEntry();
    expect([rig.vcpus[1].pendingSel, rig.vm.counters.injections]).toEqual([0n, 1]);
    expect([rig.memory.readU8(0x300 * PAGE), rig.memory.readU32(0x300 * PAGE + 8)]).toEqual([1, 3]);
  });

  it("a vCPU with a vector of its own gets an interrupt instead of a kick", () => {
    const rig = new KvmRig({ key });
    must(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.UPCALL_VECTOR, vector: 0x31 }));
    rig.send(PORT);
    rig.send(PORT + 1); // the same word: it knows
    expect([rig.idle[0].interrupts, rig.idle[0].kicks]).toEqual([[0x31], 0]);
  });

  it("32-bit guests have 1024 ports in words of 32", () => {
    const rig = new KvmRig({ key });
    must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: false }));
    expect(rig.send(1024)).toBe(-Errno.EINVAL);
    expect(rig.send(40)).toBe(0);
    const at = rig.at(0x40);
    expect([rig.isPending(40), rig.memory.readU8(at), rig.memory.readU32(at + 4)]).toEqual([true, 1, 2]);
    rig.memory.writeU8(rig.at(PENDING + 128), 1 << 3); // its mask is behind 128 bytes of pending bits
    rig.send(3);
    expect(rig.vm.counters.eventsMasked).toBe(1);
  });

  it("events need the vCPU to have a vcpu_info", () => {
    const rig = new KvmRig({ key });
    must(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: 0 }));
    expect(rig.send(PORT)).toBe(-Errno.EINVAL);
    expect(rig.isPending(PORT)).toBe(false);
  });
});

describe("the attribute EVTCHN", () => {
  const attr = (fields: object) => ({
    type: KvmXenAttrType.EVTCHN,
    sendPort: 20,
    evtchnType: EVTCHNSTAT_INTERDOMAIN as number,
    flags: 0,
    deliver: { port: { port: 21, vcpu: 0, priority: PRIORITY } },
    ...fields,
  });

  it("is refused as the kernel refuses it", () => {
    const { vm } = new KvmRig();
    const set = (fields: object) => vm.xenHvmSetAttr(attr(fields));
    expect(set({ sendPort: 0 })).toBe(-Errno.EINVAL);
    expect(set({ sendPort: 4096 })).toBe(-Errno.EINVAL);
    expect(set({ evtchnType: EVTCHNSTAT_VIRQ })).toBe(-Errno.EINVAL);
    expect(set({ evtchnType: EVTCHNSTAT_IPI })).toBe(-Errno.EINVAL); // comes back on another port
    expect(set({ deliver: { port: { port: 21, vcpu: 0, priority: 7 } } })).toBe(-Errno.EINVAL);
    expect(set({ deliver: { port: { port: 4096, vcpu: 0, priority: PRIORITY } } })).toBe(-Errno.EINVAL);
    expect(set({ deliver: { eventfd: { fd: 12345 } } })).toBe(-Errno.EBADF);
    expect(set({ flags: KvmXenEvtchnFlag.UPDATE })).toBe(-Errno.ENOENT);
    expect(set({ flags: KvmXenEvtchnFlag.DEASSIGN })).toBe(-Errno.ENOENT);
    expect(set({ flags: 3 })).toBe(-Errno.EINVAL);
    expect(set({})).toBe(0);
    expect(set({})).toBe(-Errno.EEXIST);
    const other = { port: { port: 22, vcpu: 0, priority: PRIORITY } };
    expect(set({ flags: KvmXenEvtchnFlag.UPDATE, deliver: other })).toBe(-Errno.EINVAL);
    expect(vm.guestEvtchnSend(20)).toBe(true);
    expect(set({ flags: KvmXenEvtchnFlag.DEASSIGN })).toBe(0);
    expect(vm.guestEvtchnSend(20)).toBe(false);
  });

  it("RESET forgets all ports", () => {
    const { vm } = new KvmRig();
    const ipi = { port: { port: 20, vcpu: 0, priority: PRIORITY } };
    must(vm.xenHvmSetAttr(attr({ evtchnType: EVTCHNSTAT_IPI, deliver: ipi })));
    must(vm.xenHvmSetAttr(attr({ sendPort: 30 })));
    expect([vm.guestEvtchnSend(20), vm.guestEvtchnSend(30)]).toEqual([true, true]);
    must(vm.xenHvmSetAttr(attr({ sendPort: 0, flags: KvmXenEvtchnFlag.RESET })));
    expect([vm.guestEvtchnSend(20), vm.guestEvtchnSend(30)]).toEqual([false, false]);
  });
});

describe("dirty pages", () => {
  it("vcpu_info by guest address marks its page, by host address none; shared_info is always dirty", () => {
    const logged = (key: "gfn" | "hva") => {
      const rig = new KvmRig({ key });
      must(rig.vm.setUserMemoryRegion({ ...rig.region(SHINFO_GFN), flags: 1 }));
      rig.send(PORT);
      rig.vcpus[0].updateTime();
      return rig.vm.memslots.dirtyLog(10);
    };
    expect(logged("gfn")).toEqual(Uint8Array.of(1));
    expect(logged("hva")).toEqual(Uint8Array.of(0));
    expect(VCPU_INFO % PAGE).toBe(0x40);
  });
});
