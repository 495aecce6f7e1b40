import type { AbiName } from "../result.js";

/** Interfaces whose calls can be recorded: those where Xen reaches a buffer at the address that the guest passes. */
export const RECORDED_ABIS: readonly AbiName[] = ["linear", "physaddr", "percall", "fastabi"];

/** What stands for the guest's own work between two calls of a replay. */
export const BETWEEN = ["instructions", "nothing"] as const;
export type Between = (typeof BETWEEN)[number];

/** Bytes that stand for what a guest touches between two calls, when nobody says how many: a first-level cache. */
export const DEFAULT_FOOTPRINT = 32768;
