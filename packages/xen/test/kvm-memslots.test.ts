import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { GuestAddressError } from "../src/guest-memory.ts";
import { KvmVm } from "../src/host/kvm/kvm-vm.ts";
import { KVM_HVA_ERR_BAD, KVM_MEMSLOT_INVALID, MEMSLOT_STEPS } from "../src/host/kvm/memslots.ts";
import { KVM_USER_MEM_SLOTS, KvmMemFlag } from "../src/host/kvm/uapi.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

const HVA = 0x7f0000000000;
const PAGE = 4096;
/** Machine frame of the first page at {@link HVA}. */
const FRAME = 0x100;

function machine(pages = 16) {
  const { memory } = xenMemory();
  const vm = new KvmVm({ memory, cost: new RecordingCost(memory), nowNs: () => 0, tscGhz: 2 });
  vm.userSpace.mmap(HVA, pages * PAGE, FRAME);
  return { vm, memory };
}

const region = (slot: number, gfn: number, pages: number, hvaPage = 0, flags = 0) => ({
  slot,
  flags,
  guestPhysAddr: gfn * PAGE,
  memorySize: pages * PAGE,
  userspaceAddr: HVA + hvaPage * PAGE,
});

describe("KVM_SET_USER_MEMORY_REGION", () => {
  it("puts a process's pages at guest addresses", () => {
    const { vm, memory } = machine();
    expect(vm.setUserMemoryRegion(region(0, 0x40, 4, 2))).toBe(0);
    vm.guestMemory.writeU32(0x41ffe, 0x11223344); // across two frames
    expect(memory.readU32((FRAME + 3) * PAGE + 0xffe)).toBe(0x11223344);
    expect(() => vm.guestMemory.readU8(0x44000)).toThrow(GuestAddressError);
    expect(() => vm.guestMemory.readU8(0x3ffff)).toThrow(GuestAddressError);
  });

  it("refuses what the kernel refuses", () => {
    const { vm } = machine();
    const set = (...args: Parameters<typeof region>) => vm.setUserMemoryRegion(region(...args));
    expect(set(1, 8, 4)).toBe(0);
    expect(set(2, 11, 4)).toBe(-Errno.EEXIST); // overlaps
    expect(set(1, 8, 5)).toBe(-Errno.EINVAL); // neither size
    expect(set(1, 8, 4, 1)).toBe(-Errno.EINVAL); // nor host address
    expect(set(1, 8, 4, 0, KvmMemFlag.READONLY)).toBe(-Errno.EINVAL); // nor read-only can change
    expect(set(1, 8, 4)).toBe(0); // nothing to do
    expect(set(3, 8, 0)).toBe(-Errno.EINVAL); // no such slot
    expect(set(KVM_USER_MEM_SLOTS, 64, 1)).toBe(-Errno.EINVAL);
    expect(set(4, 64, 1, 0, 4)).toBe(-Errno.EINVAL);
    expect(vm.setUserMemoryRegion({ ...region(4, 64, 1), guestPhysAddr: 64 * PAGE + 1 })).toBe(-Errno.EINVAL);
    expect(vm.setUserMemoryRegion({ ...region(4, 64, 1), userspaceAddr: 2 ** 47 })).toBe(-Errno.EINVAL);
    expect(vm.setUserMemoryRegion({ ...region(4, 64, 1), memorySize: Number.NaN })).toBe(-Errno.EINVAL);
    expect(vm.memslots.all).toHaveLength(1);
  });

  it("writes to read-only slots have no host address", () => {
    const { vm } = machine();
    vm.setUserMemoryRegion(region(0, 8, 1, 0, KvmMemFlag.READONLY));
    expect(vm.memslots.hvaOf(8, false)).toBe(HVA);
    expect(vm.memslots.hvaOf(8)).toBe(KVM_HVA_ERR_BAD);
  });

  it("moves a slot in six steps with the generation changing at each publication", () => {
    const { vm } = machine();
    vm.setUserMemoryRegion(region(0, 8, 2));
    const zapped: number[] = [];
    vm.memslots.subscribe({ flushShadowMemslot: (slot) => zapped.push(slot.baseGfn) });
    const steps = vm.memslots.steps(region(0, 32, 2));
    if (typeof steps === "number") throw new Error(`errno ${-steps}`);
    const before = vm.memslots.generation;
    const seen: { step: string; updating: boolean; old: number; now: number; zapped: number }[] = [];
    const generations = new Set([before]);
    for (let next = steps.next(); next.done !== true; next = steps.next()) {
      const { isUpdateInProgress: updating, generation } = vm.memslots;
      const [old, now] = [vm.memslots.hvaOf(8), vm.memslots.hvaOf(32)];
      seen.push({ step: next.value, updating, old, now, zapped: zapped.length });
      generations.add(generation);
      if (next.value === "publish INVALID") expect(vm.memslots.slotOf(8)?.flags).toBe(KVM_MEMSLOT_INVALID);
    }
    const none = KVM_HVA_ERR_BAD;
    expect(seen).toEqual([
      { step: "publish INVALID", updating: true, old: none, now: none, zapped: 0 },
      { step: "generation after INVALID", updating: false, old: none, now: none, zapped: 0 },
      { step: "zap", updating: false, old: none, now: none, zapped: 1 },
      { step: "publish new", updating: true, old: none, now: HVA, zapped: 1 },
      { step: "generation after new", updating: false, old: none, now: HVA, zapped: 1 },
      { step: "commit", updating: false, old: none, now: HVA, zapped: 1 },
    ]);
    expect(seen.map(({ step }) => step)).toEqual([...MEMSLOT_STEPS]);
    expect(generations.size).toBe(5); // before, and after each half of two publications
    expect(vm.memslots.generation).toBe(before + 2);
  });

  it("creates in one publication and never leaves a gap when only flags change", () => {
    const { vm } = machine();
    const run = (to: ReturnType<typeof region>) => {
      const steps = vm.memslots.steps(to);
      if (typeof steps === "number") throw new Error(`errno ${-steps}`);
      const names: string[] = [];
      for (let next = steps.next(); next.done !== true; next = steps.next()) {
        names.push(next.value);
        expect(vm.memslots.hvaOf(8)).toBe(HVA);
      }
      return names;
    };
    const once = ["publish new", "generation after new", "commit"];
    expect(run(region(0, 8, 1))).toEqual(once);
    expect(run(region(0, 8, 1, 0, KvmMemFlag.LOG_DIRTY_PAGES))).toEqual(once);
  });

  it("a second update waits for the first", () => {
    const { vm } = machine();
    vm.setUserMemoryRegion(region(0, 8, 1));
    const first = vm.memslots.steps(region(0, 9, 1));
    if (typeof first === "number") throw new Error(`errno ${-first}`);
    first.next();
    expect(vm.setUserMemoryRegion(region(1, 8, 1, 1))).toBe(0); // free only once slot 0 has moved
    expect(vm.memslots.all.map(({ id }) => id)).toEqual([1, 0]);
    expect(first.next().done).toBe(true);
  });

  it("logs dirty pages of a slot that asks for it, and reading clears them", () => {
    const { vm } = machine();
    vm.setUserMemoryRegion(region(0, 8, 12, 0, KvmMemFlag.LOG_DIRTY_PAGES));
    vm.memslots.markDirty(8);
    vm.memslots.markDirty(17);
    vm.memslots.markDirty(7); // no slot
    expect(vm.memslots.dirtyLog(0)).toEqual(Uint8Array.of(1, 2));
    expect(vm.memslots.dirtyLog(0)).toEqual(Uint8Array.of(0, 0));
    expect(vm.memslots.dirtyLog(1)).toBe(-Errno.ENOENT);
  });

  it("comes back from a snapshot, which is refused when nothing can have made it", () => {
    const { vm } = machine();
    vm.setUserMemoryRegion(region(3, 8, 2, 0, KvmMemFlag.LOG_DIRTY_PAGES));
    vm.memslots.markDirty(9);
    const saved = vm.memslots.snapshot();
    vm.setUserMemoryRegion({ ...region(3, 8, 2), memorySize: 0 });
    expect(vm.memslots.hvaOf(8)).toBe(KVM_HVA_ERR_BAD);
    vm.memslots.restore(saved);
    expect([vm.memslots.generation, vm.memslots.hvaOf(9)]).toEqual([saved.generation, HVA + PAGE]);
    expect(vm.memslots.dirtyLog(3)).toEqual(Uint8Array.of(2));
    const [slot] = saved.slots;
    expect(() => vm.memslots.restore({ ...saved, slots: [slot, { ...slot, id: 4 }] })).toThrow(RangeError);
    expect(() => vm.memslots.restore({ ...saved, generation: -1 })).toThrow(RangeError);
    expect(() => vm.memslots.restore({ ...saved, slots: [{ ...slot, dirtyBitmap: undefined }] })).toThrow(
      RangeError,
    );
    const steps = vm.memslots.steps(region(3, 64, 2, 0, KvmMemFlag.LOG_DIRTY_PAGES));
    if (typeof steps === "number") throw new Error(`errno ${-steps}`);
    steps.next();
    expect(() => vm.memslots.snapshot()).toThrow(RangeError);
  });
});

