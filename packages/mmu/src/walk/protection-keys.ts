import type { TranslationContext } from "../translation-context.js";
import { PageFaultCode } from "../translation-fault.js";

/**
 * Whether a protection key refuses an access (SDM vol. 3, 4.6.2): PKRU speaks for user pages under CR4.PKE, IA32_PKRS
 * for supervisor pages under CR4.PKS. Fetches are never refused; reads and writes are when access is disabled; writes
 * are when writing is disabled and the access is a user's or CR0.WP is set.
 * @param userPage non-zero when every level's User bit is set
 */
export function refusedByKey(
  context: TranslationContext,
  key: number,
  access: number,
  userPage: number,
): boolean {
  if ((access & PageFaultCode.Fetch) !== 0) return false;
  if (userPage !== 0 ? !context.pke : !context.pks) return false;
  const bits = ((userPage !== 0 ? context.pkru : context.pkrs) >>> (2 * key)) & 3;
  if ((bits & 1) !== 0) return true;
  if ((bits & 2) === 0 || (access & PageFaultCode.Write) === 0) return false;
  return context.wp || (access & PageFaultCode.User) !== 0;
}
