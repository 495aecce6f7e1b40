import { State } from "../../cpu-state.js";
import { setCarry, setLogic, setZero } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";

/** Turns a counter into a word without visible pattern; the factors are the golden ratio and the root of 2 as odd fractions. */
function scramble(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0xb504f333);
  return x ^ (x >>> 15);
}

/** RDRAND and RDSEED: always successful (CF set, the other flags clear), the same numbers in every run. */
function random(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const count = (words[State.RandomCount] + 1) | 0;
  words[State.RandomCount] = count;
  core.writeRegister(code[pc + Entry.A], core.sizeOf(pc), scramble(2 * count), scramble(2 * count + 1));
  setLogic(words, 2, 1, 0);
  setZero(words, false);
  setCarry(words, 1);
  return Status.Next;
}

export const RANDOM: Family = { rdrand: random, rdseed: random };
