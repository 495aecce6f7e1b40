/** What a domain may do with a node: nothing, read, write, or both. */
export type StoreAccess = "n" | "r" | "w" | "b";

/** One entry of a node's permissions. The first names the owner, and what everybody may do who is not listed. */
export interface StorePermission {
  readonly domid: number;
  readonly access: StoreAccess;
}

/** A node of the store. */
export interface StoreNode {
  readonly value: Uint8Array;
  readonly permissions: readonly StorePermission[];
  /** Number of the change that made it what it is: two that differ tell a transaction of a conflict. */
  readonly generation: number;
}

/** Somewhere that nodes can be read and written: the store itself, or a transaction's view of it. */
export interface StoreView {
  get(path: string): StoreNode | undefined;
  /** Changes a node, or makes it below a parent that exists. */
  set(path: string, value: Uint8Array, permissions: readonly StorePermission[]): void;
  /** Removes one node. */
  delete(path: string): void;
  /** Paths of all nodes. */
  paths(): Iterable<string>;
  /** A node's list of children has been looked at, or changed. */
  touch(path: string): void;
}

/** dom0 is the owner of what nobody else made. */
export const OWNED_BY_DOM0: readonly StorePermission[] = [{ domid: 0, access: "n" }];

/** May the domain read, or write, or, as owner, do anything? dom0 always may (`perm_for_conn`). */
export function permits(
  permissions: readonly StorePermission[],
  domid: number,
  wanted: "read" | "write" | "own",
): boolean {
  const [owner, ...others] = permissions;
  if (domid === 0 || owner.domid === domid) return true;
  if (wanted === "own") return false;
  const { access } = others.find((each) => each.domid === domid) ?? owner;
  return access === "b" || access === (wanted === "read" ? "r" : "w");
}

/** Path of the node that a node is below; undefined for the root and for special ones. */
export function parentOf(path: string): string | undefined {
  if (path === "/" || !path.startsWith("/")) return undefined;
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** Names of the nodes right below a node, in order. */
export function childrenOf(view: StoreView, path: string): readonly string[] {
  view.touch(path);
  const start = path === "/" ? "/" : `${path}/`;
  const names: string[] = [];
  for (const each of view.paths())
    if (each !== "/" && each.startsWith(start) && !each.includes("/", start.length))
      names.push(each.slice(start.length));
  return names.sort();
}
