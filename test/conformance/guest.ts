import {
  absolute,
  atLabel,
  defineGuest,
  descriptorOf,
  type GuestBuffer,
  type GuestProgram,
  GuestSourceError,
  rax,
  resized,
  type Value,
  Variable,
} from "@hyperwalk/guest-sdk";
import type { HypercallAbiName, OperationDescriptor, OperationField } from "@hyperwalk/xen";
import {
  PAGE_BYTES,
  PAGES,
  type PageName,
  type PagePointer,
  type Row,
  type RowValue,
  storePlace,
} from "./row.js";

/** Where the guest says which row it is at (from 1), and leaves addresses and results. RAM that the image does not reach. */
export const ROW_AT = 0x1000000;
export const PAGE_ADDRESSES = 0x1001000;
export const RESULTS = 0x1002000;
/** rax, then the operation's outputs in their order. */
export const RESULT_BYTES = 128;

/** What is there before a call stores a result, so that no output is right because nobody wrote it. */
export const UNWRITTEN = 0xa5;
/** Descriptions that the guest writes itself, of buffers that begin inside a page. */
const DESCRIPTIONS = 0x1040000;
const DESCRIPTION_BYTES = 32;
/** Kind of a list of frames in a pointer's low two bits. */
const FRAME_LIST = 1;
const FLAVOUR_BIT = 0x40000000;
/** Why a row with a struct of its own is not for FastABI. */
export const NO_STRUCTS = "FastABI passes no structs";

/** A program that makes the calls of a table, and the rows that its interface cannot carry. */
export interface ConformanceGuest {
  readonly image: Uint8Array;
  /** By row: why the guest does not make the call. */
  readonly notCarried: ReadonlyMap<Row, string>;
}

/** The table as a 64-bit guest of one interface, with the SDK's stubs. */
export function conformanceGuest(
  rows: readonly Row[],
  abi: HypercallAbiName,
  vendor: "amd" | "intel",
  leaf: "4k" | "2m" = "4k",
): ConformanceGuest {
  const notCarried = rowsNotCarried(rows, abi, vendor);
  const places = savedPlaces(rows);
  const guest = defineGuest("conformance", (g) => {
    const pages = {} as Record<PageName, GuestBuffer>;
    PAGES.forEach((page, i) => {
      pages[page] = g.buffer(PAGE_BYTES, 4096);
      const frame = g.frameOf(pages[page]);
      g.asm.mov(absolute(PAGE_ADDRESSES + 8 * i), frame.register);
      frame.release();
    });
    const emitter = new RowEmitter(g, pages, places);
    rows.forEach((row, index) => {
      if (!notCarried.has(row)) emitter.emit(row, index);
    });
    g.asm.mov(absolute(ROW_AT), 0, 32);
  });
  return { image: guest.build({ abi, vendor, leaf }), notCarried };
}

/** Rows whose call the SDK's stubs of an interface refuse to emit, and why: found by trying, in a program that is thrown away. */
function rowsNotCarried(
  rows: readonly Row[],
  abi: HypercallAbiName,
  vendor: "amd" | "intel",
): ReadonlyMap<Row, string> {
  const problems = new Map<Row, string>();
  const trial = defineGuest("trial", (g) => {
    for (const row of rows) {
      try {
        // The stubs know nothing of a row's own struct: they would pass it in a register.
        if (row.struct !== undefined && abi === "fastabi") problems.set(row, NO_STRUCTS);
        else
          g.call(
            rowDescriptor(row),
            rowInputs(row).map((value) => (value === undefined ? undefined : 0)),
          );
      } catch (error) {
        if (!(error instanceof GuestSourceError) || error.code !== "UNSUPPORTED_BY_ABI") throw error;
        problems.set(row, error.message);
      }
    }
  });
  trial.build({ abi, vendor });
  return problems;
}

/** Where an output that a row saves is found by later ones. */
export function savedPlaces(rows: readonly Row[]): ReadonlyMap<string, number> {
  const places = new Map<string, number>();
  rows.forEach((row, index) => {
    const { outputs } = descriptorOf(row.operation);
    for (const [name, output] of Object.entries(row.outputs ?? {}))
      if (typeof output === "object")
        places.set(output.save, resultAt(index) + 8 + 8 * outputs.findIndex((each) => each.name === name));
  });
  return places;
}

export function resultAt(index: number): number {
  return RESULTS + RESULT_BYTES * index;
}

/** The operation with its outputs as inputs, too: the guest puts {@link UNWRITTEN} bytes where Xen will put them. */
export function withOutputsFilled(operation: OperationDescriptor, inRegisters: boolean): OperationDescriptor {
  const { inputs, outputs } = operation;
  const place = ({ register, offset }: OperationField) => (inRegisters ? register || -1 : offset);
  const filled = outputs.filter(
    (field) => place(field) >= 0 && !inputs.some((each) => place(each) === place(field)),
  );
  return { ...operation, inputs: [...inputs, ...filled] };
}

/** The operation as one that takes the address of its struct in a register, like its other arguments. */
export function withStructAsArgument(operation: OperationDescriptor): OperationDescriptor {
  const argument = (name: string): OperationField => ({
    name,
    bytes: 8,
    signed: false,
    register: 0,
    offset: -1,
  });
  const arguments_ = operation.inputs.filter(({ offset }) => offset === -1);
  const length = operation.array ? [{ ...argument("count"), implied: 1 }] : [];
  const inputs = [...arguments_, argument("struct"), ...length];
  return { ...operation, inputs, struct: undefined, array: undefined } as unknown as OperationDescriptor;
}

