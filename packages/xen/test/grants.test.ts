import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { DOMID_SELF } from "../src/event-channel.ts";
import { mapGrantRef, unmapGrantRef } from "../src/grant-map.ts";
import {
  GNTCOPY_DEST_GREF,
  GNTCOPY_SOURCE_GREF,
  GNTMAP_DEVICE_MAP,
  GNTMAP_HOST_MAP,
  GNTMAP_READONLY,
  GNTST_BAD_COPY_ARG,
  GNTST_BAD_DOMAIN,
  GNTST_BAD_GNTREF,
  GNTST_BAD_HANDLE,
  GNTST_BAD_PAGE,
  GNTST_EAGAIN,
  GNTST_GENERAL_ERROR,
  GNTST_PERMISSION_DENIED,
  GTF_PERMIT_ACCESS,
  GTF_READING,
  GTF_READONLY,
  GTF_SUB_PAGE,
  GTF_TRANSITIVE,
  GTF_WRITING,
} from "../src/operations/descriptors.gen.ts";
import { P2mType } from "../src/p2m-type.ts";
import type { PeerDomain } from "../src/peer-domain.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const MIB = 2 ** 20;
const GUEST = 1;
/** A guest frame past the RAM of every domain here. */
const HOLE = 0x1000;
const HOLE_ADDRESS = HOLE * 4096;

function host(profile = epyc9124): XenSystem {
  return createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: MIB, bytes: 4096 }] }),
      memoryBytes: 8 * MIB,
      abi: "linear",
    },
    peers: [{ memoryBytes: MIB }, { memoryBytes: MIB }],
  });
}

let system: XenSystem;
let granter: PeerDomain;
let other: PeerDomain;

beforeEach(() => {
  system = host();
  [granter, other] = system.peers;
});

const references = (peer: PeerDomain, gfn: number) =>
  system.frameTable.references(peer.domain.p2m.translate(gfn));
const map = (peer: PeerDomain, ref: number, values: object = {}) =>
  peer.mapGrantRef({ dom: granter.id, ref, hostAddr: HOLE_ADDRESS, flags: GNTMAP_HOST_MAP, ...values });

