import type { Domain } from "../domain.js";
import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_ACQUIRE_RESOURCE,
  MEMORY_ACQUIRE_RESOURCE_IN,
  MEMORY_ACQUIRE_RESOURCE_OUT,
  XENMEM_RESOURCE_GRANT_TABLE,
  XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED,
  XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS,
  XENMEM_RESOURCE_IOREQ_SERVER,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { continueLater, PreemptionCheck } from "./preemption.js";
import { remoteOf } from "./target-domain.js";
import { highBeyond, wide } from "./word-pair.js";

const ACQUIRE_RESOURCE: Stage = {
  name: "acquire_resource",
  phase: "operation",
  instructions: 350,
  basis: "estimate",
  source:
    "read in source: checks, domain look-up, XSM hook, the grant table's write lock; each frame's p2m change is a stage of its own; no dynamic count was taken",
  range: [200, 700],
  lfences: 4,
  lockLfences: 4,
  atomics: 6,
  touches: [{ object: "domain", offsets: [0, 64, 128] }],
};

/** Longer lists have no room in a continuation. */
const MAX_FRAMES = 2 ** 26 - 1;
/** Frames that are done in one go. */
const CHUNK = 32;
/** `sizeof(struct ioreq)` */
const IOREQ_BYTES = 32;

/** XENMEM_acquire_resource: another domain's grant frames at guest frames of the caller's, for those that may do anything to it. */
export const acquireResource: Operation = {
  descriptor: MEMORY_ACQUIRE_RESOURCE,
  stage: ACQUIRE_RESOURCE,
  rare: true,
  handle: (call) => {
    const { inputs, outputs, startExtent } = call;
    const fields = MEMORY_ACQUIRE_RESOURCE_IN;
    const nrFrames = inputs[fields.nrFrames] >>> 0;
    const frame = inputs[fields.frame] >>> 0;
    outputs[MEMORY_ACQUIRE_RESOURCE_OUT.nrFrames] = nrFrames;
    if (inputs[fields.pad] !== 0 || inputs[fields.frame + 1] !== 0 || frame + nrFrames >= 2 ** 32)
      return -Errno.EINVAL;
    const owner = remoteOf(call, inputs[fields.domid] & 0xffff);
    if (typeof owner === "number") return owner;
    const type = inputs[fields.type] & 0xffff;
    const id = inputs[fields.id] >>> 0;
    const largest = resourceFrames(owner, type, id);
    if (largest === 0) return -Errno.EINVAL;
    if ((inputs[fields.frameList] | inputs[fields.frameList + 1]) === 0) {
      if (nrFrames !== 0 || startExtent !== 0) return -Errno.EINVAL;
      outputs[MEMORY_ACQUIRE_RESOURCE_OUT.nrFrames] = largest;
      return 0;
    }
    if (startExtent >= nrFrames || nrFrames > MAX_FRAMES) return -Errno.EINVAL;
    return type === XENMEM_RESOURCE_GRANT_TABLE ? mapFrames(call, owner, id, frame, nrFrames) : -Errno.ENOENT;
  },
};

/** `resource_max_frames`: 0 for what there is not. */
function resourceFrames(owner: Domain, type: number, id: number): number {
  if (type === XENMEM_RESOURCE_IOREQ_SERVER) return 1 + Math.ceil((owner.config.vcpus * IOREQ_BYTES) / 4096); // though no server was ever made
  if (type !== XENMEM_RESOURCE_GRANT_TABLE) return 0;
  const { maxFrames } = owner.grantTable;
  if (id === XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED) return maxFrames;
  return id === XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS ? Math.ceil(maxFrames / 8) : 0;
}

/** Frames in chunks, each of which grows the table as far as it needs. @returns 0 or an errno */
function mapFrames(call: OperationCall, owner: Domain, id: number, first: number, count: number): number {
  const { access, compat, domain, inputs, cost } = call;
  const { frameList } = MEMORY_ACQUIRE_RESOURCE_IN;
  const listLo = inputs[frameList];
  const listHi = inputs[frameList + 1];
  const bytes = compat ? 4 : 8;
  const { grantTable } = owner;
  const frameAt = (index: number) =>
    id === XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED
      ? grantTable.sharedFrame(index)
      : grantTable.statusFrame(index);
  const check = new PreemptionCheck(call);
  for (let done = call.startExtent; done < count; ) {
    const todo = Math.min(CHUNK, count - done);
    const last = frameAt(first + done + todo - 1);
    if (last < 0) return last;
    const lo = (listLo + done * bytes) | 0;
    const hi = highBeyond(listLo, listHi, done * bytes);
    if (access.copyFromGuest(lo, compat ? 0 : hi, todo * bytes) !== 0) return -Errno.EFAULT;
    const { buffer } = access;
    const gfns = Array.from({ length: todo }, (_, i) =>
      wide(buffer.getInt32(bytes * i, true), compat ? 0 : buffer.getInt32(bytes * i + 4, true)),
    );
    for (const [i, gfn] of gfns.entries()) {
      const error = domain.mapForeign(gfn, frameAt(first + done + i), false, cost);
      if (error !== 0) return i > 0 ? -Errno.EIO : error;
    }
    done += todo;
    if (done < count && check.isDue) return continueLater(call, MEMORY_ACQUIRE_RESOURCE, done);
  }
  return 0;
}
