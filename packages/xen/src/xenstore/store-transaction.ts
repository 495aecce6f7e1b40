import { parentOf, type StoreNode, type StorePermission, type StoreView } from "./store-node.js";
import type { StoreTree } from "./store-tree.js";

/** Generation of a node that is not there. */
const NONE = -1;

/** A transaction as plain data. */
export interface StoreTransactionSnapshot {
  readonly id: number;
  /** Nodes looked at, with the generation that they had. */
  readonly seen: readonly (readonly [string, number])[];
  /** Nodes written, with value and permissions; a removed one has none. */
  readonly written: readonly (readonly [string, Uint8Array | undefined, readonly StorePermission[]])[];
  readonly events: readonly (readonly [string, boolean])[];
}

/**
 * A transaction's view of the store: what it has looked at stays as it was then, and what it changes nobody else sees until
 * it ends well. It does only when none of the nodes that it met has changed in between.
 */
export class StoreTransaction implements StoreView {
  readonly id: number;
  private readonly tree: StoreTree;
  private readonly seen = new Map<
    string,
    { readonly generation: number; readonly node: StoreNode | undefined }
  >();
  private readonly written = new Map<string, StoreNode | undefined>();
  /** Watch events to be sent at the end: path, and whether those on nodes above are told as well. */
  private readonly queued = new Map<string, boolean>();

  constructor(id: number, tree: StoreTree) {
    this.id = id;
    this.tree = tree;
  }

  get(path: string): StoreNode | undefined {
    if (this.written.has(path)) return this.written.get(path);
    return this.meet(path);
  }

  set(path: string, value: Uint8Array, permissions: readonly StorePermission[]): void {
    const parent = parentOf(path);
    if (this.get(path) === undefined && parent !== undefined) this.meet(parent);
    this.written.set(path, { value: value.slice(), permissions, generation: NONE });
  }

  delete(path: string): void {
    const parent = parentOf(path);
    this.meet(path);
    if (parent !== undefined) this.meet(parent);
    this.written.set(path, undefined);
  }

  *paths(): Iterable<string> {
    for (const path of this.tree.paths()) if (!this.written.has(path)) yield path;
    for (const [path, node] of this.written) if (node !== undefined) yield path;
  }

  touch(path: string): void {
    this.meet(path);
  }

  /** Has a watch event sent at the end. */
  queue(path: string, subtree: boolean): void {
    this.queued.set(path, subtree || this.queued.get(path) === true);
  }

  get events(): Iterable<readonly [string, boolean]> {
    return this.queued;
  }

  /** Carries out what was written. @returns false, and nothing is done, when a node has changed in between */
  commit(): boolean {
    for (const [path, { generation }] of this.seen)
      if ((this.tree.get(path)?.generation ?? NONE) !== generation) return false;
    for (const [path, node] of this.written)
      if (node === undefined) this.tree.delete(path);
      else this.tree.set(path, node.value, node.permissions);
    return true;
  }

  snapshot(): StoreTransactionSnapshot {
    return {
      id: this.id,
      seen: [...this.seen].map(([path, { generation }]) => [path, generation]),
      written: [...this.written].map(([path, node]) => [path, node?.value.slice(), node?.permissions ?? []]),
      events: [...this.queued],
    };
  }

  /** After the store. A node that has changed since it was looked at is seen as it is now: the end fails anyway. */
  restore({ seen, written, events }: StoreTransactionSnapshot): void {
    for (const [path, generation] of seen) this.seen.set(path, { generation, node: this.tree.get(path) });
    for (const [path, value, permissions] of written)
      this.written.set(path, value === undefined ? undefined : { value, permissions, generation: NONE });
    for (const [path, subtree] of events) this.queued.set(path, subtree);
  }

  private meet(path: string): StoreNode | undefined {
    const known = this.seen.get(path);
    if (known !== undefined) return known.node;
    const node = this.tree.get(path);
    this.seen.set(path, { generation: node?.generation ?? NONE, node });
    return node;
  }
}
