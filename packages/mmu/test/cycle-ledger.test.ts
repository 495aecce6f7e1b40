import { Arena, CAUSES, Cause, CycleLedger, ticks } from "@hyperwalk/mmu";
import fc from "fast-check";
import { expect, test } from "vitest";

const step = fc.oneof(
  fc.record({ op: fc.constant("charge" as const), a: fc.nat(14), b: fc.nat(100000) }),
  fc.record({ op: fc.constant("enter" as const), a: fc.nat(5), b: fc.constant(0) }),
  fc.record({ op: fc.constant("leave" as const), a: fc.constant(0), b: fc.constant(0) }),
  fc.record({ op: fc.constant("align" as const), a: fc.nat(14), b: fc.constant(0) }),
);

test("the sum of all cells is the clock, and cells belong to the phase stack", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ledger = new CycleLedger(new Arena(1 << 20), "root");
      const phases = ["a", "b", "c", "d", "e", "f"].map((name) => ledger.registerPhase(name));
      const stack = ["root"];
      const model = new Map<string, number>();
      let clock = 0;
      const add = (cause: number, amount: number): void => {
        const key = `${stack.join("/")}:${CAUSES[cause]}`;
        model.set(key, (model.get(key) ?? 0) + amount);
        clock += amount;
      };
      for (const { op, a, b } of steps) {
        if (op === "charge") {
          ledger.charge(a, b);
          add(a, b);
        } else if (op === "enter" && stack.length < 20) {
          ledger.enter(phases[a]);
          stack.push("abcdef"[a]);
        } else if (op === "leave" && stack.length > 1) {
          ledger.leave();
          stack.pop();
        } else if (op === "align") {
          ledger.alignToCycle(a);
          if (clock % 256 !== 0) add(a, 256 - (clock % 256));
          expect(ledger.clock[0] % 256).toBe(0);
        }
        expect(ledger.phaseDepth).toBe(stack.length - 1);
      }
      expect(ledger.clock[0]).toBe(clock);
      const rows = ledger.rows();
      expect(rows.reduce((sum, row) => sum + row.ticks, 0)).toBe(clock);
      const expected = new Map([...model].filter(([, amount]) => amount > 0));
      expect(new Map(rows.map((row) => [`${row.path.join("/")}:${row.cause}`, row.ticks]))).toEqual(expected);
    }),
  );
});

test("a window is the difference of two snapshots", () => {
  const ledger = new CycleLedger(new Arena(1 << 20));
  ledger.charge(Cause.L2, 5);
  const before = ledger.snapshot();
  ledger.charge(Cause.L2, 7);
  const after = ledger.snapshot();
  ledger.charge(Cause.Walk, 9);
  expect(ledger.rows(before, after)).toEqual([{ path: ["guest"], phase: "guest", cause: "l2", ticks: 7 }]);
  expect(after.clock - before.clock).toBe(7);
});

test("names and numbers of causes agree; prices round to ticks", () => {
  expect(CAUSES[Cause.Issue]).toBe("issue");
  expect(CAUSES[Cause.Walk]).toBe("walk");
  expect(CAUSES[Cause.Idle]).toBe("idle");
  expect(CAUSES).toHaveLength(Object.keys(Cause).length);
  expect(ticks(1.5)).toBe(384);
  expect(ticks(0.001)).toBe(0);
});

test("misuse is refused", () => {
  const ledger = new CycleLedger(new Arena(1 << 20));
  expect(() => ledger.leave()).toThrow(RangeError);
  const same = ledger.registerPhase("x");
  expect(ledger.registerPhase("x")).toBe(same);
  for (let i = 0; i < 62; i++) ledger.registerPhase(`p${i}`);
  expect(() => ledger.registerPhase("one too many")).toThrow(RangeError);
  const deep = new CycleLedger(new Arena(1 << 20));
  expect(() => {
    for (let i = 0; i < 64; i++) deep.enter(0);
  }).toThrow(RangeError);
});
