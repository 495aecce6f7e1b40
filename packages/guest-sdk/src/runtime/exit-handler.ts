import { Ghcb, GhcbInfo, validBit } from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import { type Label, linearAddress, physicalAddress } from "../assembler/label.js";
import { at, atLabel } from "../assembler/memory.js";
import {
  eax,
  ecx,
  edx,
  type Register,
  r8,
  r9,
  r10,
  r11,
  r12,
  rax,
  rbx,
  rcx,
  rdi,
  rdx,
  resized,
  rsi,
  rsp,
} from "../assembler/register.js";
import type { AbiName } from "../stubs/stub-emitter.js";

const GHCB_MSR = 0xc0010130;
const VC = 29;
const GATE_BYTES = 16;
/** Bytes of an IDT that ends with #VC. */
export const EXIT_IDT_BYTES: number = (VC + 1) * GATE_BYTES;
const CODE_SELECTOR = 0x08;
const INTERRUPT_GATE = 0x8e00;
const PROTOCOL_VERSION = 2;
const ax = resized(rax, 16);
const OUT_DX_AL = 0xee;
/** SW_EXITINFO1 of OUT DX, AL but for the port: one byte, 64-bit addresses. */
const OUT_BYTE = 0x210;
/** Exit codes (APM vol. 2, appendix C) that are the #VC error codes. */
const Exit = { Cpuid: 0x72, Ioio: 0x7b, Msr: 0x7c, Vmmcall: 0x81 } as const;
/** Lengths of VMMCALL, CPUID, RDMSR and WRMSR, OUT DX. */
const LENGTH = { vmmcall: 3, cpuid: 2, msr: 2, out: 1 } as const;
const REQUEST = [Ghcb.SwExitCode, Ghcb.SwExitInfo1, Ghcb.SwExitInfo2] as const;

type Field = readonly [number, Register];
const RAX: Field = [Ghcb.Rax, rax];
const RCX: Field = [Ghcb.Rcx, rcx];
const RDX: Field = [Ghcb.Rdx, rdx];
const RBX: Field = [Ghcb.Rbx, rbx];
const FASTABI: readonly Field[] = [
  RAX,
  [Ghcb.Rdi, rdi],
  [Ghcb.Rsi, rsi],
  [Ghcb.R8, r8],
  [Ghcb.R9, r9],
  [Ghcb.R10, r10],
  [Ghcb.R11, r11],
  [Ghcb.R12, r12],
];
const TRADITIONAL: readonly Field[] = [
  RAX,
  [Ghcb.Rdi, rdi],
  [Ghcb.Rsi, rsi],
  RDX,
  [Ghcb.R10, r10],
  [Ghcb.R8, r8],
];

/** Memory of {@link emitExitHandler}: the shared GHCB page, and private memory for the IDT and the pointer to it. */
export interface ExitHandlerMemory {
  readonly ghcb: Label;
  /** {@link EXIT_IDT_BYTES} zeroed bytes. */
  readonly idt: Label;
}

/**
 * What an SEV-ES or SEV-SNP guest sets up first: an IDT with #VC, the protocol's version agreed on through the GHCB MSR, the
 * GHCB. Falls through; `terminate` ends the guest. @param prepare emits what comes before the GHCB's page can be used
 */
export function emitExitSetup(
  a: Assembler,
  { ghcb, idt }: ExitHandlerMemory,
  handler: Label,
  terminate: Label,
  prepare: () => void = () => {},
): void {
  const gate = VC * GATE_BYTES;
  const pointer = a.label("idt pointer");
  const ready = a.label("exit handler ready");
  a.mov(rax, linearAddress(handler));
  a.mov(atLabel(idt, gate), ax);
  a.mov(atLabel(idt, gate + 2), CODE_SELECTOR, 16);
  a.mov(atLabel(idt, gate + 4), INTERRUPT_GATE, 16);
  a.shift("shr", rax, 16);
  a.mov(atLabel(idt, gate + 6), ax);
  a.shift("shr", rax, 16);
  a.mov(atLabel(idt, gate + 8), eax);
  a.lidt(atLabel(pointer));
  a.mov(ecx, GHCB_MSR);
  a.mov(eax, GhcbInfo.SevInfoRequest);
  a.mov(edx, 0);
  a.plain("wrmsr");
  a.plain("vmgexit");
  a.plain("rdmsr");
  a.alu("and", eax, 0xfff);
  a.alu("cmp", eax, GhcbInfo.SevInfo);
  a.jcc("ne", terminate);
  a.shift("shr", edx, 16);
  a.alu("cmp", edx, PROTOCOL_VERSION);
  a.jcc("b", terminate);
  prepare(); // leaves the MSR's number in ECX
  a.mov(eax, physicalAddress(ghcb));
  a.mov(edx, 0);
  a.plain("wrmsr");
  a.mov(atLabel(ghcb, Ghcb.ProtocolVersion), PROTOCOL_VERSION, 16);
  a.mov(atLabel(ghcb, Ghcb.Usage), 0, 32);
  a.jmp(ready);
  a.align(8, 0x90);
  a.bind(pointer);
  a.integer(EXIT_IDT_BYTES - 1, 2);
  a.reference("linear64", idt);
  a.bind(ready);
}

/**
 * The handler of #VC: hypercalls first, with the registers that the guest's interface uses and no more, then CPUID, RDMSR,
 * WRMSR and OUT DX, AL. Anything else, and any refusal, ends the guest through the MSR protocol.
 */
