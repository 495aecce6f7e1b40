import { epyc9124 } from "@hyperwalk/cpu";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import type { GuestAccess } from "../src/guest-access/guest-access.ts";
import { DESCRIPTORS } from "../src/operations/descriptors.gen.ts";
import { OPERATIONS } from "../src/operations/index.ts";
import type { OperationCall } from "../src/operations/operation.ts";
import { P2mType } from "../src/p2m-type.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const MIB = 2 ** 20;
const SELF = 0x7ff0;
const PEER = 2;
const HOLE = 0x8000;
const [GMFN, GMFN_RANGE, GMFN_FOREIGN] = [2, 3, 4];

function host(hardwareDomain: boolean): XenSystem {
  return createXenSystem({
    profile: epyc9124,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: MIB, bytes: 4096 }] }),
      memoryBytes: 8 * MIB,
      abi: "physaddr",
      hardwareDomain,
    },
    peers: [{ memoryBytes: MIB }],
  });
}

/** Makes an operation's call with values by name, as vCPU 0. @returns its result */
function call(
  system: XenSystem,
  name: string,
  values: Readonly<Record<string, number>>,
  startExtent = 0,
): number {
  const operation = OPERATIONS.find((each) => each.descriptor.name === name);
  const descriptor = DESCRIPTORS.find((each) => each.name === name);
  if (operation === undefined || descriptor === undefined) throw new Error(`no operation ${name}`);
  const access: GuestAccess = system.vcpu.call.access;
  const own: OperationCall = { ...system.vcpu.call, access, startExtent, compat: false, byRegister: false };
  own.inputs.fill(0);
  descriptor.inputs.forEach((field, i) => {
    const value = values[field.name] ?? 0;
    own.inputs[2 * i] = value | 0;
    own.inputs[2 * i + 1] = Math.floor(value / 2 ** 32);
  });
  return operation.handle(own);
}

let system: XenSystem;
const references = (gfn: number) => system.frameTable.references(system.peers[0].domain.p2m.translate(gfn));
const list = (address: number, bytes: number, ...numbers: readonly number[]) =>
  numbers.forEach((value, i) => {
    system.domain.guestMemory.writeU32(address + bytes * i, value);
    if (bytes === 8) system.domain.guestMemory.writeU32(address + bytes * i + 4, 0);
  });
const errors = (address: number, count: number) =>
  Array.from({ length: count }, (_, i) => system.domain.guestMemory.readU32(address + 4 * i) | 0);

beforeEach(() => {
  system = host(true);
});

describe("add_to_physmap_batch", () => {
  const batch = (size: number, values: object = {}) =>
    call(system, "memory.add_to_physmap_batch", {
      domid: SELF,
      space: GMFN_FOREIGN,
      size,
      foreign_domid: PEER,
      idxs: 0x1000,
      gpfns: 0x2000,
      errs: 0x3000,
      ...values,
    });

  it("maps another domain's frames for dom0, with a reference each until they are removed", () => {
    const [peer] = system.peers;
    peer.memory.writeU32(0x5000, 0xcafe);
    list(0x1000, 8, 5, 0x4000, 6);
    list(0x2000, 8, HOLE, HOLE + 1, HOLE + 2);
    expect(batch(3)).toBe(0);
    expect(errors(0x3000, 3)).toEqual([0, -Errno.EINVAL, 0]);
    expect(system.domain.guestMemory.readU32(HOLE * 4096)).toBe(0xcafe);
    expect(system.domain.p2m.typeAt(HOLE)).toBe(P2mType.MapForeign);
    expect([references(5), references(6)]).toEqual([2, 2]);
    const remove = (gpfn: number) => call(system, "memory.remove_from_physmap", { domid: SELF, gpfn });
    expect([remove(HOLE), remove(HOLE), references(5)]).toEqual([0, -Errno.ENOENT, 1]);
  });

  it("does not map over a foreign frame, and frees RAM that it maps over", () => {
    list(0x1000, 8, 5, 6, 6);
    list(0x2000, 8, HOLE, HOLE, 0x100);
    expect(batch(3)).toBe(0);
    expect(errors(0x3000, 3)).toEqual([0, -Errno.ENXIO, 0]);
    expect(call(system, "memory.increase_reservation", { domid: SELF, nr_extents: 2 })).toBe(1);
    expect(references(6)).toBe(2);
  });

  it("says what is wrong with the call", () => {
    list(0x1000, 8, 5);
    list(0x2000, 8, HOLE);
    expect(batch(1, { space: GMFN_RANGE })).toBe(-Errno.EOPNOTSUPP);
    expect(batch(1, { domid: 9 })).toBe(-Errno.ESRCH);
    expect(batch(1, { idxs: 2 ** 40 })).toBe(-Errno.EFAULT);
    expect([batch(1, { foreign_domid: 9 }), errors(0x3000, 1)]).toEqual([0, [-Errno.ESRCH]]);
    expect([batch(1, { foreign_domid: 0 }), errors(0x3000, 1)]).toEqual([0, [-Errno.EPERM]]);
    system = host(false);
    list(0x1000, 8, 5);
    list(0x2000, 8, HOLE);
    expect([batch(1), errors(0x3000, 1)]).toEqual([0, [-Errno.EPERM]]);
    expect(references(5)).toBe(1);
  });
});

