import { MEMMAP_GRANT_STATUS } from "../boot/fixed-layout.js";
import type { Domain } from "../domain.js";
import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  GNTST_ADDRESS_TOO_BIG,
  GNTST_BAD_DOMAIN,
  GNTST_BAD_VIRT_ADDR,
  GNTST_GENERAL_ERROR,
  GNTST_OKAY,
  GNTST_PERMISSION_DENIED,
  GRANT_TABLE_GET_VERSION,
  GRANT_TABLE_GET_VERSION_IN,
  GRANT_TABLE_GET_VERSION_OUT,
  GRANT_TABLE_QUERY_SIZE,
  GRANT_TABLE_QUERY_SIZE_IN,
  GRANT_TABLE_QUERY_SIZE_OUT,
  GRANT_TABLE_SET_VERSION,
  GRANT_TABLE_SET_VERSION_IN,
  GRANT_TABLE_SET_VERSION_OUT,
  GRANT_TABLE_SETUP_TABLE,
  GRANT_TABLE_SETUP_TABLE_IN,
  GRANT_TABLE_SETUP_TABLE_OUT,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { targetOf } from "./target-domain.js";
import { highBeyond } from "./word-pair.js";

const GNTTABOP_QUERY: Stage = {
  name: "do_grant_table_op (query)",
  phase: "operation",
  instructions: 150,
  basis: "estimate",
  source: "read in source: domain look-up, XSM hook, the grant table's read lock",
  range: [80, 300],
  coldBranches: 12,
  lfences: 2,
  lockLfences: 2,
  atomics: 4,
  touches: [{ object: "domain", offsets: [0, 64] }],
};

const GNTTABOP_SET_VERSION: Stage = {
  name: "gnttab_set_version",
  phase: "operation",
  instructions: 900,
  basis: "estimate",
  source:
    "read in source: write lock, pins of all entries of one frame, conversion of the reserved entries; clearing the frames included",
  range: [300, 4000],
  coldBranches: 40,
  lfences: 2,
  lockLfences: 2,
  atomics: 4,
  touches: [{ object: "domain", offsets: [0, 64], write: true }],
  lock: "grant",
};

const GNTTABOP_SETUP_TABLE: Stage = {
  ...GNTTABOP_QUERY,
  name: "gnttab_setup_table",
  lock: "grant",
  instructions: 300,
  range: [150, 900],
};

/** GNTTABOP_set_version: the version in force goes back, also after a failure. */
export const setVersion: Operation = {
  descriptor: GRANT_TABLE_SET_VERSION,
  stage: GNTTABOP_SET_VERSION,
  entries: "first",
  handle: (call) => {
    const { domain } = call;
    const { grantTable } = domain;
    const { version: before, statusFrames } = grantTable;
    const result = grantTable.setVersion(call.inputs[GRANT_TABLE_SET_VERSION_IN.version]);
    if (before === 1 && grantTable.version === 2) domain.placeFixedRegions(MEMMAP_GRANT_STATUS);
    // gnttab_unpopulate_status_frames: the guest does not see them any more.
    if (grantTable.version === 1)
      for (const frame of statusFrames) {
        const gfn = domain.frameHome(frame);
        if (gfn >= 0) domain.unmapFrame(gfn);
      }
    call.outputs[GRANT_TABLE_SET_VERSION_OUT.version] = grantTable.version;
    return result;
  },
};

/** GNTTABOP_get_version. */
export const getVersion: Operation = {
  descriptor: GRANT_TABLE_GET_VERSION,
  stage: GNTTABOP_QUERY,
  entries: "first",
  handle: (call) => {
    const target = targetOf(call, call.inputs[GRANT_TABLE_GET_VERSION_IN.dom]);
    if (typeof target === "number") return target;
    call.outputs[GRANT_TABLE_GET_VERSION_OUT.version] = target.grantTable.version;
    return 0;
  },
};

/** GNTTABOP_query_size: what is wrong with the domain is a status, not an error. */
export const querySize: Operation = {
  descriptor: GRANT_TABLE_QUERY_SIZE,
  stage: GNTTABOP_QUERY,
  handle: (call) => {
    const { outputs } = call;
    const target = targetOf(call, call.inputs[GRANT_TABLE_QUERY_SIZE_IN.dom]);
    const { nrFrames, maxNrFrames, status } = GRANT_TABLE_QUERY_SIZE_OUT;
    outputs[status] = statusOf(target);
    if (typeof target === "number") return 0;
    outputs[nrFrames] = target.grantTable.frames;
    outputs[maxNrFrames] = target.grantTable.maxFrames;
    return 0;
  },
};

/**
 * GNTTABOP_setup_table: grows the table and lists the guest frames at which the guest has mapped its frames so far, all
 * ones for one that it has not. What is wrong with the list is a status, too, ends it, and leaves the table grown: a
 * place that cannot be written, or for 32-bit guests a frame that is nowhere (`gnttab_setup_table` in
 * common/grant_table.c, `compat_grant_table_op` in common/compat/grant_table.c).
 */
export const setupTable: Operation = {
  descriptor: GRANT_TABLE_SETUP_TABLE,
  stage: GNTTABOP_SETUP_TABLE,
  handle: (call) => {
    const { inputs, outputs } = call;
    const { dom, nrFrames } = GRANT_TABLE_SETUP_TABLE_IN;
    const { status } = GRANT_TABLE_SETUP_TABLE_OUT;
    const target = targetOf(call, inputs[dom]);
    outputs[status] = statusOf(target);
    if (typeof target === "number") return 0;
    const count = inputs[nrFrames] >>> 0;
    outputs[status] = target.grantTable.grow(count) ? listFrames(call, target, count) : GNTST_GENERAL_ERROR;
    return 0;
  },
};

/** Writes where the first frames are. @returns a GNTST code */
function listFrames({ inputs, access, compat }: OperationCall, domain: Domain, count: number): number {
  const { frameList } = GRANT_TABLE_SETUP_TABLE_IN;
  const listLo = inputs[frameList];
  const listHi = inputs[frameList + 1];
  const bytes = compat ? 4 : 8;
  for (let i = 0; i < count; i++) {
    const gfn = domain.frameHome(domain.grantTable.sharedFrame(i));
    if (compat && gfn < 0) return GNTST_ADDRESS_TOO_BIG; // all ones of 64 bits
    access.buffer.setInt32(0, gfn, true);
    access.buffer.setInt32(4, gfn >> 31, true);
    const hi = highBeyond(listLo, listHi, i * bytes);
    if (access.copyToGuest((listLo + i * bytes) | 0, hi, bytes) !== 0) return GNTST_BAD_VIRT_ADDR;
  }
  return GNTST_OKAY;
}

/** Where what is wrong with the domain is a status. */
function statusOf(target: Domain | number): number {
  if (typeof target !== "number") return GNTST_OKAY;
  return target === -Errno.EPERM ? GNTST_PERMISSION_DENIED : GNTST_BAD_DOMAIN;
}
