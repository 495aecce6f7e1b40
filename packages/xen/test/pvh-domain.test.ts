import { describe, expect, it } from "vitest";
import { buildPvhDomain, ImageError, loadPvhImage, pvhMemoryMap } from "../src/boot/index.ts";
import { elfImage } from "./elf-image.ts";

/** Guest memory that only records what was written. */
function target(memoryBytes: number, hardwareDomain = false) {
  const bytes = new Uint8Array(0x400000);
  const written: [number, number][] = [];
  return {
    bytes,
    view: new DataView(bytes.buffer),
    written,
    config: { memoryBytes, hardwareDomain },
    guestMemory: {
      writeBytes: (address: number, data: Uint8Array) => {
        written.push([address, data.length]);
        bytes.set(data, address);
      },
    },
  };
}

const image = (memoryBytes = 0x2345) =>
  loadPvhImage(elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 80, memoryBytes }] }));

describe("buildPvhDomain", () => {
  it("writes the segments and, on the next page, start_info with the command line and the memory map", () => {
    const domain = target(0x400000);
    const start = buildPvhDomain(domain, image(), { cmdline: "iterations=10 op=version" });
    expect(start).toEqual({ entry: 0x100000, eax: 0, ebx: 0x103000 });
    const { view } = domain;
    const at = start.ebx;
    const u64 = (offset: number) => Number(view.getBigUint64(at + offset, true));
    expect(view.getUint32(at, true)).toBe(0x336ec578);
    expect([4, 8, 12, 52].map((offset) => view.getUint32(at + offset, true))).toEqual([1, 0, 0, 0]);
    expect([u64(16), u64(24), u64(32)]).toEqual([0, at + 56, 0]);
    const text = domain.bytes.subarray(at + 56, domain.bytes.indexOf(0, at + 56));
    expect(new TextDecoder().decode(text)).toBe("iterations=10 op=version");
    const map = u64(40);
    expect(map % 8).toBe(0);
    expect(map).toBeGreaterThan(at + 56 + text.length);
    const entries = Array.from({ length: view.getUint32(at + 48, true) }, (_, i) => [
      Number(view.getBigUint64(map + 24 * i, true)),
      Number(view.getBigUint64(map + 24 * i + 8, true)),
      view.getUint32(map + 24 * i + 16, true),
    ]);
    expect(entries).toEqual([
      [0, 0x400000, 1],
      [0xfeff8000, 0x8000, 2],
    ]);
    expect(domain.written).toEqual([
      [0x100000, 80],
      [at, map + 48 - at],
    ]);
  });

  it("tells the hardware domain that it is one", () => {
    const domain = target(0x400000, true);
    const { ebx: startInfo } = buildPvhDomain(domain, image());
    expect(domain.view.getUint32(startInfo + 8, true)).toBe(3);
    expect(domain.bytes[startInfo + 56]).toBe(0);
  });

  it("says when something does not fit", () => {
    const fails = (memoryBytes: number, size: number, cmdline?: string) =>
      expect(() => buildPvhDomain(target(memoryBytes), image(size), { cmdline })).toThrow(ImageError);
    fails(0x100000, 0x1000);
    fails(0x101000, 0x1001);
    fails(0x101000, 0x1000); // start_info would be above RAM
    fails(0x400000, 0x1000, "x".repeat(65536));
    fails(0x400000, 0x1000, "a\0b");
    fails(0x400000, 2 ** 32 - 0x100000);
    expect(() => buildPvhDomain(target(0x102000), image(0x1000))).not.toThrow();
  });
});

describe("pvhMemoryMap", () => {
  it("puts what does not fit below the special frames above 4 GiB, and loses nothing", () => {
    const sizes = [4096, 128 * 2 ** 20, 0xfc000000, 0xfc001000, 64 * 2 ** 30];
    for (const size of sizes) {
      const map = pvhMemoryMap(size);
      const ram = map.filter((e) => e.type === 1).reduce((sum, e) => sum + e.size, 0);
      expect(ram).toBe(size);
      for (let i = 1; i < map.length; i++)
        expect(map[i].address).toBeGreaterThanOrEqual(map[i - 1].address + map[i - 1].size);
    }
    expect(pvhMemoryMap(0xfc001000)[2]).toEqual({ address: 2 ** 32, size: 4096, type: 1 });
  });

  it("refuses sizes that are no memory", () => {
    for (const size of [0, -4096, 4097, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 47])
      expect(() => pvhMemoryMap(size)).toThrow(RangeError);
  });
});
