import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import {
  KVM_XEN_RUNSTATE_SAME,
  KvmXenAttrType,
  type KvmXenRunstate,
  KvmXenVcpuAttrType,
} from "../src/host/kvm/uapi.ts";
import { BOOT_WALLCLOCK_SECONDS } from "../src/shared-info.ts";
import { must } from "./kvm-rig.ts";
import { KvmToldGuest, SHINFO, u64 } from "./kvm-told-guest.ts";

const RUNNING = 0;
const RUNNABLE = 1;
const BLOCKED = 2;
const OFFLINE = 3;
/** Before the end of a page. */
const AREA = 0x311000 - 15;
const TIME_AREA = 0x320040;
const REGISTER_RUNSTATE_MEMORY_AREA = 5;
const REGISTER_RUNSTATE_PHYS_AREA = 14;
const REGISTER_TIME_PHYS_AREA = 15;
const MS = 1_000_000;

const KINDS = [epyc9124, skylakeSp].flatMap((profile) =>
  ([64, 32] as const).map((bits) => ({ profile, name: profile.id, bits })),
);

interface Area {
  readonly state: number;
  readonly entryTime: bigint;
  readonly times: readonly bigint[];
}

/** Bytes of a `vcpu_runstate_info`: 32-bit guests have no gap behind the state. */
const areaBytes = ({ bits }: KvmToldGuest) => (bits === 64 ? 48 : 44);

function areaOf(bytes: Uint8Array): Area {
  const at = bytes.length - 40;
  const [entryTime, ...times] = [0, 1, 2, 3, 4].map((i) => u64(bytes, at + 8 * i));
  return { state: Number(u64(bytes, 0) & 0xffffffffn), entryTime, times };
}

/** The guest reads its area. */
function* seesArea(guest: KvmToldGuest): Generator<void, Area> {
  return areaOf(yield* guest.see(AREA, areaBytes(guest)));
}

const sum = ({ times }: Area) => BigInt.asUintN(64, times[0] + times[1] + times[2] + times[3]);

/** What the kernel has, as its area would say it. */
function kernelsOwn({ system }: KvmToldGuest): Area {
  const data = system.vm.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_DATA);
  if (typeof data === "number") throw new Error(`errno ${-data}`);
  const { state, stateEntryTime, timeRunning, timeRunnable, timeBlocked, timeOffline } = data.runstate;
  return { state, entryTime: stateEntryTime, times: [timeRunning, timeRunnable, timeBlocked, timeOffline] };
}

function runstate(state: number, entry: bigint, times: readonly bigint[]): KvmXenRunstate {
  const [timeRunning, timeRunnable, timeBlocked, timeOffline] = times;
  return { state, stateEntryTime: entry, timeRunning, timeRunnable, timeBlocked, timeOffline };
}