describe("mapping a grant", () => {
  it.each([
    ["NPT", epyc9124],
    ["EPT", skylakeSp],
  ] as const)(
    "puts the frame into the other p2m, %s, with its type and a reference until it is unmapped",
    (_, profile) => {
      system = host(profile);
      [granter, other] = system.peers;
      const ref = granter.grantAccess(other.id, 5);
      granter.memory.writeU32(0x5010, 0xfeed);
      const { status, handle, frame } = map(other, ref);
      expect([status, frame]).toEqual([0, granter.domain.p2m.translate(5)]);
      expect(other.memory.readU32(HOLE_ADDRESS + 0x10)).toBe(0xfeed);
      other.memory.writeU32(HOLE_ADDRESS + 0x14, 0xbeef);
      expect(granter.memory.readU32(0x5014)).toBe(0xbeef);
      expect(other.domain.p2m.typeAt(HOLE)).toBe(P2mType.GrantMapRw);
      expect(references(granter, 5)).toBe(2);
      expect(granter.domain.grantTable.inUse(ref)).toBe(GTF_READING | GTF_WRITING);
      expect(granter.endAccess(ref)).toBe(false);
      expect(other.unmapGrantRef(handle, HOLE_ADDRESS)).toBe(0);
      expect(other.domain.p2m.translate(HOLE)).toBe(-1);
      expect([references(granter, 5), granter.domain.grantTable.inUse(ref)]).toEqual([1, 0]);
      expect(granter.endAccess(ref)).toBe(true);
      expect(other.unmapGrantRef(handle, HOLE_ADDRESS)).toBe(GNTST_BAD_HANDLE);
    },
  );

  it("may be for reading only, and shows the owner no more than that", () => {
    const ref = granter.grantAccess(other.id, 5, GTF_READONLY);
    expect(map(other, ref).status).toBe(GNTST_GENERAL_ERROR);
    expect(map(other, ref, { flags: GNTMAP_HOST_MAP | GNTMAP_READONLY }).status).toBe(0);
    expect(other.domain.p2m.typeAt(HOLE)).toBe(P2mType.GrantMapRo);
    expect(granter.domain.grantTable.inUse(ref)).toBe(GTF_READING);
  });

  it("counts several mappings of one grant, and the last that writes", () => {
    const ref = granter.grantAccess(other.id, 5);
    const first = map(other, ref);
    const second = map(other, ref, {
      hostAddr: HOLE_ADDRESS + 4096,
      flags: GNTMAP_HOST_MAP | GNTMAP_READONLY,
    });
    expect([first.status, second.status, references(granter, 5)]).toEqual([0, 0, 3]);
    expect(other.unmapGrantRef(first.handle, HOLE_ADDRESS)).toBe(0);
    expect(granter.domain.grantTable.inUse(ref)).toBe(GTF_READING);
    expect(other.unmapGrantRef(second.handle, HOLE_ADDRESS + 4096)).toBe(0);
    expect([granter.domain.grantTable.inUse(ref), references(granter, 5)]).toEqual([0, 1]);
  });

  it("gives each entry its status", () => {
    const ref = granter.grantAccess(other.id, 5);
    const status = (peer: PeerDomain, values: object, which = ref) => map(peer, which, values).status;
    expect(status(other, { flags: 0 })).toBe(GNTST_BAD_GNTREF);
    expect(status(other, { flags: GNTMAP_HOST_MAP | GNTMAP_DEVICE_MAP })).toBe(GNTST_GENERAL_ERROR);
    expect(status(other, { flags: GNTMAP_HOST_MAP | (1 << 16) })).toBe(GNTST_GENERAL_ERROR);
    expect(status(other, { dom: 99 })).toBe(GNTST_BAD_DOMAIN);
    expect(status(other, { dom: DOMID_SELF })).toBe(GNTST_BAD_DOMAIN);
    expect(status(other, { dom: 0 })).toBe(GNTST_GENERAL_ERROR);
    expect(status(other, {}, 512)).toBe(GNTST_BAD_GNTREF);
    expect(status(other, {}, 100)).toBe(GNTST_GENERAL_ERROR); // an empty entry
    expect(
      mapGrantRef(system.domain, { dom: granter.id, ref, hostAddr: HOLE_ADDRESS, flags: 2 }).status,
    ).toBe(
      GNTST_GENERAL_ERROR, // granted to another
    );
    expect(status(other, {}, granter.grantAccess(other.id, 0x5000))).toBe(GNTST_BAD_PAGE);
    expect(status(other, { hostAddr: 2 ** 45 })).toBe(GNTST_GENERAL_ERROR);
    expect(references(granter, 5)).toBe(1);
    expect(granter.domain.grantTable.inUse(ref)).toBe(0);
    expect(other.domain.grantTable.maptrack.used).toBe(0);
    expect(unmapGrantRef(other.domain, 0, HOLE_ADDRESS)).toBe(GNTST_BAD_HANDLE);
    expect(unmapGrantRef(other.domain, -1, HOLE_ADDRESS)).toBe(GNTST_BAD_HANDLE);
  });

  it("takes 128 mappings of one grant and no more", () => {
    const ref = granter.grantAccess(other.id, 5);
    const statuses = Array.from(
      { length: 130 },
      (_, i) => map(other, ref, { hostAddr: HOLE_ADDRESS + 4096 * i }).status,
    );
    expect(statuses.filter((status) => status === 0).length).toBe(128);
    expect(statuses.at(-1)).toBe(GNTST_GENERAL_ERROR);
    expect(references(granter, 5)).toBe(129);
  });

  it("crashes a domain that maps over a mapping, and leaves other addresses alone", () => {
    const ref = granter.grantAccess(other.id, 5);
    const { handle } = map(other, ref);
    expect(other.unmapGrantRef(handle, HOLE_ADDRESS + 4096)).toBe(GNTST_GENERAL_ERROR);
    expect(other.unmapGrantRef(handle, 0)).toBe(0); // as Xen: nothing to do
    expect(other.domain.p2m.typeAt(HOLE)).toBe(P2mType.GrantMapRw);
    expect(map(other, ref).status).toBe(GNTST_GENERAL_ERROR);
    expect(other.domain.shutdownReason).toBe(3);
    expect(references(granter, 5)).toBe(2);
  });

  it("keeps a frame that its owner gives back from being used again until it is unmapped", () => {
    const ref = granter.grantAccess(other.id, 5);
    const { handle } = map(other, ref);
    other.memory.writeU32(HOLE_ADDRESS, 0x1234);
    expect(granter.domain.releaseFrame(5)).toBe(true);
    expect(granter.domain.populateFrame(6)).toBe(false); // nothing is free yet
    expect(other.memory.readU32(HOLE_ADDRESS)).toBe(0x1234);
    expect(other.unmapGrantRef(handle, HOLE_ADDRESS)).toBe(0);
    expect(granter.domain.populateFrame(5)).toBe(true);
    expect([granter.memory.readU32(0x5000), references(granter, 5)]).toEqual([0, 1]);
  });

  it("is no memory that Xen copies to, nor grants on", () => {
    const { handle } = map(other, granter.grantAccess(other.id, 5));
    expect(handle).toBe(0);
    const onward = other.grantAccess(GUEST, HOLE);
    const request = { dom: other.id, ref: onward, hostAddr: HOLE_ADDRESS, flags: GNTMAP_HOST_MAP };
    expect(mapGrantRef(system.domain, request).status).toBe(GNTST_BAD_PAGE);
    expect(other.domain.p2m.getPage(HOLE, undefined)).toBe(-1);
    expect(other.domain.unmapFrame(HOLE)).toBe(-Errno.ENOENT);
    expect(other.domain.releaseFrame(HOLE)).toBe(false);
  });

  it("gives handles out in the order in which they came back", () => {
    const ref = granter.grantAccess(other.id, 5);
    const at = (i: number) => ({ hostAddr: HOLE_ADDRESS + 4096 * i });
    const handles = [0, 1, 2].map((i) => map(other, ref, at(i)).handle);
    expect(handles).toEqual([0, 1, 2]);
    other.unmapGrantRef(1, at(1).hostAddr);
    expect(map(other, ref, at(1)).handle).toBe(3); // the one that came back waits at the end
  });
});

