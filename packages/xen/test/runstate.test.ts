import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RUNSTATE_WORDS, Runstate } from "../src/runstate.ts";

const WORD = 2n ** 32n;
const split = (ns: bigint): [number, number] => [
  Number(BigInt.asIntN(32, ns)),
  Number(BigInt.asIntN(32, ns / WORD)),
];
const join = (words: Int32Array, at: number) =>
  (BigInt.asUintN(32, BigInt(words[at + 1])) << 32n) | BigInt.asUintN(32, BigInt(words[at]));

describe("Runstate", () => {
  it("accounts every nanosecond to the state it passed in", () => {
    const step = fc.tuple(fc.nat(3), fc.bigInt(0n, 2n ** 45n));
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 50n),
        fc.array(step, { maxLength: 12 }),
        fc.bigInt(0n, 2n ** 45n),
        (start, steps, tail) => {
          let now = start;
          const expected = [0n, 0n, 0n, 0n];
          const runstate = new Runstate(0, ...split(now));
          let state = 0;
          let entry = now;
          for (const [next, passed] of steps) {
            now += passed;
            expected[state] += passed;
            runstate.change(next, ...split(now));
            state = next;
            entry = now;
          }
          const words = new Int32Array(RUNSTATE_WORDS);
          runstate.read(...split(now + tail), words);
          expected[state] += tail;
          expect([words[0], words[1], join(words, 2)]).toEqual([state, 0, entry]);
          expect([4, 6, 8, 10].map((at) => join(words, at))).toEqual(expected);
        },
      ),
    );
  });

  it("does not go back in time", () => {
    const runstate = new Runstate(0, 1000, 0);
    runstate.change(1, 500, 0);
    const words = new Int32Array(RUNSTATE_WORDS);
    runstate.read(400, 0, words);
    expect(words[4]).toBe(0);
    expect(words[6]).toBe(0);
  });

  it("returns to a snapshot", () => {
    const runstate = new Runstate();
    runstate.change(2, 7, 1);
    const snapshot = runstate.snapshot();
    runstate.change(3, 9, 9);
    runstate.restore(snapshot);
    expect(runstate.snapshot()).toEqual(snapshot);
    expect(snapshot.time[0]).toBe(2 ** 32 + 7);
  });

  it("refuses states that do not exist", () => {
    expect(() => new Runstate(4)).toThrow(RangeError);
    expect(() => new Runstate().change(-1, 0, 0)).toThrow(RangeError);
  });
});
