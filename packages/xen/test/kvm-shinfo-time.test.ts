import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import {
  KVM_XEN_INVALID_GPA,
  KVM_XEN_RUNSTATE_SAME,
  KvmXenAttrType,
  type KvmXenRunstate,
  KvmXenVcpuAttrType,
} from "../src/host/kvm/uapi.ts";
import { BOOT_WALLCLOCK_SECONDS } from "../src/shared-info.ts";
import { KvmRig, must, PAGE, PRIORITY, SHINFO_GPA, SHINFO_HVA } from "./kvm-rig.ts";

const RUNNING = 0;
const RUNNABLE = 1;
const BLOCKED = 2;
const OFFLINE = 3;
/** Where the selftest has it: the last 15 bytes of the second page and on. */
const AREA_GPA = SHINFO_GPA + 2 * PAGE - 15;
const MS = 1_000_000;
const PORT = 13;

interface Area {
  state: number;
  entryTime: bigint;
  times: bigint[];
}

/** The run state area at an offset of the three pages, as the guest's word size has it. */
function area(rig: KvmRig, offset: number, is32Bit = false): Area {
  const bytes = rig.memory.readBytes(rig.at(0) + offset, 48);
  const view = new DataView(bytes.buffer);
  const at = is32Bit ? 4 : 8;
  const word = (i: number) => view.getBigUint64(at + 8 * i, true);
  return { state: view.getUint32(0, true), entryTime: word(0), times: [1, 2, 3, 4].map(word) };
}

const sum = ({ times }: Area) => times.reduce((total, time) => total + time, 0n);

function withArea(rig = new KvmRig()): KvmRig {
  must(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADDR, gpa: AREA_GPA }));
  return rig;
}

/** Sets RUNSTATE_CURRENT after some time. */
function enter(rig: KvmRig, state: number, afterNs: number): void {
  rig.now += afterNs;
  must(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_CURRENT, state }));
}

const times = (blocked: bigint, offline: bigint, runnable: bigint, entry: bigint): KvmXenRunstate => ({
  state: KVM_XEN_RUNSTATE_SAME,
  stateEntryTime: entry,
  timeRunning: entry - blocked - offline - runnable,
  timeRunnable: runnable,
  timeBlocked: blocked,
  timeOffline: offline,
});

