import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ImageError, loadPvhImage } from "../src/boot/index.ts";
import { type ElfShape, elfImage, littleEndian, xenNote } from "./elf-image.ts";

const SHAPE: ElfShape = {
  bits: 64,
  segments: [
    { address: 0x100000, bytes: 64, memoryBytes: 0x3000 },
    { address: 0x200000, bytes: 32 },
  ],
  entry: 0x100010,
};

function errorOf(image: Uint8Array): ImageError {
  try {
    loadPvhImage(image);
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
  throw new Error("no error");
}

/** The shape's image with a few bytes replaced. */
function patched(at: number, bytes: readonly number[], shape: ElfShape = SHAPE): Uint8Array {
  const image = elfImage(shape);
  image.set(bytes, at);
  return image;
}

const header = (index: number) => 64 + index * 56;

describe("loadPvhImage", () => {
  it.each([
    [32, 4, 3],
    [32, 8, 62], // XTF's hvm64: 64-bit machine in a 32-bit file
    [64, 4, 62],
    [64, 8, 62],
  ] as const)("reads ELF%i with a note of %i bytes, machine %i", (bits, entryBytes, machine) => {
    const image = loadPvhImage(elfImage({ ...SHAPE, bits, entryBytes, machine }));
    expect(image).toMatchObject({
      elfClass: bits,
      machine: machine === 3 ? "i386" : "x86-64",
      entry: 0x100010,
      start: 0x100000,
      end: 0x200020,
    });
    expect(image.segments.map((s) => [s.address, s.bytes.length, s.memoryBytes, s.bytes[0]])).toEqual([
      [0x100000, 64, 0x3000, 1],
      [0x200000, 32, 32, 2],
    ]);
  });

  it("sorts segments, skips empty ones and finds the note among others", () => {
    const other = xenNote(6, new TextEncoder().encode("guest"));
    const foreign = xenNote(18, littleEndian(0xdead, 4), "GNU\0");
    const note = new Uint8Array([...other, ...foreign, ...xenNote(18, littleEndian(0x3000, 4))]);
    const segments = [
      { address: 0x5000, bytes: 16 },
      { address: 0x9000, bytes: 0 },
      { address: 0x3000, bytes: 16 },
    ];
    const image = loadPvhImage(elfImage({ bits: 64, segments, note }));
    expect(image.segments.map((s) => s.address)).toEqual([0x3000, 0x5000]);
    expect(image.entry).toBe(0x3000);
  });

  it.each([
    ["nothing", new Uint8Array(), "not-elf", "magic"],
    ["text", new TextEncoder().encode("#!/bin/sh"), "not-elf", "magic"],
    ["class 3", patched(4, [3]), "unsupported", "e_ident class"],
    ["big-endian", patched(5, [2]), "unsupported", "e_ident data"],
    ["a relocatable object", patched(16, [1]), "unsupported", "e_type"],
    ["an Arm image", patched(18, [183]), "unsupported", "e_machine"],
    ["no program headers", patched(56, [0, 0]), "bad-program-header", "e_phnum"],
    ["65535 program headers", patched(56, [0xff, 0xff]), "bad-program-header", "e_phnum"],
    ["a wrong e_phentsize", patched(54, [32]), "bad-program-header", "e_phentsize"],
    ["a table past the end", patched(32, [0, 0, 0, 0x40]), "truncated", "segment 0"],
    ["a table at 2^63", patched(39, [0x80]), "truncated", "segment 0"],
    ["a segment past the file's end", patched(header(0) + 8, [0, 0, 0, 0x10]), "truncated", "segment 0"],
    [
      "file bytes above memory bytes",
      patched(header(1) + 40, [1, 0]),
      "bad-segment",
      "p_filesz of segment 1",
    ],
    ["a segment above 4 GiB", patched(header(1) + 28, [1]), "bad-segment", "p_paddr + p_memsz"],
    [
      "an absurd memory size",
      patched(header(0) + 40, Array(8).fill(0xff)),
      "bad-segment",
      "p_paddr + p_memsz",
    ],
    ["only notes", elfImage({ bits: 64, segments: [] }), "bad-segment", "PT_LOAD"],
    ["no note", patched(header(2), [0]), "no-pvh-entry", "PT_NOTE"],
    [
      "another vendor's note",
      elfImage({ ...SHAPE, note: xenNote(18, littleEndian(0x100010, 4), "GNU\0") }),
      "no-pvh-entry",
      "PT_NOTE",
    ],
    [
      "a note of 2 bytes",
      elfImage({ ...SHAPE, note: xenNote(18, littleEndian(1, 2)) }),
      "bad-note",
      "PHYS32_ENTRY size",
    ],
    [
      "a note longer than its segment",
      elfImage({ ...SHAPE, note: xenNote(18, littleEndian(1, 4)).fill(200, 4, 5) }),
      "bad-note",
      "n_descsz",
    ],
    [
      "a note of 4 GiB",
      elfImage({ ...SHAPE, note: xenNote(18, littleEndian(1, 4)).fill(0xff, 0, 8) }),
      "bad-note",
      "n_descsz",
    ],
    ["an entry outside", elfImage({ ...SHAPE, entry: 0x300000 }), "bad-entry", "PHYS32_ENTRY"],
    [
      "an entry above 4 GiB",
      elfImage({ ...SHAPE, entry: 2 ** 32 + 0x100010, entryBytes: 8 }),
      "bad-entry",
      "PHYS32_ENTRY",
    ],
  ] as const)("refuses %s", (_, image, code, field) => {
    const error = errorOf(image);
    expect(error.code).toBe(code);
    expect(error.field).toContain(field);
    expect(error.message).toContain(error.allowed);
  });

  it("refuses overlapping segments", () => {
    const segments = [
      { address: 0x1000, bytes: 16, memoryBytes: 0x2000 },
      { address: 0x2fff, bytes: 16 },
    ];
    expect(errorOf(elfImage({ bits: 64, segments })).code).toBe("overlap");
  });

  it("refuses every truncation", () => {
    for (const bits of [32, 64] as const) {
      const image = elfImage({ ...SHAPE, bits });
      for (let length = 0; length < image.length; length++)
        expect(["not-elf", "truncated"]).toContain(errorOf(image.subarray(0, length)).code);
    }
  });

  it("reads a view into a larger buffer", () => {
    const image = elfImage(SHAPE);
    const larger = new Uint8Array(image.length + 32).fill(0xee);
    larger.set(image, 13);
    expect(loadPvhImage(larger.subarray(13, 13 + image.length)).entry).toBe(0x100010);
  });
});

describe("hostile images", () => {
  /** What holds of every image that is accepted. */
  function check(bytes: Uint8Array): void {
    let image: ReturnType<typeof loadPvhImage>;
    try {
      image = loadPvhImage(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(ImageError);
      return;
    }
    let end = 0;
    for (const segment of image.segments) {
      expect(segment.address).toBeGreaterThanOrEqual(end);
      expect(segment.bytes.buffer).toBe(bytes.buffer);
      expect(segment.bytes.length).toBeLessThanOrEqual(segment.memoryBytes);
      end = segment.address + segment.memoryBytes;
    }
    expect(end).toBeLessThanOrEqual(2 ** 32);
    expect(image.entry).toBeLessThan(end);
  }

  it("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check), { numRuns: 500 });
    const magic = [0x7f, 0x45, 0x4c, 0x46];
    const started = fc.uint8Array({ maxLength: 300 }).map((tail) => new Uint8Array([...magic, ...tail]));
    fc.assert(fc.property(started, check), { numRuns: 500 });
  });

  it("damaged images", () => {
    const value = fc.constantFrom(0, 1, 2, 4, 0x7f, 0x80, 0xfe, 0xff);
    for (const bits of [32, 64] as const) {
      const whole = elfImage({ ...SHAPE, bits });
      const edits = fc.array(fc.tuple(fc.nat(whole.length - 1), value), { minLength: 1, maxLength: 6 });
      const property = fc.property(edits, fc.nat(whole.length), (changes, cut) => {
        const image = whole.slice(0, whole.length - (cut % 3 === 0 ? cut : 0));
        for (const [at, byte] of changes) if (at < image.length) image[at] = byte;
        check(image);
      });
      fc.assert(property, { numRuns: 3000 });
    }
  });
});
