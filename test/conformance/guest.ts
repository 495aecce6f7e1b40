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
import { PAGE_BYTES, PAGES, type PageName, type Row, type RowValue } from "./row.js";

/** Where the guest says which row it is at (from 1), and leaves addresses and results. RAM that the image does not reach. */
export const ROW_AT = 0x1000000;
export const PAGE_ADDRESSES = 0x1001000;
export const RESULTS = 0x1002000;
/** rax, then the operation's outputs in their order. */
export const RESULT_BYTES = 128;

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

/** Rows whose call the SDK's stubs of an interface refuse to emit, and why: found by trying, in a program that is thrown away, but for
 * three rules of this guest's own. */
function rowsNotCarried(
  rows: readonly Row[],
  abi: HypercallAbiName,
  vendor: "amd" | "intel",
): ReadonlyMap<Row, string> {
  const problems = new Map<Row, string>();
  const trial = defineGuest("trial", (g) => {
    for (const row of rows) {
      try {
        if (abi.startsWith("sg-") && pointsInto(row))
          problems.set(row, "the guest describes buffers as a whole");
        else if (abi.startsWith("sg-") && row.operation === "memory.increase_reservation")
          problems.set(row, "no row before it has given memory back");
        else if (row.struct !== undefined && abi === "fastabi")
          problems.set(row, "FastABI passes no structs");
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

/** Does the call have the address of the middle of a page, or does memory before it have any page's? */
function pointsInto({ struct, inputs, before = [] }: Row): boolean {
  const isPage = (value: RowValue | undefined) => typeof value === "object" && "page" in value;
  const isInside = (value: RowValue | undefined) =>
    typeof value === "object" && "page" in value && (value.offset ?? 0) !== 0;
  return [struct, ...Object.values(inputs)].some(isInside) || before.some(({ value }) => isPage(value));
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
    for (const { page, offset, value, bytes } of row.before ?? []) {
      const variable = g.variable(0);
      this.load(variable, value);
      const { register } = variable;
      asm.mov(atLabel(this.pages[page].label, offset), bytes === 8 ? register : resized(register, 32));
      variable.release();
    }
    const values = rowInputs(row).map((value) => this.value(value));
    asm.mov(absolute(ROW_AT), index + 1, 32);
    const operation = rowDescriptor(row);
    const call = g.call(operation, values);
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
    if ("page" in value && (value.offset ?? 0) === 0) return this.pages[value.page];
    const variable = this.g.variable(0);
    this.load(variable, value);
    return variable;
  }

  private load(variable: Variable, value: RowValue): void {
    const { g, pages, places } = this;
    if (typeof value !== "object") g.set(variable, value);
    else if ("saved" in value) {
      const place = places.get(value.saved);
      if (place === undefined) throw new RangeError(`no row saves ${value.saved}`);
      g.asm.mov(variable.register, absolute(place));
    } else if ("page" in value) {
      g.set(variable, pages[value.page]);
      g.add(variable, value.offset ?? 0);
    } else {
      const page = "frameOf" in value ? value.frameOf : value.addressOf;
      g.asm.mov(variable.register, absolute(PAGE_ADDRESSES + 8 * PAGES.indexOf(page)));
      if ("frameOf" in value) return;
      g.asm.shift("shl", variable.register, 12);
      g.add(variable, value.offset ?? 0);
    }
  }
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