export function emitExitHandler(
  a: Assembler,
  { ghcb }: ExitHandlerMemory,
  abi: AbiName,
  handler: Label,
  terminate: Label,
): void {
  const cpuid = a.label("#VC: CPUID");
  const msr = a.label("#VC: MSR");
  const written = a.label("#VC: MSR written");
  const other = a.label("#VC: not a hypercall");
  const fields = abi === "fastabi" ? FASTABI : TRADITIONAL;

  a.align(16, 0x90);
  a.bind(handler);
  a.alu("cmp", at(rsp), Exit.Vmmcall, 32);
  a.jcc("ne", other);
  store(a, ghcb, fields);
  a.mov(atLabel(ghcb, Ghcb.Cpl), 0, 8);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo1), 0, 64);
  request(a, ghcb, Exit.Vmmcall, [Ghcb.Cpl, ...offsets(fields)], terminate);
  check(a, ghcb, Ghcb.Rax, terminate);
  load(a, ghcb, abi === "fastabi" ? fields : [RAX]);
  finish(a, LENGTH.vmmcall);

  a.bind(other);
  a.alu("cmp", at(rsp), Exit.Cpuid, 32);
  a.jcc("e", cpuid);
  a.alu("cmp", at(rsp), Exit.Msr, 32);
  a.jcc("e", msr);
  a.alu("cmp", at(rsp), Exit.Ioio, 32);
  a.jcc("ne", terminate);
  a.push(rax);
  a.mov(atLabel(ghcb, Ghcb.Rax), rax);
  a.mov(rax, at(rsp, 16));
  a.alu("cmp", at(rax), OUT_DX_AL, 8);
  a.jcc("ne", terminate);
  a.movzx(eax, resized(rdx, 16), 16);
  a.shift("shl", eax, 16);
  a.alu("or", eax, OUT_BYTE);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo1), rax);
  request(a, ghcb, Exit.Ioio, [Ghcb.Rax], terminate);
  a.pop(rax);
  finish(a, LENGTH.out);

  a.bind(cpuid);
  store(a, ghcb, [RAX, RCX]);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo1), 0, 64);
  request(a, ghcb, Exit.Cpuid, offsets([RAX, RCX]), terminate);
  check(a, ghcb, Ghcb.Rdx, terminate);
  load(a, ghcb, [RAX, RBX, RCX, RDX]);
  finish(a, LENGTH.cpuid);

  // 0f 30 is WRMSR, 0f 32 RDMSR: SW_EXITINFO1 is 1 for the first.
  a.bind(msr);
  a.push(rax);
  store(a, ghcb, [RAX, RCX, RDX]);
  a.mov(rax, at(rsp, 16));
  a.movzx(eax, at(rax, 1), 8);
  a.alu("xor", eax, 0x32);
  a.shift("shr", eax, 1);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo1), rax);
  a.push(rax);
  request(a, ghcb, Exit.Msr, offsets([RAX, RCX, RDX]), terminate);
  a.pop(rax);
  a.test(eax, eax);
  a.pop(rax);
  a.jcc("ne", written);
  check(a, ghcb, Ghcb.Rdx, terminate);
  load(a, ghcb, [RAX, RDX]);
  a.bind(written);
  finish(a, LENGTH.msr);

  a.bind(terminate);
  a.mov(ecx, GHCB_MSR);
  a.mov(eax, GhcbInfo.TerminationRequest);
  a.mov(edx, 0);
  a.plain("wrmsr");
  a.plain("vmgexit");
  const forever = a.here("terminated");
  a.plain("hlt");
  a.jmp(forever);
}

function offsets(fields: readonly Field[]): readonly number[] {
  return fields.map(([offset]) => offset);
}

function store(a: Assembler, ghcb: Label, fields: readonly Field[]): void {
  for (const [offset, register] of fields) a.mov(atLabel(ghcb, offset), register);
}

function load(a: Assembler, ghcb: Label, fields: readonly Field[]): void {
  for (const [offset, register] of fields) a.mov(register, atLabel(ghcb, offset));
}

/** Exit code, bitmap of what is there, VMGEXIT; overwrites no register. SW_EXITINFO1 is in place. */
function request(a: Assembler, ghcb: Label, code: number, valid: readonly number[], terminate: Label): void {
  const bitmap = [0, 0, 0, 0];
  for (const offset of [...valid, ...REQUEST]) {
    const { word, bit } = validBit(offset);
    bitmap[word] |= bit;
  }
  a.mov(atLabel(ghcb, Ghcb.SwExitCode), code, 64);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo2), 0, 64);
  bitmap.forEach((bits, i) => {
    a.mov(atLabel(ghcb, Ghcb.ValidBitmap + 4 * i), bits, 32);
  });
  a.plain("vmgexit");
  a.alu("cmp", atLabel(ghcb, Ghcb.SwExitInfo1), 0, 32);
  a.jcc("ne", terminate);
}

/** The hypervisor must have said that it wrote a result. */
function check(a: Assembler, ghcb: Label, offset: number, terminate: Label): void {
  const { word, bit } = validBit(offset);
  a.test(atLabel(ghcb, Ghcb.ValidBitmap + 4 * word), bit, 32);
  a.jcc("e", terminate);
}

/** RIP past the instruction, and back to what follows it. */
function finish(a: Assembler, length: number): void {
  a.alu("add", at(rsp, 8), length, 64);
  a.alu("add", rsp, 8);
  a.plain("iretq");
}
