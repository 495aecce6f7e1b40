import type { KvmVm } from "../host/kvm/kvm-vm.js";
import { KvmMemFlag } from "../host/kvm/uapi.js";
import type { GfnRange } from "../p2m.js";
import { FreePathCost } from "../path-cost/free-path-cost.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";

const PAGE = 4096;
/** Machine frame n is at this address plus n pages in the monitor's process, once it is mapped. */
const MAPPED_AT = 0x7000_0000_0000;

/** Address of a machine frame in the monitor's process. */
export function hostAddressOf(frame: number): number {
  return MAPPED_AT + frame * PAGE;
}

/**
 * The monitor's flat view of guest memory (QEMU: `accel/kvm/kvm-all.c`): ranges of guest frames over pages of its process, each
 * a memory slot of KVM's. A page that is shown inside a range makes three of it, through the uapi alone: the slot is deleted,
 * and what is left and the page are created.
 */
export class MemoryRegions {
  private readonly vm: KvmVm;
  private readonly cost: StagePathCost;
  private readonly free: FreePathCost;
  /** The system call around one KVM_SET_USER_MEMORY_REGION, whose own work is the kernel's to price. */
  private readonly callStage: number;
  private nextSlot = 0;
  private readonly freeSlots: number[] = [];

  constructor(vm: KvmVm, cost: StagePathCost, callStage: number) {
    this.vm = vm;
    this.cost = cost;
    this.free = new FreePathCost(vm.memory);
    this.callStage = callStage;
  }

  /** A range of guest frames over consecutive machine frames, at the start: nobody pays. */
  add({ first, count }: GfnRange, frame: number): void {
    this.map(frame, count);
    this.create(first, count, hostAddressOf(frame), false, false);
  }

  /** Shows a machine frame at a guest frame, or with -1 nothing any more. */
  show(gfn: number, frame: number, readOnly: boolean, priced: boolean): void {
    const { memslots, userSpace } = this.vm;
    const slot = memslots.slotOf(gfn);
    if (slot !== undefined) {
      const { id, baseGfn, npages, userspaceAddr, flags } = slot;
      this.change(
        { slot: id, flags: 0, guestPhysAddr: baseGfn * PAGE, memorySize: 0, userspaceAddr },
        priced,
      );
      this.freeSlots.push(id);
      const before = gfn - baseGfn;
      if (before > 0) this.create(baseGfn, before, userspaceAddr, flags !== 0, priced);
      const after = npages - before - 1;
      if (after > 0) this.create(gfn + 1, after, userspaceAddr + (before + 1) * PAGE, flags !== 0, priced);
    }
    if (frame < 0) return;
    const address = hostAddressOf(frame);
    if (userSpace.frameOf(address) < 0) this.map(frame, 1);
    this.create(gfn, 1, address, readOnly, priced);
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
    if (priced) this.cost.run(this.callStage);
    const { cost } = vm;
    if (!priced) vm.cost = this.free;
    const error = vm.setUserMemoryRegion(region);
    vm.cost = cost;
    if (error !== 0) throw new RangeError(`memory slot ${region.slot}: errno ${-error}`);
  }
}
