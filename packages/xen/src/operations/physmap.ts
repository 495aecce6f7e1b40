import { type Domain, MAX_GFN } from "../domain.js";
import { Errno } from "../errno.js";
import { P2mType } from "../p2m-type.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MEMORY_ADD_TO_PHYSMAP,
  MEMORY_ADD_TO_PHYSMAP_BATCH,
  MEMORY_ADD_TO_PHYSMAP_BATCH_IN,
  MEMORY_ADD_TO_PHYSMAP_IN,
  MEMORY_REMOVE_FROM_PHYSMAP,
  MEMORY_REMOVE_FROM_PHYSMAP_IN,
  XENMAPSPACE_DEV_MMIO,
  XENMAPSPACE_GMFN,
  XENMAPSPACE_GMFN_FOREIGN,
  XENMAPSPACE_GMFN_RANGE,
  XENMAPSPACE_GRANT_TABLE,
  XENMAPSPACE_SHARED_INFO,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { continueLater, PreemptionCheck } from "./preemption.js";
import { remoteOf, targetOf } from "./target-domain.js";
import { highBeyond, wide, wideInput } from "./word-pair.js";

const XENMEM_ADD_TO_PHYSMAP: Stage = {
  name: "xenmem_add_to_physmap",
  phase: "operation",
  instructions: 400,
  basis: "estimate",
  source:
    "read in source: domain look-up, XSM hook, query of the old mapping; changes of the p2m are its own stages",
  range: [200, 1000],
  lfences: 6,
  lockLfences: 6,
  atomics: 6,
  touches: [{ object: "domain", offsets: [0, 64, 128] }],
};

/** Bit of a grant table's frame index that names a status frame (XENMAPIDX_grant_table_status). */
const STATUS_FRAMES = 2 ** 31;

/** XENMEM_add_to_physmap: shared_info, grant frames, and frames that move, alone or in a range. */
export const addToPhysmap: Operation = {
  descriptor: MEMORY_ADD_TO_PHYSMAP,
  stage: XENMEM_ADD_TO_PHYSMAP,
  handle: (call) => {
    const { inputs } = call;
    const fields = MEMORY_ADD_TO_PHYSMAP_IN;
    const space = inputs[fields.space] >>> 0;
    if (space === XENMAPSPACE_GMFN_FOREIGN) return -Errno.ENOSYS;
    const target = mayPlace(call, inputs[fields.domid] & 0xffff, space);
    if (typeof target === "number") return target;
    const idx = wideInput(inputs, fields.idx);
    const gfn = wideInput(inputs, fields.gpfn);
    if (space !== XENMAPSPACE_GMFN_RANGE) return place(call, target, space, idx, gfn, 0);
    return placeRange(call, target, idx, gfn, inputs[fields.size] & 0xffff);
  },
};

/** XENMEM_add_to_physmap_batch: a list of places, each with an error of its own; also for frames of other domains. */
export const addToPhysmapBatch: Operation = {
  descriptor: MEMORY_ADD_TO_PHYSMAP_BATCH,
  stage: { ...XENMEM_ADD_TO_PHYSMAP, name: "xenmem_add_to_physmap_batch" },
  rare: true,
  handle: (call) => {
    const { inputs } = call;
    const fields = MEMORY_ADD_TO_PHYSMAP_BATCH_IN;
    const space = inputs[fields.space] & 0xffff;
    if (space === XENMAPSPACE_GMFN_RANGE) return -Errno.EOPNOTSUPP;
    const target = mayPlace(call, inputs[fields.domid] & 0xffff, space);
    if (typeof target === "number") return target;
    return placeList(call, target, space, inputs[fields.size] & 0xffff, inputs[fields.foreignDomid] & 0xffff);
  },
};

/** XENMEM_remove_from_physmap: the guest frame becomes a hole. */
export const removeFromPhysmap: Operation = {
  descriptor: MEMORY_REMOVE_FROM_PHYSMAP,
  stage: { ...XENMEM_ADD_TO_PHYSMAP, name: "guest_physmap_remove_page" },
  handle: (call) => {
    const { domid, gpfn } = MEMORY_REMOVE_FROM_PHYSMAP_IN;
    const target = targetOf(call, call.inputs[domid] & 0xffff);
    if (typeof target === "number") return target;
    return target.unmapFrame(wideInput(call.inputs, gpfn));
  },
};

/** `xatp_permission_check` */
function mayPlace(call: OperationCall, dom: number, space: number): Domain | number {
  const target = targetOf(call, dom);
  if (space !== XENMAPSPACE_DEV_MMIO || (typeof target === "number" && target === -Errno.ESRCH))
    return target;
  return call.domain.config.hardwareDomain && target === call.domain ? target : -Errno.EACCES;
}

