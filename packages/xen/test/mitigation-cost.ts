import type { ProcessorProfile } from "@hyperwalk/cpu";
import type { XenConfig } from "../src/xen-config.ts";
import { flatGuest, le } from "./flat-guest.ts";

const CALLS = 64;
const GET_RUNSTATE_INFO = 4;
const VCPU_OP = 24;
const BUFFER = 0x20000;

/** What one VCPUOP_get_runstate_info of a guest costs: cycles, and cycles by `phase cause`. */
export function hypercallCost(
  profile: ProcessorProfile,
  xen: XenConfig,
): { readonly cycles: number; readonly lines: ReadonlyMap<string, number> } {
  const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
  // mov eax, 24; mov ebx, 4; xor ecx, ecx; mov edx, BUFFER; vmmcall; jmp back
  const call = [0xb8, ...le(VCPU_OP), 0xbb, ...le(GET_RUNSTATE_INFO), 0x31, 0xc9, 0xba, ...le(BUFFER)];
  const body = [...call, ...instruction];
  const system = flatGuest(profile, [...body, 0xeb, 0x100 - body.length - 2], {}, { xen });
  const until = (calls: number) => {
    while (system.counters().hypercalls < calls) system.run({ maxInstructions: 6 });
  };
  until(CALLS);
  const before = system.ledger.snapshot();
  until(2 * CALLS);
  const lines = new Map<string, number>();
  for (const { phase, cause, ticks } of system.ledger.rows(before)) {
    const line = `${phase} ${cause}`;
    lines.set(line, (lines.get(line) ?? 0) + ticks / 256 / CALLS);
  }
  return { cycles: (system.ledger.clock[0] - before.clock) / 256 / CALLS, lines };
}
