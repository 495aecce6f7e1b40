import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import { must, PRIORITY } from "./kvm-rig.ts";
import { type HostScript, KvmToldGuest } from "./kvm-told-guest.ts";

const PORT = 15;
const MS = 1_000_000;
const PORTS = 0x330000;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const POLL = 3;
const BIND_VIRQ = 1;
const SET_SINGLESHOT_TIMER = 8;

const KINDS = [epyc9124, skylakeSp].flatMap((profile) =>
  ([64, 32] as const).map((bits) => ({ profile, name: profile.id, bits })),
);

const timer = (expiresNs: number, port = PORT) => ({
  type: KvmXenVcpuAttrType.TIMER,
  port,
  priority: PRIORITY,
  expiresNs,
});

describe.each(KINDS)("timers of a $bits-bit guest under KVM on $name", ({ profile, bits }) => {
  const run = (script: HostScript) => new KvmToldGuest(profile, script, { bits }).run();
  /** SCHEDOP_poll of one port. @returns its result, and the milliseconds that it took */
  function* poll(guest: KvmToldGuest, timeoutNs = 0): Generator<void, readonly [number, number]> {
    guest.memory.writeU32(PORTS, PORT);
    const from = guest.now;
    const pointer = bits === 64 ? [PORTS, 0, 1, 0] : [PORTS, 1];
    const result = yield* guest.call(SCHED_OP, POLL, [...pointer, timeoutNs, 0]);
    return [result, (guest.now - from) / MS];
  }

  it("expectation 9: VCPUOP_set_singleshot_timer 100 ms from now is an upcall then, not before", () => {
    run(function* (guest) {
      const [vcpu] = guest.system.vm.vcpus;
      expect(yield* guest.call(EVENT_CHANNEL_OP, BIND_VIRQ, [0, 0, 0])).toBe(0);
      const port = guest.memory.readU32(0x1e0008);
      const at = guest.now + 100 * MS;
      const exits = guest.system.userExits;
      expect(yield* guest.vcpuOp(SET_SINGLESHOT_TIMER, [at, Math.floor(at / 2 ** 32), 0, 0])).toBe(0);
      expect(guest.system.userExits - exits).toBe(1); // that of its next question
      expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(at, port));
      guest.wait(99 * MS);
      expect([yield* guest.seesPending(port), guest.upcalls]).toEqual([false, 0]);
      guest.wait(MS);
      expect([yield* guest.seesPending(port), guest.upcalls]).toEqual([true, 1]);
      expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(0, port));
    });
  });

  it("expectation 9: a timer is saved and restored, and fires at once when its time has passed", () => {
    run(function* (guest) {
      const [vcpu] = guest.system.vm.vcpus;
      must(vcpu.xenSetAttr(timer(guest.now + 10 * MS)));
      const saved = vcpu.xenGetAttr(KvmXenVcpuAttrType.TIMER);
      if (typeof saved === "number") throw new Error(`errno ${-saved}`);
      must(vcpu.xenSetAttr(timer(0)));
      guest.wait(20 * MS);
      expect([yield* guest.seesPending(PORT), guest.upcalls]).toEqual([false, 0]);
      must(vcpu.xenSetAttr(saved));
      expect([yield* guest.seesPending(PORT), guest.upcalls]).toEqual([true, 1]);
    });
  });

  it("expectation 10: SCHEDOP_poll returns at once for a masked port that is pending, and else times out", () => {
    run(function* (guest) {
      yield* guest.setMasked(PORT, true);
      const [result, ms] = yield* poll(guest, 100 * MS);
      expect(result).toBe(0);
      expect(ms).toBeGreaterThan(95); // in jiffies of 4 ms, of which one has begun
      expect(ms).toBeLessThan(101);
      expect(guest.send(PORT)).toBe(0);
      const [again, none] = yield* poll(guest, 100 * MS);
      expect([again, none < 1, guest.upcalls]).toEqual([0, true, 0]);
    });
  });

  it.each([
    ["masked", true, 0],
    ["unmasked", false, 1],
  ])("expectation 10: an event wakes SCHEDOP_poll, of a port that is %s", (_, masked, upcalls) => {
    run(function* (guest) {
      yield* guest.setMasked(PORT, masked);
      must(guest.system.vm.vcpus[0].xenSetAttr(timer(guest.now + 20 * MS)));
      const [result, ms] = yield* poll(guest);
      expect([result, guest.upcalls]).toEqual([0, upcalls]);
      expect(ms).toBeGreaterThan(19);
      expect(ms).toBeLessThan(21);
      expect(yield* guest.seesPending(PORT)).toBe(true);
    });
  });
});