describe("versions", () => {
  it("do not change while a grant is in use, but for the toolstack's", () => {
    const ref = granter.grantAccess(other.id, 5);
    const { handle } = map(other, ref);
    expect(granter.setGrantVersion(2)).toBe(-Errno.EBUSY);
    other.unmapGrantRef(handle, HOLE_ADDRESS);
    granter.domain.grantTable.grant(1, GTF_PERMIT_ACCESS, other.id, 6);
    const { handle: reserved } = map(other, 1);
    expect(granter.setGrantVersion(2)).toBe(0);
    const table = granter.domain.grantTable;
    expect([table.header(1, undefined).flags, table.inUse(1)]).toEqual([
      GTF_PERMIT_ACCESS,
      GTF_READING | GTF_WRITING,
    ]);
    expect(other.unmapGrantRef(reserved, HOLE_ADDRESS)).toBe(0);
    expect(table.inUse(1)).toBe(0);
    table.writeVersion2(2, [GTF_TRANSITIVE | (other.id << 16), other.id, 9, 0]);
    expect(granter.setGrantVersion(1)).toBe(-Errno.ERANGE);
    table.writeVersion2(2, [GTF_PERMIT_ACCESS, 0, 0, 1]);
    expect(granter.setGrantVersion(1)).toBe(-Errno.ERANGE);
    table.writeVersion2(2, [0, 0, 0, 0]);
    expect(granter.setGrantVersion(1)).toBe(0);
  });

  it("map entries of version 2, with the use in the status frame; parts and transitive ones only copy", () => {
    expect(granter.setGrantVersion(2)).toBe(0);
    const table = granter.domain.grantTable;
    const ref = granter.grantAccess(other.id, 5);
    const { status, handle } = map(other, ref);
    const word = granter.domain.grantTable.statusFrames[0] * 4096 + 2 * ref;
    expect([status, system.domain.memory.readU8(word)]).toEqual([0, GTF_READING | GTF_WRITING]);
    expect(table.header(ref, undefined).flags).toBe(GTF_PERMIT_ACCESS);
    expect([other.unmapGrantRef(handle, HOLE_ADDRESS), system.domain.memory.readU8(word)]).toEqual([0, 0]);
    const part = granter.grantAccess(other.id, 5, GTF_SUB_PAGE);
    expect(map(other, part).status).toBe(GNTST_GENERAL_ERROR);
    table.writeVersion2(20, [GTF_TRANSITIVE | (other.id << 16), other.id, 9, 0]);
    expect(map(other, 20).status).toBe(GNTST_GENERAL_ERROR);
  });
});

