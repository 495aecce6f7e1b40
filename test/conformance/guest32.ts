import {
  Assembler,
  absolute,
  descriptorOf,
  eax,
  ebx,
  ecx,
  edx,
  PHYS32_ENTRY,
  type Register,
  register,
  resized,
  writeElf,
} from "@hyperwalk/guest-sdk";
import { type HypercallAbiName, type OperationField, REGISTER_BUFFER } from "@hyperwalk/xen";
import { COMPAT_STRUCTS, type Member, PAIRED_ARGUMENTS } from "./compat-layout.js";
import {
  PAGE_ADDRESSES,
  ROW_AT,
  resultAt,
  rowInputs,
  savedPlaces,
  UNWRITTEN,
  withStructAsArgument,
} from "./guest.js";
import {
  NOWHERE,
  NOWHERE32,
  PAGE_BYTES,
  PAGES,
  type PageName,
  type Row,
  type RowValue,
  storePlace,
} from "./row.js";

/** How a 32-bit guest maps its memory. */
export type Paging32 = "unpaged" | "legacy" | "pae";

const CODE = 0x100000;
const TABLES = 0x200000;
const STRUCT = 0x1060000;
const PAGES_AT = 0x1100000;
const MAPPED_BYTES = 32 * 2 ** 20;
/** With paging, buffers and structs are mapped once more, and calls have their addresses there: no linear one is physical. */
const ALIAS = 0x40000000;
/** Present, writable, accessed, dirty. */
const LEAF = 0x63;
const CR4_PAE = 0x20;
const CR0_PAGING = 0x80010011;
const FLAVOUR_BIT = 0x40000000;
const DESCRIPTIONS = 0x1070000;
const DESCRIPTION_BYTES = 16;
const FRAME_LIST = 1;
const [esi, edi, ebp] = [6, 7, 5].map((index) => register(index, 32));
const ARGUMENTS: readonly Register[] = [ebx, ecx, edx, esi, edi];

/** A value of a call: two words, or an output of an earlier call. */
type Words = { readonly lo: number; readonly hi: number } | { readonly at: number };

/**
 * The table as a guest in 32-bit protected mode that makes its calls with the vendor's instruction. Its memory is where it is said to be
 * here, so that all addresses are known when it is built.
 */
export function conformanceGuest32(
  rows: readonly Row[],
  abi: HypercallAbiName,
  vendor: "amd" | "intel",
  paging: Paging32,
): Uint8Array {
  const a = new Assembler({ physical: CODE, linear: BigInt(CODE) });
  a.mode = 32;
  const emitter = new Emitter32(a, rows, abi, vendor, paging);
  emitter.start();
  rows.forEach((row, index) => {
    emitter.emit(row, index);
  });
  emitter.end();
  const code = a.link();
  const tables = paging === "unpaged" ? undefined : paging === "pae" ? paeTables() : legacyTables();
  const segment = (physical: number, bytes: Uint8Array) => ({
    physical,
    linear: BigInt(physical),
    bytes,
    memoryBytes: bytes.length,
  });
  const segments = [segment(CODE, code), ...(tables === undefined ? [] : [segment(TABLES, tables)])];
  return writeElf(CODE, segments, [{ type: PHYS32_ENTRY, value: CODE }]);
}

/** Two entries of the top table have the same directory: the second is the alias. Leaves have 4 KiB. */
function paeTables(): Uint8Array {
  const leaves = MAPPED_BYTES / 4096;
  const words = new BigUint64Array(512 * (2 + leaves / 512));
  const directory = TABLES + 4096;
  words[0] = words[1] = BigInt(directory | 1);
  for (let i = 0; i < leaves / 512; i++) words[512 + i] = BigInt((directory + 4096 * (i + 1)) | LEAF);
  for (let i = 0; i < leaves; i++) words[1024 + i] = BigInt((4096 * i) | LEAF);
  return new Uint8Array(words.buffer);
}

function legacyTables(): Uint8Array {
  const leaves = MAPPED_BYTES / 4096;
  const words = new Uint32Array(1024 * (1 + leaves / 1024));
  for (let i = 0; i < leaves / 1024; i++)
    words[i] = words[ALIAS / 2 ** 22 + i] = (TABLES + 4096 * (i + 1)) | LEAF;
  for (let i = 0; i < leaves; i++) words[1024 + i] = (4096 * i) | LEAF;
  return new Uint8Array(words.buffer);
}

