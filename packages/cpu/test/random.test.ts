import { StopReason } from "@hyperwalk/cpu";
import { expect, it } from "vitest";
import { installTables, Machine } from "./machine.js";

const CODE = 0x100000;

/** RDRAND RAX, RDSEED ECX, RDRAND DX, HLT. */
const DRAW = [0x48, 0x0f, 0xc7, 0xf0, 0x0f, 0xc7, 0xf9, 0x66, 0x0f, 0xc7, 0xf2, 0xf4];

function draw(): Machine {
  const machine = new Machine().long(CODE);
  installTables(machine);
  machine.write(CODE, DRAW);
  for (const register of [0, 1, 2]) machine.setGpr(register, 0xffff_ffff_ffff_0000n);
  expect(machine.run(10)).toBe(StopReason.Halted);
  return machine;
}

it("draws the same random numbers in every run, of the operand's width, with CF alone set", () => {
  const machine = draw();
  expect(machine.gpr(0)).not.toBe(0xffff_ffff_ffff_0000n);
  expect(machine.gpr(1) >> 32n).toBe(0n);
  expect(machine.gpr(2) >> 16n).toBe(0xffff_ffff_ffffn);
  expect(machine.gpr(2) & 0xffffn).not.toBe(0n);
  expect(machine.processor.engine.rflags() & 0x8d5).toBe(1);
  const again = draw();
  for (const register of [0, 1, 2]) expect(again.gpr(register)).toBe(machine.gpr(register));
});
