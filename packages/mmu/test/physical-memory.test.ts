import { Arena, ArenaExhaustedError, PhysicalAddressError, PhysicalMemory } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

function make(frames = 64): PhysicalMemory {
  const memory = new PhysicalMemory(new Arena(1 << 20));
  memory.addRam(0, frames);
  return memory;
}

test("reads back what was written, little-endian, across frames and far apart", () => {
  const far = 2 ** 40 - 4;
  const memory = make();
  memory.addRam(far, 4);
  const write = fc.record({
    base: fc.constantFrom(0, far * 4096),
    offset: fc.integer({ min: 0, max: 4 * 4096 - 9 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }),
  });
  const model = new Map<number, number>();
  fc.assert(
    fc.property(write, ({ base, offset, bytes }) => {
      const at = base + offset;
      memory.writeBytes(at, bytes);
      bytes.forEach((byte, i) => {
        model.set(at + i, byte);
      });
      const expected = Array.from({ length: 8 }, (_, i) => model.get(at + i) ?? 0);
      expect([...memory.readBytes(at, 8)]).toEqual(expected);
      expect(memory.readU8(at)).toBe(expected[0]);
      const value = expected.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
      expect(memory.readU64(at)).toBe(value);
      expect(memory.readU32(at)).toBe(Number(value & 0xffffffffn));
      memory.writeU64(at, value ^ 0xffn);
      expect(memory.readU8(at)).toBe(expected[0] ^ 0xff);
      model.set(at, expected[0] ^ 0xff);
    }),
  );
});

test("only touched frames take host memory, and sources fill them once", () => {
  const memory = new PhysicalMemory(new Arena(1 << 20));
  const filled: number[] = [];
  memory.addRam(0x100000, 2 ** 20, (frame, bytes) => {
    filled.push(frame);
    bytes[3] = frame & 255;
  });
  expect(memory.touchedFrames).toBe(0);
  expect(memory.readU8(0x100007 * 4096 + 3)).toBe(7);
  expect(memory.readU8(0x100007 * 4096 + 3)).toBe(7);
  expect(filled).toEqual([0x100007]);
  expect(memory.touchedFrames).toBe(1);
});

test("what is no RAM is refused", () => {
  const memory = make(4);
  expect(memory.frameOffset(4)).toBe(-1);
  expect(memory.frameOffset(-1)).toBe(-1);
  expect(() => memory.readU8(4 * 4096)).toThrow(PhysicalAddressError);
  expect(() => memory.writeBytes(4 * 4096 - 2, new Uint8Array(4))).toThrow(PhysicalAddressError);
  expect(() => memory.addRam(3, 2)).toThrow(RangeError);
  expect(() => memory.addRam(2 ** 40, 1)).toThrow(RangeError);
  expect(() => memory.addRam(10, 0)).toThrow(RangeError);
  expect(memory.isRam(3)).toBe(true);
  expect(memory.isRam(4)).toBe(false);
});

describe("snapshots", () => {
  test("bring back every byte, also of frames first touched afterwards", () => {
    const memory = new PhysicalMemory(new Arena(1 << 20));
    memory.addRam(0, 16, (_frame, bytes) => bytes.fill(9));
    memory.writeU32(0, 1);
    memory.writeU32(4096, 2);
    const saved = memory.snapshot();
    memory.writeU32(0, 3);
    memory.writeU32(8192, 4);
    memory.restore(saved);
    expect([memory.readU32(0), memory.readU32(4096), memory.readU32(8192)]).toEqual([1, 2, 0x09090909]);
    const other = new PhysicalMemory(new Arena(1 << 20));
    other.addRam(0, 16, (_frame, bytes) => bytes.fill(9));
    other.restore(saved);
    expect([...other.readBytes(0, 16 * 4096)]).toEqual([...memory.readBytes(0, 16 * 4096)]);
  });

  test("restoring announces writes to frames that hold code", () => {
    const memory = make();
    memory.writeU32(0, 1);
    const saved = memory.snapshot();
    const told: number[] = [];
    memory.onCodeWrite = (at) => told.push(at);
    const later = memory.frameOffset(7);
    memory.codeSlots[memory.frameOffset(0) >>> 12] = 1;
    memory.codeSlots[later >>> 12] = 1;
    memory.restore(saved);
    expect(told.splice(0)).toEqual([later, memory.frameOffset(0)]);
    memory.writeU8(5, 1);
    memory.writeU32(4096, 1);
    expect(told).toEqual([memory.frameOffset(0)]);
  });
});

describe("arena", () => {
  test("grows without losing bytes and tells its adopters", () => {
    const arena = new Arena(65536);
    let derived = 0;
    const at = arena.reserve(16);
    arena.adopt(() => derived++);
    arena.u8[at] = 42;
    const next = arena.reserve(1 << 20, 4096);
    expect(next % 4096).toBe(0);
    expect(derived).toBe(2);
    expect(arena.u8[at]).toBe(42);
    expect(arena.i32.buffer).toBe(arena.memory.buffer);
  });

  test("says so when 2 GiB are not enough", () => {
    const arena = new Arena(65536);
    expect(() => arena.reserve(2 ** 31)).toThrow(ArenaExhaustedError);
    expect(arena.reserve(64)).toBeGreaterThan(0);
  });

  test("memory keeps room for a run loop and asks for more in time", () => {
    const memory = make(10000);
    let asked = 0;
    memory.onLowHeadroom = () => asked++;
    for (let frame = 0; frame < 5000; frame++) {
      if (memory.arena.free < memory.headroom * 4096) {
        expect(asked).toBeGreaterThan(0);
        memory.grow();
        asked = 0;
        expect(memory.arena.free).toBeGreaterThanOrEqual(memory.headroom * 4096);
      }
      memory.frameOffset(frame);
      expect(memory.codeSlots.length).toBeGreaterThanOrEqual(memory.arena.u8.length / 4096);
    }
  });
});
