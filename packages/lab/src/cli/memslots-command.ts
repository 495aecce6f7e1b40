import type { MemslotUpdate } from "@hyperwalk/xen";
import { compareSharedInfoKeys } from "../memslots.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";

/** What the command line of `memslots` says, parsed. */
export interface MemslotsOptions {
  readonly machine: string;
  readonly update: readonly MemslotUpdate[];
  readonly json?: boolean;
}

/** `hyperwalk memslots`: events at every point of updates of KVM's memory slots. @returns the exit code */
export async function memslotsCommand(options: MemslotsOptions, output: Output): Promise<number> {
  const machine = await machineById("option --machine", options.machine);
  const document = compareSharedInfoKeys({ machine, updates: options.update });
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { memslotsReport } = await import("../report/memslots-report.js");
    output.out(memslotsReport(document, output.paint));
  }
  return 0;
}
