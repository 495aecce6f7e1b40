import { SvmExitCode } from "../svm/exit-code.js";

/** Error code of #VC for a private page that the guest has not validated (APM vol. 2, 15.36.10). */
export const PAGE_NOT_VALIDATED = 0x404;

const MACHINE_CHECK = SvmExitCode.Exception + 18;

/**
 * Automatic exits of an SEV-ES guest (APM vol. 2, table 15-35): they need nothing of the guest's registers, and leave at
 * once. Every other intercept raises #VC in the guest, with the exit code as its error code.
 */
export function isAutomaticExit(code: number): boolean {
  switch (code) {
    case MACHINE_CHECK:
    case SvmExitCode.Intr:
    case SvmExitCode.Nmi:
    case SvmExitCode.Smi:
    case SvmExitCode.Init:
    case SvmExitCode.VIntr:
    case SvmExitCode.Pause:
    case SvmExitCode.Hlt:
    case SvmExitCode.Shutdown:
    case SvmExitCode.EferWriteTrap:
    case SvmExitCode.Npf:
    case SvmExitCode.Vmgexit:
    case SvmExitCode.Invalid:
      return true;
    default:
      return code >= SvmExitCode.CrWriteTrap && code < SvmExitCode.CrWriteTrap + 16;
  }
}

/** Automatic exits that an instruction asks for: it has retired when the guest leaves, and RIP is behind it. */
export function isTrapLike(code: number): boolean {
  return code === SvmExitCode.Vmgexit || code === SvmExitCode.Hlt || code === SvmExitCode.Pause;
}
