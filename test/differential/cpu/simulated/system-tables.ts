import { LongModeTables, linearPage, type PhysicalMemory, Pte } from "@hyperwalk/mmu";
import { CODE_BASE, CODE_BYTES, DATA_BASE, DATA_BYTES } from "../layout.js";

/** Supervisor addresses: descriptor tables, TSS, handlers and their stack, one page each. */
export const KERNEL_LO = 0;
export const KERNEL_HI: number = 0xffff8000 | 0;
export const KernelPage = { Gdt: 0, Idt: 1, Tss: 2, Handlers: 3, Stack: 4, Count: 5 } as const;
/** Distance between the handlers of two vectors; each is one HLT. */
export const HANDLER_STRIDE = 16;
export const GDT_LIMIT = 0x7f;
export const TSS_SELECTOR = 0x40;

/** Machine frames of what the tables map. */
export const Frame = { Kernel: 0x100, Code: 0x200, Data: 0x300, Tables: 0x400 } as const;
export const RAM_FRAMES = 0x1000;

/** Segment descriptors of a 64-bit Linux, index 1 on; the TSS descriptor is at 0x40. */
const DESCRIPTORS = [
  0x00cf9b000000ffffn,
  0x00af9b000000ffffn,
  0x00cf93000000ffffn,
  0x00cffb000000ffffn,
  0x00cff3000000ffffn,
  0x00affb000000ffffn,
];

/** Vectors that user code may raise with INT n. */
const USER_VECTORS = new Set([3, 4, 0x80]);

/** Builds page tables, GDT, IDT and TSS. @returns the frame of the root table */
export function buildSystem(memory: PhysicalMemory): number {
  memory.addRam(0, RAM_FRAMES);
  let next: number = Frame.Tables;
  const tables = new LongModeTables({ memory, allocate: () => next++ });
  const user = Pte.Present | Pte.User | Pte.Accessed;
  const kernel = Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty;
  tables.mapRange(CODE_BASE / 4096, Frame.Code, CODE_BYTES / 4096, "4k", user);
  tables.setAttributes(CODE_BASE / 4096 + 1, user | Pte.Write | Pte.Dirty);
  const data = user | Pte.Write | Pte.Dirty | Pte.NoExecute;
  tables.mapRange(DATA_BASE / 4096, Frame.Data, DATA_BYTES / 4096, "4k", data);
  const kernelPage = linearPage(0xffff800000000000n);
  tables.mapRange(kernelPage, Frame.Kernel, KernelPage.Count, "4k", kernel);

  const at = (page: number) => (Frame.Kernel + page) * 4096;
  const linear = (page: number) => 0xffff800000000000n + BigInt(page * 4096);
  DESCRIPTORS.forEach((descriptor, i) => {
    memory.writeU64(at(KernelPage.Gdt) + 8 * (i + 1), descriptor);
  });
  // The processor number's segment, which user code can load as well.
  memory.writeU64(at(KernelPage.Gdt) + 0x78, 0x0040f50000000000n);
  const tss = linear(KernelPage.Tss);
  const low = 0x67n | ((tss & 0xffffffn) << 16n) | (0x8bn << 40n) | (((tss >> 24n) & 0xffn) << 56n);
  memory.writeU64(at(KernelPage.Gdt) + TSS_SELECTOR, low);
  memory.writeU64(at(KernelPage.Gdt) + TSS_SELECTOR + 8, tss >> 32n);
  memory.writeU64(at(KernelPage.Tss) + 4, linear(KernelPage.Stack) + 4096n);
  memory.writeU32(at(KernelPage.Tss) + 0x64, 0x680000); // the I/O permission map lies beyond the limit: no ports
  for (let vector = 0; vector < 256; vector++) {
    const handler = linear(KernelPage.Handlers) + BigInt(HANDLER_STRIDE * vector);
    const type = USER_VECTORS.has(vector) ? 0xeen : 0x8en;
    const gate = (handler & 0xffffn) | (0x10n << 16n) | (type << 40n) | (((handler >> 16n) & 0xffffn) << 48n);
    memory.writeU64(at(KernelPage.Idt) + 16 * vector, gate);
    memory.writeU64(at(KernelPage.Idt) + 16 * vector + 8, handler >> 32n);
    memory.writeU8(at(KernelPage.Handlers) + HANDLER_STRIDE * vector, 0xf4);
  }
  memory.writeBytes(Frame.Code * 4096, new Uint8Array(CODE_BYTES).fill(0xcc));
  return tables.rootFrame;
}
