import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { DOMID_SELF } from "../src/event-channel.ts";
import type { PeerConfig } from "../src/peer-config.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const MIB = 2 ** 20;
const [UNBOUND, INTERDOMAIN] = [1, 2];

function host(
  peers: readonly PeerConfig[],
  domain: Partial<DomainConfig> = {},
  profile = epyc9124,
): XenSystem {
  return createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: MIB, bytes: 4096 }] }),
      memoryBytes: 8 * MIB,
      abi: "linear",
      ...domain,
    },
    peers,
  });
}

describe("peers", () => {
  it.each([
    [[{ memoryBytes: 4096 }], "peers[0].memoryBytes"],
    [[{ memoryBytes: MIB, id: 1 }], "peers[0].id"],
    [[{ memoryBytes: MIB }, { memoryBytes: MIB, id: 2 }], "peers[1].id"],
    [[{ memoryBytes: MIB, id: 0x7ff0 }], "peers[0].id"],
    [[{ memoryBytes: MIB, p2mPage: "3m" as "2m" }], "peers[0].p2mPage"],
    [Array(9).fill({ memoryBytes: MIB }), "peers"],
  ])("are refused when they make no sense", (peers, key) => {
    expect(() => host(peers)).toThrow(expect.objectContaining({ code: "XEN_CONFIG", key }));
  });

  it.each([
    ["amd", epyc9124],
    ["intel", skylakeSp],
  ] as const)("have memory of their own on %s, owned by them in the frame table", (_vendor, profile) => {
    const system = host([{ memoryBytes: MIB }, { memoryBytes: 4 * MIB, p2mPage: "4k" }], {}, profile);
    const [a, b] = system.peers;
    expect([a.id, b.id]).toEqual([2, 3]);
    a.memory.writeU32(0x1ffc, 1);
    b.memory.writeU32(0x1ffc, 2);
    system.domain.guestMemory.writeU32(0x1ffc, 3);
    expect([a, b, { memory: system.domain.guestMemory }].map((d) => d.memory.readU32(0x1ffc))).toEqual([
      1, 2, 3,
    ]);
    expect(() => a.memory.readU8(MIB)).toThrow(/not mapped/);
    const frames = [system.domain, a.domain, b.domain].map((domain) => domain.p2m.translate(1));
    const owners = frames.map((mfn) => system.frameTable.ownerOf(mfn));
    expect(new Set(owners).size).toBe(3);
    expect(frames.map((mfn) => system.frameTable.references(mfn))).toEqual([1, 1, 1]);
  });
});

