import type { PageSizeName } from "@hyperwalk/mmu";
import type { ResolvedDomainConfig } from "./xen-config.js";
import { XenConfigError } from "./xen-config.js";

/** A further domain, whose side is driven from outside instead of by code of its own. */
export interface PeerConfig {
  /** 0 to 32751 (below DOMID_FIRST_RESERVED), and nobody else's; default 2 for the first, 3 for the second. 0 is dom0: it may do anything. */
  readonly id?: number | undefined;
  /** Its RAM in bytes: a multiple of 4096, at least 1 MiB and at most 64 GiB. */
  readonly memoryBytes: number;
  /** Largest p2m leaf; default "2m". */
  readonly p2mPage?: PageSizeName | undefined;
}

/** A peer's configuration with every default decided. */
export interface ResolvedPeerConfig {
  readonly id: number;
  readonly memoryBytes: number;
  readonly p2mPage: PageSizeName;
}

/** Peers that a system may have. */
export const MAX_PEERS = 8;
const FIRST_PEER_ID = 2;
const DOMID_FIRST_RESERVED = 0x7ff0;
const MIN_MEMORY = 2 ** 20;
const MAX_MEMORY = 2 ** 36;
const PAGES: readonly string[] = ["4k", "2m", "1g"];

/** @param guestId id of the guest @throws XenConfigError for the first key that is wrong */
export function resolvePeers(peers: readonly PeerConfig[], guestId: number): readonly ResolvedPeerConfig[] {
  if (!Array.isArray(peers) || peers.length > MAX_PEERS)
    throw new XenConfigError("peers", peers, `a list of at most ${MAX_PEERS} domains`);
  const taken = new Set([guestId]);
  return peers.map((peer: PeerConfig, i) => {
    const { id = FIRST_PEER_ID + i, memoryBytes, p2mPage = "2m" } = peer;
    const key = `peers[${i}]`;
    if (!Number.isInteger(id) || id < 0 || id >= DOMID_FIRST_RESERVED || taken.has(id))
      throw new XenConfigError(
        `${key}.id`,
        id,
        `an integer from 0 to ${DOMID_FIRST_RESERVED - 1} that no other domain has`,
      );
    taken.add(id);
    if (
      !Number.isInteger(memoryBytes) ||
      memoryBytes % 4096 !== 0 ||
      memoryBytes < MIN_MEMORY ||
      memoryBytes > MAX_MEMORY
    )
      throw new XenConfigError(`${key}.memoryBytes`, memoryBytes, "a multiple of 4096 from 1 MiB to 64 GiB");
    if (!PAGES.includes(p2mPage)) throw new XenConfigError(`${key}.p2mPage`, p2mPage, PAGES.join(", "));
    return { id, memoryBytes, p2mPage };
  });
}

/** What the domain of a peer is made with: no image, no code. @param like the guest's configuration, for all else */
export function peerDomainConfig(peer: ResolvedPeerConfig, like: ResolvedDomainConfig): ResolvedDomainConfig {
  const { id, memoryBytes, p2mPage } = peer;
  const none = { image: new Uint8Array(0), boot: "pvh", modules: [], cmdline: "" } as const;
  return { ...like, ...none, memoryBytes, p2mPage, vcpus: 1, doorbell: undefined, hardwareDomain: id === 0 };
}
