import { CAUSES } from "@hyperwalk/mmu";
import { HYPERVISOR_PHASES } from "@hyperwalk/xen";

/** Phases in the order in which one hypercall passes through them. */
export const PHASE_PATH: readonly string[] = ["guest", "vm-exit", ...HYPERVISOR_PHASES, "vm-entry"];

function rank(order: readonly string[], name: string): number {
  const at = order.indexOf(name);
  return at < 0 ? order.length : at;
}

/** Orders ledger cells by phase along a hypercall's path, then by cause; phases it does not know come last, by name. */
export function comparePhases(
  a: { readonly phase: string; readonly cause: string },
  b: { readonly phase: string; readonly cause: string },
): number {
  return (
    rank(PHASE_PATH, a.phase) - rank(PHASE_PATH, b.phase) ||
    (a.phase < b.phase ? -1 : a.phase > b.phase ? 1 : 0) ||
    rank(CAUSES, a.cause) - rank(CAUSES, b.cause)
  );
}
