import { Cause } from "@hyperwalk/mmu";
import { Cr4, Efer } from "../../control-registers.js";
import { Flag, State } from "../../cpu-state.js";
import { Intercept } from "../../guest-mode.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";

const CR0_PE = 1;
const VMCALL = 0;
const VMMCALL = 1;
const VMGEXIT = 2;
// Bits 2:0 of the ModRM byte.
const VMLOAD = 2;
const VMSAVE = 3;
const STGI = 4;
const CLGI = 5;
const SKINIT = 6;
const INVLPGA = 7;
/** Basic exit reason of VMWRITE: the one whose first operand is not the r/m one. */
const VMWRITE = 25;
const VMXON = 27;

/** VMCALL and VMMCALL: an exit in a guest of the same vendor, otherwise #UD. */
export function hypercall(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const amd = variant !== VMCALL;
  if (amd !== core.amd) return core.undefined();
  const encrypted = variant === VMGEXIT && core.processor.guestMode?.encryptsState === true;
  const event = encrypted ? Intercept.Vmgexit : amd ? Intercept.Vmmcall : Intercept.Vmcall;
  if (core.intercepted(event, 0, pc)) return core.exit();
  return core.undefined();
}

/** Real mode and virtual-8086 mode have neither vendor's instructions. */
function inProtectedMode({ words }: ExecutionCore): boolean {
  return (words[State.Cr0] & CR0_PE) !== 0 && (words[State.Flags] & Flag.Vm) === 0;
}

/** VMXON ... INVVPID; the variant is the basic exit reason. A guest leaves before its CPL is looked at. */
function vmxInstruction(core: ExecutionCore, pc: number): number {
  if (core.amd || !inProtectedMode(core)) return core.undefined();
  if (core.longMode && core.mode !== 64) return core.undefined();
  const reason = core.variantOf(pc);
  if (core.interceptedOperands(Intercept.VmxInstruction, reason, pc, reason !== VMWRITE)) return core.exit();
  // Firmware has switched VMX off: VMXON faults as IA32_FEATURE_CONTROL says, the others want VMX operation.
  if (reason === VMXON && (core.words[State.Cr4] & Cr4.Vmxe) !== 0) return core.protection();
  return core.undefined();
}

/** VMRUN ... INVLPGA: the variant's bits 2:0 are those of the ModRM byte. What is not intercepted takes effect. */
function svmInstruction(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const { guestMode } = core.processor;
  if (!core.amd || !inProtectedMode(core) || (words[State.EferLo] & Efer.Svme) === 0 || guestMode === null)
    return core.undefined();
  if (!core.privileged()) return Status.Fault;
  const instruction = core.variantOf(pc) & 7;
  if (core.intercepted(Intercept.SvmInstruction, instruction, pc)) return core.exit();
  if (instruction === SKINIT) return core.undefined();
  if (guestMode.performs?.(instruction) !== true) return core.protection();
  const { timing } = core;
  const isGif = instruction === STGI || instruction === CLGI;
  if (isGif) core.charge(Cause.Microcode, timing.clgiStgi);
  else core.charge(Cause.Serialise, instruction === INVLPGA ? timing.invlpg : timing.serialise);
  if (instruction === VMLOAD) core.noteSegments();
  return Status.EndBlock;
}

export const VIRTUALIZATION: Family = {
  vmcall: [hypercall, VMCALL],
  vmmcall: [hypercall, VMMCALL],
  vmgexit: [hypercall, VMGEXIT], // VMMCALL outside SEV-ES (APM vol. 3)
  vmrun: [svmInstruction, 0],
  vmload: [svmInstruction, VMLOAD],
  vmsave: [svmInstruction, VMSAVE],
  stgi: [svmInstruction, STGI],
  clgi: [svmInstruction, CLGI],
  skinit: [svmInstruction, SKINIT],
  invlpga: [svmInstruction, INVLPGA],
  vmclear: [vmxInstruction, 19],
  vmlaunch: [vmxInstruction, 20],
  vmptrld: [vmxInstruction, 21],
  vmptrst: [vmxInstruction, 22],
  vmread: [vmxInstruction, 23],
  vmresume: [vmxInstruction, 24],
  vmwrite: [vmxInstruction, VMWRITE],
  vmxoff: [vmxInstruction, 26],
  vmxon: [vmxInstruction, VMXON],
  invept: [vmxInstruction, 50],
  invvpid: [vmxInstruction, 53],
};
