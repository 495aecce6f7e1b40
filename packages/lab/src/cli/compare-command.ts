import { ImageError } from "@hyperwalk/xen";
import { type CompareRequest, compare } from "../compare.js";
import type { GuestOperation } from "../guest.js";
import { breakdownTable } from "../report/breakdown.js";
import { consoles, describeExit } from "../report/ends.js";
import { estimatesTable } from "../report/estimates.js";
import { measurementNotes, publishedNote } from "../report/notes.js";
import { setting, summaryTable } from "../report/summary.js";
import type { AbiName, CompareDocument, GuestPage, P2mPage } from "../result.js";
import { guestFromArgument } from "./guest-argument.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `compare` says, parsed. */
export interface CompareOptions {
  readonly machine: string;
  readonly abi: readonly AbiName[];
  readonly iterations: number;
  readonly op: GuestOperation;
  readonly guestPage: GuestPage;
  readonly p2mPage: P2mPage;
  readonly ibpb?: "on" | "off";
  readonly memory: number;
  readonly maxInstructions: number;
  readonly cmdline: string;
  readonly json?: boolean;
}

/** `hyperwalk compare`: one guest through several interfaces. @returns the exit code */
export function compareCommand(guest: string, options: CompareOptions, output: Output): number {
  const chosen = guestFromArgument(guest);
  if (!chosen.operations.includes(options.op))
    throw new UsageError("option --op", `${guest} does not call ${options.op}`, chosen.operations.join(", "));
  const document = compareOrExplain(guest, {
    guest: chosen,
    machine: machineById("option --machine", options.machine),
    abis: options.abi,
    iterations: options.iterations,
    operation: options.op,
    cmdline: options.cmdline,
    guestPage: options.guestPage,
    p2mPage: options.p2mPage,
    memoryMiB: options.memory,
    maxInstructions: options.maxInstructions,
    ...(options.ibpb === undefined ? {} : { mitigations: { ibpbEntry: options.ibpb === "on" } }),
  });
  output.out(options.json ? `${JSON.stringify(document, null, 2)}\n` : report(document, output));
  return exitCode([document], output);
}

function compareOrExplain(argument: string, request: CompareRequest): CompareDocument {
  try {
    return compare(request);
  } catch (error) {
    if (error instanceof ImageError)
      throw new UsageError(
        "argument <guest>",
        `"${argument}" cannot be booted (${error.message})`,
        "a PVH ELF file that fits into --memory",
      );
    throw error;
  }
}

/** 1 when a guest ended badly, after saying so on standard error. */
export function exitCode(documents: readonly CompareDocument[], output: Output): number {
  const bad = documents.flatMap((document) => document.runs).filter((run) => !run.exit.ok);
  for (const run of bad) output.err(`error: guest under ${run.abi}: ${describeExit(run.exit)}\n`);
  return bad.length === 0 ? 0 : 1;
}

function report(document: CompareDocument, { paint }: Output): string {
  const { mitigations } = document.host;
  const parts = [
    setting(document, paint),
    consoles(document, paint),
    summaryTable(document, paint),
    measurementNotes(document).join("\n"),
    publishedNote([{ label: `IBPB on exit ${mitigations.ibpbEntry ? "on" : "off"}`, document }]),
    `${paint.strong("Where the cycles go")} (cycles per call)`,
    breakdownTable(document, paint),
    `${paint.strong("Estimates that these figures rest on")} (${document.estimates.length})`,
    estimatesTable(document.estimates, paint),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}
