import type { StorePermission } from "./store-node.js";
import type { StoreTree } from "./store-tree.js";

/** Nodes that belong to the guest. */
const OWN_NODES: readonly string[] = [
  "control/shutdown",
  "device/suspend/event-channel",
  "data",
  "drivers",
  "feature",
  "attr",
  "error",
];

/** What the toolstack says of a domain in xenstore. */
export interface DomainNodes {
  readonly id: number;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly consoleGfn: number;
  readonly consolePort: number;
  readonly storeGfn: number;
  readonly storePort: number;
}

/**
 * Writes the nodes that a guest finds at its start (xl: `libxl__domain_make` and what follows it), with their permissions:
 * the guest reads its home, and writes in the parts that are given to it.
 */
export function writeDomainNodes(tree: StoreTree, domain: DomainNodes): void {
  const home = `/local/domain/${domain.id}`;
  const cpus = Array.from({ length: domain.vcpus }, (_, n) => [`cpu/${n}/availability`, "online"] as const);
  const readable: Readonly<Record<string, string>> = {
    name: `guest-${domain.id}`,
    domid: String(domain.id),
    "memory/static-max": String(domain.memoryBytes / 1024),
    "memory/target": String(domain.memoryBytes / 1024),
    ...Object.fromEntries(cpus),
    "console/ring-ref": String(domain.consoleGfn),
    "console/port": String(domain.consolePort),
    "console/type": "xenconsoled",
    "console/limit": "1048576",
    "store/ring-ref": String(domain.storeGfn),
    "store/port": String(domain.storePort),
    device: "",
    control: "",
  };
  const nothing: StorePermission = { domid: 0, access: "n" };
  const readOnly: readonly StorePermission[] = [nothing, { domid: domain.id, access: "r" }];
  const own: readonly StorePermission[] = [{ domid: domain.id, access: "n" }];
  const write = (path: string, value: string, permissions: readonly StorePermission[]) =>
    tree.write(`${home}/${path}`, new TextEncoder().encode(value), permissions);
  for (const path of ["/local", "/local/domain"])
    if (tree.get(path) === undefined) tree.write(path, new Uint8Array(0), [nothing]);
  tree.write(home, new Uint8Array(0), readOnly);
  for (const [path, value] of Object.entries(readable)) write(path, value, readOnly);
  for (const path of OWN_NODES) write(path, "", own);
}
