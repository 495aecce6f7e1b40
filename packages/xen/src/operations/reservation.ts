import type { Domain } from "../domain.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_DECREASE_RESERVATION,
  MEMORY_DECREASE_RESERVATION_IN,
  MEMORY_INCREASE_RESERVATION,
  MEMORY_POPULATE_PHYSMAP,
} from "./descriptors.gen.js";
import type { Operation, OperationCall, OperationDescriptor } from "./operation.js";
import { continueLater, PreemptionCheck } from "./preemption.js";
import { targetOf } from "./target-domain.js";
import { highBeyond, wide, wideInput } from "./word-pair.js";

const MEMORY_RESERVATION: Stage = {
  name: "do_memory_op (reservation)",
  phase: "operation",
  instructions: 160,
  basis: "estimate",
  source:
    "read in source: checks, domain look-up, XSM hook; each extent's copy and p2m change are stages of their own",
  range: [100, 400],
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
  unreadable: extentsDone,
  stage: MEMORY_RESERVATION,
  handle: (call) =>
    forEachExtent(call, MEMORY_DECREASE_RESERVATION, (target, gfn) => target.releaseFrame(gfn)),
};

/** XENMEM_populate_physmap: zeroed memory at guest frames, as much as the domain has given back. */
export const populatePhysmap: Operation = {
  descriptor: MEMORY_POPULATE_PHYSMAP,
  unreadable: extentsDone,
  stage: { ...MEMORY_RESERVATION, name: "do_memory_op (populate_physmap)" },
  handle: (call) => forEachExtent(call, MEMORY_POPULATE_PHYSMAP, (target, gfn) => target.populateFrame(gfn)),
};

/** XENMEM_increase_reservation: of a translated domain, memory that is nowhere; the list of extents is not looked at. */
export const increaseReservation: Operation = {
  descriptor: MEMORY_INCREASE_RESERVATION,
  unreadable: extentsDone,
  stage: { ...MEMORY_RESERVATION, name: "do_memory_op (increase_reservation)" },
  rare: true,
  handle: (call) => forEachExtent(call, MEMORY_INCREASE_RESERVATION, (target) => target.takeFrame()),
};

/** All that Xen ever answers: how far it had come. */
function extentsDone({ startExtent }: OperationCall): number {
  return startExtent;
}

/** Longer lists have no room in a continuation: UINT_MAX >> MEMOP_EXTENT_SHIFT. */
const MAX_EXTENTS = 2 ** 26 - 1;

/** @returns the number of whole extents done, which is all that Xen answers, whatever is wrong (`do_memory_op`) */
function forEachExtent(
  call: OperationCall,
  descriptor: OperationDescriptor,
  each: (target: Domain, gfn: number) => boolean,
): number {
  const { inputs, access, compat, startExtent } = call;
  const { extentStart, nrExtents, extentOrder, domid } = MEMORY_DECREASE_RESERVATION_IN;
  const count = wideInput(inputs, nrExtents);
  if (count > MAX_EXTENTS || startExtent >= count) return startExtent;
  const target = targetOf(call, inputs[domid] & 0xffff);
  if (typeof target === "number") return startExtent;
  const order = inputs[extentOrder] >>> 0;
  if (order > MAX_ORDER) return startExtent;
  const reads = descriptor !== MEMORY_INCREASE_RESERVATION;
  const listLo = inputs[extentStart];
  const listHi = inputs[extentStart + 1];
  const bytes = compat ? 4 : 8;
  const check = new PreemptionCheck(call);
  for (let i = startExtent; i < count; i++) {
    if (i > startExtent && check.isDue) return continueLater(call, descriptor, i);
    const lo = (listLo + i * bytes) | 0;
    const hi = highBeyond(listLo, listHi, i * bytes);
    if (reads && access.copyFromGuest(lo, compat ? 0 : hi, bytes) !== 0) return i;
    const { buffer } = access;
    const first = reads ? wide(buffer.getInt32(0, true), compat ? 0 : buffer.getInt32(4, true)) : 0;
    for (let j = 0; j < 1 << order; j++) if (!each(target, first + j)) return i;
  }
  return count;
}
