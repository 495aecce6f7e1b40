import type { Assembler } from "../assembler/assembler.js";
import { type Label, physicalAddress } from "../assembler/label.js";
import { at } from "../assembler/memory.js";
import { eax, ebx, ecx, edx, esi, rsi } from "../assembler/register.js";

const FIRST_LEAF = 0x40000000;
const LAST_LEAF = 0x40010000;
const LEAF_STEP = 0x100;
/** "XenVMMXenVMM" in EBX, ECX, EDX. */
const SIGNATURE = [0x566e6558, 0x65584d4d, 0x4d4d566e] as const;

/** One of the hypercall pages after the first. */
export interface FurtherPage {
  readonly index: number;
  /** Where to go if there are not so many. */
  readonly missing: Label;
}

/**
 * Finds Xen's CPUID leaves and writes the hypercall page's address, if the guest wants one, to the MSR that leaf base + 2
 * names; jumps to `absent` when this is no Xen. Overwrites RAX, RBX, RCX, RDX and RSI.
 * @param further another of Xen's hypercall pages than its first, and where to go if it has fewer
 */
export function emitFindXen(
  a: Assembler,
  hypercallPage: Label | undefined,
  absent: Label,
  further?: FurtherPage,
): void {
  const next = a.label("next CPUID leaf");
  const found = a.label("Xen found");
  a.mov(esi, FIRST_LEAF);
  const scan = a.here("scan for Xen");
  a.mov(eax, esi);
  a.mov(ecx, 0);
  a.plain("cpuid");
  [ebx, ecx, edx].forEach((r, i) => {
    a.alu("cmp", r, SIGNATURE[i]);
    a.jcc("ne", next);
  });
  a.jmp(found);
  a.bind(next);
  a.alu("add", esi, LEAF_STEP);
  a.alu("cmp", esi, LAST_LEAF);
  a.jcc("b", scan);
  a.jmp(absent);

  a.bind(found);
  if (hypercallPage === undefined) return;
  a.lea(eax, at(rsi, 2));
  a.mov(ecx, 0);
  a.plain("cpuid");
  if (further !== undefined) {
    a.alu("cmp", eax, further.index);
    a.jcc("be", further.missing);
  }
  a.mov(ecx, ebx);
  a.mov(eax, physicalAddress(hypercallPage));
  if (further !== undefined) a.alu("or", eax, further.index);
  a.mov(edx, 0);
  a.plain("wrmsr");
}
