import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  VERSION_GET_FEATURES,
  VERSION_GET_FEATURES_IN,
  VERSION_GET_FEATURES_OUT,
  VERSION_VERSION,
  XENFEAT_AUTO_TRANSLATED_PHYSMAP,
  XENFEAT_DM_MSIX_ALL_WRITES,
  XENFEAT_DOM0,
  XENFEAT_HVM_CALLBACK_VECTOR,
  XENFEAT_HVM_SAFE_PVCLOCK,
  XENFEAT_MEMORY_OP_VNODE,
  XENFEAT_NOT_DIRECT_MAPPED,
  XENFEAT_RUNSTATE_PHYS_AREA,
  XENFEAT_VCPU_TIME_PHYS_AREA,
  XENFEAT_WRITABLE_PAGE_TABLES,
} from "./descriptors.gen.js";
import type { Operation } from "./operation.js";

/** Version that the modelled hypervisor reports, here and in CPUID: that of the tree whose paths were counted. */
export const XEN_MAJOR = 4;
export const XEN_MINOR = 23;

const FEATURES =
  (1 << XENFEAT_WRITABLE_PAGE_TABLES) |
  (1 << XENFEAT_AUTO_TRANSLATED_PHYSMAP) |
  (1 << XENFEAT_HVM_CALLBACK_VECTOR) |
  (1 << XENFEAT_HVM_SAFE_PVCLOCK) |
  (1 << XENFEAT_MEMORY_OP_VNODE) |
  (1 << XENFEAT_NOT_DIRECT_MAPPED) |
  (1 << XENFEAT_RUNSTATE_PHYS_AREA) |
  (1 << XENFEAT_VCPU_TIME_PHYS_AREA) |
  (1 << XENFEAT_DM_MSIX_ALL_WRITES);

const DO_XEN_VERSION: Stage = {
  name: "do_xen_version (version)",
  phase: "operation",
  instructions: 37,
  basis: "derived",
  source: "counted on real Xen: 692 (and, the other count, 694) for the call less 655 for an unknown one",
  range: [36, 53],
  coldBranches: 3,
};

const DO_XEN_VERSION_FEATURES: Stage = {
  name: "do_xen_version (get_features)",
  phase: "operation",
  instructions: 70,
  basis: "estimate",
  source: "read in source: the version path and a dozen bit tests",
  range: [50, 110],
  coldBranches: 6,
};

/** XENVER_version: major << 16 | minor. */
export const version: Operation = {
  descriptor: VERSION_VERSION,
  stage: DO_XEN_VERSION,
  handle: () => (XEN_MAJOR << 16) | XEN_MINOR,
};

/** XENVER_get_features: only submap 0 exists, others are -EINVAL. */
export const getFeatures: Operation = {
  descriptor: VERSION_GET_FEATURES,
  stage: DO_XEN_VERSION_FEATURES,
  handle: (call) => {
    if (call.inputs[VERSION_GET_FEATURES_IN.submapIdx] !== 0) return -Errno.EINVAL;
    const dom0 = call.domain.config.hardwareDomain ? 1 << XENFEAT_DOM0 : 0;
    call.outputs[VERSION_GET_FEATURES_OUT.submap] = FEATURES | dom0;
    return 0;
  },
};
