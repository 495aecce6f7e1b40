import type { Domain } from "./domain.js";
import { Xenstore } from "./xenstore/xenstore.js";

/**
 * The domains of a host (Xen: `domain_list`). dom0 is one of them only where the guest or a peer is dom0; otherwise
 * there are no more than its backends, and operations that name it are refused as for a domain that is not the caller's.
 */
export class DomainList {
  /** The one store of the host. */
  readonly xenstore: Xenstore = new Xenstore();
  private readonly domains: Domain[] = [];

  add(domain: Domain): void {
    this.domains.push(domain);
  }

  find(id: number): Domain | undefined {
    return this.domains.find((domain) => domain.id === id);
  }
}
