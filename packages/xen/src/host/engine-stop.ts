import { type Processor, State, StopReason } from "@hyperwalk/cpu";
import type { RunOutcome } from "./run-outcome.js";

/** How the guest ended when the processor stopped without a VM exit; undefined: it goes on. @param rip hexadecimal */
export function engineStop(stop: number, { engine }: Processor, rip: string): RunOutcome | undefined {
  switch (stop) {
    case StopReason.ArenaLow: // the loop grows it
    case StopReason.Requested:
      return undefined;
    case StopReason.Unsupported: {
      const unsupported = engine.lastUnsupported;
      return {
        reason: "unsupported-instruction",
        rip: unsupported?.rip ?? rip,
        detail: unsupported?.disassembly ?? "unknown instruction",
        ...(unsupported === undefined ? {} : { bytes: hexBytes(unsupported.bytes) }),
      };
    }
    case StopReason.Halted:
      return { reason: "halted", rip, detail: "HLT that did not leave the guest" };
    default:
      return { reason: "triple-fault", rip };
  }
}

/** RIP of a guest that stopped without an exit, hexadecimal: the control structure does not have it yet. */
export function ripInProcessor({ state: { words } }: Processor): string {
  return `0x${((BigInt(words[State.RipHi] >>> 0) << 32n) | BigInt(words[State.RipLo] >>> 0)).toString(16)}`;
}

function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
