import { SvmExitCode, VmxExitReason } from "@hyperwalk/cpu";

/** Exit codes that stand for a family: the code less the first one is a register or a vector. */
const SVM_FAMILIES: readonly (readonly [string, number, number])[] = [
  ["cr-read", SvmExitCode.CrRead, 16],
  ["cr-write", SvmExitCode.CrWrite, 16],
  ["dr-read", SvmExitCode.DrRead, 16],
  ["dr-write", SvmExitCode.DrWrite, 16],
  ["exception", SvmExitCode.Exception, 32],
];
const SVM_NAMES = namesOf(SvmExitCode);
const VMX_NAMES = namesOf(VmxExitReason);

/** Name of an exit reason in the words of the vendor's manual: `cpuid`, `npf`, `ept-violation`, `exception-14`. */
export function exitName(vendor: "amd" | "intel", code: number): string {
  const family =
    vendor === "amd" ? SVM_FAMILIES.find(([, at, count]) => code >= at && code < at + count) : undefined;
  if (family !== undefined) return `${family[0]}-${code - family[1]}`;
  return (vendor === "amd" ? SVM_NAMES : VMX_NAMES).get(code) ?? `exit-0x${(code >>> 0).toString(16)}`;
}

function namesOf(codes: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(codes).map(([name, code]) => [code, kebab(name)]));
}

function kebab(name: string): string {
  return name.replace(/[a-z0-9](?=[A-Z])/g, "$&-").toLowerCase();
}
