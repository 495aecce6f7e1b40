import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { KvmVm } from "../src/host/kvm/kvm-vm.ts";
import { maxGfn } from "../src/host/kvm/tdp-mmu.ts";
import { KvmMemFlag } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { hostAddressOf, MemoryRegions } from "../src/monitor/memory-regions.ts";
import { type CallRegisters, HypercallDriver } from "./hypercall-driver.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

const PAGE = 4096;
const MEMORY_OP = 12;
const DECREASE_RESERVATION = 1;
const ADD_TO_PHYSMAP = 7;
const POPULATE_PHYSMAP = 6;
const STRUCT = 0x100800;

function call(number: number, ...args: readonly number[]): CallRegisters {
  const registers: [number, number][] = Array.from({ length: 16 }, () => [0, 0]);
  registers[0] = [number, 0];
  [7, 6, 2].forEach((register, i) => {
    registers[register] = [args[i] ?? 0, 0];
  });
  return registers;
}

function driver(calls: readonly CallRegisters[], profile = epyc9124) {
  return new HypercallDriver<KvmSystem>(profile, {}, calls, createKvmSystem);
}

/** Sixteen pages in one slot, of as many slots as there may be. */
function regions(slots: number) {
  const { memory } = xenMemory();
  const vm = new KvmVm({ memory, cost: new RecordingCost(memory), nowNs: () => 0, tscGhz: 2 });
  const all = new MemoryRegions(vm, () => {}, slots);
  all.add({ first: 0x40, count: 16 }, 0x100);
  return { vm, all };
}

describe("a monitor's slots", () => {
  it("run out before anything is changed", () => {
    const { vm, all } = regions(4);
    all.show(0x42, -1, false, false);
    all.show(0x44, -1, false, false);
    expect(vm.memslots.all).toHaveLength(3);
    expect(all.changeError(0x46, -1)).toBe(-Errno.ENOMEM); // up to two more
    expect(all.changeError(0x40, -1)).toBe(0); // at the end of one
    expect(all.changeError(0x42, -1)).toBe(0);
    expect(all.changeError(0x42, 0x44)).toBe(-Errno.ENOMEM);
    expect(all.changeError(2 ** 40, -1)).toBe(-Errno.EINVAL);
  });

  it("become one again with the page that was missing between them", () => {
    const { vm, all } = regions(4);
    all.show(0x42, -1, false, false);
    all.show(0x42, 0x102, true, false); // read-only: it stays by itself
    expect(vm.memslots.all).toHaveLength(3);
    all.show(0x42, 0x103, false, false); // another page
    expect(vm.memslots.all).toHaveLength(3);
    all.show(0x42, 0x102, false, false);
    expect(vm.memslots.all).toMatchObject([
      { baseGfn: 0x40, npages: 16, userspaceAddr: hostAddressOf(0x100) },
    ]);
  });

  it("that are used up are -ENOMEM to the guest, whose memory is as before", () => {
    const guest = driver([
      call(MEMORY_OP, DECREASE_RESERVATION, STRUCT),
      call(MEMORY_OP, ADD_TO_PHYSMAP, STRUCT + 64),
    ]);
    const { guestMemory, p2m } = guest.system.domain;
    const slots = guest.system.vm.memslots.all.length;
    p2m.changeError = () => -Errno.ENOMEM;
    guestMemory.writeU32(STRUCT, STRUCT + 128);
    guestMemory.writeU32(STRUCT + 8, 1);
    guestMemory.writeU32(STRUCT + 24, 0x7ff0);
    guestMemory.writeU32(STRUCT + 128, 0x700);
    guestMemory.writeU32(STRUCT + 64, 0x7ff0);
    guestMemory.writeU32(STRUCT + 64 + 16, 0x700);
    const before = p2m.translate(0x700);
    guest.system.run();
    expect([guest.resultOf(0), guest.resultOf(1)]).toEqual([0, -Errno.ENOMEM]);
    expect(p2m.translate(0x700)).toBe(before);
    expect(guest.system.vm.memslots.all).toHaveLength(slots);
  });

  it("are one again after a guest has given a page back and got it back", () => {
    const guest = driver([
      call(MEMORY_OP, DECREASE_RESERVATION, STRUCT),
      call(MEMORY_OP, POPULATE_PHYSMAP, STRUCT),
    ]);
    const { guestMemory } = guest.system.domain;
    const slots = guest.system.vm.memslots.all.length;
    guestMemory.writeU32(STRUCT, STRUCT + 128);
    guestMemory.writeU32(STRUCT + 8, 1);
    guestMemory.writeU32(STRUCT + 24, 0x7ff0);
    guestMemory.writeU32(STRUCT + 128, 0x700);
    guest.system.run();
    expect([guest.resultOf(0), guest.resultOf(1)]).toEqual([1, 1]);
    expect(guest.system.vm.memslots.all).toHaveLength(slots);
  });
});

describe("the largest guest frame of a slot", () => {
  it("is the smaller of what addresses and what the tables have", () => {
    expect([maxGfn(46), maxGfn(52)]).toEqual([2 ** 34 - 1, 2 ** 36 - 1]);
  });

  it.each([epyc9124, skylakeSp])("is kept on $id", (profile) => {
    const { vm } = driver([call(99)], profile).system;
    const last = maxGfn(profile.memory.physicalAddressBits.value);
    const set = (gfn: number) =>
      vm.setUserMemoryRegion({
        slot: 99,
        flags: 0,
        guestPhysAddr: gfn * PAGE,
        memorySize: PAGE,
        userspaceAddr: PAGE,
      });
    expect(last).toBeGreaterThan(2 ** 33);
    expect([set(last + 1), set(2 ** 40), set(last)]).toEqual([-Errno.EINVAL, -Errno.EINVAL, 0]);
  });
});

describe("reading the dirty log", () => {
  it("has the pages that were in it logged again", () => {
    const { vm, tdp } = driver([call(99)]).system;
    const slot = vm.memslots.slotOf(0x100)!;
    const flags = KvmMemFlag.LOG_DIRTY_PAGES;
    const region = {
      slot: slot.id,
      flags,
      guestPhysAddr: slot.baseGfn * PAGE,
      memorySize: slot.npages * PAGE,
    };
    expect(vm.setUserMemoryRegion({ ...region, userspaceAddr: slot.userspaceAddr })).toBe(0);
    const page = 0x123 - slot.baseGfn;
    const isLogged = () => {
      const log = vm.memslots.dirtyLog(slot.id);
      return typeof log !== "number" && (log[page >>> 3] & (1 << (page & 7))) !== 0;
    };
    let flushes = 0;
    tdp.onFlush = () => flushes++;
    for (const rounds of [1, 2]) {
      tdp.fault(0x123, true, false);
      tdp.fault(0x124, false, false);
      expect(isLogged()).toBe(true);
      expect([tdp.leafLevel(0x123), tdp.leafLevel(0x124), flushes]).toEqual([0, 1, rounds]);
      expect(isLogged()).toBe(false);
    }
  });
});
