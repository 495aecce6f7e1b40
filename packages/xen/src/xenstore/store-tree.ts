/** Why a request was refused, in the words that the protocol sends (public/io/xs_wire.h). */
export type StoreError =
  | "EINVAL"
  | "ENOENT"
  | "EACCES"
  | "E2BIG"
  | "ENOSPC"
  | "ENOSYS"
  | "EEXIST"
  | "EBUSY"
  | "EROFS";

/** Nodes that a guest may have, and bytes of a value and a path (xenstored's quotas). */
const MAX_NODES = 1000;
const MAX_VALUE = 2048;
const MAX_PATH = 3072;
const PATH = /^(\/|(\/[A-Za-z0-9\-_@:]+)+)$/;

/** A tree of nodes with values, as xenstored keeps it: every node has a value, which may be empty. */
export class StoreTree {
  private values = new Map<string, Uint8Array>([["/", new Uint8Array(0)]]);
  private readonly home: string;

  /** @param home what relative paths are relative to; the only part that the guest may write */
  constructor(home: string) {
    this.home = home;
  }

  /** The absolute form of a path, or an error. */
  resolve(path: string): string | StoreError {
    const absolute = path.startsWith("/") ? path : `${this.home}/${path}`;
    return absolute.length <= MAX_PATH && PATH.test(absolute) ? absolute : "EINVAL";
  }

  /** May the guest change this node? */
  isWritable(path: string): boolean {
    return path === this.home || path.startsWith(`${this.home}/`);
  }

  read(path: string): Uint8Array | "ENOENT" {
    return this.values.get(path) ?? "ENOENT";
  }

  /** Writes a value; missing parents come into being. */
  write(path: string, value: Uint8Array): StoreError | undefined {
    if (value.length > MAX_VALUE) return "E2BIG";
    const missing: string[] = [];
    for (let at = path; !this.values.has(at); at = parentOf(at)) missing.push(at);
    if (this.values.size + missing.length > MAX_NODES) return "ENOSPC";
    for (const each of missing) this.values.set(each, new Uint8Array(0));
    this.values.set(path, value.slice());
    return undefined;
  }

  /** Names of the nodes right below a node, in order. */
  list(path: string): readonly string[] | "ENOENT" {
    if (!this.values.has(path)) return "ENOENT";
    const start = path === "/" ? "/" : `${path}/`;
    const names: string[] = [];
    for (const each of this.values.keys())
      if (each !== "/" && each.startsWith(start) && !each.includes("/", start.length))
        names.push(each.slice(start.length));
    return names.sort();
  }

  /** Removes a node and all below it; a node that is not there is fine when its parent is. */
  remove(path: string): StoreError | undefined {
    if (path === this.home) return "EINVAL";
    if (!this.values.has(path)) return this.values.has(parentOf(path)) ? undefined : "ENOENT";
    for (const each of [...this.values.keys()])
      if (each === path || each.startsWith(`${path}/`)) this.values.delete(each);
    return undefined;
  }

  /** All nodes as they are, for {@link restore}. */
  snapshot(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.values);
  }

  restore(snapshot: ReadonlyMap<string, Uint8Array>): void {
    this.values = new Map(snapshot);
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
