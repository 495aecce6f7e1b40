import type { RunOutcome } from "@hyperwalk/xen";

/** Exit codes of `hyperwalk boot` beside the guest's own, with what each means. */
export const BOOT_EXIT_CODES = {
  poweroff: [0, "the guest asked to be powered off"],
  crash: [1, "the guest crashed, or was crashed"],
  usage: [2, "the command line or a file was wrong"],
  otherShutdown: [3, "the guest asked for a reboot, a suspend or a soft reset"],
  budget: [4, "--max-instructions was used up"],
  unsupported: [5, "an instruction that the simulator cannot execute"],
  tripleFault: [6, "triple fault"],
  halted: [7, "the guest waits for what can never come"],
  invalidState: [8, "VM entry refused the guest's state"],
} as const;

/** A guest's own code is a process's: 7 bits, as values from 128 on mean signals. */
const OWN_CODE_MASK = 0x7f;

/**
 * The exit code for how a boot ended. A guest that wrote to an exit port decides it: the low 7 bits of the value, or 1
 * when those are 0 and others are not.
 */
export function exitCodeOf(outcome: RunOutcome): number {
  switch (outcome.reason) {
    case "exit-port": {
      const value = outcome.exitCode ?? 0;
      return value === 0 ? 0 : value & OWN_CODE_MASK || 1;
    }
    case "shutdown":
      if (outcome.shutdown === "poweroff") return BOOT_EXIT_CODES.poweroff[0];
      return outcome.shutdown === "crash" || outcome.shutdown === "watchdog"
        ? BOOT_EXIT_CODES.crash[0]
        : BOOT_EXIT_CODES.otherShutdown[0];
    case "budget":
      return BOOT_EXIT_CODES.budget[0];
    case "unsupported-instruction":
      return BOOT_EXIT_CODES.unsupported[0];
    case "triple-fault":
      return BOOT_EXIT_CODES.tripleFault[0];
    case "halted":
      return BOOT_EXIT_CODES.halted[0];
    case "invalid-state":
      return BOOT_EXIT_CODES.invalidState[0];
  }
}
