import type { StoreTree } from "./store-tree.js";

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

/** Writes the nodes that a guest finds at its start (xl: `libxl__domain_make` and what follows it). */
export function writeDomainNodes(tree: StoreTree, domain: DomainNodes): void {
  const home = `/local/domain/${domain.id}`;
  const cpus = Array.from({ length: domain.vcpus }, (_, n) => [`cpu/${n}/availability`, "online"] as const);
  const nodes: Readonly<Record<string, string>> = {
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
    "control/shutdown": "",
    device: "",
    data: "",
  };
  for (const [path, value] of Object.entries(nodes))
    tree.write(`${home}/${path}`, new TextEncoder().encode(value));
}