describe("swap_grant_ref", () => {
  it("exchanges entries that nobody uses", () => {
    const table = granter.domain.grantTable;
    const [a, b] = [granter.grantAccess(other.id, 5), granter.grantAccess(other.id, 6)];
    expect(table.swap(a, b, undefined)).toBe(0);
    expect([table.frameOf(a), table.frameOf(b)]).toEqual([6, 5]);
    expect([table.swap(a, a, undefined), table.swap(a, 512, undefined)]).toEqual([0, GNTST_BAD_GNTREF]);
    map(other, a);
    expect(table.swap(a, b, undefined)).toBe(GNTST_EAGAIN);
    expect(table.swap(b, a, undefined)).toBe(GNTST_EAGAIN);
  });
});

describe("copying", () => {
  const own = (gfn: number, offset = 0) => ({ from: gfn, domid: DOMID_SELF, offset });
  const granted = (ref: number, offset = 0, domid = granter.id) => ({ from: ref, domid, offset });

  it("goes from a grant, to a grant, and between two of the caller's frames", () => {
    granter.memory.writeBytes(
      0x5ff0,
      Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    );
    const ref = granter.grantAccess(other.id, 5);
    const from = { source: granted(ref, 0xff0), dest: own(3, 0x101), length: 16, flags: GNTCOPY_SOURCE_GREF };
    expect(other.grantCopy(from)).toBe(0);
    expect([...other.memory.readBytes(0x3101, 3)]).toEqual([1, 2, 3]);
    const to = { source: own(3, 0x101), dest: granted(ref, 0), length: 2, flags: GNTCOPY_DEST_GREF };
    expect(other.grantCopy(to)).toBe(0);
    expect([...granter.memory.readBytes(0x5000, 3)]).toEqual([1, 2, 0]);
    expect(other.grantCopy({ source: own(3, 0x101), dest: own(4, 8), length: 3, flags: 0 })).toBe(0);
    expect([...other.memory.readBytes(0x4008, 3)]).toEqual([1, 2, 3]);
    expect([references(granter, 5), references(other, 3), granter.domain.grantTable.inUse(ref)]).toEqual([
      1, 1, 0,
    ]);
  });

  it("gives each entry its status", () => {
    const ref = granter.grantAccess(other.id, 5, GTF_READONLY);
    const status = (values: object) =>
      other.grantCopy({
        source: granted(ref),
        dest: own(3),
        length: 8,
        flags: GNTCOPY_SOURCE_GREF,
        ...values,
      });
    expect(status({})).toBe(0);
    expect(status({ length: 0, source: granted(ref, 0, 99) })).toBe(0);
    expect(status({ source: granted(ref, 4090) })).toBe(GNTST_BAD_COPY_ARG);
    expect(status({ dest: own(3, 4090) })).toBe(GNTST_BAD_COPY_ARG);
    expect(status({ flags: 0 })).toBe(GNTST_PERMISSION_DENIED); // another domain's frame by number
    expect(status({ source: granted(ref, 0, 99) })).toBe(GNTST_BAD_DOMAIN);
    expect(status({ source: granted(512) })).toBe(GNTST_BAD_GNTREF);
    expect(status({ source: granted(9) })).toBe(GNTST_GENERAL_ERROR);
    expect(status({ dest: own(0x5000) })).toBe(GNTST_BAD_PAGE);
    expect(status({ source: own(3), dest: granted(ref), flags: GNTCOPY_DEST_GREF })).toBe(
      GNTST_GENERAL_ERROR,
    );
    expect([references(granter, 5), references(other, 3), granter.domain.grantTable.inUse(ref)]).toEqual([
      1, 1, 0,
    ]);
  });

  it("holds to the part of a frame that a version-2 entry grants", () => {
    granter.setGrantVersion(2);
    granter.memory.writeU32(0x5100, 0xabcd);
    const table = granter.domain.grantTable;
    table.writeVersion2(20, [GTF_PERMIT_ACCESS | GTF_SUB_PAGE | (other.id << 16), 0x100 | (8 << 16), 5, 0]);
    const copy = (offset: number, length: number) =>
      other.grantCopy({ source: granted(20, offset), dest: own(3), length, flags: GNTCOPY_SOURCE_GREF });
    expect([copy(0x100, 8), copy(0x104, 4), copy(0xff, 4), copy(0x104, 8)]).toEqual([
      0,
      0,
      GNTST_GENERAL_ERROR,
      GNTST_GENERAL_ERROR,
    ]);
  });

  it("passes a grant on by a transitive entry, once and to nobody else", () => {
    const guest = system.domain;
    granter.memory.writeU32(0x5000, 0x600d);
    const first = granter.grantAccess(other.id, 5, GTF_READONLY);
    expect(other.setGrantVersion(2)).toBe(0);
    other.domain.grantTable.writeVersion2(20, [GTF_TRANSITIVE | (GUEST << 16), granter.id, first, 0]);
    const copy = (ref: number, length = 4) => {
      const status = guest.grantCopier.copy(guest, {
        source: granted(ref, 0, other.id),
        dest: own(3),
        length,
        flags: GNTCOPY_SOURCE_GREF,
      });
      guest.grantCopier.release();
      return status;
    };
    expect([copy(20), guest.guestMemory.readU32(0x3000)]).toEqual([0, 0x600d]);
    expect([references(granter, 5), granter.domain.grantTable.inUse(first)]).toEqual([1, 0]);
    expect(other.domain.grantTable.active.pinOf(20)).toBe(0);
    other.domain.grantTable.writeVersion2(21, [GTF_TRANSITIVE | (GUEST << 16), other.id, 20, 0]);
    expect(copy(21)).toBe(GNTST_GENERAL_ERROR); // itself
    granter.setGrantVersion(2);
    granter.domain.grantTable.writeVersion2(20, [GTF_TRANSITIVE | (other.id << 16), 1, 5, 0]);
    other.domain.grantTable.writeVersion2(22, [GTF_TRANSITIVE | (GUEST << 16), granter.id, 20, 0]);
    expect(copy(22)).toBe(GNTST_GENERAL_ERROR); // two steps
    expect(other.domain.grantTable.inUse(22)).toBe(0);
  });
});

describe("a snapshot", () => {
  it("has mappings in it, which go on", () => {
    const ref = granter.grantAccess(other.id, 5);
    const { handle } = map(other, ref);
    const bytes = encodeSnapshot(system.snapshot());
    const again = host();
    again.restore(decodeSnapshot(bytes));
    const [first, second] = again.peers;
    first.memory.writeU32(0x5000, 77);
    expect(second.memory.readU32(HOLE_ADDRESS)).toBe(77);
    expect(second.unmapGrantRef(handle, HOLE_ADDRESS)).toBe(0);
    expect(again.frameTable.references(first.domain.p2m.translate(5))).toBe(1);
  });

  it("with records that are nowhere is refused", () => {
    const snapshot = system.snapshot();
    const [peer] = snapshot.peers;
    const broken = (grantTable: object) => ({
      ...snapshot,
      peers: [
        { ...peer, domain: { ...peer.domain, grantTable: { ...peer.domain.grantTable, ...grantTable } } },
        snapshot.peers[1],
      ],
    });
    expect(() => host().restore(broken({ active: [2 ** 40] }))).toThrow(/active grant entries/);
    expect(() => host().restore(broken({ maptrack: { frames: [], head: 5, tail: -1 } }))).toThrow(/handles/);
  });
});
