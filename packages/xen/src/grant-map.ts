import type { Domain } from "./domain.js";
import { EntryRecord, getGrantedFrame, pinIncrement, reduceStatus, setStatus } from "./grant-pin.js";
import { NO_HANDLE } from "./maptrack.js";
import {
  GNTMAP_APPLICATION_MAP,
  GNTMAP_CONTAINS_PTE,
  GNTMAP_DEVICE_MAP,
  GNTMAP_HOST_MAP,
  GNTMAP_READONLY,
  GNTST_BAD_DOMAIN,
  GNTST_BAD_GNTREF,
  GNTST_BAD_HANDLE,
  GNTST_GENERAL_ERROR,
  GNTST_NO_SPACE,
  GNTST_OKAY,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";

const PAGE = 4096;
const NOT_FOR_HVM = GNTMAP_DEVICE_MAP | GNTMAP_APPLICATION_MAP | GNTMAP_CONTAINS_PTE;

/** What is to be mapped where. */
export interface GrantMapRequest {
  /** Guest-physical address; only its frame counts. */
  readonly hostAddr: number;
  /** GNTMAP_*. */
  readonly flags: number;
  readonly ref: number;
  /** Whose grant; DOMID_SELF is nobody. */
  readonly dom: number;
}

/** What came of it. */
export interface GrantMapResult {
  /** GNTST_*. */
  readonly status: number;
  /** For `unmapGrantRef`; only with a status of 0, as the next. */
  readonly handle: number;
  /** Machine frame. */
  readonly frame: number;
}

/**
 * GNTTABOP_map_grant_ref of one grant, with the checks in the order of `map_grant_ref`: the frame is mapped into the
 * caller's p2m, with a reference on it, and pinned in its owner's table until it is unmapped.
 * @param cost who pays; undefined: nobody
 */
export function mapGrantRef(caller: Domain, request: GrantMapRequest, cost?: PathCost): GrantMapResult {
  const { flags, dom, ref } = request;
  if ((flags & (GNTMAP_DEVICE_MAP | GNTMAP_HOST_MAP)) === 0) return refused(GNTST_BAD_GNTREF);
  if ((flags & NOT_FOR_HVM) !== 0) return refused(GNTST_GENERAL_ERROR);
  const owner = caller.domains.find(dom);
  // A dom0 that is not simulated grants nothing.
  if (owner === undefined) return refused(dom === 0 ? GNTST_GENERAL_ERROR : GNTST_BAD_DOMAIN);
  const { maptrack } = caller.grantTable;
  const handle = maptrack.take(cost);
  if (handle === NO_HANDLE) return refused(GNTST_NO_SPACE);
  const frame = pinAndMap(caller, owner, request, cost);
  if (frame < 0) {
    maptrack.put(handle, cost);
    return refused(frame);
  }
  maptrack.set(handle, { domid: dom, ref, flags: flags & 0xffff }, cost);
  return { status: GNTST_OKAY, handle, frame };
}

/** @returns the machine frame or a GNTST code */
function pinAndMap(
  caller: Domain,
  owner: Domain,
  { hostAddr, flags, ref }: GrantMapRequest,
  cost: PathCost | undefined,
): number {
  const table = owner.grantTable;
  if (ref >= table.entries) return GNTST_BAD_GNTREF;
  const readonly = (flags & GNTMAP_READONLY) !== 0;
  const increment = pinIncrement(readonly);
  const record = new EntryRecord(owner, ref, cost);
  if (!record.admits(caller.id, increment) || (record.pin !== 0 && record.isSubPage))
    return GNTST_GENERAL_ERROR;
  let frame = record.frame;
  if (record.needsStatus(readonly)) {
    const pinned = record.pin !== 0;
    const status = setStatus(table, ref, pinned, caller.id, readonly, true, cost);
    if (status !== GNTST_OKAY) return status;
  }
  if (record.pin === 0) {
    frame = getGrantedFrame(owner, table.frameOf(ref), cost);
    if (frame < 0) {
      reduceStatus(table, ref, 0, readonly, cost);
      return frame;
    }
    const whole = { start: 0, length: PAGE, isSubPage: false };
    record.set(caller.id, frame, whole, { domid: owner.id, ref });
  } else owner.p2m.takePage(frame, cost);
  record.pin += increment;
  const ownGfn = caller === owner ? table.frameOf(ref) : -1;
  const isPlain = (flags & ~GNTMAP_READONLY) === GNTMAP_HOST_MAP;
  if (isPlain && caller.mapGrant(Math.floor(hostAddr / PAGE), frame, readonly, ownGfn, cost)) return frame;
  owner.p2m.dropPage(frame, cost);
  record.pin -= increment;
  reduceStatus(table, ref, record.pin, readonly, cost);
  return GNTST_GENERAL_ERROR;
}

/**
 * GNTTABOP_unmap_grant_ref of one mapping, as `unmap_common` and `unmap_common_complete`. An address of 0 unmaps nothing,
 * which is no error. @returns a GNTST code
 */
export function unmapGrantRef(caller: Domain, handle: number, hostAddr: number, cost?: PathCost): number {
  const { maptrack } = caller.grantTable;
  const mapping = maptrack.get(handle, cost);
  if (mapping === undefined) return GNTST_BAD_HANDLE;
  const owner = caller.domains.find(mapping.domid);
  if (owner === undefined || mapping.ref >= owner.grantTable.entries) return GNTST_BAD_HANDLE;
  if (hostAddr === 0) return GNTST_OKAY;
  const { ref } = mapping;
  const record = new EntryRecord(owner, ref, cost);
  const { frame } = record;
  if (!caller.unmapGrant(Math.floor(hostAddr / PAGE), frame, cost)) return GNTST_GENERAL_ERROR;
  maptrack.put(handle, cost);
  const readonly = (mapping.flags & GNTMAP_READONLY) !== 0;
  record.pin -= pinIncrement(readonly);
  reduceStatus(owner.grantTable, ref, record.pin, readonly, cost);
  owner.p2m.dropPage(frame, cost);
  return GNTST_OKAY;
}

function refused(status: number): GrantMapResult {
  return { status, handle: 0, frame: -1 };
}
