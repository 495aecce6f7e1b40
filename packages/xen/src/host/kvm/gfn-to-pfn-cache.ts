import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "../../errno.js";
import type { KvmPhaseName } from "../../path-cost/kvm-phases.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import {
  KVM_GPC_ACTIVATE,
  KVM_GPC_DEACTIVATE,
  KVM_GPC_GPA_TO_HVA,
  KVM_GPC_HVA_TO_PFN,
  KVM_GPC_REFRESH,
} from "../../path-cost/stages/kvm-events.js";
import { finish, KernelMutex, type KernelSteps } from "./kernel-steps.js";
import type { KvmXenCounters } from "./kvm-xen-counters.js";
import { KVM_HVA_ERR_BAD, type Memslots } from "./memslots.js";
import type { UserAddressSpace } from "./user-address-space.js";

/** No guest address, no frame. */
const NONE = -1;

/** What caches of one VM have in common. */
export interface CacheOwner {
  readonly memory: PhysicalMemory;
  readonly memslots: Memslots;
  readonly userSpace: UserAddressSpace;
  readonly counters: KvmXenCounters;
  /** Of the processor on which the kernel works now. */
  readonly cost: PathCost;
  /** What is accessed from now on belongs to this phase, until {@link leave}. */
  enter(phase: KvmPhaseName): void;
  leave(): void;
  /** `gpc_list`: those that the MMU notifier reaches. */
  readonly activeCaches: GfnToPfnCache[];
}

/** A cache as plain data. */
export interface GfnToPfnCacheSnapshot {
  readonly active: boolean;
  readonly valid: boolean;
  readonly gpa: number;
  readonly uhva: number;
  readonly frame: number;
  readonly generation: number;
  /** Generation at which it was last found outdated, -1: never. */
  readonly outdated: number;
}

/**
 * A page of guest memory that the kernel has mapped for itself (`virt/kvm/pfncache.c`). It is either known by its guest
 * address, and then good only for the generation of memory slots it was looked up in, or by its address in the monitor's
 * process, and then slots do not matter to it. Users {@link check} it before each use; when that fails, who can sleep
 * {@link refresh}es it. Life: {@link activate} or {@link activateHva}, uses, {@link deactivate}.
 */
export class GfnToPfnCache {
  active = false;
  /** `gpa`, -1 for a cache that is known by its host address. */
  gpa: number = NONE;
  /** Host address of the first byte, or {@link KVM_HVA_ERR_BAD}. */
  uhva: number = KVM_HVA_ERR_BAD;
  private valid = false;
  private frame = NONE;
  private generation = NONE;
  private outdated = NONE; // generation at which a check found it outdated last
  private readonly refreshLock = new KernelMutex();
  private readonly owner: CacheOwner;

  constructor(owner: CacheOwner) {
    this.owner = owner;
  }

  /** `kvm_gpc_is_gpa_active` */
  get isGpaActive(): boolean {
    return this.active && this.gpa !== NONE;
  }

  /** `kvm_gpc_is_hva_active` */
  get isHvaActive(): boolean {
    return this.active && this.gpa === NONE;
  }

  /** `kvm_gpc_check`: can the page be used as it is? Costs nothing of its own. @param bytes from its first byte on */
  check(bytes: number): boolean {
    const { memslots } = this.owner;
    if (!this.active) return false;
    if (this.gpa !== NONE && this.generation !== memslots.generation) {
      if (this.valid && this.outdated !== memslots.generation) this.owner.counters.cachesOutdated++;
      this.outdated = memslots.generation;
      return false;
    }
    return this.uhva !== KVM_HVA_ERR_BAD && (this.uhva % FRAME_BYTES) + bytes <= FRAME_BYTES && this.valid;
  }

  /** `kvm_gpc_refresh`. @returns 0, -EFAULT where there is no page, -EINVAL when it is not active or a page too small */
  refresh(bytes: number): number {
    return finish(this.refreshSteps(bytes));
  }

