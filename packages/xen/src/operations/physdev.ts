import { Errno } from "../errno.js";
import { DOMID_SELF } from "../event-channel.js";
import type { Stage } from "../path-cost/stage.js";
import {
  MAP_PIRQ_TYPE_MULTI_MSI,
  PHYSDEV_MAP_PIRQ,
  PHYSDEV_MAP_PIRQ_IN,
  PHYSDEV_UNMAP_PIRQ,
  PHYSDEV_UNMAP_PIRQ_IN,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";

/*
 * What `hvm_physdev_op` of Xen c447b7308b13 lets through for a domain without pirqs, as PVH ones are: PHYSDEVOP_eoi,
 * irq_status_query, get_free_pirq and pirq_eoi_gmfn_v{1,2} are -ENOSYS, like all that only the hardware domain has.
 */

const DO_PHYSDEV_OP: Stage = {
  name: "do_physdev_op ({map,unmap}_pirq)",
  phase: "operation",
  instructions: 130,
  basis: "estimate",
  source: "read in source: hvm_physdev_op, domain look-up, XSM hook that refuses",
  range: [70, 260],
  lfences: 1,
  atomics: 2,
  touches: [{ object: "domain", offsets: [0, 64] }],
};

/** PHYSDEVOP_map_pirq. Xen copies the unchanged struct back when it refuses; that copy is left out. */
export const mapPirq: Operation = {
  descriptor: PHYSDEV_MAP_PIRQ,
  stage: DO_PHYSDEV_OP,
  rare: true,
  handle: (call) => {
    const { inputs } = call;
    const { domid, type, tableBase } = PHYSDEV_MAP_PIRQ_IN;
    const hasTable = (inputs[tableBase] | inputs[tableBase + 1]) !== 0;
    if (inputs[type] === MAP_PIRQ_TYPE_MULTI_MSI && hasTable) return -Errno.EINVAL;
    return refuse(call, inputs[domid] & 0xffff);
  },
};

/** PHYSDEVOP_unmap_pirq. */
export const unmapPirq: Operation = {
  descriptor: PHYSDEV_UNMAP_PIRQ,
  stage: DO_PHYSDEV_OP,
  rare: true,
  handle: (call) => refuse(call, call.inputs[PHYSDEV_UNMAP_PIRQ_IN.domid] & 0xffff),
};

/** XSM_DM_PRIV: of the domains that there are, none is this one's to serve; it is no control domain's own business. */
function refuse({ domain }: OperationCall, dom: number): number {
  if (dom !== DOMID_SELF && dom !== domain.id && dom !== 0) return -Errno.ESRCH;
  return domain.config.hardwareDomain ? -Errno.EINVAL : -Errno.EPERM;
}
