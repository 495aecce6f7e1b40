import { Errno } from "../errno.js";
import type { Stage } from "../path-cost/stage.js";
import {
  DOMCTL_CALL,
  DOMCTL_CALL_IN,
  PLATFORM_OP_CALL,
  PLATFORM_OP_CALL_IN,
  SYSCTL_CALL,
  SYSCTL_CALL_IN,
  XEN_DOMCTL_GET_DOMAIN_STATE,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_SYSCTL_INTERFACE_VERSION,
  XENPF_INTERFACE_VERSION,
} from "./descriptors.gen.js";
import type { Operation, OperationCall } from "./operation.js";

/*
 * The control domain's hypercalls, which HVM domains can make too: version first, then who asks (`do_sysctl`, `do_domctl`,
 * `do_platform_op`, xsm_default_action). None of their commands is modelled. In a domctl a few commands have checks of
 * their own before that one; they are not looked at here.
 */

const CONTROL: Stage = {
  name: "do_{sysctl,domctl,platform_op} (refused)",
  phase: "operation",
  instructions: 70,
  basis: "estimate",
  source: "read in source: version, domain look-up of a domctl, XSM hook that refuses",
  range: [40, 160],
  lfences: 1,
};

/** HYPERVISOR_sysctl. */
export const sysctl: Operation = {
  descriptor: SYSCTL_CALL,
  stage: CONTROL,
  rare: true,
  handle: (call) => refuse(call, call.inputs[SYSCTL_CALL_IN.interfaceVersion], XEN_SYSCTL_INTERFACE_VERSION),
};

/** HYPERVISOR_platform_op. */
export const platformOp: Operation = {
  descriptor: PLATFORM_OP_CALL,
  stage: CONTROL,
  rare: true,
  handle: (call) => refuse(call, call.inputs[PLATFORM_OP_CALL_IN.interfaceVersion], XENPF_INTERFACE_VERSION),
};

/** HYPERVISOR_domctl: one command is stable, and has version 0. */
export const domctl: Operation = {
  descriptor: DOMCTL_CALL,
  stage: CONTROL,
  rare: true,
  handle: (call) => {
    const stable = call.inputs[DOMCTL_CALL_IN.cmd] === XEN_DOMCTL_GET_DOMAIN_STATE;
    const version = stable ? 0 : XEN_DOMCTL_INTERFACE_VERSION;
    return refuse(call, call.inputs[DOMCTL_CALL_IN.interfaceVersion], version);
  },
};

function refuse({ domain }: OperationCall, version: number, wanted: number): number {
  if (version !== wanted) return -Errno.EACCES;
  return domain.config.hardwareDomain ? -Errno.ENOSYS : -Errno.EPERM;
}
