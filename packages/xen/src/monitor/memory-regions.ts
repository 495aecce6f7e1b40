import { Errno } from "../errno.js";
import type { KvmVm } from "../host/kvm/kvm-vm.js";
import type { MemorySlot } from "../host/kvm/memslots.js";
import { KVM_USER_MEM_SLOTS, KvmMemFlag } from "../host/kvm/uapi.js";
import type { GfnRange } from "../p2m.js";
import { FreePathCost } from "../path-cost/free-path-cost.js";

const PAGE = 4096;
/** Machine frame n is at this address plus n pages in the monitor's process, once it is mapped. */
const MAPPED_AT = 0x7000_0000_0000;

/** Address of a machine frame in the monitor's process. */
export function hostAddressOf(frame: number): number {
  return MAPPED_AT + frame * PAGE;
}

/** Which numbers of slots are in use, as plain data. */
export interface MemoryRegionsSnapshot {
  /** Numbers below have been given out. */
  readonly nextSlot: number;
  /** Those of them that are free again. */
  readonly freeSlots: readonly number[];
}

/**
 * The monitor's flat view of guest memory (QEMU: `accel/kvm/kvm-all.c`): ranges of guest frames over pages of its process, each
 * a memory slot of KVM's. A page that is shown inside a range makes three of it, through the uapi alone: the slot is deleted,
 * and what is left and the page are created. One that continues its neighbours becomes one slot with them.
 */
export class MemoryRegions {
  private readonly vm: KvmVm;
  private readonly free: FreePathCost;
  /** Pays the system call around one KVM_SET_USER_MEMORY_REGION, whose own work is the kernel's to price. */
  private readonly call: () => void;
  private nextSlot = 0;
  private readonly freeSlots: number[] = [];

  /** Slots that KVM has (KVM_CAP_NR_MEMSLOTS). */
  private readonly slots: number;

  constructor(vm: KvmVm, call: () => void, slots: number = KVM_USER_MEM_SLOTS) {
    this.slots = slots;
    this.vm = vm;
    this.free = new FreePathCost(vm.memory);
    this.call = call;
  }

  /** A range of guest frames over consecutive machine frames, at the start: nobody pays. */
  add({ first, count }: GfnRange, frame: number): void {
    this.map(frame, count);
    this.create(first, count, hostAddressOf(frame), false, false);
  }

  /** Can a page be shown or hidden at a guest frame, and at another unless that is -1? @returns 0, -EINVAL or -ENOMEM */
  changeError(gfn: number, other: number): number {
    if (Math.max(gfn, other) > this.vm.memslots.maxGfn) return -Errno.EINVAL;
    const room = this.freeSlots.length + this.slots - this.nextSlot;
    return this.further(gfn) + (other < 0 ? 0 : this.further(other)) > room ? -Errno.ENOMEM : 0;
  }

  /** How many slots more there are at most when a page has been shown at a guest frame. */
  private further(gfn: number): number {
    const slot = this.vm.memslots.slotOf(gfn);
    if (slot === undefined) return 1;
    return Math.min(gfn - slot.baseGfn, 1) + Math.min(slot.baseGfn + slot.npages - 1 - gfn, 1);
  }

  /** Shows a machine frame at a guest frame, or with -1 nothing any more. */
  show(gfn: number, frame: number, readOnly: boolean, priced: boolean): void {
    const { memslots, userSpace } = this.vm;
    const slot = memslots.slotOf(gfn);
    if (slot !== undefined) {
      const { baseGfn, npages, userspaceAddr, flags } = slot;
      this.remove(slot, priced);
      const before = gfn - baseGfn;
      if (before > 0) this.create(baseGfn, before, userspaceAddr, flags !== 0, priced);
      const after = npages - before - 1;
      if (after > 0) this.create(gfn + 1, after, userspaceAddr + (before + 1) * PAGE, flags !== 0, priced);
    }
    if (frame < 0) return;
    const address = hostAddressOf(frame);
    if (userSpace.frameOf(address) < 0) this.map(frame, 1);
    let [first, count] = [gfn, 1];
    const flags = readOnly ? KvmMemFlag.READONLY : 0;
    for (const slot of [memslots.slotOf(gfn - 1), memslots.slotOf(gfn + 1)]) {
      const continues = slot?.userspaceAddr === address + ((slot?.baseGfn ?? 0) - gfn) * PAGE;
      if (slot === undefined || !continues || slot.flags !== flags) continue;
      this.remove(slot, priced);
      first = Math.min(first, slot.baseGfn);
      count += slot.npages;
    }
    this.create(first, count, address + (first - gfn) * PAGE, readOnly, priced);
  }

  snapshot(): MemoryRegionsSnapshot {
    return { nextSlot: this.nextSlot, freeSlots: [...this.freeSlots] };
  }

  /** After the kernel's slots. @throws RangeError for numbers that those do not have */
  restore({ nextSlot, freeSlots }: MemoryRegionsSnapshot): void {
    const used = this.vm.memslots.all.map(({ id }) => id);
    const all = new Set([...used, ...freeSlots]);
    const isSlot = (slot: number) => Number.isInteger(slot) && slot >= 0 && slot < nextSlot;
    if (all.size !== used.length + freeSlots.length || all.size !== nextSlot || ![...all].every(isSlot))
      throw new RangeError(`${nextSlot} memory slots, of which ${freeSlots.length} are free`);
    this.nextSlot = nextSlot;
    this.freeSlots.splice(0, this.freeSlots.length, ...freeSlots);
  }

  private remove({ id, baseGfn, userspaceAddr }: MemorySlot, priced: boolean): void {
    this.change({ slot: id, flags: 0, guestPhysAddr: baseGfn * PAGE, memorySize: 0, userspaceAddr }, priced);
    this.freeSlots.push(id);
  }

  /** mmap when the monitor starts, or of a page that it has set aside then: free. */
  private map(frame: number, count: number): void {
    const { vm, free } = this;
    const { cost } = vm;
    vm.cost = free;
    vm.userSpace.mmap(hostAddressOf(frame), count * PAGE, frame);
    vm.cost = cost;
  }

  private create(
    gfn: number,
    count: number,
    userspaceAddr: number,
    readOnly: boolean,
    priced: boolean,
  ): void {
    const slot = this.freeSlots.pop() ?? this.nextSlot++;
    const flags = readOnly ? KvmMemFlag.READONLY : 0;
    this.change({ slot, flags, guestPhysAddr: gfn * PAGE, memorySize: count * PAGE, userspaceAddr }, priced);
  }

  /** @throws RangeError for a region that KVM refuses: a mistake in the monitor, not in the guest */
  private change(region: Parameters<KvmVm["setUserMemoryRegion"]>[0], priced: boolean): void {
    const { vm } = this;
    if (priced) this.call();
    const { cost } = vm;
    if (!priced) vm.cost = this.free;
    const error = vm.setUserMemoryRegion(region);
    vm.cost = cost;
    if (error !== 0) throw new RangeError(`memory slot ${region.slot}: errno ${-error}`);
  }
}
