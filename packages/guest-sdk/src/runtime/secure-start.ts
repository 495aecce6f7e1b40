import {
  Ghcb,
  GhcbInfo,
  HYPERVISOR_SNP,
  PAGE_STATE_EVENT,
  PageOperation,
  PageStateList,
  validBit,
} from "@hyperwalk/xen";
import type { Assembler } from "../assembler/assembler.js";
import { type Label, linearAddress, physicalAddress } from "../assembler/label.js";
import { at, atLabel } from "../assembler/memory.js";
import { eax, ecx, edx, r8, r9, r10, r11, rax, rbx, rdi, resized, rsi } from "../assembler/register.js";
import { SHARED_LOW_MEMORY } from "../image/pvh-image.js";

const GHCB_MSR = 0xc0010130;
const PAGE = 4096;
const LARGE_PAGE = 0x200000;
/** EAX of PVALIDATE: the page is not of that size. */
const SIZE_MISMATCH = 6;
/** Entries of a list in the GHCB's own buffer. */
const LIST_ENTRIES: number = (Ghcb.SharedBufferEnd - Ghcb.SharedBuffer - PageStateList.Entries) / 8;
/** Operation of a request for one page, in the high word. */
const SHARED_HIGH = PageOperation.Shared << 20;
// struct hvm_start_info
const MEMMAP_PADDR = 40;
const MEMMAP_ENTRIES = 48;
const MEMMAP_ENTRY_BYTES = 24;
const MEMMAP_RAM = 1;

/** What an SEV-SNP guest does before it has a GHCB, and what it does with it first. */
export interface SecureStartMemory {
  /** Eight bytes with the address of `hvm_start_info`. */
  readonly startInfo: Label;
  /** First page of what is shared. */
  readonly ghcb: Label;
  /** End of what is shared. */
  readonly end: Label;
}

/**
 * Validates all RAM that is mapped privately one to one, in pages of 2 MiB where the reverse map has them; makes the GHCB's
 * page a shared one and clears it; registers it. Falls through; `terminate` ends the guest.
 */
export function emitSecureStart(
  a: Assembler,
  { startInfo, ghcb }: SecureStartMemory,
  terminate: Label,
): void {
  emitMsrRequest(a, GhcbInfo.FeaturesRequest, 0);
  a.test(eax, HYPERVISOR_SNP << 12);
  a.jcc("e", terminate);
  emitValidateRam(a, startInfo, terminate);

  a.mov(rsi, physicalAddress(ghcb));
  emitRescind(a, terminate);
  a.mov(eax, physicalAddress(ghcb));
  a.alu("or", eax, GhcbInfo.PageStateRequest);
  emitMsrExit(a, SHARED_HIGH);
  a.alu("and", eax, 0xfff);
  a.alu("cmp", eax, GhcbInfo.PageStateResponse);
  a.jcc("ne", terminate);
  a.test(edx, edx);
  a.jcc("ne", terminate);
  a.mov(rdi, linearAddress(ghcb));
  a.mov(ecx, PAGE / 8);
  a.mov(eax, 0);
  a.plain("repStosq");

  a.mov(eax, physicalAddress(ghcb));
  a.alu("or", eax, GhcbInfo.RegisterRequest);
  emitMsrExit(a, 0);
  a.alu("xor", eax, GhcbInfo.RegisterResponse);
  a.mov(r8, physicalAddress(ghcb));
  a.alu("cmp", rax, r8);
  a.jcc("ne", terminate);
}

/** With the GHCB in use: makes the pages behind it shared, as many to a VMGEXIT as its buffer has room for. */
export function emitSharePages(a: Assembler, { ghcb, end }: SecureStartMemory, terminate: Label): void {
  const done = a.label("all is shared");
  const send = a.label("list of pages full");
  a.mov(rsi, physicalAddress(ghcb));
  a.alu("add", rsi, PAGE);
  a.mov(r10, physicalAddress(end));
  const lists = a.here("next list of pages");
  a.alu("cmp", rsi, r10);
  a.jcc("ae", done);
  a.mov(rdi, linearAddress(ghcb));
  a.alu("add", rdi, Ghcb.SharedBuffer + PageStateList.Entries);
  a.mov(r8, 0);
  const pages = a.here("next page of a list");
  emitRescind(a, terminate);
  a.mov(r9, BigInt(SHARED_HIGH) << 32n);
  a.alu("or", r9, rsi);
  a.mov(at(rdi), r9);
  a.alu("add", rdi, 8);
  a.alu("add", rsi, PAGE);
  a.alu("add", r8, 1);
  a.alu("cmp", r8, LIST_ENTRIES);
  a.jcc("e", send);
  a.alu("cmp", rsi, r10);
  a.jcc("b", pages);
  a.bind(send);
  a.alu("sub", r8, 1);
  a.shift("shl", r8, 16);
  a.mov(atLabel(ghcb, Ghcb.SharedBuffer), r8);
  const again = a.here("list of pages to the hypervisor");
  emitListRequest(a, ghcb);
  for (const field of [Ghcb.SwExitInfo1, Ghcb.SwExitInfo2]) {
    a.alu("cmp", atLabel(ghcb, field), 0, 64);
    a.jcc("ne", terminate);
  }
  a.movzx(eax, atLabel(ghcb, Ghcb.SharedBuffer + PageStateList.Current), 16);
  a.movzx(ecx, atLabel(ghcb, Ghcb.SharedBuffer + PageStateList.End), 16);
  a.alu("cmp", eax, ecx);
  a.jcc("be", again);
  a.jmp(lists);
  a.bind(done);
}