describe("run states", () => {
  it.each([
    ["runnable", RUNNABLE],
    ["blocked", BLOCKED],
    ["offline", OFFLINE],
  ])("expectation 2: time in %s accrues to it, and then the vCPU runs again", (_, state) => {
    const rig = withArea();
    enter(rig, RUNNING, 0);
    enter(rig, state, 5 * MS);
    enter(rig, RUNNING, 3 * MS);
    const seen = area(rig, AREA_GPA - SHINFO_GPA);
    expect(seen.state).toBe(RUNNING);
    expect(seen.times[state]).toBe(BigInt(state === OFFLINE ? rig.now - 8 * MS + 3 * MS : 3 * MS));
    expect(seen.times[RUNNING]).toBe(BigInt(5 * MS));
    expect(sum(seen)).toBe(seen.entryTime);
  });

  it("expectation 3: RUNSTATE_ADJUST adds exactly, modulo 2^64", () => {
    const rig = withArea();
    enter(rig, RUNNING, 0);
    enter(rig, BLOCKED, MS);
    enter(rig, RUNNING, MS);
    const before = area(rig, AREA_GPA - SHINFO_GPA);
    const runstate = {
      ...times(0x5an - before.times[BLOCKED], 0x6b6bn - before.times[OFFLINE], 0n, 0n),
      timeRunning: 0n,
    };
    const total = BigInt.asUintN(64, -runstate.timeBlocked - runstate.timeOffline);
    const by = { ...runstate, timeRunnable: total };
    expect(rig.vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADJUST, runstate: by })).toBe(0);
    const seen = area(rig, AREA_GPA - SHINFO_GPA);
    expect([seen.times[BLOCKED], seen.times[OFFLINE]]).toEqual([0x5an, 0x6b6bn]);
    expect([seen.state, seen.entryTime]).toEqual([before.state, before.entryTime]);
    expect(BigInt.asUintN(64, sum(seen))).toBe(seen.entryTime);
    expect(rig.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_ADJUST)).toBe(-Errno.EINVAL);
  });

  it("expectation 3: RUNSTATE_DATA sets everything, and what does not add up is refused", () => {
    const rig = withArea();
    const [vcpu] = rig.vcpus;
    const set = (runstate: KvmXenRunstate) =>
      vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_DATA, runstate });
    const data = { ...times(0x6b6bn, 0x5an, 0n, 0x6b6bn + 0x5an), state: RUNNING };
    expect(set(data)).toBe(0);
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_DATA)).toMatchObject({ runstate: data });
    expect(set({ ...data, timeRunning: 1n })).toBe(-Errno.EINVAL);
    expect(set({ ...data, state: 4 })).toBe(-Errno.EINVAL);
    expect(set({ ...data, state: KVM_XEN_RUNSTATE_SAME })).toBe(-Errno.EINVAL);
    const later = BigInt(rig.now) + 1n;
    expect(set({ ...times(0n, 0n, 0n, later), state: RUNNING })).toBe(-Errno.EINVAL);
    enter(rig, RUNNING, MS); // the guest's copy follows at the next change
    const seen = area(rig, AREA_GPA - SHINFO_GPA);
    expect([seen.times[BLOCKED], seen.times[OFFLINE], seen.times[RUNNABLE]]).toEqual([0x6b6bn, 0x5an, 0n]);
    expect(sum(seen)).toBe(seen.entryTime);
    expect(seen.entryTime).toBeGreaterThanOrEqual(0x8000n);
  });

  it("expectation 4: what the thread waited for a processor is stolen from running time", () => {
    const rig = withArea();
    enter(rig, RUNNING, 0);
    const before = area(rig, AREA_GPA - SHINFO_GPA);
    rig.idle[0].runDelayNs += 50_000;
    enter(rig, RUNNING, 70_000);
    const seen = area(rig, AREA_GPA - SHINFO_GPA);
    expect(seen.times[RUNNABLE] - before.times[RUNNABLE]).toBe(50_000n);
    expect(seen.times[RUNNING] - before.times[RUNNING]).toBe(20_000n);
    expect(sum(seen)).toBe(seen.entryTime);
  });

  it("expectation 15: the area is right at every byte across a page boundary, in both layouts, and nothing is overrun", () => {
    const rig = new KvmRig();
    const [vcpu] = rig.vcpus;
    enter(rig, RUNNING, 0);
    enter(rig, BLOCKED, 1234567);
    enter(rig, RUNNING, 7654321);
    const data = vcpu.xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_DATA);
    if (typeof data === "number") throw new Error(`errno ${-data}`);
    const { runstate: is } = data;
    const expected = {
      state: is.state,
      entryTime: is.stateEntryTime,
      times: [is.timeRunning, is.timeRunnable, is.timeBlocked, is.timeOffline],
    };
    for (const flag of [false, true]) {
      must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.RUNSTATE_UPDATE_FLAG, runstateUpdateFlag: flag }));
      for (let offset = 2 * PAGE - 60; offset < 2 * PAGE + 4; offset++) {
        const paint = () => rig.memory.writeBytes(rig.at(0) + offset - 8, new Uint8Array(72).fill(0xa5));
        const around = (bytes: number) => [
          ...rig.memory.readBytes(rig.at(0) + offset - 8, 8),
          ...rig.memory.readBytes(rig.at(0) + offset + bytes, 8),
        ];
        paint();
        must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: false }));
        must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADDR, gpa: SHINFO_GPA + offset }));
        expect(area(rig, offset, true)).toEqual(expected);
        expect(around(44)).toEqual(new Array(16).fill(0xa5));
        // The same address when the guest goes to 64 bits, which may take the area to the second page only now.
        must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: true }));
        paint();
        const nothing = { ...times(0n, 0n, 0n, 0n), timeRunning: 0n };
        must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADJUST, runstate: nothing }));
        expect(area(rig, offset)).toEqual(expected);
        expect(around(48)).toEqual(new Array(16).fill(0xa5));
      }
    }
  });

  it("expectation 15: RUNSTATE_UPDATE_FLAG is read back, and flags the entry time while the rest is written", () => {
    const rig = withArea();
    const attr = { type: KvmXenAttrType.RUNSTATE_UPDATE_FLAG, runstateUpdateFlag: true };
    must(rig.vm.xenHvmSetAttr(attr));
    expect(rig.vm.xenHvmGetAttr(KvmXenAttrType.RUNSTATE_UPDATE_FLAG)).toEqual(attr);
    const flagAt = AREA_GPA - SHINFO_GPA + 15;
    const flags: number[] = [];
    const { memory } = rig;
    const write = memory.writeBytes.bind(memory);
    memory.writeBytes = (address, bytes) => {
      write(address, bytes);
      flags.push(memory.readU8(rig.at(flagAt)) >>> 7);
    };
    enter(rig, BLOCKED, MS);
    memory.writeBytes = write;
    expect(flags).toEqual([1, 1, 1, 0]); // the flag, both pages' parts, the flag
  });

  it("without an area nothing is written, and an area nowhere is refused", () => {
    const rig = new KvmRig();
    const [vcpu] = rig.vcpus;
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_ADDR)).toBe(-Errno.ENOENT);
    const set = (gpa: number) => vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADDR, gpa });
    expect(set(0x1000)).toBe(-Errno.EFAULT);
    expect(set(SHINFO_GPA + 3 * PAGE - 8)).toBe(-Errno.EFAULT); // its second page is in no slot
    expect(rig.vm.activeCaches).toHaveLength(2); // shared_info and vcpu_info: neither of the area's is left
    expect(set(AREA_GPA)).toBe(0);
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.RUNSTATE_ADDR)).toMatchObject({ gpa: AREA_GPA });
    expect(set(KVM_XEN_INVALID_GPA)).toBe(0);
    expect(rig.vm.activeCaches).toHaveLength(2);
    expect(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_CURRENT, state: 4 })).toBe(-Errno.EINVAL);
  });
});

