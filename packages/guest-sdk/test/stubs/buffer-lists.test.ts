import { Assembler, Label } from "@hyperwalk/guest-sdk";
import { expect, it } from "vitest";
import { BufferLists } from "../../src/stubs/buffer-lists.ts";

it("describes a buffer for the longest of its uses, whichever comes first", () => {
  const lists = new BufferLists("sg-tuples");
  const buffer = new Label("buffer");
  lists.pointerTo(buffer, 8, 1);
  lists.pointerTo(buffer, 300, 1);
  lists.pointerTo(buffer, 16, 1);
  const a = new Assembler({ physical: 0x200000, linear: 0xffffffff80200000n });
  a.bind(buffer);
  lists.emitData(a);
  const [address, length] = new BigUint64Array(a.link().buffer);
  expect([address, length]).toEqual([0x200000n, 300n]);
});
