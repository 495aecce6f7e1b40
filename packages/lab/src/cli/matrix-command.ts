import { BUILT_IN_GUESTS } from "../guest-catalogue.js";
import { compareOperations, MATRIX_OPERATIONS } from "../operation-matrix.js";
import { describeExit } from "../report/exits.js";
import { runName } from "../report/run-name.js";
import { type CompareOptions, checkHosts, kvmConfig } from "./compare-command.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";
import { xenConfig } from "./xen-options.js";

/** `hyperwalk compare <guest> --op all`, or with names of operations. @returns the exit code */
export async function matrixCommand(
  guest: string,
  operations: readonly string[],
  options: Omit<CompareOptions, "op">,
  output: Output,
): Promise<number> {
  const builtIn = BUILT_IN_GUESTS.map(({ name }) => name);
  if (!builtIn.includes(guest))
    throw new UsageError(
      "argument <guest>",
      `"${guest}" makes only the calls that are in it`,
      `with --op all or names of operations: ${builtIn.join(", ")}`,
    );
  if (options.fastForward !== undefined)
    throw new UsageError("option --fast-forward", "every call of a matrix is timed", "none with --op all");
  if (options.confidential !== undefined)
    throw new UsageError(
      "option --confidential",
      "a matrix's guests are not encrypted",
      "none with --op all",
    );
  const unknown = operations.find((name) => !MATRIX_OPERATIONS.includes(name));
  if (unknown !== undefined)
    throw new UsageError(
      "option --op",
      `"${unknown}" is not valid`,
      `all, or ${MATRIX_OPERATIONS.join(", ")}`,
    );
  checkHosts(options, options.abi);
  const machine = await machineById("option --machine", options.machine);
  const document = compareOperations({
    machine,
    abis: options.abi,
    hosts: options.host,
    kvm: kvmConfig(options),
    ...(operations.length === 0 ? {} : { operations }),
    guestPage: options.guestPage,
    p2mPage: options.p2mPage,
    mmioHandlers: options.mmioHandlers,
    memoryMiB: options.memory,
    maxInstructions: options.maxInstructions,
    mitigations: {
      ...xenConfig(options, machine),
      ...(options.ibpb === undefined ? {} : { ibpbEntry: options.ibpb === "on" }),
    },
  });
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { matrixReport } = await import("../report/matrix-report.js");
    output.out(matrixReport(document, output.paint));
  }
  const bad = document.exits.flatMap((exit, i) =>
    exit.ok ? [] : [{ exit, name: runName({ abi: document.abis[i], host: document.hosts?.[i] }) }],
  );
  for (const { exit, name } of bad) output.err(`error: guest under ${name}: ${describeExit(exit)}\n`);
  return bad.length === 0 ? 0 : 1;
}