describe("timers", () => {
  const timer = (expiresNs: number, port = PORT) => ({
    type: KvmXenVcpuAttrType.TIMER,
    port,
    priority: PRIORITY,
    expiresNs,
  });
  /** Lets the kvmclock go on, and what is due happen. */
  const wait = (rig: KvmRig, ns: number) => {
    rig.now += ns;
    rig.vcpus[0].timer.expire(rig.now);
  };

  it("expectation 9: a one-shot timer 100 ms from now delivers its event then, not before", () => {
    const rig = new KvmRig();
    const [vcpu] = rig.vcpus;
    must(vcpu.xenSetAttr(timer(0)));
    const at = rig.now + 100 * MS;
    vcpu.timer.setTimerOp(BigInt(at));
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(at));
    wait(rig, 100 * MS - 1);
    expect(rig.isPending(PORT)).toBe(false);
    wait(rig, 1);
    expect([rig.isPending(PORT), rig.vcpuInfo().upcall]).toEqual([true, 1]);
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(0));
  });

  it("expectation 9: what was read of a timer restores it", () => {
    const rig = new KvmRig();
    must(rig.vcpus[0].xenSetAttr(timer(rig.now + 50 * MS)));
    const saved = rig.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.TIMER);
    if (typeof saved === "number") throw new Error(`errno ${-saved}`);
    must(rig.vcpus[0].xenSetAttr(timer(0)));
    expect(rig.vcpus[0].timer.due).toBe(Number.POSITIVE_INFINITY);
    must(rig.vcpus[0].xenSetAttr(saved));
    wait(rig, 50 * MS);
    expect(rig.isPending(PORT)).toBe(true);
  });

  it("expectation 9: a timer in the past fires at once", () => {
    const rig = new KvmRig();
    must(rig.vcpus[0].xenSetAttr(timer(rig.now - 1)));
    expect(rig.isPending(PORT)).toBe(true);
    expect(rig.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(0));
  });

  it("set_timer_op takes an absurd instant for one 100 ms from now, and 0 for none", () => {
    const rig = new KvmRig();
    const [vcpu] = rig.vcpus;
    must(vcpu.xenSetAttr(timer(0)));
    for (const absurd of [1n << 63n, BigInt(rig.now) + (1n << 50n)]) {
      vcpu.timer.setTimerOp(absurd);
      expect(vcpu.timer.due).toBe(rig.now + 100 * MS);
    }
    vcpu.timer.setTimerOp(0n);
    expect([vcpu.timer.due, vcpu.timer.expiresNs]).toEqual([Number.POSITIVE_INFINITY, 0]);
  });

  it("an expiry that finds shared_info outdated is the vCPU's to deliver", () => {
    const rig = new KvmRig();
    must(rig.vcpus[0].xenSetAttr(timer(rig.now + MS)));
    rig.addDummySlot(11);
    wait(rig, MS);
    expect([rig.isPending(PORT), rig.vcpus[0].hasPendingEvents, rig.idle[0].kicks]).toEqual([false, true, 1]);
    rig.vcpus[0].beforeEntry();
    expect([rig.isPending(PORT), rig.vcpus[0].hasPendingEvents]).toEqual([true, false]);
    expect(rig.vm.counters.eventsSlow).toBe(1);
  });

  it("an expiry is lost when shared_info is nowhere, as the kernel loses it", () => {
    const rig = new KvmRig();
    must(rig.vcpus[0].xenSetAttr(timer(rig.now + MS)));
    must(rig.vm.setUserMemoryRegion(rig.region(SHINFO_GPA / PAGE + 64))); // moved under the kernel's feet
    wait(rig, MS);
    rig.vcpus[0].beforeEntry();
    expect([rig.vm.counters.eventsRefused, rig.vcpus[0].timer.pending]).toEqual([1, false]);
    expect(rig.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(0));
    rig.setSharedInfo("gfn", SHINFO_GPA / PAGE + 64);
    rig.vcpus[0].beforeEntry();
    expect(rig.isPending(PORT)).toBe(false);
  });

  it("expectation 9: reading delivers an event that waits for the vCPU", () => {
    const rig = new KvmRig();
    must(rig.vcpus[0].xenSetAttr(timer(rig.now + MS)));
    rig.addDummySlot(11);
    wait(rig, MS);
    expect(rig.vcpus[0].xenGetAttr(KvmXenVcpuAttrType.TIMER)).toEqual(timer(0));
    expect(rig.isPending(PORT)).toBe(true);
  });

  it("a priority is refused", () => {
    const rig = new KvmRig();
    expect(rig.vcpus[0].xenSetAttr({ ...timer(0), priority: 0 })).toBe(-Errno.EINVAL);
  });
});

