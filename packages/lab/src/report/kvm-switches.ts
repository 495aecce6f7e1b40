import type { CompareDocument } from "../result.js";

/** Linux's switches and the monitor's, in a line. */
export function kvmSwitches({
  rsbFill,
  sharedInfo,
  monitor,
  ...switches
}: NonNullable<CompareDocument["host"]["kvm"]>): string {
  const on = Object.entries(switches)
    .filter(([, value]) => value)
    .map(([name]) => name);
  return [
    ...on,
    `rsbFill ${rsbFill}`,
    `shared_info by ${sharedInfo}`,
    ...(monitor === "qemu" ? ["the monitor serves what QEMU does"] : []),
  ].join(", ");
}
