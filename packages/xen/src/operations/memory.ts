import { pvhMemoryMap } from "../boot/memory-map.js";
import { MAX_GFN } from "../domain.js";
import { Errno } from "../errno.js";
import { DOMID_SELF } from "../event-channel.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_IN,
  MEMORY_MEMORY_MAP,
  MEMORY_MEMORY_MAP_IN,
  MEMORY_MEMORY_MAP_OUT,
  MEMORY_REMOVE_FROM_PHYSMAP,
  MEMORY_REMOVE_FROM_PHYSMAP_IN,
  XENMAPSPACE_DEV_MMIO,
  XENMAPSPACE_GMFN,
  XENMAPSPACE_GRANT_TABLE,
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

/** Bit of a grant table's frame index that names a status frame (XENMAPIDX_grant_table_status). */
const STATUS_FRAMES = -0x80000000;

/** XENMEM_add_to_physmap of shared_info, grant frames and frames of the guest's own; other spaces are not modelled. */
export const addToPhysmap: Operation = {
  descriptor: MEMORY_ADD_TO_PHYSMAP,
  stage: XENMEM_ADD_TO_PHYSMAP,
  handle: (call) => {
    const { inputs, domain } = call;
    const { domid, space, idx, gpfn } = MEMORY_ADD_TO_PHYSMAP_IN;
    const dom = inputs[domid] & 0xffff;
    if (dom !== DOMID_SELF && dom !== domain.id) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
    if (inputs[space] >>> 0 > XENMAPSPACE_DEV_MMIO) return -Errno.EINVAL;
    const gfn = (inputs[gpfn + 1] >>> 0) * 2 ** 32 + (inputs[gpfn] >>> 0);
    if (gfn > MAX_GFN) return -Errno.EINVAL;
    const lo = inputs[idx];
    const hi = inputs[idx + 1];
    switch (inputs[space]) {
      case XENMAPSPACE_SHARED_INFO:
        if ((lo | hi) !== 0) return -Errno.EINVAL;
        return domain.mapSharedInfo(gfn);
      case XENMAPSPACE_GRANT_TABLE: {
        if (hi !== 0) return -Errno.EINVAL;
        const { grantTable } = domain;
        const status = grantTable.version === 2 && (lo & STATUS_FRAMES) !== 0;
        const frame = status ? grantTable.statusFrame(lo & ~STATUS_FRAMES) : grantTable.sharedFrame(lo >>> 0);
        if (frame < 0) return frame;
        return domain.mapFrame(frame, gfn);
      }
      case XENMAPSPACE_GMFN:
        return domain.moveFrame((hi >>> 0) * 2 ** 32 + (lo >>> 0), gfn);
      default:
        return -Errno.ENOSYS;
    }
  },
};

/** XENMEM_remove_from_physmap: the guest frame becomes a hole. */
export const removeFromPhysmap: Operation = {
  descriptor: MEMORY_REMOVE_FROM_PHYSMAP,
  stage: { ...XENMEM_ADD_TO_PHYSMAP, name: "guest_physmap_remove_page" },
  handle: (call) => {
    const { inputs, domain } = call;
    const { domid, gpfn } = MEMORY_REMOVE_FROM_PHYSMAP_IN;
    const dom = inputs[domid] & 0xffff;
    if (dom !== DOMID_SELF && dom !== domain.id) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
    return domain.unmapFrame((inputs[gpfn + 1] >>> 0) * 2 ** 32 + (inputs[gpfn] >>> 0));
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
