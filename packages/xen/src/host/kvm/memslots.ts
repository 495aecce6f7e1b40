import { Errno } from "../../errno.js";
import {
  KVM_MEM_MAX_NR_PAGES,
  KVM_USER_MEM_SLOTS,
  KvmMemFlag,
  type KvmUserspaceMemoryRegion,
} from "./uapi.js";
import type { UserAddressSpace } from "./user-address-space.js";

/** `flags` of a slot that is being deleted or moved, over and above those of user space (KVM_MEMSLOT_INVALID). */
export const KVM_MEMSLOT_INVALID: number = 1 << 16;
/** Frames behind which no host address is (KVM_HVA_ERR_BAD). */
export const KVM_HVA_ERR_BAD = -1;

/**
 * Steps of KVM_SET_USER_MEMORY_REGION, in the order in which a move or deletion takes them; creation and a change of flags
 * begin at `publish new`. In the middle of each of the two publications the generation says that an update is in progress.
 */
export const MEMSLOT_STEPS = [
  "publish INVALID",
  "generation after INVALID",
  "zap",
  "publish new",
  "generation after new",
  "commit",
] as const;
export type MemslotStep = (typeof MEMSLOT_STEPS)[number];

/** `enum kvm_mr_change`. */
export type MemslotChange = "create" | "delete" | "move" | "flags only";

/** `struct kvm_memory_slot`. */
export interface MemorySlot {
  readonly id: number;
  readonly baseGfn: number;
  readonly npages: number;
  /** {@link KvmMemFlag}, {@link KVM_MEMSLOT_INVALID} */
  readonly flags: number;
  readonly userspaceAddr: number;
  /** A bit a page, while the slot logs. */
  readonly dirtyBitmap: Uint8Array | undefined;
}

/** What wants to know of slots that go: their second-stage mappings are to go too (`kvm_arch_flush_shadow_memslot`). */
export interface MemslotListener {
  flushShadowMemslot?(slot: MemorySlot): void;
  /**
   * The log of a slot was read: its pages that have a bit there are to be logged again at the next write
   * (`kvm_arch_mmu_enable_log_dirty_pt_masked`).
   */
  enableLogDirty?(slot: MemorySlot, bitmap: Uint8Array): void;
  /** A change that is allowed begins. */
  beforeChange?(change: MemslotChange): void;
  /** A change is complete (`kvm_arch_commit_memory_region`). */
  commitMemoryRegion?(old: MemorySlot | undefined, now: MemorySlot | undefined, change: MemslotChange): void;
  /** One step of a change was made. */
  afterStep?(step: MemslotStep): void;
}

/** All slots as plain data. */
export interface MemslotsSnapshot {
  readonly generation: number;
  readonly slots: readonly MemorySlot[];
}

const PAGE = 4096;
const GEN_UPDATE_IN_PROGRESS = 2 ** 52; // bit 63 of the kernel's: any number above those that count

/**
 * A VM's memory slots (`struct kvm_memslots`, one address space): ranges of guest frames and the host addresses behind
 * them. A change is not atomic: a slot that moves is first marked INVALID in a set of slots that replaces the present one,
 * then its mappings are zapped, then a second set replaces the first, and each replacement changes the generation twice.
 */
export class Memslots {
  /** Changes with every replacement of the set; see {@link isUpdateInProgress}. */
  generation = 0;
  readonly maxGfn: number;
  private slots: readonly MemorySlot[] = []; // by guest frame
  private readonly userSpace: UserAddressSpace;
  private readonly listeners: MemslotListener[] = [];
  private update: Generator<MemslotStep, void> | undefined;

  /** @param maxGfn the largest guest frame that a slot may have (`kvm_mmu_max_gfn`); default that of 52 address bits */
  constructor(userSpace: UserAddressSpace, maxGfn: number = 2 ** 40 - 1) {
    this.userSpace = userSpace;
    this.maxGfn = maxGfn;
  }

  subscribe(listener: MemslotListener): void {
    this.listeners.push(listener);
  }

  /** Does the present generation say that readers of the former set may still be there? */
  get isUpdateInProgress(): boolean {
    return this.generation >= GEN_UPDATE_IN_PROGRESS;
  }

  /** In the order of their guest frames. */
  get all(): readonly MemorySlot[] {
    return this.slots;
  }

  /** KVM_SET_USER_MEMORY_REGION. @returns 0 or a negative errno, as the ioctl does */
  setUserMemoryRegion(region: KvmUserspaceMemoryRegion): number {
    const steps = this.steps(region);
    if (typeof steps === "number") return steps;
    while (steps.next().done !== true);
    return 0;
  }

