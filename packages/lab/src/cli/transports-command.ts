import { describeExit } from "../report/exits.js";
import type { TransportHost, TransportName } from "../transport-names.js";
import { compareTransports } from "../transports.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { type XenOptions, xenConfig } from "./xen-options.js";

/** What the command line of `transports` says, parsed. */
export interface TransportsOptions extends XenOptions {
  readonly machine: string;
  readonly host: readonly TransportHost[];
  readonly transport: readonly TransportName[];
  readonly iterations: number;
  readonly json?: boolean;
}

/** `hyperwalk transports`: one guest notifies a device in every way that there is. @returns the exit code */
export async function transportsCommand(options: TransportsOptions, output: Output): Promise<number> {
  const machine = await machineById("option --machine", options.machine);
  const document = compareTransports({
    machine,
    hosts: options.host,
    transports: options.transport,
    iterations: options.iterations,
    mitigations: xenConfig(options, machine),
  });
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { transportsReport } = await import("../report/transports-report.js");
    output.out(transportsReport(document, output.paint));
  }
  const bad = document.results.filter(({ exit }) => !exit.ok);
  for (const { exit, host, handler, transport } of bad)
    output.err(`error: guest under ${host}, ${transport} to ${handler}: ${describeExit(exit)}\n`);
  return bad.length === 0 ? 0 : 1;
}
