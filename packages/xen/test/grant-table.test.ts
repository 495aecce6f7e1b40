import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { GrantTable } from "../src/grant-table.ts";
import { xenMemory } from "./xen-memory.ts";

function table(maxFrames?: number) {
  const { memory, allocateFrame } = xenMemory();
  let allocated = 0;
  const grants = new GrantTable({
    memory,
    allocateFrame: () => {
      allocated++;
      return allocateFrame();
    },
    ...(maxFrames === undefined ? {} : { maxFrames }),
  });
  return { memory, grants, allocated: () => allocated };
}

describe("GrantTable", () => {
  it("grows to the frame that is asked for, up to its limit", () => {
    const { grants } = table(4);
    expect(grants.frames).toBe(1);
    const frames = [0, 3, 1].map((index) => grants.sharedFrame(index));
    expect(new Set(frames).size).toBe(3);
    expect(grants.frames).toBe(4);
    expect(grants.sharedFrame(4)).toBe(-Errno.EINVAL);
    expect(grants.grow(5)).toBe(false);
  });

  it("has status frames only in version 2", () => {
    const { grants } = table(64);
    expect(grants.statusFrame(0)).toBe(-Errno.EINVAL);
    expect(grants.setVersion(2)).toBe(0);
    expect(grants.statusFrame(0)).toBeGreaterThan(0);
    expect(grants.statusFrame(7)).toBeGreaterThan(0); // 64 frames of 256 entries, 2048 statuses a frame
    expect(grants.statusFrame(8)).toBe(-Errno.EINVAL);
    expect(grants.setVersion(1)).toBe(0);
    expect(grants.statusFrame(0)).toBe(-Errno.EINVAL);
  });

  it("keeps the toolstack's grants across versions, in each one's layout, and drops the guest's", () => {
    const { memory, grants } = table();
    const at = grants.sharedFrame(0) * 4096;
    grants.grantToToolstack(0, 0xfefff);
    grants.grantToToolstack(1, 0xfeffc);
    memory.writeU32(at + 8 * 8, 1); // an entry of the guest's
    grants.setVersion(2);
    expect([memory.readU32(at), memory.readU32(at + 8), memory.readU32(at + 24)]).toEqual([
      1, 0xfefff, 0xfeffc,
    ]);
    expect(memory.readU32(at + 8 * 16)).toBe(0);
    grants.setVersion(1);
    expect([memory.readU32(at), memory.readU32(at + 4), memory.readU32(at + 12)]).toEqual([
      1, 0xfefff, 0xfeffc,
    ]);
  });

  it("refuses other versions", () => {
    const { grants } = table();
    expect([0, 3, -1].map((version) => grants.setVersion(version))).toEqual(Array(3).fill(-Errno.EINVAL));
    expect(grants.version).toBe(1);
  });

  it("takes no more of Xen's heap however often the version changes", () => {
    const { grants, allocated } = table();
    grants.setVersion(2);
    const before = allocated();
    for (let i = 0; i < 100; i++) grants.setVersion(1 + (i % 2));
    expect(allocated()).toBe(before);
  });
});