  /**
   * The same step by step: each `next()` makes one step and gives its name. An update that is under way ends first, as
   * `slots_lock` has it.
   * @returns 0 when there is nothing to change, or a negative errno
   */
  steps(region: KvmUserspaceMemoryRegion): Iterator<MemslotStep, void> | number {
    this.settle();
    const old = this.slots.find(({ id }) => id === region.slot);
    const change = this.changeFor(region, old);
    if (typeof change === "number") return change;
    const now = change === "delete" ? undefined : slotOf(region, old);
    const update = this.run(change, old, now);
    this.update = update;
    return update;
  }

  /** Goes on to the end of an update that is under way. */
  settle(): void {
    const { update } = this;
    while (update !== undefined && update.next().done !== true);
    this.update = undefined;
  }

  /** `gfn_to_memslot`: the slot with this guest frame, INVALID ones too. */
  slotOf(gfn: number): MemorySlot | undefined {
    const { slots } = this;
    let [low, high] = [0, slots.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (slots[middle].baseGfn <= gfn) low = middle + 1;
      else high = middle;
    }
    const slot = slots[low - 1];
    return slot !== undefined && gfn < slot.baseGfn + slot.npages ? slot : undefined;
  }

  /**
   * `gfn_to_hva`, for writing unless told otherwise: the host address of a guest frame.
   * @returns {@link KVM_HVA_ERR_BAD} without a slot, with one that is INVALID, or to write where one is read-only
   */
  hvaOf(gfn: number, write = true): number {
    const slot = this.slotOf(gfn);
    const refused = KVM_MEMSLOT_INVALID | (write ? KvmMemFlag.READONLY : 0);
    if (slot === undefined || (slot.flags & refused) !== 0) return KVM_HVA_ERR_BAD;
    return slot.userspaceAddr + (gfn - slot.baseGfn) * PAGE;
  }

  /** Machine frame behind a guest frame, -1 where there is none. Reads: also from read-only slots. */
  translate(gfn: number, write = false): number {
    const hva = this.hvaOf(gfn, write);
    return hva === KVM_HVA_ERR_BAD ? -1 : this.userSpace.frameOf(hva);
  }

  /** `mark_page_dirty` */
  markDirty(gfn: number): void {
    const slot = this.slotOf(gfn);
    if (slot?.dirtyBitmap === undefined) return;
    const page = gfn - slot.baseGfn;
    slot.dirtyBitmap[page >>> 3] |= 1 << (page & 7);
  }

  /** KVM_GET_DIRTY_LOG: a bit a page, cleared by being read. @returns -ENOENT for a slot that does not log */
  dirtyLog(id: number): Uint8Array | number {
    const slot = this.slots.find((one) => one.id === id);
    if (slot?.dirtyBitmap === undefined) return -Errno.ENOENT;
    const read = slot.dirtyBitmap.slice();
    slot.dirtyBitmap.fill(0);
    for (const listener of this.listeners) listener.enableLogDirty?.(slot, read);
    return read;
  }

  /** @throws RangeError in the middle of an update */
  snapshot(): MemslotsSnapshot {
    if (this.update !== undefined) throw new RangeError("the memory slots are being updated");
    return { generation: this.generation, slots: this.slots.map(copyOf) };
  }

  /** Tells nobody. @throws RangeError for slots that overlap or that no update can have made */
  restore({ generation, slots }: MemslotsSnapshot): void {
    if (!Number.isSafeInteger(generation) || generation < 0 || generation >= GEN_UPDATE_IN_PROGRESS)
      throw new RangeError(`memory slots of generation ${generation}`);
    this.settle();
    let end = 0;
    for (const slot of slots) {
      const { id, baseGfn, npages, flags, userspaceAddr, dirtyBitmap } = slot;
      const region = {
        slot: id,
        flags,
        guestPhysAddr: baseGfn * PAGE,
        memorySize: npages * PAGE,
        userspaceAddr,
      };
      const logs = (flags & KvmMemFlag.LOG_DIRTY_PAGES) !== 0;
      const bytes = logs ? bitmapBytes(npages) : undefined;
      if (
        this.isBad(region) ||
        npages < 1 ||
        baseGfn < end ||
        baseGfn + npages - 1 > this.maxGfn ||
        dirtyBitmap?.length !== bytes ||
        (logs && !(dirtyBitmap instanceof Uint8Array))
      )
        throw new RangeError(`memory slot ${id}`);
      end = baseGfn + npages;
    }
    if (new Set(slots.map(({ id }) => id)).size !== slots.length)
      throw new RangeError("a slot is there twice");
    this.generation = generation;
    this.slots = slots.map(copyOf);
  }

