import type { HostObject } from "../path-cost/stage.js";
import type { HostObjectHome } from "../path-cost/stage-path-cost.js";
import type { HostMemory } from "./host-memory.js";

const STACK_FRAMES = 8; // STACK_ORDER 3

/**
 * Gives Xen's own objects their places in the heap. Frames are apart, as `alloc_xenheap_page` makes them; the vCPU's
 * runstate is inside struct vcpu. The parts of the large structs that the path uses lie at different offsets in their
 * pages, as their real members do, so that they do not all compete for the same sets of L1.
 * @param controlFrame VMCB or VMCS @param sharedInfoFrame shared_info of the domain
 */
export function hostObjectHomes(
  host: HostMemory,
  controlFrame: number,
  sharedInfoFrame: number,
): Readonly<Record<HostObject, HostObjectHome>> {
  const { heap } = host;
  const stack = heap.allocate(STACK_FRAMES, STACK_FRAMES);
  const vcpu = heap.allocate();
  return {
    stack: { frame: stack + STACK_FRAMES, offset: 0, down: true },
    vcpu: { frame: vcpu, offset: 0x340 },
    runstate: { frame: vcpu, offset: 0x8c0 },
    domain: { frame: host.domainFrame, offset: 0x700 },
    percpu: { frame: heap.allocate(2), offset: 0xbc0 },
    vmcb: { frame: controlFrame, offset: 0 },
    shared_info: { frame: sharedInfoFrame, offset: 0 },
    vlapic: { frame: heap.allocate(), offset: 0 },
    data: { frame: heap.allocate(), offset: 0xd00 },
  };
}
