import type { TranslationContext } from "../translation-context.js";
import { PageFaultCode } from "../translation-fault.js";

/**
 * Whether PKRU refuses an access to a user page with protection key `key` (SDM vol. 3, 4.6.2): fetches never; reads
 * and writes when access is disabled; writes when writing is disabled and the access is a user's or CR0.WP is set.
 */
export function refusedByKey(context: TranslationContext, key: number, access: number): boolean {
  if ((access & PageFaultCode.Fetch) !== 0) return false;
  const bits = (context.pkru >>> (2 * key)) & 3;
  if ((bits & 1) !== 0) return true;
  if ((bits & 2) === 0 || (access & PageFaultCode.Write) === 0) return false;
  return context.wp || (access & PageFaultCode.User) !== 0;
}