  /** What a region asks for. @returns 0 for nothing, or a negative errno */
  private changeFor(region: KvmUserspaceMemoryRegion, old: MemorySlot | undefined): MemslotChange | number {
    if (this.isBad(region)) return -Errno.EINVAL;
    const { guestPhysAddr, memorySize, userspaceAddr, flags } = region;
    if (memorySize === 0) return old === undefined ? -Errno.EINVAL : "delete";
    const baseGfn = guestPhysAddr / PAGE;
    const npages = memorySize / PAGE;
    if (old !== undefined) {
      const readOnly = (flags ^ old.flags) & KvmMemFlag.READONLY;
      if (userspaceAddr !== old.userspaceAddr || npages !== old.npages || readOnly !== 0)
        return -Errno.EINVAL;
      if (baseGfn === old.baseGfn) return flags === old.flags ? 0 : "flags only";
    }
    const overlaps = this.slots.some(
      (slot) =>
        slot.id !== region.slot && slot.baseGfn < baseGfn + npages && baseGfn < slot.baseGfn + slot.npages,
    );
    if (overlaps) return -Errno.EEXIST;
    if (baseGfn + npages - 1 > this.maxGfn) return -Errno.EINVAL;
    return old === undefined ? "create" : "move";
  }

  /** The checks that need no other slot. */
  private isBad(region: KvmUserspaceMemoryRegion): boolean {
    const { slot, flags, guestPhysAddr, memorySize, userspaceAddr } = region;
    const isAligned = (value: number) => Number.isSafeInteger(value) && value >= 0 && value % PAGE === 0;
    return (
      !Number.isInteger(slot) ||
      slot < 0 ||
      slot >= KVM_USER_MEM_SLOTS ||
      !Number.isInteger(flags) ||
      (flags & ~(KvmMemFlag.LOG_DIRTY_PAGES | KvmMemFlag.READONLY)) !== 0 ||
      !isAligned(guestPhysAddr) ||
      !isAligned(memorySize) ||
      !isAligned(userspaceAddr) ||
      !Number.isSafeInteger(guestPhysAddr + memorySize) ||
      !this.userSpace.accessOk(userspaceAddr, memorySize) ||
      memorySize / PAGE > KVM_MEM_MAX_NR_PAGES
    );
  }

  private *run(
    change: MemslotChange,
    old: MemorySlot | undefined,
    now: MemorySlot | undefined,
  ): Generator<MemslotStep, void> {
    for (const listener of this.listeners) listener.beforeChange?.(change);
    const others = this.slots.filter((slot) => slot !== old);
    if (old !== undefined && (change === "delete" || change === "move")) {
      yield* this.publish(
        [...others, { ...old, flags: old.flags | KVM_MEMSLOT_INVALID }],
        "publish INVALID",
        "generation after INVALID",
      );
      for (const listener of this.listeners) listener.flushShadowMemslot?.(old);
      yield this.made("zap");
    }
    yield* this.publish(now === undefined ? others : [...others, now], "publish new", "generation after new");
    this.update = undefined;
    for (const listener of this.listeners) listener.commitMemoryRegion?.(old, now, change);
    yield this.made("commit");
  }

  /** `kvm_swap_active_memslots`: the other set, and when nobody reads the former one any more, another generation. */
  private *publish(
    slots: readonly MemorySlot[],
    published: MemslotStep,
    counted: MemslotStep,
  ): Generator<MemslotStep, void> {
    this.userSpace.settle(); // waits for invalidations that are under way
    const next = this.generation + 1;
    this.generation += GEN_UPDATE_IN_PROGRESS;
    this.slots = [...slots].sort((a, b) => a.baseGfn - b.baseGfn);
    yield this.made(published);
    this.generation = next;
    yield this.made(counted);
  }

  private made(step: MemslotStep): MemslotStep {
    for (const listener of this.listeners) listener.afterStep?.(step);
    return step;
  }
}

function slotOf(region: KvmUserspaceMemoryRegion, old: MemorySlot | undefined): MemorySlot {
  const { slot: id, flags, guestPhysAddr, memorySize, userspaceAddr } = region;
  const npages = memorySize / PAGE;
  const logs = (flags & KvmMemFlag.LOG_DIRTY_PAGES) !== 0;
  const dirtyBitmap = logs ? (old?.dirtyBitmap ?? new Uint8Array(bitmapBytes(npages))) : undefined;
  return { id, baseGfn: guestPhysAddr / PAGE, npages, flags, userspaceAddr, dirtyBitmap };
}

function bitmapBytes(npages: number): number {
  return Math.ceil(npages / 8);
}

function copyOf(slot: MemorySlot): MemorySlot {
  return { ...slot, dirtyBitmap: slot.dirtyBitmap?.slice() };
}
