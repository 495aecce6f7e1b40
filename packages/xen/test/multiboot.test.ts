import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bootProtocol,
  buildHvmDomain,
  buildMultibootDomain,
  ImageError,
  loadHvmImage,
  loadMultibootImage,
} from "../src/boot/index.ts";
import { elfImage, littleEndian } from "./elf-image.ts";

const MAGIC = 0x1badb002;

/** A flat image: header at `at`, loaded to `load`; the rest is 0x90. */
function flatImage(change: Partial<Record<number, number>> = {}, at = 8): Uint8Array {
  const image = new Uint8Array(256).fill(0x90);
  const load = 0x200000;
  const flags = change[4] ?? 0x10003;
  const words = [MAGIC, flags, -(MAGIC + flags) | 0, load + at, load, load + 200, load + 0x1000, load + 48];
  words.forEach((word, i) => {
    image.set(littleEndian((change[4 * i] ?? word) >>> 0, 4), at + 4 * i);
  });
  return image;
}

/** An ELF32 file with a multiboot header at the start of its only segment. */
function elfMultiboot(): Uint8Array {
  const image = elfImage({ bits: 32, machine: 3, segments: [{ address: 0x100000, bytes: 64 }] });
  image.set(littleEndian(0x100010, 4), 24);
  const at = image.indexOf(1, 52 + 64);
  const first = Math.ceil(at / 4) * 4;
  [MAGIC, 3, -(MAGIC + 3) >>> 0].forEach((word, i) => {
    image.set(littleEndian(word, 4), first + 4 * i);
  });
  return image;
}

function target(memoryBytes: number) {
  const bytes = new Uint8Array(0x400000);
  return {
    bytes,
    view: new DataView(bytes.buffer),
    config: { memoryBytes },
    guestMemory: { writeBytes: (address: number, data: Uint8Array) => bytes.set(data, address) },
  };
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof ImageError) return error.code;
    throw error;
  }
  return undefined;
}

describe("loadMultibootImage", () => {
  it("places a flat image by its address fields", () => {
    const image = loadMultibootImage(flatImage());
    expect(image).toMatchObject({ entry: 0x200030, start: 0x200000, end: 0x201000 });
    expect(image.segments.map((s) => [s.address, s.bytes.length, s.memoryBytes])).toEqual([
      [0x200000, 200, 0x1000],
    ]);
  });

  it("takes the whole file when load_end_addr is 0", () => {
    const [segment] = loadMultibootImage(flatImage({ 20: 0, 24: 0 })).segments;
    expect([segment.bytes.length, segment.memoryBytes]).toEqual([256, 256]);
  });

  it("starts an ELF file at e_entry", () => {
    expect(loadMultibootImage(elfMultiboot())).toMatchObject({ entry: 0x100010, start: 0x100000 });
  });

  it.each([
    ["no header", new Uint8Array(512), "no-multiboot-header"],
    ["an unaligned header", flatImage({}, 10), "no-multiboot-header"],
    ["a wrong checksum", flatImage({ 8: 1 }), "no-multiboot-header"],
    ["an unknown requirement", flatImage({ 4: 0x10008, 8: -(MAGIC + 0x10008) }), "unsupported"],
    ["neither addresses nor ELF", flatImage({ 4: 3, 8: -(MAGIC + 3) }), "unsupported"],
    ["a header below what is loaded", flatImage({ 12: 0x1000 }), "bad-segment"],
    ["an end before the start", flatImage({ 20: 0x1000 }), "bad-segment"],
    ["more bytes than the file has", flatImage({ 20: 0x201000 }), "truncated"],
    ["an entry outside", flatImage({ 28: 0x300000 }), "bad-entry"],
    ["an end past 4 GiB", flatImage({ 12: 0xfffffff8, 16: 0xfffffff0, 20: 0, 24: 0 }), "bad-segment"],
  ])("refuses %s", (_what, image, code) => {
    expect(codeOf(() => loadMultibootImage(image))).toBe(code);
  });

  it("gives typed errors or a placed image for any damage", () => {
    const whole = flatImage();
    fc.assert(
      fc.property(fc.nat(40), fc.uint8Array({ minLength: 1, maxLength: 8 }), (at, bytes) => {
        const image = Uint8Array.from(whole);
        image.set(bytes, at);
        codeOf(() => loadMultibootImage(image));
      }),
    );
  });
});

