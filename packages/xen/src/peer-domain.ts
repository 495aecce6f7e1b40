import { Domain, type DomainSnapshot } from "./domain.js";
import type { DomainList } from "./domain-list.js";
import { Errno } from "./errno.js";
import { DOMID_SELF } from "./event-channel.js";
import type { FrameAllocatorSnapshot } from "./frame-allocator.js";
import type { GrantCopyRequest } from "./grant-copy.js";
import { type GrantMapRequest, type GrantMapResult, mapGrantRef, unmapGrantRef } from "./grant-map.js";
import type { GuestMemory } from "./guest-memory.js";
import type { HostMemory, PeerFrames } from "./host/host-memory.js";
import type { Pcpu } from "./host/pcpu.js";
import { GTF_PERMIT_ACCESS } from "./operations/descriptors.gen.js";
import { P2m } from "./p2m.js";
import { peerDomainConfig, type ResolvedPeerConfig } from "./peer-config.js";
import { PeerEvents } from "./peer-events.js";
import type { ResolvedDomainConfig } from "./xen-config.js";
import { StoreServer, type StoreServerSnapshot } from "./xenstore/store-server.js";

/** Entries below are the toolstack's. */
const FIRST_FREE_REFERENCE = 8;

/** What a peer is made from. */
export interface PeerDomainOptions {
  readonly peer: ResolvedPeerConfig;
  /** The guest's configuration, for what a peer has no choice in. */
  readonly like: ResolvedDomainConfig;
  /** Whose hypercalls look into the peer's p2m. */
  readonly pcpu: Pcpu;
  readonly hostMemory: HostMemory;
  readonly frames: PeerFrames;
  readonly domains: DomainList;
}

/** A peer as plain data, its memory and what its owner keeps excepted. */
export interface PeerSnapshot {
  readonly domain: DomainSnapshot;
  readonly store: StoreServerSnapshot;
  readonly p2mPool: FrameAllocatorSnapshot;
}

/** What EVTCHNOP_status says. */
export interface PortStatus {
  /** A value of EVTCHNSTAT_*. */
  readonly status: number;
  readonly vcpu: number;
  /** The domain that an unbound port waits for, or that an interdomain port is connected to; or the VIRQ. */
  readonly remote: number;
  /** Port at the other end of an interdomain one, else 0. */
  readonly remotePort: number;
}

/**
 * A further domain of the host: its own memory, p2m, grant table and event channels, and a vCPU that executes nothing.
 * What its kernel would do, its owner does from TypeScript with the methods here, which are Xen's operations under their
 * names; they give its results: 0 or a port, or a negative errno. Its vCPU is on a processor of its own that is not
 * simulated, so that nothing it does costs the guest anything, and it does it in no time.
 */
export class PeerDomain {
  readonly domain: Domain;
  /** Its connection to xenstored, without a ring: dom0's tools have such ones. */
  readonly store: StoreServer;
  private readonly frames: PeerFrames;
  private readonly events: PeerEvents;

  constructor(options: PeerDomainOptions) {
    const { peer, like, pcpu, hostMemory, frames, domains } = options;
    const { memory, heap, frameTable } = hostMemory;
    const config = peerDomainConfig(peer, like);
    const sharedInfoFrame = heap.allocate();
    this.frames = frames;
    const p2m = new P2m({
      memory,
      format: pcpu.processor.profile.vendor === "amd" ? "npt" : "ept",
      page: config.p2mPage,
      ram: frames.space.ram,
      guestFirst: frames.first,
      pool: frames.p2mPool,
      frameTable,
      cost: pcpu.cost,
      counters: pcpu.counters,
    });
    this.domain = new Domain({
      id: peer.id,
      config,
      boot: "pvh",
      memory,
      p2m,
      sharedInfoFrame,
      allocateFrame: () => heap.allocate(),
      domains,
    });
    this.store = new StoreServer(peer.id, domains.xenstore);
    this.events = new PeerEvents(memory, sharedInfoFrame, this.domain.eventChannels);
  }

  get id(): number {
    return this.domain.id;
  }

  /** Its memory by guest-physical address, grants of others that it mapped among it. */
  get memory(): GuestMemory {
    return this.domain.guestMemory;
  }

