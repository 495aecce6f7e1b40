import type { Domain } from "../domain.js";
import { Errno } from "../errno.js";
import { DOMID_SELF } from "../event-channel.js";
import type { OperationCall } from "./operation.js";

/** The domain that an operation is about: the caller's own, for dom0 anybody's (XSM_TARGET). @returns or -ESRCH, -EPERM */
export function targetOf({ domain }: OperationCall, dom: number): Domain | number {
  const target = dom === DOMID_SELF || dom === domain.id ? domain : domain.findDomain(dom);
  if (target === undefined) return dom === 0 ? -Errno.EPERM : -Errno.ESRCH;
  return target === domain || domain.mayTarget(target) ? target : -Errno.EPERM;
}

/** A domain other than the caller's (`rcu_lock_remote_domain_by_id`), for those that may do anything to it. */
export function remoteOf(call: OperationCall, dom: number): Domain | number {
  const target = dom === DOMID_SELF ? -Errno.ESRCH : targetOf(call, dom);
  return target === call.domain ? -Errno.EPERM : target;
}