  *refreshSteps(bytes: number): KernelSteps<number> {
    yield* this.refreshLock.lock();
    const uhva = this.gpa === NONE ? this.uhva : KVM_HVA_ERR_BAD;
    const result = yield* this.refreshLocked(this.gpa, uhva, bytes);
    this.refreshLock.unlock();
    return result;
  }

  /** `kvm_gpc_activate`: by guest address. @returns 0 or a negative errno; active in any case */
  activate(gpa: number, bytes: number): number {
    return finish(this.activateSteps(gpa, KVM_HVA_ERR_BAD, bytes));
  }

  /** `kvm_gpc_activate_hva`: by the address in the monitor's process. */
  activateHva(uhva: number, bytes: number): number {
    return finish(this.activateSteps(NONE, uhva, bytes));
  }

  /** @param gpa -1 for none @param uhva {@link KVM_HVA_ERR_BAD} for none */
  *activateSteps(gpa: number, uhva: number, bytes: number): KernelSteps<number> {
    yield* this.refreshLock.lock();
    if (!this.active) {
      this.run(KVM_GPC_ACTIVATE);
      this.owner.activeCaches.push(this);
      yield "gpc_list";
      this.active = true;
      yield "active";
    }
    const result = yield* this.refreshLocked(gpa, uhva, bytes);
    this.refreshLock.unlock();
    return result;
  }

  deactivate(): void {
    finish(this.deactivateSteps());
  }

  /** The addresses stay, the frame does not. */
  *deactivateSteps(): KernelSteps<void> {
    yield* this.refreshLock.lock();
    if (this.active) {
      this.run(KVM_GPC_DEACTIVATE);
      this.active = false;
      this.forgetFrame();
      yield "inactive";
      const { activeCaches } = this.owner;
      activeCaches.splice(activeCaches.indexOf(this), 1);
    }
    this.refreshLock.unlock();
  }

  /** The MMU notifier: host addresses of this range are going. */
  invalidate(start: number, end: number): void {
    if (!this.valid || this.uhva < start || this.uhva >= end) return;
    this.valid = false;
    this.owner.counters.cachesInvalidated++;
  }

  readU8(offset: number): number {
    this.touch(offset, 1, false);
    return this.owner.memory.readU8(this.address(offset));
  }

  writeU8(offset: number, value: number): void {
    this.touch(offset, 1, true);
    this.owner.memory.writeU8(this.address(offset), value);
  }

  readU32(offset: number): number {
    this.touch(offset, 4, false);
    return this.owner.memory.readU32(this.address(offset));
  }

  writeU32(offset: number, value: number): void {
    this.touch(offset, 4, true);
    this.owner.memory.writeU32(this.address(offset), value >>> 0);
  }

  writeBytes(offset: number, bytes: Uint8Array): void {
    this.touch(offset, bytes.length, true);
    this.owner.memory.writeBytes(this.address(offset), bytes);
  }

  /** `test_and_set_bit`: sets a bit of the little-endian field at `offset`. @returns whether it was set */
  testAndSetBit(offset: number, bit: number): boolean {
    const at = offset + (bit >>> 3);
    const before = this.readU8(at);
    this.writeU8(at, before | (1 << (bit & 7)));
    return (before & (1 << (bit & 7))) !== 0;
  }

  testBit(offset: number, bit: number): boolean {
    return (this.readU8(offset + (bit >>> 3)) & (1 << (bit & 7))) !== 0;
  }

  /** `kvm_gpc_mark_dirty_in_slot`: a page that is known by its host address belongs to no slot. */
  markDirty(): void {
    if (this.gpa !== NONE) this.owner.memslots.markDirty(Math.floor(this.gpa / FRAME_BYTES));
  }

  snapshot(): GfnToPfnCacheSnapshot {
    const { active, valid, gpa, uhva, frame, generation, outdated } = this;
    return { active, valid, gpa, uhva, frame, generation, outdated };
  }

