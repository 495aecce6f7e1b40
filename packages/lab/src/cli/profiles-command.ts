import { armProfileQuantities, findArmProfile, PROFILES } from "@hyperwalk/cpu";
import { profileList, profileTable, quantityTable } from "../report/profile.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";

/** `hyperwalk profiles`: the machines there are. @returns the exit code */
export function profilesCommand(output: Output): number {
  output.out(`${profileList(PROFILES, output.paint)}\n`);
  return 0;
}

/** `hyperwalk profiles show <id>`: every number of a machine, x86 or Arm, with its provenance. @returns the exit code */
export function profilesShowCommand(id: string, output: Output): number {
  const { paint } = output;
  const arm = findArmProfile(id);
  if (arm) {
    output.out(
      `${paint.strong(arm.name)} (${arm.id})\n\n${quantityTable(armProfileQuantities(arm), paint)}\n`,
    );
    return 0;
  }
  const machine = machineById("argument <id>", id);
  output.out(`${paint.strong(machine.name)} (${machine.id})\n\n${profileTable(machine, paint)}\n\n`);
  output.out(`Mitigations that Xen turns on: ${machine.defaults.note}\n`);
  return 0;
}