describe("clocks", () => {
  it.each(["gfn", "hva"] as const)(
    "expectation 14: the wall clock by %s is the host's at kvmclock 0, and its version even",
    (key) => {
      const rig = new KvmRig({ key });
      const word = (offset: number) => rig.memory.readU32(rig.at(offset));
      expect([word(0xc04), word(0xc08), word(0xc0c)]).toEqual([BOOT_WALLCLOCK_SECONDS, 0, 0]);
      expect(word(0xc00)).toBeGreaterThan(0);
      expect(word(0xc00) & 1).toBe(0);
      const version = word(0xc00);
      rig.setSharedInfo(key);
      expect(word(0xc00)).toBe(version + 2);
      // In the layout of 32-bit guests it is elsewhere.
      must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: false }));
      expect([word(0x904), word(0x924), word(0x900) & 1]).toEqual([BOOT_WALLCLOCK_SECONDS, 0, 0]);
    },
  );

  it("expectation 14: both time records have even versions and tell the same time", () => {
    const rig = new KvmRig();
    const [vcpu] = rig.vcpus;
    must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_TIME_INFO, gpa: SHINFO_GPA + PAGE }));
    expect(rig.idle[0].clockUpdates).toBeGreaterThan(0);
    rig.now = 3_000_000_000;
    vcpu.updateTime();
    vcpu.updateTime();
    const own = rig.memory.readBytes(rig.at(0x40 + 32), 32);
    const area = rig.memory.readBytes(rig.at(PAGE), 32);
    expect(own.subarray(4)).toEqual(area.subarray(4));
    for (const bytes of [own, area]) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      expect(view.getUint32(0, true)).toBe(4);
      // 2 cycles a nanosecond: system time and time stamp of one instant.
      expect(view.getBigUint64(8, true)).toBe(2n * view.getBigUint64(16, true));
      expect(bytes[29]).toBe(1);
    }
  });

  it("expectation 11: vcpu_info by host address has its flags and its time on the same page", () => {
    const rig = new KvmRig({ key: "gfn" });
    const [vcpu] = rig.vcpus;
    must(vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: SHINFO_HVA + 0x40 }));
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.VCPU_INFO)).toMatchObject({ gpa: KVM_XEN_INVALID_GPA });
    expect(vcpu.xenGetAttr(KvmXenVcpuAttrType.VCPU_INFO_HVA)).toMatchObject({ hva: SHINFO_HVA + 0x40 });
    rig.now = 2_000_000_000;
    vcpu.updateTime();
    expect(rig.send(5)).toBe(0);
    expect([rig.isPending(5), rig.vcpuInfo().upcall, vcpu.hasInterrupt()]).toEqual([true, 1, true]);
    expect(rig.memory.readU32(rig.at(0x40 + 32))).toBe(2);
  });
});
