import { pvhMemoryMap } from "../boot/memory-map.js";
import { Errno } from "../errno.js";
import { DOMID_SELF } from "../event-channel.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_IN,
  MEMORY_MEMORY_MAP,
  MEMORY_MEMORY_MAP_IN,
  MEMORY_MEMORY_MAP_OUT,
  XENMAPSPACE_DEV_MMIO,
  XENMAPSPACE_SHARED_INFO,
} from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

const E820_ENTRY_BYTES = 20;

const XENMEM_MEMORY_MAP: Stage = {
  name: "XENMEM_memory_map",
  phase: "operation",
  instructions: 130,
  basis: "estimate",
  source: "read in source: hvm_memory_op, arch_memory_op and the e820 lock",
  range: [80, 250],
  coldBranches: 11,
  lfences: 2,
  lockLfences: 2,
  atomics: 2,
};

const XENMEM_ADD_TO_PHYSMAP: Stage = {
  name: "xenmem_add_to_physmap",
  phase: "operation",
  instructions: 400,
  basis: "estimate",
  source:
    "read in source: domain look-up, XSM hook, query of the old mapping; changes of the p2m are its own stages",
  range: [200, 1000],
  coldBranches: 33,
  lfences: 6,
  lockLfences: 6,
  atomics: 6,
  touches: [{ object: "domain", offsets: [0, 64, 128] }],
};

/** Guest frames that this model's p2m covers: 1 TiB. */
const MAX_GFN = 2 ** 28 - 1;

/** XENMEM_add_to_physmap of shared_info; grant frames and other spaces are not modelled and answer -ENOSYS. */
export const addToPhysmap: Operation = {
  descriptor: MEMORY_ADD_TO_PHYSMAP,
  stage: XENMEM_ADD_TO_PHYSMAP,
  handle: (call) => {
    const { inputs, domain } = call;
    const { domid, space, idx, gpfn } = MEMORY_ADD_TO_PHYSMAP_IN;
    const dom = inputs[domid] & 0xffff;
    if (dom !== DOMID_SELF && dom !== domain.id) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
    if (inputs[space] >>> 0 > XENMAPSPACE_DEV_MMIO) return -Errno.EINVAL;
    if (inputs[space] !== XENMAPSPACE_SHARED_INFO) return -Errno.ENOSYS;
    if ((inputs[idx] | inputs[idx + 1]) !== 0) return -Errno.EINVAL;
    const gfn = (inputs[gpfn + 1] >>> 0) * 2 ** 32 + (inputs[gpfn] >>> 0);
    if (gfn > MAX_GFN) return -Errno.EINVAL;
    domain.mapSharedInfo(gfn);
    return 0;
  },
};

/**
 * XENMEM_memory_map: writes as many 20-byte entries as the guest has room for and returns their number. The buffer is
 * an address of the kind that the interface uses.
 */
export const memoryMap: Operation = {
  descriptor: MEMORY_MEMORY_MAP,
  stage: XENMEM_MEMORY_MAP,
  handle: (call) => {
    const { inputs, access, domain } = call;
    const map = pvhMemoryMap(domain.config.memoryBytes);
    const count = Math.min(inputs[MEMORY_MEMORY_MAP_IN.nrEntries] >>> 0, map.length);
    for (let i = 0; i < count; i++) {
      const at = i * E820_ENTRY_BYTES;
      const { address, size, type } = map[i];
      access.buffer.setUint32(at, address >>> 0, true);
      access.buffer.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
      access.buffer.setUint32(at + 8, size >>> 0, true);
      access.buffer.setUint32(at + 12, Math.floor(size / 2 ** 32), true);
      access.buffer.setUint32(at + 16, type, true);
    }
    const { buffer } = MEMORY_MEMORY_MAP_IN;
    if (count > 0 && access.copyToGuest(inputs[buffer], inputs[buffer + 1], count * E820_ENTRY_BYTES) !== 0)
      return -Errno.EFAULT;
    call.outputs[MEMORY_MEMORY_MAP_OUT.nrEntries] = count;
    return 0;
  },
};
