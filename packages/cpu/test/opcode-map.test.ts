import { expect, test } from "vitest";
import { OPCODE_MAPS, OpcodeMap } from "../src/decode/opcode-map.js";

test("every line of the opcode maps is well formed", () => {
  const counts = OPCODE_MAPS.map((map) =>
    Array.from({ length: 256 }, (_, opcode) => map.forms(opcode).length).reduce((sum, n) => sum + n, 0),
  );
  for (const count of counts) expect(count).toBeGreaterThan(0);
});

test("text becomes forms when an opcode is first asked for, once", () => {
  let read = 0;
  const map = new OpcodeMap(() => {
    read++;
    return "01 add Ev,Gv lock\nff/7 nonsense\n50+ push Zv d64\n";
  });
  expect(read).toBe(0);
  expect(map.forms(0x01).map((form) => form.key)).toEqual(["add"]);
  expect(map.forms(0x01)).toBe(map.forms(0x01));
  expect(map.forms(0x57).map((form) => form.key)).toEqual(["push"]);
  expect(map.forms(0x00)).toEqual([]);
  expect(() => map.forms(0xff)).toThrow();
  expect(read).toBe(1);
});