describe.each(KINDS)("run states of a $bits-bit guest under KVM on $name", ({ profile, bits }) => {
  /** With its area registered, by its own hypercall, where it has it. */
  const withArea = (script: (guest: KvmToldGuest) => Generator<void, void>) =>
    new KvmToldGuest(
      profile,
      function* (guest) {
        expect(yield* guest.vcpuOp(REGISTER_RUNSTATE_MEMORY_AREA, [AREA, 0])).toBe(0);
        yield* script(guest);
      },
      { bits },
    );

  it("expectation 2: time in runnable, blocked and offline accrues to it, and then it sees itself running", () => {
    withArea(function* (guest) {
      const [vcpu] = guest.system.vm.vcpus;
      for (const state of [RUNNABLE, BLOCKED, OFFLINE]) {
        const before = yield* seesArea(guest);
        must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_CURRENT, state }));
        const since = kernelsOwn(guest).entryTime;
        guest.wait(3 * MS);
        const after = yield* seesArea(guest);
        expect(after.state).toBe(RUNNING);
        const grown = after.times.map((time, i) => time - before.times[i]);
        expect(grown[state]).toBe(after.entryTime - since); // KVM_RUN ended it
        expect(grown[state]).toBeGreaterThanOrEqual(3n * BigInt(MS));
        const others = [RUNNABLE, BLOCKED, OFFLINE].filter((other) => other !== state);
        expect(others.map((other) => grown[other])).toEqual([0n, 0n]);
        expect(grown[RUNNING]).toBe(since - before.entryTime);
        expect(sum(after)).toBe(after.entryTime);
      }
    }).run();
  });

  it("expectation 3: ADJUST adds exactly, modulo 2^64, and DATA sets everything", () => {
    withArea(function* (guest) {
      const [vcpu] = guest.system.vm.vcpus;
      const before = kernelsOwn(guest);
      const [blocked, offline] = [0x5an - before.times[BLOCKED], 0x6b6bn - before.times[OFFLINE]];
      const added = [0n, -blocked - offline, blocked, offline].map((time) => BigInt.asUintN(64, time));
      const by = runstate(KVM_XEN_RUNSTATE_SAME, 0n, added);
      must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADJUST, runstate: by }));
      const adjusted = yield* seesArea(guest);
      expect([adjusted.times[BLOCKED], adjusted.times[OFFLINE]]).toEqual([0x5an, 0x6b6bn]);
      expect(adjusted.times[RUNNABLE]).toBe(BigInt.asUintN(64, before.times[RUNNABLE] + added[RUNNABLE]));
      expect(adjusted.times[RUNNING]).toBe(before.times[RUNNING] + adjusted.entryTime - before.entryTime);
      expect(sum(adjusted)).toBe(adjusted.entryTime);
      const entry = 0x6b6bn + 0x5an;
      const data = runstate(RUNNING, entry, [0n, 0n, 0x6b6bn, 0x5an]);
      must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_DATA, runstate: data }));
      const set = yield* seesArea(guest);
      expect([set.state, ...set.times.slice(1)]).toEqual([RUNNING, 0n, 0x6b6bn, 0x5an]);
      expect(set.times[RUNNING]).toBe(set.entryTime - entry);
      expect(set.entryTime).toBeGreaterThan(adjusted.entryTime);
      expect(sum(set)).toBe(set.entryTime);
    }).run();
  });

  it("expectation 4: steal time grows by what its thread waited for a processor", () => {
    withArea(function* (guest) {
      const [thread] = guest.system.vcpus;
      let before = yield* seesArea(guest);
      for (const ns of [50_000, 0, 123_456]) {
        if (ns > 0) thread.waitForProcessor(ns);
        const after = yield* seesArea(guest);
        expect(after.times[RUNNABLE] - before.times[RUNNABLE]).toBe(BigInt(ns));
        const all = after.entryTime - before.entryTime;
        expect(all).toBeGreaterThan(BigInt(ns));
        expect(after.times[RUNNING] - before.times[RUNNING]).toBe(all - BigInt(ns));
        expect([after.state, sum(after)]).toEqual([RUNNING, after.entryTime]);
        before = after;
      }
    }).run();
  });

  it("expectation 15: its area is right at every byte across a page boundary, and nothing is overrun", () => {
    new KvmToldGuest(
      profile,
      function* (guest) {
        const { system, memory } = guest;
        const [vcpu] = system.vm.vcpus;
        must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_CURRENT, state: BLOCKED }));
        guest.wait(1_234_567);
        const bytes = areaBytes(guest);
        const margin = new Array(8).fill(0xa5);
        for (const runstateUpdateFlag of [false, true]) {
          const attr = { type: KvmXenAttrType.RUNSTATE_UPDATE_FLAG, runstateUpdateFlag };
          must(system.vm.xenHvmSetAttr(attr));
          expect(system.vm.xenHvmGetAttr(KvmXenAttrType.RUNSTATE_UPDATE_FLAG)).toEqual(attr);
          for (let at = 0x311000 - bytes - 4; at < 0x311004; at++) {
            expect(yield* guest.vcpuOp(REGISTER_RUNSTATE_PHYS_AREA, [-1, -1])).toBe(0);
            memory.writeBytes(at - 8, new Uint8Array(bytes + 16).fill(0xa5));
            expect(yield* guest.vcpuOp(REGISTER_RUNSTATE_PHYS_AREA, [at, 0])).toBe(0);
            const seen = yield* guest.see(at - 8, bytes + 16);
            const area = areaOf(seen.slice(8, 8 + bytes));
            expect(area).toEqual(kernelsOwn(guest)); // no time flagged as being changed either
            expect([area.state, area.times[BLOCKED] > 0n, sum(area)]).toEqual([
              RUNNING,
              true,
              area.entryTime,
            ]);
            expect([...seen.subarray(0, 8)]).toEqual(margin);
            expect([...seen.subarray(8 + bytes)]).toEqual(margin);
          }
        }
      },
      { bits },
    ).run();
  });
});

describe.each(KINDS)("clocks of a $bits-bit guest under KVM on $name", ({ profile, bits }) => {
  /** The nanoseconds of a time record at a time stamp, as pvclock has guests compute them. */
  function nanoseconds(record: Uint8Array, tsc: bigint): bigint {
    const view = new DataView(record.buffer, record.byteOffset);
    const [multiplier, shift] = [BigInt(view.getUint32(24, true)), BigInt(view.getInt8(28))];
    const cycles = tsc - u64(record, 8);
    const shifted = shift < 0n ? cycles >> -shift : cycles << shift;
    return u64(record, 16) + ((shifted * multiplier) >> 32n);
  }

  it.each(["gfn", "hva"] as const)(
    "expectation 14: wall clock and time records by %s have even versions and tell the host's time",
    (key) => {
      new KvmToldGuest(
        profile,
        function* (guest) {
          expect(yield* guest.vcpuOp(REGISTER_TIME_PHYS_AREA, [TIME_AREA, 0])).toBe(0);
          const wall = yield* guest.see(SHINFO + (bits === 64 ? 0xc00 : 0x900), 48);
          const word = (at: number) => Number(u64(wall, at) & 0xffffffffn);
          expect([word(0) % 2, word(0) > 0, word(8)]).toEqual([0, true, 0]);
          expect(word(4)).toBe(BOOT_WALLCLOCK_SECONDS); // at kvmclock 0
          expect(word(bits === 64 ? 12 : 36)).toBe(0);
          for (const address of [SHINFO + 32, TIME_AREA]) {
            for (const later of [0, 1_500 * MS]) {
              guest.wait(later);
              const from = guest.now;
              const record = yield* guest.see(address, 32);
              const until = guest.now;
              const version = u64(record, 0) & 0xffffffffn;
              expect([version % 2n, version > 0n, record[29]]).toEqual([0n, true, 1]);
              const told = Number(nanoseconds(record, guest.tsc));
              expect(told).toBeGreaterThanOrEqual(from - 2); // rounded down, to within a nanosecond
              expect(told).toBeLessThanOrEqual(until + 2);
            }
          }
        },
        { key, bits },
      ).run();
    },
  );
});
