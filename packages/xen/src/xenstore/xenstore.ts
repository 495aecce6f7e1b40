import { parentOf, permits, type StorePermission } from "./store-node.js";
import type { StoreServer } from "./store-server.js";
import { StoreTree, type StoreTreeSnapshot } from "./store-tree.js";

/** Nodes that no path leads to, and that only dom0 hears of. */
export const SPECIAL_NODES: readonly string[] = ["@introduceDomain", "@releaseDomain"];

/** xenstored: one store for all domains of a host, each of which has a connection ({@link StoreServer}). */
export class Xenstore {
  readonly tree: StoreTree = new StoreTree();
  private readonly connections: StoreServer[] = [];

  /** A domain's connection, from its start. */
  connect(connection: StoreServer): void {
    this.connections.push(connection);
  }

  /** Is there a connection of that domain? */
  isIntroduced(domid: number): boolean {
    return this.connections.some((each) => each.domainId === domid);
  }

  /**
   * Sends an event to every watch that a change concerns and whose domain may read the node, or its parent, or could
   * before the change (`fire_watches`).
   * @param subtree watches on nodes above are told as well @param before permissions that the node had
   */
  fire(path: string, subtree: boolean, before: readonly StorePermission[] = []): void {
    for (const connection of this.connections)
      if (this.maySee(path, connection.domainId, before)) connection.fire(path, subtree);
  }

  snapshot(): StoreTreeSnapshot {
    return this.tree.snapshot();
  }

  restore(snapshot: StoreTreeSnapshot): void {
    this.tree.restore(snapshot);
  }

  private maySee(path: string, domid: number, before: readonly StorePermission[]): boolean {
    if (domid === 0) return true;
    if (before.length > 0 && permits(before, domid, "read")) return true;
    const parent = parentOf(path);
    return [path, ...(parent === undefined ? [] : [parent])].some((each) => {
      const node = this.tree.get(each);
      return node !== undefined && permits(node.permissions, domid, "read");
    });
  }
}
