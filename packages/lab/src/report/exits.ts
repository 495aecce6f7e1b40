import type { RunOutcome } from "@hyperwalk/xen";
import type { RunExit } from "../result.js";

/** How a run ended, in words. */
export function describeExit(exit: RunExit): string {
  const at = `at RIP ${exit.rip}`;
  const detail = exit.detail ? `: ${exit.detail}` : "";
  switch (exit.reason) {
    case "shutdown":
      return exit.ok
        ? `the guest asked for ${exit.shutdown}`
        : `shutdown for ${exit.shutdown ?? "no stated reason"} ${at}${detail}`;
    case "budget":
      return `the budget of ${exit.budget ?? "instructions"} was used up ${at}${detail}`;
    default:
      return `${exit.reason.replaceAll("-", " ")} ${at}${detail}`;
  }
}

/** How a booted guest ended, in words. */
export function describeOutcome(outcome: RunOutcome): string {
  const { reason, exitCode, bytes, vcpu } = outcome;
  if (reason === "exit-port") return `the guest wrote ${exitCode} to the exit port`;
  const ok = reason === "shutdown" && outcome.shutdown !== "crash" && outcome.shutdown !== "watchdog";
  const whose = vcpu === undefined || ok ? "" : `, vCPU ${vcpu}`;
  return describeExit({ ...outcome, ok }) + (bytes === undefined ? "" : ` (${bytes})`) + whose;
}