/** The event with its list in the GHCB's buffer, and VMGEXIT. */
function emitListRequest(a: Assembler, ghcb: Label): void {
  const fields = [Ghcb.SwExitCode, Ghcb.SwExitInfo1, Ghcb.SwExitInfo2, Ghcb.SwScratch];
  const bitmap = [0, 0, 0, 0];
  for (const offset of fields) {
    const { word, bit } = validBit(offset);
    bitmap[word] |= bit;
  }
  a.mov(rax, PAGE_STATE_EVENT >>> 0);
  a.mov(atLabel(ghcb, Ghcb.SwExitCode), rax);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo1), 0, 64);
  a.mov(atLabel(ghcb, Ghcb.SwExitInfo2), 0, 64);
  a.mov(rax, physicalAddress(ghcb));
  a.alu("add", rax, Ghcb.SharedBuffer);
  a.mov(atLabel(ghcb, Ghcb.SwScratch), rax);
  bitmap.forEach((bits, i) => {
    a.mov(atLabel(ghcb, Ghcb.ValidBitmap + 4 * i), bits, 32);
  });
  a.plain("vmgexit");
}

/** RAM of the memory map below what is mapped as shared. Pages of the launch are valid already, which is no error. */
function emitValidateRam(a: Assembler, startInfo: Label, terminate: Label): void {
  const ranges = a.label("next range of RAM");
  const nextRange = a.label("range validated");
  const pages = a.label("next page of RAM");
  const small = a.label("4 KiB");
  const advance = a.label("page validated");
  const done = a.label("all RAM validated");
  a.mov(rbx, atLabel(startInfo));
  a.mov(resized(r8, 32), at(rbx, MEMMAP_ENTRIES));
  a.mov(rbx, at(rbx, MEMMAP_PADDR));
  a.bind(ranges);
  a.test(r8, r8);
  a.jcc("e", done);
  a.alu("cmp", at(rbx, 16), MEMMAP_RAM, 32);
  a.jcc("ne", nextRange);
  a.mov(rsi, at(rbx));
  a.mov(r10, at(rbx, 8));
  a.alu("add", r10, rsi);
  a.mov(r11, SHARED_LOW_MEMORY);
  a.alu("cmp", r10, r11);
  a.cmov("a", r10, r11);
  a.bind(pages);
  a.alu("cmp", rsi, r10);
  a.jcc("ae", nextRange);
  // RDI: bytes of the page, 2 MiB where it begins and ends one.
  a.mov(rdi, LARGE_PAGE);
  a.test(rsi, LARGE_PAGE - 1);
  a.jcc("ne", small);
  a.mov(r11, rsi);
  a.alu("add", r11, rdi);
  a.alu("cmp", r11, r10);
  a.jcc("a", small);
  a.mov(rax, rsi);
  a.mov(ecx, 1);
  a.mov(edx, 1);
  a.plain("pvalidate");
  a.test(eax, eax);
  a.jcc("e", advance);
  a.alu("cmp", eax, SIZE_MISMATCH);
  a.jcc("ne", terminate);
  a.bind(small);
  a.mov(rdi, PAGE);
  a.mov(rax, rsi);
  a.mov(ecx, 0);
  a.mov(edx, 1);
  a.plain("pvalidate");
  a.test(eax, eax);
  a.jcc("ne", terminate);
  a.bind(advance);
  a.alu("add", rsi, rdi);
  a.jmp(pages);
  a.bind(nextRange);
  a.alu("add", rbx, MEMMAP_ENTRY_BYTES);
  a.alu("sub", r8, 1);
  a.jmp(ranges);
  a.bind(done);
}

/** Takes the validation of the page at RSI back, which it must have had. */
function emitRescind(a: Assembler, terminate: Label): void {
  a.mov(rax, rsi);
  a.mov(ecx, 0);
  a.mov(edx, 0);
  a.plain("pvalidate");
  a.jcc("b", terminate);
  a.test(eax, eax);
  a.jcc("ne", terminate);
}

/** A request in the GHCB MSR; the answer in EAX and EDX. */
function emitMsrRequest(a: Assembler, low: number, high: number): void {
  a.mov(eax, low);
  emitMsrExit(a, high);
}

/** The same, its low word in EAX. */
function emitMsrExit(a: Assembler, high: number): void {
  a.mov(ecx, GHCB_MSR);
  a.mov(edx, high);
  a.plain("wrmsr");
  a.plain("vmgexit");
  a.plain("rdmsr");
}
