import { Cause, PageValidation } from "@hyperwalk/mmu";
import { State } from "../../cpu-state.js";
import { setArithmeticFlags } from "../../registers/flags.js";
import { SNP_COSTS } from "../../sev/sev-costs.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";

/** Values in EAX (APM vol. 3, PVALIDATE and RMPADJUST). */
const Result = { Success: 0, Input: 1, Permission: 2, SizeMismatch: 6 } as const;
const LARGE_PAGE_MASK = 0x1fffff;
const LAST_VMPL = 3;
const VMSA = 1 << 16;
const Flags = { Cf: 1, Pf: 4, Zf: 0x40, Sf: 0x80 } as const;

const PVALIDATE_CYCLES = SNP_COSTS.pvalidate.value;
const RMPADJUST_CYCLES = SNP_COSTS.rmpadjust.value;

/** Address of the page in RAX, its size in bit 0 of ECX. @returns false with #UD or #GP set up */
function takesPage(core: ExecutionCore): boolean {
  if (!core.amd || core.processor.guestMode?.securesPages !== true) {
    core.undefined();
    return false;
  }
  if (!core.privileged()) return false;
  const { words, mode } = core;
  core.lo = words[State.Gpr];
  core.hi = mode === 64 ? words[State.Gpr + 1] : 0;
  if (words[State.Gpr + 2] !== 1 || (core.lo & LARGE_PAGE_MASK) === 0) return true;
  core.protection();
  return false;
}

/** EAX, and flags as a comparison of it with 0 leaves them, but for CF. */
function finish(core: ExecutionCore, result: number, carry: boolean): number {
  const { words } = core;
  words[State.Gpr] = result;
  words[State.Gpr + 1] = 0;
  const parity = result === Result.Success || result === Result.SizeMismatch ? Flags.Pf : 0;
  setArithmeticFlags(words, parity | (result === 0 ? Flags.Zf : 0) | (carry ? Flags.Cf : 0));
  return Status.EndBlock;
}

function pvalidate(core: ExecutionCore): number {
  if (!takesPage(core)) return Status.Fault;
  const { words, mmu, lo, hi } = core;
  const size = words[State.Gpr + 2];
  core.charge(Cause.Microcode, PVALIDATE_CYCLES);
  if (size >>> 0 > 1) return finish(core, Result.Input, false);
  const result = mmu.validatePage(lo, hi, size === 1, (words[State.Gpr + 4] & 1) !== 0);
  if (result === PageValidation.Fault) {
    core.memoryFault(0);
    return Status.Fault;
  }
  if (result === PageValidation.SizeMismatch) return finish(core, Result.SizeMismatch, false);
  return finish(core, Result.Success, result === PageValidation.Unchanged);
}

/** EDX: target VMPL in bits 7:0, its permissions in bits 15:8, the VMSA attribute in bit 16. Every guest is at VMPL0. */
function rmpadjust(core: ExecutionCore): number {
  if (!takesPage(core)) return Status.Fault;
  const { words, mmu, lo, hi } = core;
  const size = words[State.Gpr + 2];
  const attributes = words[State.Gpr + 4];
  const vmpl = attributes & 0xff;
  core.charge(Cause.Microcode, RMPADJUST_CYCLES);
  if (size >>> 0 > 1 || attributes >>> 17 !== 0 || vmpl > LAST_VMPL) return finish(core, Result.Input, false);
  if (vmpl === 0) return finish(core, Result.Permission, false);
  const permissions = (attributes >>> 8) & 0xff;
  const result = mmu.adjustPage(lo, hi, size === 1, vmpl, permissions, (attributes & VMSA) !== 0);
  if (result === PageValidation.Fault) {
    core.memoryFault(0);
    return Status.Fault;
  }
  return finish(core, result === PageValidation.SizeMismatch ? Result.SizeMismatch : Result.Success, false);
}

/** What an SNP-active guest does to the reverse map; RMPUPDATE and PSMASH are the hypervisor's, which runs no code here. */
export const PAGE_STATE: Family = { pvalidate, rmpadjust };
