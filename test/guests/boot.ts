import type { ProcessorProfile } from "@hyperwalk/cpu";
import { createXenSystem, type XenSystem } from "@hyperwalk/xen";

export type AbiName = "linear" | "physaddr" | "percall" | "fastabi";
export const ABIS = ["linear", "physaddr", "fastabi"] as const;
export const LEAVES = ["4k", "2m"] as const;

/** A fresh system that has run this image to its end or its budget. */
export function boot(
  profile: ProcessorProfile,
  abi: AbiName,
  image: Uint8Array,
  cmdline = "",
  maxInstructions = 20_000_000,
): { system: XenSystem; outcome: ReturnType<XenSystem["run"]> } {
  const system = createXenSystem({
    profile,
    xen: {},
    domain: { image, memoryBytes: 64 * 2 ** 20, cmdline, abi },
  });
  return { system, outcome: system.run({ maxInstructions }) };
}

/** The `key=value` words of the line that starts with `name:`. */
export function fieldsOf(console: string, name: string): Record<string, string> {
  const line = console.split(/\r?\n/).find((each) => each.startsWith(`${name}:`) && each.includes("cycles="));
  if (line === undefined) throw new Error(`no result line of ${name} in ${JSON.stringify(console)}`);
  return Object.fromEntries(
    line
      .split(" ")
      .slice(1)
      .map((word) => word.split("=") as [string, string]),
  );
}