describe("a monitor's address space", () => {
  it("tells of a mapping before it goes and after", () => {
    const { vm } = machine(4);
    const told: (string | number)[] = [];
    vm.userSpace.subscribe({
      invalidateRangeStart: (start) => told.push("start", vm.userSpace.frameOf(start)),
      invalidateRangeEnd: (start) => told.push("end", vm.userSpace.frameOf(start)),
    });
    vm.userSpace.mmap(HVA + PAGE, PAGE, 0x200); // over the second page
    expect(told).toEqual(["start", FRAME + 1, "end", 0x200]);
    expect([0, 1, 2, 3, 4].map((page) => vm.userSpace.frameOf(HVA + page * PAGE))).toEqual([
      FRAME,
      0x200,
      FRAME + 2,
      FRAME + 3,
      -1,
    ]);
    vm.userSpace.munmap(HVA, 3 * PAGE);
    expect([0, 2, 3].map((page) => vm.userSpace.frameOf(HVA + page * PAGE))).toEqual([-1, -1, FRAME + 3]);
  });

  it("changes are seen between their steps, and the slots wait for them", () => {
    const { vm } = machine(4);
    const steps = vm.userSpace.munmapSteps(HVA, PAGE);
    steps.next();
    expect([vm.userSpace.isChanging, vm.userSpace.frameOf(HVA)]).toEqual([true, FRAME]);
    steps.next();
    expect([vm.userSpace.isChanging, vm.userSpace.frameOf(HVA)]).toEqual([true, -1]);
    const { sequence } = vm.userSpace;
    vm.setUserMemoryRegion(region(0, 8, 1));
    expect([vm.userSpace.isChanging, vm.userSpace.sequence]).toEqual([false, sequence + 1]);
  });

  it("refuses ranges that are none", () => {
    const { vm } = machine();
    for (const [address, bytes] of [
      [1, PAGE],
      [HVA, 0],
      [HVA, 100],
      [2 ** 47 - PAGE, PAGE],
      [Number.NaN, PAGE],
    ])
      expect(() => vm.userSpace.mmap(address, bytes, 0)).toThrow(/user address/);
  });
});
