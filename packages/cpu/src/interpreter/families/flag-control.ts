import { Cause } from "@hyperwalk/mmu";
import { Flag, Shadow, State } from "../../cpu-state.js";
import { arithmeticFlags, carryFlag, setArithmeticFlags, setCarry } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";

/** CLC, STC, CMC. */
function carry(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const variant = core.variantOf(pc);
  setCarry(words, variant === 2 ? carryFlag(words) ^ 1 : variant);
  return Status.Next;
}

/** CLD, STD. */
function direction(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (core.variantOf(pc) === 0) words[State.Flags] &= ~Flag.Df;
  else words[State.Flags] |= Flag.Df;
  return Status.Next;
}

function cli(core: ExecutionCore): number {
  if (!core.ioPrivileged) return core.protection();
  core.charge(Cause.Microcode, core.timing.cliSti);
  core.words[State.Flags] &= ~Flag.If;
  return Status.EndBlock;
}

function sti(core: ExecutionCore): number {
  if (!core.ioPrivileged) return core.protection();
  core.charge(Cause.Microcode, core.timing.cliSti);
  const { words } = core;
  // Interrupts stay off for one more instruction, unless they were on before.
  if ((words[State.Flags] & Flag.If) === 0) words[State.InterruptShadow] = Shadow.Sti;
  words[State.Flags] |= Flag.If;
  return Status.EndBlock;
}

function lahf(core: ExecutionCore): number {
  const { words } = core;
  words[0] = (words[0] & ~0xff00) | (((arithmeticFlags(words) & 0xd5) | 2) << 8);
  return Status.Next;
}

function sahf(core: ExecutionCore): number {
  const { words } = core;
  const overflow = arithmeticFlags(words) & Flag.Of;
  setArithmeticFlags(words, ((words[0] >> 8) & 0xd5) | overflow);
  return Status.Next;
}

/** CLAC, STAC: CPL 0 only, #UD otherwise, whatever CR4.SMAP (SDM vol. 2); every profile has SMAP. */
function alignmentCheck(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (words[State.Cpl] !== 0) return core.undefined();
  core.charge(Cause.Microcode, core.timing.cliSti);
  if (core.variantOf(pc) === 0) words[State.Flags] &= ~Flag.Ac;
  else words[State.Flags] |= Flag.Ac;
  core.syncTranslation();
  return Status.EndBlock;
}

function salc(core: ExecutionCore): number {
  core.writeRegister(0, 0, carryFlag(core.words) === 0 ? 0 : -1, 0);
  return Status.Next;
}

export const FLAG_CONTROL: Family = {
  clc: [carry, 0],
  stc: [carry, 1],
  cmc: [carry, 2],
  cld: [direction, 0],
  std: [direction, 1],
  cli,
  sti,
  lahf,
  sahf,
  clac: [alignmentCheck, 0],
  stac: [alignmentCheck, 1],
  salc,
};