  /** After the slots and the address space. @throws RangeError for a frame that is not behind its address */
  restore(snapshot: GfnToPfnCacheSnapshot): void {
    const { active, valid, gpa, uhva, frame, generation, outdated } = snapshot;
    const { userSpace, activeCaches, memslots } = this.owner;
    const isAddress = (value: number) => Number.isSafeInteger(value) && value >= NONE;
    if (![gpa, uhva, frame, generation, outdated].every(isAddress) || generation > memslots.generation)
      throw new RangeError(`pfn cache of 0x${gpa.toString(16)}, generation ${generation}`);
    if (valid && (!active || frame === NONE || userSpace.frameOf(uhva) !== frame))
      throw new RangeError(`pfn cache with frame ${frame} behind 0x${uhva.toString(16)}`);
    const at = activeCaches.indexOf(this);
    if (active && at < 0) activeCaches.push(this);
    if (!active && at >= 0) activeCaches.splice(at, 1);
    Object.assign(this, { active, valid, gpa, uhva, frame, generation, outdated });
  }

  private *refreshLocked(gpa: number, uhva: number, bytes: number): KernelSteps<number> {
    const { memslots, counters } = this.owner;
    if ((gpa === NONE) === (uhva === KVM_HVA_ERR_BAD)) return -Errno.EINVAL;
    const offset = (gpa === NONE ? uhva : gpa) % FRAME_BYTES;
    if (offset + bytes > FRAME_BYTES || !this.active) return -Errno.EINVAL;
    this.run(KVM_GPC_REFRESH);
    const before = pageOf(this.uhva);
    let page = before;
    if (gpa === NONE) {
      this.gpa = NONE;
      page = pageOf(uhva);
    } else if (this.gpa !== gpa || this.generation !== memslots.generation || this.uhva === KVM_HVA_ERR_BAD) {
      this.run(KVM_GPC_GPA_TO_HVA);
      this.gpa = gpa;
      this.generation = memslots.generation;
      page = memslots.hvaOf(Math.floor(gpa / FRAME_BYTES));
    }
    this.uhva = page === KVM_HVA_ERR_BAD ? KVM_HVA_ERR_BAD : page + offset;
    let result = 0;
    if (this.uhva === KVM_HVA_ERR_BAD) result = -Errno.EFAULT;
    else if (!this.valid || page !== before) result = yield* this.lookUpFrame();
    if (result === 0) counters.cacheRefreshes++;
    else {
      counters.cacheRefreshFailures++;
      this.forgetFrame();
    }
    return result;
  }

  /** `hva_to_pfn_retry`: its lock is dropped meanwhile, so that mappings may change under it. */
  private *lookUpFrame(): KernelSteps<number> {
    const { userSpace, counters } = this.owner;
    this.valid = false;
    for (;;) {
      const { sequence } = userSpace;
      yield "lock dropped";
      this.run(KVM_GPC_HVA_TO_PFN);
      const frame = userSpace.frameOf(this.uhva);
      if (frame < 0) return -Errno.EFAULT;
      yield "frame found";
      if (!userSpace.isChanging && userSpace.sequence === sequence) {
        this.valid = true;
        this.frame = frame;
        return 0;
      }
      counters.cacheRetries++;
      userSpace.settle(); // it tries again until the change is over
    }
  }

  private forgetFrame(): void {
    this.valid = false;
    this.frame = NONE;
  }

  private address(offset: number): number {
    return this.frame * FRAME_BYTES + (this.uhva % FRAME_BYTES) + offset;
  }

  private touch(offset: number, bytes: number, write: boolean): void {
    this.owner.cost.access(this.frame, (this.uhva % FRAME_BYTES) + offset, bytes, write);
  }

  private run(stage: typeof KVM_GPC_REFRESH): void {
    const { cost } = this.owner;
    cost.run(cost.compile(stage));
  }
}

function pageOf(uhva: number): number {
  return uhva === KVM_HVA_ERR_BAD ? KVM_HVA_ERR_BAD : uhva - (uhva % FRAME_BYTES);
}
