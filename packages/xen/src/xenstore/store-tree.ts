import {
  OWNED_BY_DOM0,
  parentOf,
  type StoreNode,
  type StorePermission,
  type StoreView,
} from "./store-node.js";

const NO_BYTES = new Uint8Array(0);

/** A node as plain data: path, value, permissions as xenstored writes them (`n0`, `r7`), generation. */
export type StoreNodeData = readonly [string, Uint8Array, readonly string[], number];

/** Nodes and generations, as plain data. */
export interface StoreTreeSnapshot {
  readonly nodes: readonly StoreNodeData[];
  readonly generation: number;
}

/**
 * All nodes of a host, as xenstored keeps them: each has a value, which may be empty, and permissions. What changes a node,
 * or its list of children, gives it a new generation.
 */
export class StoreTree implements StoreView {
  private nodes = new Map<string, StoreNode>();
  private generation = 0;

  constructor() {
    this.set("/", NO_BYTES, OWNED_BY_DOM0);
  }

  get(path: string): StoreNode | undefined {
    return this.nodes.get(path);
  }

  set(path: string, value: Uint8Array, permissions: readonly StorePermission[]): void {
    const isNew = !this.nodes.has(path);
    this.nodes.set(path, { value: value.slice(), permissions, generation: ++this.generation });
    if (isNew) this.renew(parentOf(path));
  }

  delete(path: string): void {
    if (this.nodes.delete(path)) this.renew(parentOf(path));
  }

  paths(): Iterable<string> {
    return this.nodes.keys();
  }

  /** Nothing depends on who looks at the store itself. */
  touch(): void {}

  /** The number that the next change gets. */
  get nextGeneration(): number {
    return this.generation + 1;
  }

  /** Nodes that a domain owns. */
  ownedBy(domid: number): number {
    let count = 0;
    for (const { permissions } of this.nodes.values()) if (permissions[0].domid === domid) count++;
    return count;
  }

  /** Writes a node and the parents that are missing, as the toolstack does. */
  write(path: string, value: Uint8Array, permissions: readonly StorePermission[]): void {
    const parent = parentOf(path);
    if (parent !== undefined && !this.nodes.has(parent)) this.write(parent, NO_BYTES, permissions);
    this.set(path, value, permissions);
  }

  snapshot(): StoreTreeSnapshot {
    const nodes = [...this.nodes].map(
      ([path, { value, permissions, generation }]): StoreNodeData => [
        path,
        value.slice(),
        permissions.map(({ domid, access }) => `${access}${domid}`),
        generation,
      ],
    );
    return { nodes, generation: this.generation };
  }

  /** @throws RangeError for nodes that make no sense */
  restore({ nodes, generation }: StoreTreeSnapshot): void {
    const restored = new Map<string, StoreNode>();
    for (const [path, value, permissions, own] of nodes) {
      const parsed = permissions.map(parsePermission);
      const [first] = parsed;
      if (first === undefined || parsed.includes(undefined)) throw new RangeError(`permissions of ${path}`);
      restored.set(path, {
        value: value.slice(),
        permissions: parsed.filter((each) => each !== undefined),
        generation: own,
      });
    }
    if (!restored.has("/")) throw new RangeError("a store without a root");
    this.nodes = restored;
    this.generation = generation;
  }

  private renew(path: string | undefined): void {
    const node = path === undefined ? undefined : this.nodes.get(path);
    if (path === undefined || node === undefined) return;
    this.nodes.set(path, { ...node, generation: ++this.generation });
  }
}

/** `r7` and the like. */
export function parsePermission(text: string): StorePermission | undefined {
  const [, access, domid] = /^([nrwb])([0-9]{1,5})$/.exec(text) ?? [];
  if (access === undefined) return undefined;
  return { domid: Number(domid), access: access as StorePermission["access"] };
}
