import { mapGrantRef, unmapGrantRef } from "../grant-map.js";
import type { Stage } from "../path-cost/stage.js";
import {
  GRANT_TABLE_COPY,
  GRANT_TABLE_COPY_IN,
  GRANT_TABLE_COPY_OUT,
  GRANT_TABLE_MAP_GRANT_REF,
  GRANT_TABLE_MAP_GRANT_REF_IN,
  GRANT_TABLE_MAP_GRANT_REF_OUT,
  GRANT_TABLE_SWAP_GRANT_REF,
  GRANT_TABLE_SWAP_GRANT_REF_IN,
  GRANT_TABLE_SWAP_GRANT_REF_OUT,
  GRANT_TABLE_UNMAP_GRANT_REF,
  GRANT_TABLE_UNMAP_GRANT_REF_IN,
  GRANT_TABLE_UNMAP_GRANT_REF_OUT,
} from "./descriptors.gen.js";
import type { Operation } from "./operation.js";
import { wideInput } from "./word-pair.js";

const PAGE = 4096;
/** GNTTAB_UNMAP_BATCH_SIZE: mappings that are undone before one flush of TLBs. */
const UNMAP_BATCH = 32;

/** Handling of one grant; its p2m look-up and change, and the touches of entries and records, are apart. */
function grantStage(
  name: string,
  instructions: number,
  range: readonly [number, number],
  source: string,
): Stage {
  return {
    name,
    phase: "operation",
    instructions,
    basis: "estimate",
    source,
    range,
    lfences: 8,
    lockLfences: 6,
    atomics: 8,
    touches: [{ object: "domain", offsets: [0, 64, 128] }],
  };
}

const MAP_GRANT_REF = grantStage(
  "map_grant_ref",
  520,
  [300, 1100],
  "read in source: domain look-up, handle, both tables' locks, bounds and flag checks, cmpxchg of the entry, owner's reference; p2m look-up and p2m change are stages of their own; no dynamic count was taken",
);
const UNMAP_GRANT_REF = grantStage(
  "unmap_common",
  430,
  [250, 900],
  "read in source: handle, both tables' locks, check of the p2m entry, and unmap_common_complete; p2m change and TLB flush are apart; no dynamic count was taken",
);
const GNTTAB_COPY = grantStage(
  "gnttab_copy_one",
  480,
  [200, 1000],
  "read in source: two domain look-ups, two frames claimed and released, bounds, direct-map pointers; p2m look-ups and touched lines are apart, a grant that is kept between two entries is not cheaper here; no dynamic count was taken",
);
const SWAP_GRANT_REF = grantStage(
  "swap_grant_ref",
  170,
  [100, 350],
  "read in source: write lock, bounds, two active entries, exchange; no dynamic count was taken",
);

/** GNTTABOP_map_grant_ref: what is wrong with an entry is its status. */
export const mapGrant: Operation = {
  descriptor: GRANT_TABLE_MAP_GRANT_REF,
  stage: MAP_GRANT_REF,
  rare: true,
  entries: "many",
  handle: (call) => {
    const { inputs, outputs, domain, cost } = call;
    const { dom, hostAddr, flags, ref } = GRANT_TABLE_MAP_GRANT_REF_IN;
    const { handle, status, devBusAddr } = GRANT_TABLE_MAP_GRANT_REF_OUT;
    const request = {
      dom: inputs[dom] & 0xffff,
      hostAddr: wideInput(call.inputs, hostAddr),
      flags: inputs[flags],
      ref: inputs[ref] >>> 0,
    };
    const result = mapGrantRef(domain, request, cost);
    outputs[status] = result.status;
    if (result.status !== 0) return 0;
    outputs[handle] = result.handle;
    outputs[devBusAddr] = (result.frame * PAGE) | 0;
    outputs[devBusAddr + 1] = Math.floor((result.frame * PAGE) / 2 ** 32);
    return 0;
  },
};

/** GNTTABOP_unmap_grant_ref; TLBs are flushed once for each batch. */
export const unmapGrant: Operation = {
  descriptor: GRANT_TABLE_UNMAP_GRANT_REF,
  stage: UNMAP_GRANT_REF,
  rare: true,
  entries: "many",
  batch: UNMAP_BATCH,
  handle: (call) => {
    const { hostAddr, handle } = GRANT_TABLE_UNMAP_GRANT_REF_IN;
    call.outputs[GRANT_TABLE_UNMAP_GRANT_REF_OUT.status] = unmapGrantRef(
      call.domain,
      call.inputs[handle],
      wideInput(call.inputs, hostAddr),
      call.cost,
    );
    return 0;
  },
};

/** GNTTABOP_copy. */
export const copyGrant: Operation = {
  descriptor: GRANT_TABLE_COPY,
  stage: GNTTAB_COPY,
  rare: true,
  entries: "many",
  finish: (call) => call.domain.grantCopier.release(call.cost),
  handle: (call) => {
    const { inputs, outputs, domain, cost } = call;
    const fields = GRANT_TABLE_COPY_IN;
    const flags = inputs[fields.flags];
    const end = (from: number, domid: number, offset: number, byRef: boolean) => ({
      from: byRef ? inputs[from] >>> 0 : wideInput(inputs, from),
      domid: inputs[domid],
      offset: inputs[offset],
    });
    const source = end(fields.source, fields.sourceDomid, fields.sourceOffset, (flags & 1) !== 0);
    const dest = end(fields.dest, fields.destDomid, fields.destOffset, (flags & 2) !== 0);
    const request = { source, dest, length: inputs[fields.len], flags };
    outputs[GRANT_TABLE_COPY_OUT.status] = domain.grantCopier.copy(domain, request, cost);
    return 0;
  },
};

/** GNTTABOP_swap_grant_ref. */
export const swapGrant: Operation = {
  descriptor: GRANT_TABLE_SWAP_GRANT_REF,
  stage: SWAP_GRANT_REF,
  rare: true,
  entries: "many",
  handle: ({ inputs, outputs, domain, cost }) => {
    const { refA, refB } = GRANT_TABLE_SWAP_GRANT_REF_IN;
    outputs[GRANT_TABLE_SWAP_GRANT_REF_OUT.status] = domain.grantTable.swap(
      inputs[refA] >>> 0,
      inputs[refB] >>> 0,
      cost,
    );
    return 0;
  },
};
