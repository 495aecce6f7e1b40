import type { ExecutionCore } from "./core.js";

/** Executes the entry at `pc`; answers with a `Status` number. Handlers keep no state of their own. */
export type Handler = (core: ExecutionCore, pc: number) => number;

/** Handlers of an instruction family by form key; the number tells variants of one handler apart. */
export type Family = Readonly<Record<string, Handler | readonly [Handler, number]>>;