describe("buildMultibootDomain", () => {
  it("tells the command line, the modules and the memory map", () => {
    const domain = target(0x400000);
    const modules = [
      { bytes: Uint8Array.of(1, 2, 3), cmdline: "first" },
      { bytes: Uint8Array.of(4), cmdline: "second one" },
    ];
    const start = buildMultibootDomain(domain, loadMultibootImage(flatImage()), {
      cmdline: "a b",
      modules,
    });
    expect(start).toEqual({ entry: 0x200030, eax: 0x2badb002, ebx: 0x10000 });
    const u32 = (at: number) => domain.view.getUint32(at, true);
    const text = (at: number) =>
      new TextDecoder().decode(domain.bytes.subarray(at, domain.bytes.indexOf(0, at)));
    const info = start.ebx;
    expect(u32(info) & 0x4d).toBe(0x4d);
    expect([u32(info + 4), u32(info + 8)]).toEqual([640, 3072]);
    expect(text(u32(info + 16))).toBe("a b");
    const list = u32(info + 24);
    const found = [0, 16].map((at) => {
      const [first, end] = [u32(list + at), u32(list + at + 4)];
      return [first % 4096, [...domain.bytes.subarray(first, end)], text(u32(list + at + 8))];
    });
    expect(u32(info + 20)).toBe(2);
    expect(found).toEqual([
      [0, [1, 2, 3], "first"],
      [0, [4], "second one"],
    ]);
    const entries: number[][] = [];
    for (let at = u32(info + 48); at < u32(info + 48) + u32(info + 44); at += u32(at) + 4)
      entries.push([u32(at + 4), u32(at + 12), u32(at + 20)]);
    expect(entries).toEqual([
      [0, 0xa0000, 1],
      [0xa0000, 0x60000, 2],
      [0x100000, 0x300000, 1],
      [0xfeff8000, 0x8000, 2],
    ]);
  });

  it("moves the information away from an image in low memory", () => {
    const image = {
      entry: 0x10000,
      start: 0x10000,
      end: 0x10100,
      segments: [{ address: 0x10000, bytes: new Uint8Array(256), memoryBytes: 256 }],
    };
    expect(buildMultibootDomain(target(0x400000), image).ebx).toBe(0x11000);
  });

  it("refuses what does not fit", () => {
    const image = loadMultibootImage(flatImage());
    expect(codeOf(() => buildMultibootDomain(target(0x200000), image))).toBe("does-not-fit");
    const modules = [{ bytes: new Uint8Array(0x300000) }];
    expect(codeOf(() => buildMultibootDomain(target(0x400000), image, { modules }))).toBe("does-not-fit");
  });
});

describe("a start as firmware", () => {
  it("begins at e_entry, translated from a virtual address", () => {
    const image = elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] });
    image.set(littleEndian(0x8000_0020, 8), 24);
    image.set(littleEndian(0x8000_0000, 8), 64 + 16);
    expect(loadHvmImage(image).entry).toBe(0x100020);
    expect(buildHvmDomain(target(0x400000), loadHvmImage(image))).toEqual({
      entry: 0x100020,
      eax: 0,
      ebx: 0,
    });
  });

  it("refuses an entry outside, and what it could not tell the guest", () => {
    const image = elfImage({ bits: 32, segments: [{ address: 0x100000, bytes: 64 }] });
    expect(codeOf(() => loadHvmImage(image))).toBe("bad-entry");
    image.set(littleEndian(0x100000, 4), 24);
    const loaded = loadHvmImage(image);
    expect(codeOf(() => buildHvmDomain(target(0x400000), loaded, { cmdline: "x" }))).toBe("does-not-fit");
  });
});

describe("bootProtocol", () => {
  it("follows the image's marks: a PVH note, a multiboot header, else any ELF file", () => {
    const plain = elfImage({
      bits: 32,
      segments: [{ address: 0x100000, bytes: 64 }],
      note: new Uint8Array(0),
    });
    const marked = elfImage({ bits: 32, segments: [{ address: 0x100000, bytes: 64 }] });
    expect([marked, flatImage(), plain].map((image) => bootProtocol(image).id)).toEqual([
      "pvh",
      "multiboot",
      "hvm",
    ]);
    expect(bootProtocol(marked, "hvm").id).toBe("hvm");
    expect(codeOf(() => bootProtocol(new Uint8Array(9)).load(new Uint8Array(9)))).toBe("not-elf");
  });
});
