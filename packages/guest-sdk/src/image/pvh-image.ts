import { Assembler } from "../assembler/assembler.js";
import type { Label } from "../assembler/label.js";
import { emitBootStub } from "./boot-stub.js";
import { PHYS32_ENTRY, writeElf } from "./elf.js";
import { MappingError, PageTables } from "./page-tables.js";

/** Where guests of this package are loaded, and mapped: linear never equals physical. */
export const IMAGE_PHYSICAL = 0x200000;
export const IMAGE_LINEAR = 0xffffffff80200000n;

const REGION = 0x200000;
const STACK_BYTES = 16384;
const LOW_MEMORY = 2 ** 32;
/** From here on the low mapping is shared with the hypervisor: Xen's special pages, and no RAM of a small guest. */
export const SHARED_LOW_MEMORY: number = 3 * 2 ** 30;

/** What the code of an image may refer to. */
export interface ImageSymbols {
  /** 4 KiB, zero until Xen fills it. */
  readonly hypercallPage: Label;
  /** Eight bytes with the physical address of `hvm_start_info`. */
  readonly startInfo: Label;
}

/** The two parts of an image that its author emits. */
export interface ImageSource {
  /** Page size that maps the image: code, stack, buffers and page tables. */
  readonly leaf: "4k" | "2m";
  /** 64-bit code; entered with a stack, interrupts off. Must not run off its end. */
  code(a: Assembler, symbols: ImageSymbols): void;
  /** Data for that code; zeros at the end take no room in the file. */
  data(a: Assembler): void;
  /** Guest-physical address where it is loaded: a multiple of 2 MiB below 3 GiB. Default {@link IMAGE_PHYSICAL}. */
  readonly physical?: number | undefined;
  /** The guest is encrypted (SEV): pages are private but for these. Absent: it is not. */
  readonly sharedPages?: SharedPages | undefined;
}

/** Memory of an encrypted guest that the hypervisor can read and write. */
export interface SharedPages {
  /** Bytes that {@link emit} takes; asked after code and data were emitted. */
  bytes(): number;
  /** Zeros with their labels, from the start of a page on. */
  emit(a: Assembler): void;
}

/**
 * A PVH image that boots on Xen: entry stub, code, data, page tables, hypercall page and stack in one segment. Low
 * 4 GiB are mapped one to one with 2 MiB leaves (for start information and the console ring), the image once more at
 * its linear address with leaves of the requested size.
 */
export function buildPvhImage(source: ImageSource): Uint8Array {
  return linkPvhImage(source).elf;
}

/** An image with the places of what is executed in it, for whoever measures that. Addresses are guest-physical. */
export interface LinkedImage {
  /** The PVH ELF file. */
  readonly elf: Uint8Array;
  /** First byte of the code, entry stub included, and its length in bytes: whole pages, without data. */
  readonly text: { readonly address: number; readonly bytes: number };
  /** Where the hypercall page is, whether the guest asks for one or not. */
  readonly hypercallPage: number;
}

/** {@link buildPvhImage} */
export function linkPvhImage(source: ImageSource): LinkedImage {
  const { physical = IMAGE_PHYSICAL } = source;
  if (physical % REGION !== 0 || physical < REGION || physical >= SHARED_LOW_MEMORY)
    throw new MappingError(
      "ALIGNMENT",
      `an image at 0x${physical.toString(16)}: a multiple of 2 MiB below 3 GiB`,
    );
  const a = new Assembler({ physical, linear: IMAGE_LINEAR });
  const symbols = { hypercallPage: a.label("hypercall page"), startInfo: a.label("start info") };
  const boot = {
    pageTables: a.label("page tables"),
    stackTop: a.label("stack"),
    startInfo: symbols.startInfo,
  };
  emitBootStub(a, boot);
  source.code(a, symbols);
  a.align(4096);
  // No data in a page that holds code: writing there would make the processor drop what it decoded.
  const textBytes = a.offset;
  a.bind(symbols.startInfo);
  a.integer(0, 8);
  a.align(64);
  source.data(a);

  a.align(4096);
  a.bind(boot.pageTables);
  const { sharedPages, leaf } = source;
  a.data(imageTables(physical, a.offset, leaf, sharedPages?.bytes()).bytes());
  a.bind(symbols.hypercallPage);
  a.zeros(4096 + STACK_BYTES);
  a.bind(boot.stackTop);
  if (sharedPages !== undefined) {
    a.align(granule(leaf));
    sharedPages.emit(a);
  }

  const image = a.link();
  let used = image.length;
  while (used > 0 && image[used - 1] === 0) used--;
  const segment = {
    physical,
    linear: IMAGE_LINEAR,
    bytes: image.slice(0, used),
    memoryBytes: image.length,
  };
  return {
    elf: writeElf(physical, [segment], [{ type: PHYS32_ENTRY, value: physical }]),
    text: { address: physical, bytes: textBytes },
    hypercallPage: physical + symbols.hypercallPage.offset!,
  };
}

/** Tables for an image whose tables start `offset` bytes into it; they are part of what they map. */
function imageTables(
  physical: number,
  offset: number,
  leaf: "4k" | "2m",
  sharedBytes: number | undefined,
): PageTables {
  const encrypted = sharedBytes !== undefined;
  let regions = 0;
  // How many tables there are does not depend on where the shared pages begin.
  let shared = 0;
  for (;;) {
    const tables = new PageTables(physical + offset, encrypted);
    tables.map({ linear: 0n, physical: 0, bytes: SHARED_LOW_MEMORY, leaf: "2m", encrypted });
    tables.map({
      linear: BigInt(SHARED_LOW_MEMORY),
      physical: SHARED_LOW_MEMORY,
      bytes: LOW_MEMORY - SHARED_LOW_MEMORY,
      leaf: "2m",
    });
    const mapPart = (at: number, end: number, isPrivate: boolean): void =>
      tables.map({
        linear: IMAGE_LINEAR + BigInt(at),
        physical: physical + at,
        bytes: end - at,
        leaf,
        encrypted: isPrivate,
      });
    const mapped = regions * REGION;
    const boundary = encrypted ? Math.min(shared, mapped) : mapped;
    mapPart(0, boundary, encrypted);
    mapPart(boundary, mapped, false);
    const end = offset + tables.count * 4096 + 4096 + STACK_BYTES;
    const sharedAt = Math.ceil(end / granule(leaf)) * granule(leaf);
    const last = encrypted ? sharedAt + sharedBytes : end;
    if (last <= mapped && (!encrypted || shared === sharedAt)) return tables;
    shared = sharedAt;
    if (last > mapped) regions++;
  }
}

/** What a page of the image's mapping is aligned to. */
function granule(leaf: "4k" | "2m"): number {
  return leaf === "4k" ? 4096 : REGION;
}
