import { DOMID_SELF } from "../event-channel.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_DECREASE_RESERVATION,
  MEMORY_DECREASE_RESERVATION_IN,
  MEMORY_POPULATE_PHYSMAP,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";

const MEMORY_RESERVATION: Stage = {
  name: "do_memory_op (reservation)",
  phase: "operation",
  instructions: 160,
  basis: "estimate",
  source:
    "read in source: checks, domain look-up, XSM hook; each extent's copy and p2m change are stages of their own",
  range: [100, 400],
  coldBranches: 13,
  lfences: 2,
  lockLfences: 2,
  atomics: 2,
  touches: [{ object: "domain", offsets: [0, 64] }],
};

/** CONFIG_DOMU_MAX_ORDER: larger extents are not done. */
const MAX_ORDER = 9;

/** XENMEM_decrease_reservation: guest frames become holes; the first that is one already ends the call. */
export const decreaseReservation: Operation = {
  descriptor: MEMORY_DECREASE_RESERVATION,
  stage: MEMORY_RESERVATION,
  handle: (call) => forEachExtent(call, (gfn) => call.domain.releaseFrame(gfn)),
};

/** XENMEM_populate_physmap: zeroed memory at guest frames, as much as the domain has given back. */
export const populatePhysmap: Operation = {
  descriptor: MEMORY_POPULATE_PHYSMAP,
  stage: { ...MEMORY_RESERVATION, name: "do_memory_op (populate_physmap)" },
  handle: (call) => forEachExtent(call, (gfn) => call.domain.populateFrame(gfn)),
};

/** Longer lists have no room in a continuation: UINT_MAX >> MEMOP_EXTENT_SHIFT. */
const MAX_EXTENTS = 2 ** 26 - 1;

/** @returns the number of whole extents done, which is all that Xen answers, whatever is wrong (`do_memory_op`) */
function forEachExtent(call: OperationCall, each: (gfn: number) => boolean): number {
  const { inputs, domain, access, compat } = call;
  const { extentStart, nrExtents, extentOrder, domid } = MEMORY_DECREASE_RESERVATION_IN;
  const dom = inputs[domid] & 0xffff;
  if (dom !== DOMID_SELF && dom !== domain.id) return 0;
  const order = inputs[extentOrder] >>> 0;
  if (order > MAX_ORDER) return 0;
  const count = (inputs[nrExtents + 1] >>> 0) * 2 ** 32 + (inputs[nrExtents] >>> 0);
  if (count > MAX_EXTENTS) return 0;
  const listLo = inputs[extentStart];
  const listHi = inputs[extentStart + 1];
  const bytes = compat ? 4 : 8;
  for (let i = 0; i < count; i++) {
    const lo = (listLo + i * bytes) | 0;
    const hi = (listHi + Math.floor(((listLo >>> 0) + i * bytes) / 2 ** 32)) | 0;
    if (access.copyFromGuest(lo, compat ? 0 : hi, bytes) !== 0) return i;
    const high = compat ? 0 : access.buffer.getUint32(4, true);
    const first = high * 2 ** 32 + access.buffer.getUint32(0, true);
    for (let j = 0; j < 1 << order; j++) if (!each(first + j)) return i;
  }
  return count;
}