class Emitter32 {
  private readonly a: Assembler;
  private readonly abi: HypercallAbiName;
  private readonly instruction: "vmcall" | "vmmcall";
  private readonly paging: Paging32;
  private readonly places: ReadonlyMap<string, number>;
  private descriptions = 0;

  constructor(
    a: Assembler,
    rows: readonly Row[],
    abi: HypercallAbiName,
    vendor: "amd" | "intel",
    paging: Paging32,
  ) {
    this.a = a;
    this.abi = abi;
    this.instruction = vendor === "amd" ? "vmmcall" : "vmcall";
    this.paging = paging;
    this.places = savedPlaces(rows);
  }

  start(): void {
    const { a, paging } = this;
    if (paging !== "unpaged") {
      if (paging === "pae") {
        a.mov(eax, CR4_PAE);
        a.movToControl(4, eax);
      }
      a.mov(eax, TABLES);
      a.movToControl(3, eax);
      a.mov(eax, CR0_PAGING);
      a.movToControl(0, eax);
    }
    PAGES.forEach((page, i) => {
      a.mov(absolute(PAGE_ADDRESSES + 8 * i), physicalOf(page) / 4096, 32);
    });
    if (this.abi !== "registered") return;
    const registered = [REGISTER_BUFFER, 0, this.linear(STRUCT), STRUCT, MAPPED_BYTES - STRUCT];
    registered.forEach((value, i) => {
      a.mov([eax, ...ARGUMENTS][i], value);
    });
    a.plain(this.instruction);
  }

  end(): void {
    const { a } = this;
    a.mov(absolute(ROW_AT), 0, 32);
    a.plain("cli");
    a.plain("hlt");
  }

  emit(row: Row, index: number): void {
    const { a } = this;
    for (const store of row.before ?? []) {
      const [offset, bytes] = storePlace(store, 4);
      this.store(physicalOf(store.page) + offset, bytes, this.words(store.value));
    }
    const operation =
      row.struct === undefined
        ? descriptorOf(row.operation)
        : withStructAsArgument(descriptorOf(row.operation));
    const layout = COMPAT_STRUCTS[row.operation];
    const memberOf = ({ name, offset, bytes }: OperationField): Member =>
      layout?.members[name] ?? [offset, bytes];
    const values = rowInputs(row);
    const inRegisters: Words[] = operation.plain ? [] : [{ lo: operation.subop, hi: 0 }];
    for (const field of row.struct === undefined ? operation.outputs : []) {
      if (field.offset < 0) continue;
      const [offset, bytes] = memberOf(field);
      this.store(STRUCT + offset, bytes, { lo: FILL, hi: FILL });
    }
    operation.inputs.forEach((field, i) => {
      const value = this.words(
        values[i] ?? field.implied ?? 0,
        field.pointer === true || field.name === "struct",
        field.name === "addr.h",
      );
      if (field.offset >= 0) {
        const [offset, bytes] = memberOf(field);
        this.store(STRUCT + offset, bytes, value);
      } else if (field.offset === -1) {
        inRegisters.push(value);
        if (PAIRED_ARGUMENTS.includes(row.operation) && "hi" in value)
          inRegisters.push({ lo: value.hi, hi: 0 });
      }
    });
    if (operation.struct !== undefined) {
      inRegisters.push({ lo: this.pointer(STRUCT), hi: 0 });
      if (operation.array) inRegisters.push({ lo: 1, hi: 0 });
    }
    a.mov(absolute(ROW_AT), index + 1, 32);
    inRegisters.forEach((value, i) => {
      if ("at" in value) a.mov(ARGUMENTS[i], absolute(value.at));
      else a.mov(ARGUMENTS[i], value.lo >>> 0);
    });
    a.mov(ebp, 0);
    a.mov(eax, this.number(operation.hypercall) >>> 0);
    a.plain(this.instruction);
    this.keep(resultAt(index), true);
    if (row.struct !== undefined) return;
    operation.outputs.forEach((field, i) => {
      const [offset, bytes] = memberOf(field);
      const to = resultAt(index) + 8 + 8 * i;
      const from = absolute(STRUCT + offset);
      if (bytes >= 4) a.mov(eax, from);
      else if (field.signed) a.movsx(eax, from, (8 * bytes) as 8 | 16);
      else a.movzx(eax, from, (8 * bytes) as 8 | 16);
      this.keep(to, field.signed);
      if (bytes < 8) return;
      a.mov(eax, absolute(STRUCT + offset + 4));
      a.mov(absolute(to + 4), eax);
    });
  }