  /** EVTCHNOP_alloc_unbound: a port that `remoteDom` may bind to. @returns the port, or -ENOSPC */
  allocUnbound(remoteDom: number): number {
    return this.domain.eventChannels.allocUnbound(DOMID_SELF, remoteDom);
  }

  /** EVTCHNOP_bind_interdomain. @returns the local port, which is pending once, or -ESRCH, -EINVAL, -ENOSPC */
  bindInterdomain(remoteDom: number, remotePort: number): number {
    return this.domain.eventChannels.bindInterdomain(remoteDom, remotePort);
  }

  /** EVTCHNOP_send. @returns 0 or -EINVAL */
  send(port: number): number {
    return this.domain.eventChannels.send(port);
  }

  /** EVTCHNOP_close. @returns 0 or -EINVAL */
  close(port: number): number {
    return this.domain.eventChannels.close(port);
  }

  /** EVTCHNOP_unmask. @returns 0 or -EINVAL */
  unmask(port: number): number {
    return this.domain.eventChannels.unmask(port);
  }

  /** Masks a port in shared_info, as a kernel does without a hypercall. */
  mask(port: number): void {
    this.events.mask(port, true);
  }

  /** EVTCHNOP_status of one of its ports. @returns what it says, or -EINVAL */
  status(port: number): PortStatus | number {
    const words = new Int32Array(8);
    const error = this.domain.eventChannels.status(DOMID_SELF, port, words);
    if (error !== 0) return error;
    return { status: words[0], vcpu: words[2], remote: words[4], remotePort: words[6] };
  }

  /**
   * Has a port's events handled as they come, in the middle of the hypercall that sends them; undefined: no more. Handlers
   * are the owner's: they are not in snapshots. One that sends to a port of its own is called again after it returns.
   */
  onEvent(port: number, handler: (() => void) | undefined): void {
    this.events.on(port, handler);
  }

  /** Ports, in ascending order, with events that no handler took; they are no longer pending. */
  takeEvents(): readonly number[] {
    return this.events.take();
  }

  /**
   * Grants one of its frames, in the first entry that is free (Linux: `gnttab_grant_foreign_access`).
   * @param flags further GTF_* @returns the grant reference, or -ENOSPC
   */
  grantAccess(domid: number, gfn: number, flags = 0): number {
    const { grantTable } = this.domain;
    for (let ref = FIRST_FREE_REFERENCE; ref < grantTable.entries; ref++)
      if (grantTable.header(ref, undefined).flags === 0 && grantTable.active.pinOf(ref) === 0) {
        grantTable.grant(ref, GTF_PERMIT_ACCESS | flags, domid, gfn);
        return ref;
      }
    return -Errno.ENOSPC;
  }

  /** Takes a grant back (`gnttab_end_foreign_access`). @returns false while it is in use */
  endAccess(ref: number): boolean {
    const { grantTable } = this.domain;
    if (grantTable.inUse(ref) !== 0) return false;
    grantTable.grant(ref, 0, 0, 0);
    return true;
  }

  /** GNTTABOP_map_grant_ref into its own p2m: {@link memory} has the frame then. */
  mapGrantRef(request: GrantMapRequest): GrantMapResult {
    return mapGrantRef(this.domain, request);
  }

  /** GNTTABOP_unmap_grant_ref. @returns a GNTST code */
  unmapGrantRef(handle: number, hostAddr: number): number {
    return unmapGrantRef(this.domain, handle, hostAddr);
  }

  /** GNTTABOP_copy of one entry. @returns a GNTST code */
  grantCopy(request: GrantCopyRequest): number {
    const { grantCopier } = this.domain;
    const status = grantCopier.copy(this.domain, request);
    grantCopier.release();
    return status;
  }

  /** GNTTABOP_set_version. @returns 0, -EINVAL, -EBUSY, -ERANGE */
  setGrantVersion(version: number): number {
    return this.domain.grantTable.setVersion(version);
  }

  snapshot(): PeerSnapshot {
    return {
      domain: this.domain.snapshot(),
      store: this.store.snapshot(),
      p2mPool: this.frames.p2mPool.snapshot(),
    };
  }

  /** Puts it back in a peer of the same configuration, after memory. */
  restore(snapshot: PeerSnapshot): void {
    this.frames.p2mPool.restore(snapshot.p2mPool);
    this.domain.restore(snapshot.domain);
    this.store.restore(snapshot.store);
  }
}
