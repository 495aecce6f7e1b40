import { domainMemoryMap } from "../boot/fixed-layout.js";
import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import { MEMORY_MEMORY_MAP, MEMORY_MEMORY_MAP_IN, MEMORY_MEMORY_MAP_OUT } from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

const E820_ENTRY_BYTES = 20;

const XENMEM_MEMORY_MAP: Stage = {
  name: "XENMEM_memory_map",
  phase: "operation",
  instructions: 130,
  basis: "estimate",
  source: "read in source: hvm_memory_op, arch_memory_op and the e820 lock",
  range: [80, 250],
  lfences: 2,
  lockLfences: 2,
  atomics: 2,
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
    const map = domainMemoryMap(domain.config);
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
