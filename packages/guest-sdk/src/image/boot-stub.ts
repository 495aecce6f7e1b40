import type { Assembler } from "../assembler/assembler.js";
import { type Label, linearAddress, physicalAddress } from "../assembler/label.js";
import { atLabel } from "../assembler/memory.js";
import { eax, ebx, ecx, rax, rsp } from "../assembler/register.js";

/** Places in the image that the boot stub refers to. */
export interface BootSymbols {
  /** Root of the page tables, which are in the image as data. */
  readonly pageTables: Label;
  readonly stackTop: Label;
  /** Eight bytes that receive the physical address of `hvm_start_info`. */
  readonly startInfo: Label;
}

const CR4_PAE = 0x20;
const EFER = 0xc0000080;
const EFER_LME = 0x100;
const CR0_PG_WP = 0x80010000;
const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;

/**
 * The PVH entry: from 32-bit protected mode without paging (EBX = `hvm_start_info`) to 64-bit code at the image's
 * linear address, with a GDT and a stack; execution falls through to what is emitted next.
 */
export function emitBootStub(a: Assembler, symbols: BootSymbols): void {
  const gdt = a.label("gdt");
  const gdtPointerLow = a.label("gdt pointer, physical");
  const gdtPointer = a.label("gdt pointer, linear");
  const low = a.label("64-bit code at its physical address");
  const high = a.label("64-bit code at its linear address");

  a.mode = 32;
  a.mov(atLabel(symbols.startInfo), ebx);
  a.mov(eax, CR4_PAE);
  a.movToControl(4, eax);
  a.mov(eax, physicalAddress(symbols.pageTables));
  a.movToControl(3, eax);
  a.mov(ecx, EFER);
  a.plain("rdmsr");
  a.alu("or", eax, EFER_LME);
  a.plain("wrmsr");
  a.movFromControl(eax, 0);
  a.alu("or", eax, CR0_PG_WP);
  a.movToControl(0, eax);
  a.lgdt(atLabel(gdtPointerLow));
  a.farJump(CODE_SELECTOR, low);

  a.align(8, 0x90);
  a.bind(gdt);
  a.integer(0, 8);
  a.integer(0x00af9b000000ffffn, 8); // 64-bit code
  a.integer(0x00cf93000000ffffn, 8); // data
  a.bind(gdtPointerLow);
  a.integer(23, 2);
  a.reference("physical32", gdt);
  a.bind(gdtPointer);
  a.integer(23, 2);
  a.reference("linear64", gdt);

  a.mode = 64;
  a.bind(low);
  a.mov(rax, linearAddress(high));
  a.jmp(rax);
  a.bind(high);
  a.lgdt(atLabel(gdtPointer));
  a.mov(eax, DATA_SELECTOR);
  for (const segment of [3, 0, 2] as const) a.movToSegment(segment, eax);
  a.mov(eax, 0);
  for (const segment of [4, 5] as const) a.movToSegment(segment, eax);
  a.mov(rsp, linearAddress(symbols.stackTop));
}
