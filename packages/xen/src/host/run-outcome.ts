/** SCHEDOP_shutdown reasons by number (public/sched.h). */
export const SHUTDOWN_REASONS = ["poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"] as const;
export type ShutdownName = (typeof SHUTDOWN_REASONS)[number];

/** How a run ended. */
export interface RunOutcome {
  /**
   * - `shutdown`: the guest asked for it, or Xen crashed the domain (`shutdown: "crash"`, with `detail`);
   * - `exit-port`: the guest wrote `exitCode` to a port that ends the machine;
   * - `budget`: instructions or cycles are used up, or a fast-forward is where it was to go (`stop-point`); a further `run`
   *   goes on;
   * - `triple-fault`: the guest's exception handling collapsed;
   * - `unsupported-instruction`: the engine cannot execute what is at `rip`;
   * - `invalid-state`: VM entry refused the guest's state;
   * - `halted`: the guest waits, all its vCPUs do, and nothing is left that could wake one.
   */
  readonly reason:
    | "shutdown"
    | "exit-port"
    | "budget"
    | "triple-fault"
    | "unsupported-instruction"
    | "invalid-state"
    | "halted";
  readonly shutdown?: ShutdownName;
  /** What the guest wrote to the exit port, unsigned. */
  readonly exitCode?: number;
  readonly budget?: "instructions" | "cycles" | "stop-point";
  /** Number of the vCPU that it is about, where there are several. */
  readonly vcpu?: number;
  /** Guest RIP as a hexadecimal number. */
  readonly rip: string;
  /** Bytes at RIP in hexadecimal, for an unsupported instruction. */
  readonly bytes?: string;
  /** Disassembly at RIP, or what else is known. */
  readonly detail?: string;
}
