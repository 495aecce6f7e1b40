import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import {
  KVM_XEN_INVALID_GFN,
  KvmXenAttrType,
  KvmXenEvtchnFlag,
  KvmXenVcpuAttrType,
} from "../src/host/kvm/uapi.ts";
import { EVTCHNSTAT_INTERDOMAIN } from "../src/operations/descriptors.gen.ts";
import { must, PRIORITY } from "./kvm-rig.ts";
import { KvmToldGuest, SHINFO, u64 } from "./kvm-told-guest.ts";

const PORT = 15;
/** In another word of the pending bits. */
const PORT2 = 66;
const EVENT_CHANNEL_OP = 32;
const SEND = 4;
const PAGE = 4096;

const KINDS = [epyc9124, skylakeSp].flatMap((profile) =>
  (
    [
      ["gfn", 64],
      ["hva", 64],
      ["gfn", 32],
    ] as const
  ).map(([key, bits]) => ({ profile, name: profile.id, key, bits })),
);

/** The word of a port's pending bit is this bit of the selector. */
const selectorOf = (port: number, bits: number) => 1n << BigInt(Math.floor(port / bits));

describe.each(KINDS)("a $bits-bit guest under KVM on $name with shared_info by $key", (kind) => {
  const { profile, key, bits } = kind;

  it.each([
    ["at once", false],
    ["when it turns interrupts on", true],
  ])("expectation 1: upcall_pending set by the host reaches its handler %s", (_, masked) => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system } = guest;
        yield* guest.go();
        expect(guest.upcalls).toBe(0);
        const flag = system.domain.sharedInfo.frame * PAGE;
        system.processor.memory.writeU8(flag, 1);
        yield* guest.go();
        expect([guest.upcalls, guest.upcallsBeforeSti]).toEqual([1, masked ? 0 : 1]);
        expect(system.processor.memory.readU8(flag)).toBe(0);
        yield* guest.go();
        expect(guest.upcalls).toBe(1);
      },
      { key, bits, masked },
    ).run();
  });

  it("expectation 5: a masked event is pending and no more, an unmasked one is an upcall with its selector", () => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        yield* guest.setMasked(PORT, true);
        expect(guest.send(PORT)).toBe(0);
        expect([yield* guest.seesPending(PORT), guest.upcalls]).toEqual([true, 0]);
        expect(guest.send(PORT2)).toBe(0);
        expect([yield* guest.seesPending(PORT2), guest.upcalls]).toEqual([true, 1]);
        expect(guest.selector).toBe(selectorOf(PORT2, bits));
      },
      { key, bits },
    ).run();
  });

  it("expectation 7: what it sends to a port comes where UPDATE has said, after a memslot was added too", () => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system } = guest;
        const { vm } = system;
        const attr = (vcpu: number, flags: number) => ({
          type: KvmXenAttrType.EVTCHN,
          sendPort: 127,
          evtchnType: EVTCHNSTAT_INTERDOMAIN,
          flags,
          deliver: { port: { port: PORT, vcpu, priority: PRIORITY } },
        });
        must(vm.xenHvmSetAttr(attr(1, 0))); // there is no such vCPU
        const send = (): Generator<void, number> => guest.call(EVENT_CHANNEL_OP, SEND, [127]);
        expect(yield* send()).toBe(-Errno.EINVAL); // the monitor's answer, which has no such port
        must(vm.xenHvmSetAttr(attr(0, KvmXenEvtchnFlag.UPDATE)));
        const exits = system.userExits;
        expect(yield* send()).toBe(0);
        expect([guest.upcalls, guest.selector, yield* guest.seesPending(PORT)]).toEqual([1, 1n, true]);
        expect(system.userExits - exits).toBe(2); // it asked, and asked again: the call itself was the kernel's
        yield* guest.put(SHINFO + 2048, [0, 0, 0, 0, 0, 0, 0, 0]);
        const hva = 0x6000_0000_0000;
        vm.userSpace.mmap(hva, PAGE, system.domain.p2m.translate(0x700));
        const slot = { slot: 100, flags: 0, memorySize: PAGE, userspaceAddr: hva };
        must(vm.setUserMemoryRegion({ ...slot, guestPhysAddr: 0x1_0000_0000 }));
        expect(yield* send()).toBe(0);
        expect([guest.upcalls, yield* guest.seesPending(PORT)]).toEqual([2, true]);
      },
      { key, bits },
    ).run();
  });

  it("expectation 11: vcpu_info by host address on the same page has its flags and its time", () => {
    const info = 0x40;
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system } = guest;
        const hva = guest.sharedInfoHva + info;
        must(system.vm.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva }));
        expect(guest.send(PORT2)).toBe(0);
        const seen = yield* guest.see(SHINFO + info, 64);
        expect([guest.upcalls, guest.selector]).toEqual([1, selectorOf(PORT2, bits)]);
        expect(yield* guest.seesPending(PORT2)).toBe(true);
        expect([seen[0], u64(seen, 8)]).toEqual([0, 0n]); // its handler has cleared both
        const [version] = seen.subarray(32);
        expect([version % 2, version > 0, u64(seen, 32 + 24) > 0n]).toEqual([0, true, true]);
      },
      { key, bits, info },
    ).run();
  });

  it("expectation 12: with shared_info taken away and given back it sees the events that were not refused", () => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system } = guest;
        const { vm, domain } = system;
        const gfn = domain.sharedInfo.gfn;
        const set = (there: boolean) =>
          must(
            vm.xenHvmSetAttr(
              key === "gfn"
                ? { type: KvmXenAttrType.SHARED_INFO, gfn: there ? gfn : KVM_XEN_INVALID_GFN }
                : { type: KvmXenAttrType.SHARED_INFO_HVA, hva: there ? guest.sharedInfoHva : 0 },
            ),
          );
        let delivered = 0;
        // Sent while it is not there, or after; seen before it is there again, or after.
        for (let i = 0; i < 16; i++) {
          const [lost, late, port] = [(i & 1) !== 0, (i & 2) !== 0, 100 + i];
          set(false);
          if (!lost) set(true);
          expect(guest.send(port)).toBe(lost ? -Errno.EINVAL : 0);
          if (late) yield* guest.go();
          if (lost) set(true);
          if (!lost) delivered++;
          expect([yield* guest.seesPending(port), guest.upcalls]).toEqual([!lost, delivered]);
        }
      },
      { key, bits },
    ).run();
  });

  it("expectation 13: after mmap(MAP_FIXED) over shared_info the kernel and it use the new page", () => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system } = guest;
        const { vm, domain, processor } = system;
        expect(guest.send(PORT)).toBe(0);
        expect([yield* guest.seesPending(PORT), guest.upcalls]).toEqual([true, 1]);
        const old = domain.sharedInfo.frame * PAGE;
        const before = processor.memory.readBytes(old + 2048, 512);
        const frame = domain.p2m.translate(0x700);
        vm.userSpace.mmap(guest.sharedInfoHva, PAGE, frame);
        expect(yield* guest.seesPending(PORT)).toBe(false); // nothing has been sent there yet
        expect([guest.send(PORT), guest.send(PORT2)]).toEqual([0, 0]);
        expect([yield* guest.seesPending(PORT), yield* guest.seesPending(PORT2)]).toEqual([true, true]);
        expect([guest.upcalls, guest.selector]).toEqual([2, selectorOf(PORT2, bits) | 1n]);
        yield* guest.setMasked(40, true);
        expect(guest.send(40)).toBe(0);
        expect([yield* guest.seesPending(40), guest.upcalls]).toEqual([true, 2]); // its mask is looked for there too
        expect(processor.memory.readBytes(old + 2048, 512)).toEqual(before);
        expect(processor.memory.readU8(frame * PAGE + 2048 + (PORT >>> 3))).not.toBe(0);
      },
      { key, bits },
    ).run();
  });
});
