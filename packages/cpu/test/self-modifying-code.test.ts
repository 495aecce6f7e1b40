import { StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { le, Machine } from "./machine.js";

const CODE = 0x100000;

describe("self-modifying code", () => {
  it("runs what a store put a few bytes ahead, in the same block", () => {
    const machine = new Machine().long(CODE);
    // mov byte [rip+1], 0x42; mov al, 0x11 -> mov al, 0x42; hlt
    machine.write(CODE, [0xc6, 0x05, ...le(1, 4), 0x42, 0xb0, 0x11, 0xf4]);
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.gpr(0) & 0xffn).toBe(0x42n);
  });

  it("sees a write through another linear address of the same frame", () => {
    const machine = new Machine().long(CODE);
    const { memory } = machine.processor;
    memory.writeU64(0x3000 + 8 * 100, 0x83n); // 200 MiB is frame 0 again
    machine.write(CODE, [
      0xb0,
      0x11, // patched
      0xff,
      0xc1, // inc ecx
      0xc6,
      0x04,
      0x25,
      ...le((100 << 21) + CODE + 1, 4),
      0x42, // mov byte [alias], 0x42
      0x83,
      0xf9,
      0x02,
      0x75,
      0xef, // cmp ecx, 2; jne start
      0xf4,
    ]);
    machine.processor.mmu.invalidateAll();
    expect(machine.run(20)).toBe(StopReason.Halted);
    expect(machine.gpr(0) & 0xffn).toBe(0x42n);
  });

  it("sees bytes that the outside world wrote", () => {
    const machine = new Machine().long(CODE);
    machine.write(CODE, [0xb0, 0x11, 0xeb, 0xfc]);
    machine.run(100);
    machine.write(CODE + 1, [0x42]);
    machine.run(100);
    expect(machine.gpr(0) & 0xffn).toBe(0x42n);
  });

  it("follows an instruction that crosses into a page which changes", () => {
    const machine = new Machine().long(CODE + 0xffe);
    const { memory } = machine.processor;
    // mov eax, imm32 at the end of one page, then jmp back.
    machine.write(CODE + 0xffe, [0xb8, 0x01, 0x00, 0x00, 0x00, 0xeb, 0xf9]);
    machine.run(20);
    expect(machine.gpr(0)).toBe(1n);
    memory.writeU8(CODE + 0x1000, 0x7f);
    machine.run(20);
    expect(machine.gpr(0)).toBe(0x7f01n);
  });

  it("keeps right when code and data share a frame", () => {
    const machine = new Machine().long(CODE);
    // add dword [rip+..], 1 on the same page, 1000 times
    machine.write(CODE, [0xb9, ...le(1000, 4), 0x83, 0x05, ...le(0x100, 4), 1, 0xff, 0xc9, 0x75, 0xf5, 0xf4]);
    expect(machine.run(10_000)).toBe(StopReason.Halted);
    expect(machine.processor.memory.readU32(CODE + 12 + 0x100)).toBe(1000);
  });
});
