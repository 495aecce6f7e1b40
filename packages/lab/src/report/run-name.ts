import type { RunResult } from "../result.js";

/** How reports call a run: its interface, and the hypervisor where that is not Xen. */
export function runName({
  abi,
  host,
}: Pick<RunResult, "abi"> & { readonly host?: RunResult["host"] | undefined }): string {
  return host === "kvm" ? `${abi} on KVM` : abi;
}
