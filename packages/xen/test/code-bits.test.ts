import { Segment, SegmentWord, State } from "@hyperwalk/cpu";
import { expect, it } from "vitest";
import { HypervisorBench } from "./hypervisor-bench.ts";

it("code is decoded as 64 bits in long mode, as 32 with CS.D, else as 16", () => {
  const { registers } = new HypervisorBench();
  const { words } = registers;
  const bits = (cr0: number, efer: number, attributes: number, rflags = 2) => {
    words[State.Cr0] = cr0;
    words[State.EferLo] = efer;
    words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes] = attributes;
    registers.rflags = rflags;
    return registers.codeBits;
  };
  const [D, L, LMA, VM] = [0x4000, 0x2000, 0x400, 0x20002];
  expect([bits(0, 0, D), bits(1, 0, 0), bits(1, 0, D), bits(1, 0, D, VM)]).toEqual([16, 16, 32, 16]);
  // Without L a long-mode guest is in compatibility mode.
  expect([bits(1, LMA, L), bits(1, LMA, D), bits(1, LMA, 0)]).toEqual([64, 32, 16]);
});