describe("interdomain event channels", () => {
  it("connect two domains, both ways, and set the binder's port pending once", () => {
    const { domain, peers } = host([{ memoryBytes: MIB }]);
    const [peer] = peers;
    const guest = domain.eventChannels;
    const port = guest.allocUnbound(DOMID_SELF, peer.id);
    expect(guest.send(port)).toBe(0); // nobody is there yet: dropped
    expect(guest.isPending(port)).toBe(false);
    const theirs = peer.bindInterdomain(domain.id, port);
    expect(theirs).toBeGreaterThan(0);
    expect(peer.takeEvents()).toEqual([theirs]);
    expect(peer.status(theirs)).toEqual({
      status: INTERDOMAIN,
      vcpu: 0,
      remote: domain.id,
      remotePort: port,
    });
    expect(peer.send(theirs)).toBe(0);
    expect([guest.isPending(port), guest.events.hasUpcall(0)]).toEqual([true, true]);
    guest.send(port);
    guest.send(port);
    expect(peer.takeEvents()).toEqual([theirs]); // sent twice, pending once
    const mine = peer.allocUnbound(domain.id);
    expect(guest.bindInterdomain(peer.id, mine)).toBeGreaterThan(port);
  });

  it("leave the other end unbound for the one who closed", () => {
    const { domain, peers } = host([{ memoryBytes: MIB }, { memoryBytes: MIB }]);
    const [peer, third] = peers;
    const guest = domain.eventChannels;
    const port = guest.allocUnbound(DOMID_SELF, peer.id);
    const theirs = peer.bindInterdomain(domain.id, port);
    expect(peer.close(theirs)).toBe(0);
    const words = new Int32Array(8);
    guest.status(DOMID_SELF, port, words);
    expect([words[0], words[4]]).toEqual([UNBOUND, peer.id]);
    expect(third.bindInterdomain(domain.id, port)).toBe(-Errno.EINVAL); // kept for the other
    const again = peer.bindInterdomain(domain.id, port);
    expect(again).toBe(theirs);
    expect(guest.close(port)).toBe(0);
    expect(peer.status(theirs)).toMatchObject({ status: UNBOUND, remote: domain.id });
    expect([peer.send(theirs), peer.close(theirs), peer.close(theirs)]).toEqual([0, 0, -Errno.EINVAL]);
    expect(peer.status(theirs)).toMatchObject({ status: 0 });
  });

  it("give Xen's errors", () => {
    const { domain, peers } = host([{ memoryBytes: MIB }]);
    const guest = domain.eventChannels;
    const [peer] = peers;
    expect(guest.allocUnbound(peer.id, DOMID_SELF)).toBe(-Errno.EPERM);
    expect(guest.allocUnbound(7, DOMID_SELF)).toBe(-Errno.ESRCH);
    expect(guest.bindInterdomain(peer.id, 1)).toBe(-Errno.EINVAL); // the toolstack's, for dom0
    expect(guest.bindInterdomain(peer.id, 5000)).toBe(-Errno.EINVAL);
    expect(guest.bindInterdomain(7, 1)).toBe(-Errno.ESRCH);
    expect(guest.status(peer.id, 1, new Int32Array(8))).toBe(-Errno.EPERM);
    const other = peer.allocUnbound(7);
    expect(guest.bindInterdomain(peer.id, other)).toBe(-Errno.EINVAL); // for a domain that is not there
    expect(peer.status(63)).toMatchObject({ status: 0 });
    expect(peer.status(64)).toBe(-Errno.EINVAL);
  });

  it("are dom0's to make for others", () => {
    const { domain, peers } = host([{ memoryBytes: MIB, id: 0 }, { memoryBytes: MIB }]);
    const [dom0, backend] = peers;
    const port = dom0.domain.eventChannels.allocUnbound(domain.id, backend.id);
    const words = new Int32Array(8);
    expect(domain.eventChannels.status(DOMID_SELF, port, words)).toBe(0);
    expect([words[0], words[4]]).toEqual([UNBOUND, backend.id]);
    expect(dom0.domain.eventChannels.status(domain.id, port, words)).toBe(0);
    expect(backend.bindInterdomain(domain.id, port)).toBeGreaterThan(0);
    expect(domain.eventChannels.allocUnbound(0, DOMID_SELF)).toBe(-Errno.EPERM);
  });

  it("work while the guest uses FIFO queues", () => {
    const { domain, peers } = host([{ memoryBytes: MIB }]);
    const [peer] = peers;
    const guest = domain.eventChannels;
    expect(guest.initControl(0, 3, 0, domain.p2m)).toBe(0);
    expect(guest.expandArray(4, domain.p2m)).toBe(0);
    const port = guest.allocUnbound(DOMID_SELF, peer.id);
    const theirs = peer.bindInterdomain(domain.id, port);
    expect(peer.send(theirs)).toBe(0);
    expect(domain.guestMemory.readU32(0x4000 + 4 * port) >>> 31).toBe(1);
    expect(guest.send(port)).toBe(0);
    expect(peer.takeEvents()).toEqual([theirs]);
    expect(guest.reset(DOMID_SELF, domain.p2m, () => {})).toBe(0);
    expect(peer.status(theirs)).toMatchObject({ status: UNBOUND, remote: domain.id });
  });

  it("are handled as they come, unless they are masked", () => {
    const { domain, peers } = host([{ memoryBytes: MIB }]);
    const [peer] = peers;
    const guest = domain.eventChannels;
    const port = guest.allocUnbound(DOMID_SELF, peer.id);
    const theirs = peer.bindInterdomain(domain.id, port);
    const log: string[] = [];
    peer.onEvent(theirs, () => {
      log.push("event");
      peer.send(theirs);
    });
    expect(log).toEqual(["event"]); // binding has set it pending
    guest.send(port);
    peer.mask(theirs);
    guest.send(port);
    expect(log.length).toBe(2);
    peer.unmask(theirs);
    expect(log.length).toBe(3);
    peer.onEvent(theirs, undefined);
    guest.send(port);
    expect([log.length, peer.takeEvents(), guest.isPending(port)]).toEqual([3, [theirs], true]);
  });
});

describe("a snapshot of a host with peers", () => {
  it("has their memory and ports in it", () => {
    const system = host([{ memoryBytes: MIB }]);
    const port = system.domain.eventChannels.allocUnbound(DOMID_SELF, 2);
    const theirs = system.peers[0].bindInterdomain(1, port);
    system.peers[0].memory.writeU32(0x5000, 0x12345678);
    const bytes = encodeSnapshot(system.snapshot());
    const again = host([{ memoryBytes: MIB }]);
    again.restore(decodeSnapshot(bytes));
    expect(encodeSnapshot(again.snapshot())).toEqual(bytes);
    const [peer] = again.peers;
    expect(peer.memory.readU32(0x5000)).toBe(0x12345678);
    expect(peer.takeEvents()).toEqual([theirs]);
    expect([peer.send(theirs), again.domain.eventChannels.isPending(port)]).toEqual([0, true]);
  });

  it("is refused where the peers are others", () => {
    const snapshot = host([{ memoryBytes: MIB }]).snapshot();
    for (const peers of [[], [{ memoryBytes: 2 * MIB }], [{ memoryBytes: MIB, id: 9 }]])
      expect(() => host(peers).restore(snapshot)).toThrow(/peers was/);
    const fewer = { ...snapshot, peers: [] };
    expect(() => host([{ memoryBytes: MIB }]).restore(fewer)).toThrow(/0 peers instead of 1/);
  });
});
