import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  VERSION_BUILD_ID,
  VERSION_BUILD_ID_IN,
  VERSION_CAPABILITIES2,
  VERSION_CHANGESET2,
  VERSION_COMMANDLINE2,
  VERSION_EXTRAVERSION2,
  VERSION_PLATFORM_PARAMETERS,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";
import { CAPABILITIES, CHANGESET, EXTRAVERSION } from "./version.js";
import { highBeyond } from "./word-pair.js";

/** Bytes of `xen_varbuf` before its text. */
const LENGTH_BYTES = 4;

const XENVER_VARBUF: Stage = {
  name: "xenver_varbuf_op",
  phase: "operation",
  instructions: 90,
  basis: "estimate",
  source: "read in source: XSM hook, switch, strlen of a short text",
  range: [50, 200],
  lfences: 1,
};

/** XENVER_platform_parameters: HVM guests have no hypervisor in their address space. */
export const platformParameters: Operation = {
  descriptor: VERSION_PLATFORM_PARAMETERS,
  stage: {
    ...XENVER_VARBUF,
    name: "do_xen_version (platform_parameters)",
    instructions: 60,
    range: [35, 120],
  },
  rare: true,
  handle: () => 0,
};

/** XENVER_build_id: for the control domain, and this build has none. */
export const buildId: Operation = {
  descriptor: VERSION_BUILD_ID,
  stage: XENVER_VARBUF,
  rare: true,
  handle: (call) => (call.domain.config.hardwareDomain ? -Errno.ENODATA : -Errno.EPERM),
};

/** XENVER_extraversion2. */
export const extraversion2: Operation = {
  descriptor: VERSION_EXTRAVERSION2,
  stage: XENVER_VARBUF,
  rare: true,
  handle: (call) => giveText(call, EXTRAVERSION),
};

/** XENVER_capabilities2. */
export const capabilities2: Operation = {
  descriptor: VERSION_CAPABILITIES2,
  stage: XENVER_VARBUF,
  rare: true,
  handle: (call) => giveText(call, CAPABILITIES),
};

/** XENVER_changeset2. */
export const changeset2: Operation = {
  descriptor: VERSION_CHANGESET2,
  stage: XENVER_VARBUF,
  rare: true,
  handle: (call) => giveText(call, CHANGESET),
};

/** XENVER_commandline2: for the control domain; Xen was started without one. */
export const commandline2: Operation = {
  descriptor: VERSION_COMMANDLINE2,
  stage: XENVER_VARBUF,
  rare: true,
  handle: (call) => (call.domain.config.hardwareDomain ? giveText(call, "") : -Errno.EPERM),
};

/** `xenver_varbuf_op`: the text without an end of its own, behind the length of the guest's buffer; null asks for its length. */
function giveText({ inputs, access }: OperationCall, text: string): number {
  const lo = inputs[VERSION_BUILD_ID_IN.buffer];
  const hi = inputs[VERSION_BUILD_ID_IN.buffer + 1];
  if ((lo | hi) === 0) return text.length;
  if (access.copyFromGuest(lo, hi, LENGTH_BYTES) !== 0) return -Errno.EFAULT;
  if (text.length > access.buffer.getUint32(0, true)) return -Errno.ENOBUFS;
  for (let i = 0; i < text.length; i++) access.buffer.setUint8(i, text.charCodeAt(i));
  const at = (lo + LENGTH_BYTES) | 0;
  return access.copyToGuest(at, highBeyond(lo, hi, LENGTH_BYTES), text.length) !== 0
    ? -Errno.EFAULT
    : text.length;
}
