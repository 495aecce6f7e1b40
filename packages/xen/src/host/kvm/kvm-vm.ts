import type { PhysicalMemory } from "@hyperwalk/mmu";
import { GuestMemory } from "../../guest-memory.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { Memslots } from "./memslots.js";
import type { KvmUserspaceMemoryRegion } from "./uapi.js";
import { UserAddressSpace } from "./user-address-space.js";

export interface KvmVmOptions {
  /** Machine memory. */
  readonly memory: PhysicalMemory;
  /** What the kernel's work costs; see {@link KvmVm.cost}. */
  readonly cost: PathCost;
  /** The kvmclock: nanoseconds since the VM was made. */
  readonly nowNs: () => number;
  /** The monitor's process; default a new one without mappings. */
  readonly userSpace?: UserAddressSpace;
}

/**
 * A virtual machine as Linux's KVM has it (`struct kvm`), with the ioctls of its file descriptor as methods: 0 or more for
 * success, a negative errno otherwise. It neither runs vCPUs nor knows what they run on.
 */
export class KvmVm {
  readonly memory: PhysicalMemory;
  readonly userSpace: UserAddressSpace;
  readonly memslots: Memslots;
  /** Guest memory by guest-physical address through the slots: no cost, no caches. */
  readonly guestMemory: GuestMemory;
  /** Of the processor on which the kernel works now: whoever enters it on another one sets this. */
  cost: PathCost;
  readonly nowNs: () => number;
  /** In the order of their creation (`vcpu_idx`). */
  readonly vcpus: KvmXenVcpu[] = [];

  constructor(options: KvmVmOptions) {
    this.memory = options.memory;
    this.cost = options.cost;
    this.nowNs = options.nowNs;
    this.userSpace = options.userSpace ?? new UserAddressSpace();
    this.memslots = new Memslots(this.userSpace);
    this.guestMemory = new GuestMemory(this.memory, this.memslots);
  }

  /** KVM_SET_USER_MEMORY_REGION. Step by step: `memslots.steps`. */
  setUserMemoryRegion(region: KvmUserspaceMemoryRegion): number {
    return this.memslots.setUserMemoryRegion(region);
  }
}