class RowEmitter {
  private readonly g: GuestProgram;
  private readonly pages: Readonly<Record<PageName, GuestBuffer>>;
  private readonly places: ReadonlyMap<string, number>;
  private descriptions = 0;

  constructor(
    g: GuestProgram,
    pages: Readonly<Record<PageName, GuestBuffer>>,
    places: ReadonlyMap<string, number>,
  ) {
    this.g = g;
    this.pages = pages;
    this.places = places;
  }

  emit(row: Row, index: number): void {
    const { g } = this;
    const { asm } = g;
    for (const store of row.before ?? []) {
      const variable = g.variable(0);
      this.load(variable, store.value);
      const { register } = variable;
      const [offset, bytes] = storePlace(store, 8);
      asm.mov(atLabel(this.pages[store.page].label, offset), bytes === 8 ? register : resized(register, 32));
      variable.release();
    }
    const values = rowInputs(row).map((value) => this.value(value));
    asm.mov(absolute(ROW_AT), index + 1, 32);
    const operation = rowDescriptor(row);
    const filled = withOutputsFilled(operation, g.abi === "fastabi");
    const fill = filled.inputs.slice(values.length).map(({ bytes }) => unwritten(bytes));
    const call = g.call(row.struct === undefined ? filled : operation, [...values, ...fill]);
    for (const value of values) if (value instanceof Variable) value.release();
    asm.mov(absolute(resultAt(index)), rax);
    if (row.struct !== undefined) return;
    operation.outputs.forEach(({ name, register }, i) => {
      if (g.abi === "fastabi" && register === 0) return;
      const output = call.output(name);
      asm.mov(absolute(resultAt(index) + 8 + 8 * i), output.register);
      output.release();
    });
  }

  /** A constant or buffer as it is, everything else in a variable. */
  private value(value: RowValue | undefined): Value | undefined {
    if (value === undefined || typeof value !== "object") return value;
    if ("page" in value && isWhole(value)) return this.pages[value.page];
    const variable = this.g.variable(0);
    this.load(variable, value);
    return variable;
  }

  private load(variable: Variable, value: RowValue): void {
    const { g, pages, places } = this;
    if (typeof value !== "object") g.set(variable, value);
    else if ("call" in value) g.set(variable, hasFlavourBit(g.abi) ? value.call | FLAVOUR_BIT : value.call);
    else if ("saved" in value) {
      const place = places.get(value.saved);
      if (place === undefined) throw new RangeError(`no row saves ${value.saved}`);
      g.asm.mov(variable.register, absolute(place));
    } else if ("page" in value) {
      const { page, offset = 0, linear = false } = value;
      if (linear && hasFlavourBit(g.abi)) this.loadAddress(variable, page, offset);
      else if (offset !== 0 && g.abi.startsWith("sg-")) this.describe(variable, page, offset);
      else {
        g.set(variable, pages[page]);
        g.add(variable, offset);
      }
    } else if ("frameOf" in value) this.loadFrame(variable, value.frameOf);
    else this.loadAddress(variable, value.addressOf, value.offset ?? 0);
  }

  private loadFrame(variable: Variable, page: PageName): void {
    this.g.asm.mov(variable.register, absolute(PAGE_ADDRESSES + 8 * PAGES.indexOf(page)));
  }

  /** Low memory is mapped where it lies. */
  private loadAddress(variable: Variable, page: PageName, offset: number): void {
    this.loadFrame(variable, page);
    this.g.asm.shift("shl", variable.register, 12);
    this.g.add(variable, offset);
  }

  /** Describes what follows an offset in a page's buffer, and gives the pointer that says so. */
  private describe(variable: Variable, page: PageName, offset: number): void {
    const { g } = this;
    const { asm } = g;
    const at = DESCRIPTIONS + DESCRIPTION_BYTES * this.descriptions++;
    if (g.abi === "sg-tuples") {
      this.loadAddress(variable, page, offset);
      asm.mov(absolute(at), variable.register);
      asm.mov(absolute(at + 8), PAGE_BYTES - offset, 64);
    } else {
      asm.mov(absolute(at), offset % 4096, 64);
      this.loadFrame(variable, page);
      g.add(variable, Math.floor(offset / 4096));
      asm.mov(absolute(at + 8), variable.register);
      g.add(variable, 1);
      asm.mov(absolute(at + 16), variable.register);
    }
    g.set(variable, g.abi === "sg-descriptor" ? at + FRAME_LIST : at);
  }
}

/** A page's whole buffer, which the stubs have a pointer to. */
function isWhole(value: PagePointer): boolean {
  return (value.offset ?? 0) === 0 && !value.linear;
}

function hasFlavourBit(abi: HypercallAbiName): boolean {
  return abi === "percall" || abi.startsWith("sg-");
}

function unwritten(bytes: number): bigint {
  return BigInt.asIntN(64, BigInt(`0x${UNWRITTEN.toString(16).repeat(bytes)}`));
}

/** What is called for a row. */
export function rowDescriptor(row: Row): OperationDescriptor {
  const operation = descriptorOf(row.operation);
  return row.struct === undefined ? operation : withStructAsArgument(operation);
}

/** Values in the order of the descriptor's inputs. @throws RangeError for a name that the operation does not have */
export function rowInputs(row: Row): readonly (RowValue | undefined)[] {
  const { inputs } = rowDescriptor(row);
  for (const name of Object.keys(row.inputs))
    if (!inputs.some((field) => field.name === name)) throw new RangeError(`${row.name}: no input ${name}`);
  return inputs.map(({ name }) => (name === "struct" ? row.struct : row.inputs[name]));
}
