import { Errno } from "../../errno.js";
import { KvmPhase } from "../../path-cost/kvm-phases.js";
import { KVM_WALLCLOCK } from "../../path-cost/stages/kvm-events.js";
import { BOOT_WALLCLOCK_SECONDS } from "../../shared-info.js";
import { type CacheOwner, GfnToPfnCache } from "./gfn-to-pfn-cache.js";
import type { KernelSteps } from "./kernel-steps.js";
import { KVM_HVA_ERR_BAD } from "./memslots.js";
import { KVM_XEN_INVALID_GFN } from "./uapi.js";

const PAGE = 4096;
// struct shared_info of 64-bit guests, and of 32-bit ones.
const PENDING = 2048;
const MASK = 2560;
const MASK_32BIT: number = PENDING + 128;
const WALLCLOCK = 3072;
const WALLCLOCK_HIGH = 12;
const WALLCLOCK_32BIT = 2304;
const WALLCLOCK_HIGH_32BIT = 36;

/** What the page has to do with: the VM that it is of. */
export interface SharedInfoOwner extends CacheOwner {
  /** Layout of the guest's structures, and so of this one. */
  readonly longMode: boolean;
  /** KVM_REQ_MASTERCLOCK_UPDATE to all vCPUs. */
  requestClockUpdate(): void;
}

/** The guest's `shared_info` as the kernel has it: the pending and mask bits of event channels, and the wall clock. */
export class XenSharedInfo {
  readonly cache: GfnToPfnCache;
  private readonly owner: SharedInfoOwner;

  constructor(owner: SharedInfoOwner) {
    this.owner = owner;
    this.cache = new GfnToPfnCache(owner);
  }

  /** Can it be used as it is? */
  check(): boolean {
    return this.cache.check(PAGE);
  }

  /** Ports that its bits have room for. */
  get maxPorts(): number {
    return this.owner.longMode ? 64 * 64 : 32 * 32;
  }

  /** `test_and_set_bit` of a port's pending bit. */
  testAndSetPending(port: number): boolean {
    return this.cache.testAndSetBit(PENDING, port);
  }

  isPending(port: number): boolean {
    return this.cache.testBit(PENDING, port);
  }

  isMasked(port: number): boolean {
    return this.cache.testBit(this.owner.longMode ? MASK : MASK_32BIT, port);
  }

  /** The attribute SHARED_INFO. @returns 0 or a negative errno */
  *setGfn(gfn: number): KernelSteps<number> {
    if (gfn === KVM_XEN_INVALID_GFN) {
      yield* this.cache.deactivateSteps();
      return 0;
    }
    if (!Number.isSafeInteger(gfn * PAGE) || gfn < 0) return -Errno.EFAULT;
    return yield* this.activated(this.cache.activateSteps(gfn * PAGE, KVM_HVA_ERR_BAD, PAGE));
  }

  /** The attribute SHARED_INFO_HVA; 0 for none. */
  *setHva(hva: number): KernelSteps<number> {
    if (hva % PAGE !== 0 || !this.owner.userSpace.accessOk(hva, PAGE)) return -Errno.EINVAL;
    if (hva === 0) {
      yield* this.cache.deactivateSteps();
      return 0;
    }
    return yield* this.activated(this.cache.activateSteps(-1, hva, PAGE));
  }

  /**
   * `kvm_xen_shared_info_init`: writes the time of day at kvmclock 0 where the guest's layout has it, with a version that
   * is even when it is there.
   */
  *writeWallclock(): KernelSteps<number> {
    const { cache, owner } = this;
    while (!cache.check(PAGE)) {
      const result = yield* cache.refreshSteps(PAGE);
      if (result !== 0) return result;
    }
    owner.enter(KvmPhase.XenAttributes);
    owner.cost.run(owner.cost.compile(KVM_WALLCLOCK));
    const at = owner.longMode ? WALLCLOCK : WALLCLOCK_32BIT;
    const version = ((cache.readU32(at) + 1) | 1) >>> 0;
    cache.writeU32(at, version);
    cache.writeU32(at + 8, 0);
    cache.writeU32(at + 4, BOOT_WALLCLOCK_SECONDS % 2 ** 32);
    cache.writeU32(at + (owner.longMode ? WALLCLOCK_HIGH : WALLCLOCK_HIGH_32BIT), 0);
    cache.writeU32(at, version + 1);
    owner.leave();
    owner.requestClockUpdate();
    yield "wall clock";
    return 0;
  }

  private *activated(activation: KernelSteps<number>): KernelSteps<number> {
    const result = yield* activation;
    return result === 0 && this.cache.active ? yield* this.writeWallclock() : result;
  }
}
