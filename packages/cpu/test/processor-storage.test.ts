import { createHash } from "node:crypto";
import {
  epyc9124,
  Processor,
  type ProcessorProfile,
  ProcessorStorage,
  StopReason,
  skylakeSp,
} from "@hyperwalk/cpu";
import { Arena } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { Machine } from "./machine.js";

/** mov [rdi], rdi; mov rax, [rdi + 0x2000]; add rdi, 64; cmp edi, esi; jb -18; hlt */
const LOOP = [
  ...[0x48, 0x89, 0x3f],
  ...[0x48, 0x8b, 0x87, 0x00, 0x20, 0x00, 0x00],
  ...[0x48, 0x83, 0xc7, 0x40],
  ...[0x39, 0xf7],
  ...[0x72, 0xee],
  0xf4,
];

/** Of arrays: comparing millions of numbers one by one takes minutes. */
function sha256({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
}

/** Everything that is left of a walk through some memory. */
function walk(profile: ProcessorProfile, storage?: ProcessorStorage, megabytes = 1): string {
  const machine = new Machine(profile, megabytes + 4, storage).long(0x20000);
  machine.write(0x20000, LOOP);
  machine.setGpr(7, 0x30_0000n);
  machine.setGpr(6, BigInt(0x30_0000 + (megabytes << 20)));
  const { processor } = machine;
  let stop: number;
  do {
    processor.memory.grow();
    stop = processor.engine.run(10_000_000, Number.MAX_SAFE_INTEGER);
  } while (stop === StopReason.ArenaLow);
  expect(stop).toBe(StopReason.Halted);
  const left = { processor: processor.snapshot(), memory: processor.memory.snapshot() };
  return JSON.stringify(left, (_, value) => (ArrayBuffer.isView(value) ? sha256(value) : value));
}

describe("a storage that is handed on", () => {
  it("leaves nothing of the machine that had it before, whatever its shape", () => {
    const storage = new ProcessorStorage();
    for (const profile of [epyc9124, skylakeSp, epyc9124, epyc9124])
      expect(walk(profile, storage)).toBe(walk(profile));
  });

  it("is as good as new after a machine that outgrew it", () => {
    const storage = new ProcessorStorage();
    const { arena } = new Machine(epyc9124, 64, storage).processor;
    const before = arena.u8.length;
    walk(epyc9124, storage, 28);
    expect(storage.take().arena.u8.length).toBe(before);
    expect(walk(epyc9124, storage)).toBe(walk(epyc9124));
  });

  it("does not remember decoded code", () => {
    const storage = new ProcessorStorage();
    const results = [0x11, 0x22].map((value) => {
      const machine = new Machine(epyc9124, 16, storage).long(0x20000);
      machine.write(0x20000, [0xb8, value, 0, 0, 0, 0xf4]);
      machine.processor.engine.run(10, Number.MAX_SAFE_INTEGER);
      return machine.gpr(0);
    });
    expect(results).toEqual([0x11n, 0x22n]);
  });

  it("is refused beside another arena or memory", () => {
    const storage = new ProcessorStorage();
    expect(() => new Processor({ profile: epyc9124, storage, arena: new Arena() })).toThrow(RangeError);
    const { memory } = new Processor({ profile: epyc9124 });
    expect(() => new Processor({ profile: epyc9124, storage, memory })).toThrow(RangeError);
  });
});
