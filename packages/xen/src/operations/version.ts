import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  VERSION_CAPABILITIES,
  VERSION_CHANGESET,
  VERSION_COMMANDLINE,
  VERSION_COMPILE_INFO,
  VERSION_EXTRAVERSION,
  VERSION_EXTRAVERSION_IN,
  VERSION_GET_FEATURES,
  VERSION_GET_FEATURES_IN,
  VERSION_GET_FEATURES_OUT,
  VERSION_GUEST_HANDLE,
  VERSION_PAGESIZE,
  VERSION_PAGESIZE_IN,
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
import type { Operation, OperationCall } from "./operation.js";

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

/** Texts that the modelled hypervisor gives of itself. */
export const EXTRAVERSION = ".0-hyperwalk";
export const CAPABILITIES = "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ";
export const CHANGESET = "unavailable";
const COMPILER = "hyperwalk";
const DENIED = "<denied>";
const EXTRAVERSION_BYTES = 16;
const CAPABILITIES_BYTES = 1024;
const CHANGESET_BYTES = 64;
const COMMANDLINE_BYTES = 1024;
/** compiler, compile_by, compile_domain, compile_date. */
const COMPILE_INFO_BYTES: readonly number[] = [64, 16, 32, 32];
const HANDLE_BYTES = 16;
const PAGE = 4096;

const XENVER_TEXT: Stage = {
  ...DO_XEN_VERSION_FEATURES,
  name: "do_xen_version (text)",
  instructions: 120,
  range: [60, 400],
};

/** XENVER_extraversion. */
export const extraversion: Operation = {
  descriptor: VERSION_EXTRAVERSION,
  stage: XENVER_TEXT,
  handle: (call) => giveTexts(call, [EXTRAVERSION], [EXTRAVERSION_BYTES]),
};

/** XENVER_compile_info: nobody compiled it anywhere. */
export const compileInfo: Operation = {
  descriptor: VERSION_COMPILE_INFO,
  stage: XENVER_TEXT,
  handle: (call) => giveTexts(call, [COMPILER, "", "", ""], COMPILE_INFO_BYTES),
};

/** XENVER_capabilities. */
export const capabilities: Operation = {
  descriptor: VERSION_CAPABILITIES,
  stage: XENVER_TEXT,
  handle: (call) => giveTexts(call, [CAPABILITIES], [CAPABILITIES_BYTES]),
};

/** XENVER_changeset. */
export const changeset: Operation = {
  descriptor: VERSION_CHANGESET,
  stage: XENVER_TEXT,
  handle: (call) => giveTexts(call, [CHANGESET], [CHANGESET_BYTES]),
};

/** XENVER_pagesize: the pointer must be null. */
export const pagesize: Operation = {
  descriptor: VERSION_PAGESIZE,
  stage: DO_XEN_VERSION,
  handle: (call) => {
    const { buffer } = VERSION_PAGESIZE_IN;
    return (call.inputs[buffer] | call.inputs[buffer + 1]) !== 0 ? -Errno.EINVAL : PAGE;
  },
};

/** XENVER_guest_handle: the toolstack gave none. */
export const guestHandle: Operation = {
  descriptor: VERSION_GUEST_HANDLE,
  stage: XENVER_TEXT,
  handle: (call) => giveTexts(call, [""], [HANDLE_BYTES]),
};

/** XENVER_commandline: who may not read it gets no more than the text that says so. */
export const commandline: Operation = {
  descriptor: VERSION_COMMANDLINE,
  stage: XENVER_TEXT,
  handle: (call) => {
    const { hardwareDomain } = call.domain.config;
    return hardwareDomain
      ? giveTexts(call, [""], [COMMANDLINE_BYTES])
      : giveTexts(call, [DENIED], [DENIED.length + 1]);
  },
};

/** Copies texts to the guest's buffer, each filled up with zeros to its size. */
function giveTexts(call: OperationCall, texts: readonly string[], sizes: readonly number[]): number {
  const { buffer } = call.access;
  let at = 0;
  texts.forEach((text, i) => {
    for (let j = 0; j < sizes[i]; j++) buffer.setUint8(at + j, j < text.length ? text.charCodeAt(j) : 0);
    at += sizes[i];
  });
  const pointer = VERSION_EXTRAVERSION_IN.buffer;
  return call.access.copyToGuest(call.inputs[pointer], call.inputs[pointer + 1], at);
}
