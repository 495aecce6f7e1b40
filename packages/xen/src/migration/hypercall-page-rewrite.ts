import { hypercallPage } from "../hypercall-page.js";
import type { MigratedPage } from "./migration-record.js";

/**
 * Fills hypercall pages anew for another vendor. Nobody has noted where they are: they are the pages whose whole content is
 * what the hypervisor wrote there.
 * @param from, to hypercall instructions of the two vendors @param indexBits bits that the stubs of each page have
 */
export function rewriteHypercallPages(
  pages: readonly MigratedPage[],
  from: readonly number[],
  to: readonly number[],
  indexBits: readonly number[],
): readonly MigratedPage[] {
  const known = indexBits.map((bits) => ({
    before: hypercallPage(from, bits),
    after: hypercallPage(to, bits),
  }));
  return pages.map((page) => {
    const found = known.find(({ before }) => before.every((byte, i) => byte === page.bytes[i]));
    return found === undefined ? page : { gfn: page.gfn, bytes: found.after };
  });
}
