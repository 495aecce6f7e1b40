import type { Quantity } from "../profile.js";
import { estimate } from "./quantity.js";

/** Numbers that nobody has published for any of these parts: one judgement for all of them. */
export const ANY_PART: Readonly<
  Record<
    "wrmsr" | "rdmsr" | "cliSti" | "farTransfer" | "interruptDelivery" | "patternEntries" | "fetchOverlap",
    Quantity
  >
> = {
  wrmsr: estimate(100, "cycles", [50, 250], "no published figure for this part; microcoded and serialising"),
  rdmsr: estimate(60, "cycles", [30, 150], "no published figure for this part; microcoded, not serialising"),
  cliSti: estimate(5, "cycles", [1, 15], "no published figure; a few micro-operations that change RFLAGS.IF"),
  farTransfer: estimate(150, "cycles", [50, 300], "no published figure for far CALL, JMP, RET and IRET"),
  interruptDelivery: estimate(
    300,
    "cycles",
    [150, 600],
    "no published figure; IDT and TSS reads are charged beside it",
  ),
  patternEntries: estimate(
    16384,
    "entries",
    [4096, 65536],
    "direction predictor size is not published; a table that ordinary kernel code does not exhaust",
  ),
  fetchOverlap: estimate(
    0.5,
    "ratio",
    [0.2, 0.8],
    "the branch predictor runs ahead of fetch and prefetches lines, except after a re-steer",
  ),
};