  /** eax as 64 bits. */
  private keep(at: number, signed: boolean): void {
    const { a } = this;
    a.mov(absolute(at), eax);
    if (signed) a.shift("sar", eax, 31);
    else a.mov(eax, 0);
    a.mov(absolute(at + 4), eax);
  }

  private store(at: number, bytes: 1 | 2 | 4 | 8, value: Words): void {
    const { a } = this;
    if ("at" in value) {
      a.mov(eax, absolute(value.at));
      a.mov(absolute(at), resized(eax, Math.min(32, 8 * bytes) as 8 | 16 | 32));
      if (bytes === 8) a.mov(absolute(at + 4), 0, 32);
      return;
    }
    a.mov(
      absolute(at),
      (value.lo << (32 - 8 * Math.min(4, bytes))) >> (32 - 8 * Math.min(4, bytes)),
      Math.min(32, 8 * bytes) as 8 | 16 | 32,
    );
    if (bytes === 8) a.mov(absolute(at + 4), value.hi | 0, 32);
  }

  /** @param isPointer where nothing is mapped, a 32-bit guest has another address @param kept the pointer stays linear under scatter/gather */
  private words(value: RowValue, isPointer = false, kept = false): Words {
    if (typeof value !== "object") {
      const bits = BigInt(isPointer && value === NOWHERE ? NOWHERE32 : value);
      return { lo: Number(BigInt.asIntN(32, bits)), hi: Number(BigInt.asIntN(32, bits >> 32n)) };
    }
    const word = (lo: number): Words => ({ lo, hi: 0 });
    if ("call" in value) return word(this.number(value.call));
    if ("saved" in value) {
      const at = this.places.get(value.saved);
      if (at === undefined) throw new RangeError(`no row saves ${value.saved}`);
      return { at };
    }
    if ("frameOf" in value) return word(physicalOf(value.frameOf) / 4096);
    if ("addressOf" in value) return word(physicalOf(value.addressOf) + (value.offset ?? 0));
    const address = physicalOf(value.page) + (value.offset ?? 0);
    const linear = value.linear || (kept && this.abi.startsWith("sg-"));
    return word(linear ? this.linear(address) : this.pointer(address, physicalOf(value.page) + PAGE_BYTES));
  }

  private number(hypercall: number): number {
    return this.abi === "percall" || this.abi.startsWith("sg-") ? hypercall | FLAVOUR_BIT : hypercall;
  }

  private linear(address: number): number {
    return this.paging === "unpaged" || this.abi === "physaddr" ? address : address + ALIAS;
  }

  /** The pointer, as the interface passes pointers, to memory that ends at `end`. */
  private pointer(address: number, end = address + 4096): number {
    const { abi } = this;
    if (abi === "physaddr" || abi === "percall") return address;
    if (!abi.startsWith("sg-")) return this.linear(address);
    if (abi === "sg-descriptor" && address % 4096 === 0 && end - address <= 4096) return address;
    const at = DESCRIPTIONS + DESCRIPTION_BYTES * this.descriptions++;
    const frame = Math.floor(address / 4096);
    const list = abi === "sg-tuples" ? [address, end - address] : [address % 4096, frame, frame + 1];
    list.forEach((value, i) => {
      this.a.mov(absolute(at + 4 * i), value, 32);
    });
    return abi === "sg-descriptor" ? at + FRAME_LIST : at;
  }
}

const FILL = UNWRITTEN * 0x1010101;

function physicalOf(page: PageName): number {
  return PAGES_AT + PAGE_BYTES * PAGES.indexOf(page);
}
