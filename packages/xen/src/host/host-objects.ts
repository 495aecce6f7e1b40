import type { HostObject } from "../path-cost/stage.js";
import type { HostObjectHome } from "../path-cost/stage-path-cost.js";
import type { HostMemory } from "./host-memory.js";

const STACK_FRAMES = 8; // STACK_ORDER 3

/** Where each of Xen's objects lies, as one physical CPU uses them. */
export type Homes = Readonly<Record<HostObject, HostObjectHome>>;

/**
 * Gives Xen's own objects their places in the heap. Frames are apart, as `alloc_xenheap_page` makes them; the vCPU's
 * runstate is inside struct vcpu. The parts of the large structs that the path uses lie at different offsets in their
 * pages, as their real members do, so that they do not all compete for the same sets of L1.
 * @param controlFrame VMCB or VMCS @param sharedInfoFrame shared_info of the domain
 */
export function hostObjectHomes(host: HostMemory, controlFrame: number, sharedInfoFrame: number): Homes {
  const own = ownHomes(host, controlFrame);
  const data = { frame: host.heap.allocate(), offset: 0xd00 };
  return {
    ...own,
    domain: { frame: host.domainFrame, offset: 0x700 },
    shared_info: { frame: sharedInfoFrame, offset: 0 },
    data,
    // Xen has neither.
    run: data,
    user: data,
  };
}

/** The same of KVM: `struct kvm` for struct domain, and what a vCPU's thread shares with its monitor. */
export function kvmObjectHomes(host: HostMemory, controlFrame: number, sharedInfoFrame: number): Homes {
  return {
    ...hostObjectHomes(host, controlFrame, sharedInfoFrame),
    run: { frame: host.heap.allocate(), offset: 0 },
    user: { frame: host.heap.allocate(), offset: 0x680 },
  };
}

/** Places for a further physical CPU and its vCPU; what there is once for all stays where it is. */
export function furtherHomes(host: HostMemory, controlFrame: number, first: Homes): Homes {
  return { ...first, ...ownHomes(host, controlFrame) };
}

/** The same of KVM: each vCPU has a `struct kvm_run`. */
export function furtherKvmHomes(host: HostMemory, controlFrame: number, first: Homes): Homes {
  const own = furtherHomes(host, controlFrame, first);
  return { ...own, run: { frame: host.heap.allocate(), offset: 0 } };
}

/** What each physical CPU and its vCPU have of their own. */
function ownHomes(
  { heap }: HostMemory,
  controlFrame: number,
): Pick<Homes, "stack" | "vcpu" | "runstate" | "percpu" | "vmcb" | "vlapic"> {
  const stack = heap.allocate(STACK_FRAMES, STACK_FRAMES);
  const vcpu = heap.allocate();
  return {
    stack: { frame: stack + STACK_FRAMES, offset: 0, down: true },
    vcpu: { frame: vcpu, offset: 0x340 },
    runstate: { frame: vcpu, offset: 0x8c0 },
    percpu: { frame: heap.allocate(2), offset: 0xbc0 },
    vmcb: { frame: controlFrame, offset: 0 },
    vlapic: { frame: heap.allocate(), offset: 0 },
  };
}