/** `xenmem_add_to_physmap_one`. @param foreign whose frame, in the space of foreign frames @returns 0 or an errno */
function place(
  call: OperationCall,
  target: Domain,
  space: number,
  idx: number,
  gfn: number,
  foreign: number,
): number {
  if (gfn > MAX_GFN) return -Errno.EINVAL;
  switch (space) {
    case XENMAPSPACE_SHARED_INFO:
      return idx === 0 ? target.mapSharedInfo(gfn) : -Errno.EINVAL;
    case XENMAPSPACE_GRANT_TABLE: {
      if (idx >= 2 ** 32) return -Errno.EINVAL;
      const { grantTable } = target;
      const isStatus = grantTable.version === 2 && idx >= STATUS_FRAMES;
      const frame = isStatus ? grantTable.statusFrame(idx - STATUS_FRAMES) : grantTable.sharedFrame(idx);
      return frame < 0 ? frame : target.mapFrame(frame, gfn);
    }
    case XENMAPSPACE_GMFN:
      return target.moveFrame(idx, gfn);
    case XENMAPSPACE_GMFN_FOREIGN:
      return placeForeign(call, target, foreign, idx, gfn);
    case XENMAPSPACE_DEV_MMIO:
      return -Errno.ENOSYS; // no device has registers that the hardware domain could map
    default:
      return -Errno.EINVAL;
  }
}

/** `p2m_add_foreign` */
function placeForeign(
  call: OperationCall,
  target: Domain,
  foreign: number,
  foreignGfn: number,
  gfn: number,
): number {
  const owner = remoteOf(call, foreign);
  if (typeof owner === "number") return owner;
  if (owner === target) return -Errno.EINVAL;
  const { p2m } = owner;
  const frame = p2m.lookupForWriting(foreignGfn);
  if (frame < 0) return -Errno.EINVAL;
  const isRam = p2m.type === P2mType.RamRw || p2m.type === P2mType.RamLogdirty || p2m.type === P2mType.RamRo;
  const error = isRam ? target.mapForeign(gfn, frame, true, call.cost) : -Errno.EINVAL;
  p2m.putPage(frame);
  return error;
}

/** XENMAPSPACE_gmfn_range: backwards where a range moves up into itself. */
function placeRange(call: OperationCall, target: Domain, idx: number, gfn: number, size: number): number {
  const { startExtent: start } = call;
  if (size < start) return -Errno.EILSEQ;
  const backwards = gfn > idx && gfn < idx + size;
  const check = new PreemptionCheck(call);
  for (let done = start; done < size; ) {
    const at = backwards ? size - 1 - done : done;
    const error = place(call, target, XENMAPSPACE_GMFN, idx + at, gfn + at, 0);
    if (error < 0) return error;
    if (size > ++done && check.isDue) return continueLater(call, MEMORY_ADD_TO_PHYSMAP, done);
  }
  return 0;
}

/** `xenmem_add_to_physmap_batch` */
function placeList(
  call: OperationCall,
  target: Domain,
  space: number,
  size: number,
  foreign: number,
): number {
  const { access, compat, inputs, startExtent } = call;
  const { idxs, gpfns, errs } = MEMORY_ADD_TO_PHYSMAP_BATCH_IN;
  // The arguments are read anew when the call goes on, into the same values.
  const lists = [idxs, gpfns, errs].map((field) => ({ lo: inputs[field], hi: inputs[field + 1] }));
  const bytes = compat ? 4 : 8;
  const high = ({ lo, hi }: { lo: number; hi: number }, offset: number) =>
    compat ? 0 : highBeyond(lo, hi, offset);
  const read = (list: { lo: number; hi: number }, i: number): number => {
    const lo = (list.lo + i * bytes) | 0;
    if (access.copyFromGuest(lo, high(list, i * bytes), bytes) !== 0) return Number.NaN;
    return wide(access.buffer.getInt32(0, true), compat ? 0 : access.buffer.getInt32(4, true));
  };
  if (startExtent >= size) return startExtent === 0 ? 0 : -Errno.EILSEQ;
  const check = new PreemptionCheck(call);
  for (let i = startExtent; i < size; ) {
    const idx = read(lists[0], i);
    const gfn = Number.isNaN(idx) ? idx : read(lists[1], i);
    if (Number.isNaN(gfn)) return -Errno.EFAULT;
    const error = place(call, target, space, idx, gfn, foreign);
    access.buffer.setInt32(0, error, true);
    const lo = (lists[2].lo + 4 * i) | 0;
    if (access.copyToGuest(lo, high(lists[2], 4 * i), 4) !== 0) return -Errno.EFAULT;
    if (size > ++i && check.isDue) return continueLater(call, MEMORY_ADD_TO_PHYSMAP_BATCH, i);
  }
  return 0;
}