describe("add_to_physmap", () => {
  const add = (values: object) => call(system, "memory.add_to_physmap", { domid: SELF, ...values });

  it("moves a range, also into itself, and goes on from where it was", () => {
    const frames = [0x200, 0x201, 0x202].map((gfn) => system.domain.p2m.translate(gfn));
    expect(add({ space: GMFN_RANGE, size: 3, idx: 0x200, gpfn: 0x201 })).toBe(0);
    expect([0x201, 0x202, 0x203].map((gfn) => system.domain.p2m.translate(gfn))).toEqual(frames);
    expect(system.domain.p2m.translate(0x200)).toBe(-1);
    expect(add({ space: GMFN_RANGE, size: 2, idx: 0x203, gpfn: HOLE })).toBe(0);
    expect(add({ space: GMFN_RANGE, size: 2, idx: 0x200, gpfn: HOLE })).toBe(-Errno.EACCES);
    expect(call(system, "memory.add_to_physmap", { domid: SELF, space: GMFN_RANGE, size: 2 }, 3)).toBe(
      -Errno.EILSEQ,
    );
  });

  it("has no space for foreign frames, and dom0 may name other domains", () => {
    expect(add({ space: GMFN_FOREIGN, idx: 5, gpfn: HOLE })).toBe(-Errno.ENOSYS);
    expect(add({ domid: PEER, space: GMFN, idx: 5, gpfn: 0x500 })).toBe(0);
    expect(system.peers[0].domain.p2m.translate(5)).toBe(-1);
    expect(call(host(false), "memory.add_to_physmap", { domid: PEER, space: GMFN, idx: 5, gpfn: 9 })).toBe(
      -Errno.EPERM,
    );
  });

  it("gives RAM back that it maps over", () => {
    expect(add({ space: 0, idx: 0, gpfn: 0x100 })).toBe(0);
    expect(call(system, "memory.increase_reservation", { domid: SELF, nr_extents: 9 })).toBe(1);
  });
});

describe("acquire_resource", () => {
  const acquire = (values: object) =>
    call(system, "memory.acquire_resource", { domid: PEER, type: 1, id: 0, ...values });

  it("maps another domain's grant frames for dom0", () => {
    list(0x1000, 8, HOLE, HOLE + 1);
    const { grantTable } = system.peers[0].domain;
    expect(acquire({ nr_frames: 2, frame_list: 0x1000 })).toBe(0);
    expect(grantTable.frames).toBe(2);
    expect(system.domain.p2m.translate(HOLE + 1)).toBe(grantTable.sharedFrame(1));
    expect(system.frameTable.references(grantTable.sharedFrame(1))).toBe(2);
    expect(acquire({ nr_frames: 1, frame: 64, frame_list: 0x1000 })).toBe(-Errno.EINVAL);
    expect(acquire({ nr_frames: 1, id: 1, frame_list: 0x1000 })).toBe(-Errno.EINVAL); // version 1
  });

  it("says how many there may be, and what is wrong", () => {
    expect(acquire({})).toBe(0);
    expect(system.vcpu.call.outputs[0]).toBe(64);
    expect(acquire({ nr_frames: 1 })).toBe(-Errno.EINVAL);
    expect(acquire({ pad: 1 })).toBe(-Errno.EINVAL);
    expect(acquire({ frame: 2 ** 32 })).toBe(-Errno.EINVAL);
    expect(acquire({ id: 2 })).toBe(-Errno.EINVAL);
    expect(acquire({ type: 3 })).toBe(-Errno.EINVAL);
    expect(acquire({ domid: 0 })).toBe(-Errno.EPERM);
    expect(acquire({ domid: SELF })).toBe(-Errno.ESRCH);
    expect(acquire({ nr_frames: 1, frame_list: 2 ** 40 })).toBe(-Errno.EFAULT);
    expect(acquire({ type: 0, nr_frames: 1, frame_list: 0x1000 })).toBe(-Errno.ENOENT);
    system = host(false);
    expect(acquire({})).toBe(-Errno.EPERM);
  });
});

describe("references", () => {
  it("keep a frame that was given back until the last of them goes", () => {
    const { p2m } = system.domain;
    const frame = p2m.lookup(0x300); // as Xen for an area that it writes to
    const give = (gfn: number) => {
      list(0x1000, 8, gfn);
      return call(system, "memory.decrease_reservation", {
        domid: SELF,
        extent_start: 0x1000,
        nr_extents: 1,
      });
    };
    const take = () =>
      call(system, "memory.populate_physmap", { domid: SELF, extent_start: 0x1000, nr_extents: 1 });
    expect([give(0x300), take()]).toEqual([1, 0]);
    p2m.putPage(frame);
    expect([take(), p2m.translate(0x300), system.frameTable.references(frame)]).toEqual([1, frame, 1]);
  });
});
