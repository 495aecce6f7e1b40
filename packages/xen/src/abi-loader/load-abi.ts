import { Errno } from "../errno.js";
import {
  type AbiGroup,
  type AbiOperation,
  type AbiStruct,
  type AbiStructField,
  type AbiValue,
  FASTABI_ONLY,
  REGISTER_ARGUMENT,
} from "./abi-group.js";
import { ABI_TYPES, type AbiType, findAbiType } from "./abi-type.js";
import { parseYaml, type YamlSource } from "./yaml-source.js";

const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const CONSTANT = /^[A-Z][A-Z0-9_]{0,63}$/;
const PATH = /^[a-z_][a-z0-9_]*(\[\d\])?(\.[a-z_][a-z0-9_]*(\[\d\])?){0,4}$/;
const MAX_STRUCT_BYTES = 4096;
/** The hypercall page has that many stubs. */
const MAX_HYPERCALL = 127;
const MAX_SUBOP = 255;
const TYPE_NAMES = ABI_TYPES.map((t) => t.name).join(", ");

/** What a description need not say itself. */
export interface LoadAbiOptions {
  /**
   * Layouts of structs that the file names and does not lay out, as the RFC's own files never do: {@link AbiGroup.structs}
   * of other files. A value that its struct has no member for is then one that only FastABI carries.
   */
  readonly structs?: readonly AbiStruct[] | undefined;
}

/**
 * Reads one description of a hypercall's operations (`abi/*.yml`). The grammar is that of the FastABI RFC; `structs`,
 * `constants`, `implied`, `copy_in`, `copy_out`, `copy_out_field`, `always_out`, `array`, `plain`, `fastabi`, `doc`, `errors` and
 * `c_lang.fastabi_only` are optional additions of ours, which the traditional interface needs. A file without `structs` gives values without types.
 *
 * @param text the YAML text, at most 131,072 characters
 * @param file name to put into errors
 * @throws AbiError for everything that is wrong with the text, with its line
 */
export function loadAbi(text: string, file: string, options: LoadAbiOptions = {}): AbiGroup {
  const root = parseYaml(text, file);
  const keys = root.record([
    "name",
    "hypercall_index",
    "doc",
    "fastabi",
    "array",
    "plain",
    "constants",
    "structs",
    "subops",
  ]);
  const structs = keys.get("structs")?.entries().map(readStruct);
  const layouts: Layouts = { own: structs, others: options.structs ?? [] };
  const group = {
    name: readName(required(root, keys, "name")),
    hypercall: required(root, keys, "hypercall_index").integer(0, MAX_HYPERCALL),
    doc: readDoc(keys.get("doc")),
    fastabi: keys.get("fastabi")?.flag() ?? true,
    array: keys.get("array")?.flag() ?? false,
    plain: keys.get("plain")?.flag() ?? false,
    constants: new Map(keys.get("constants")?.entries().map(readConstant)),
  };
  const operations: AbiOperation[] = [];
  for (const [name, source] of required(root, keys, "subops").entries()) {
    if (!NAME.test(name)) source.fail("bad-name", "lower-case letters, digits and _");
    const operation = readOperation(name, source, layouts, keys.get("fastabi")?.flag() ?? true);
    if (operations.some((o) => o.subop === operation.subop))
      source.fail("duplicate-index", "an index that no other operation of the file has");
    operations.push(operation);
  }
  if (group.plain && (operations.length !== 1 || operations[0].subop !== 0 || operations[0].fastabi))
    keys.get("plain")?.fail("duplicate-index", "one operation, with index 0, that FastABI does not dispatch");
  const named = (struct: AbiStruct) => operations.some((operation) => operation.struct === struct.name);
  return { ...group, structs: structs ?? layouts.others.filter(named), operations };
}

function required(parent: YamlSource, keys: Map<string, YamlSource>, name: string): YamlSource {
  return keys.get(name) ?? parent.fail("missing-key", `the key ${name}`);
}

function readName(source: YamlSource): string {
  const name = source.text();
  if (!NAME.test(name)) source.fail("bad-name", "lower-case letters, digits and _");
  return name;
}

function readDoc(source: YamlSource | undefined): string {
  const doc = source?.text() ?? "";
  if (/[\n\r]|\*\/|\|/.test(doc)) source?.fail("bad-name", "one line without */ and |");
  return doc;
}

function readConstant([name, source]: [string, YamlSource]): [string, number] {
  if (!CONSTANT.test(name)) source.fail("bad-name", "upper-case letters, digits and _");
  return [name, source.integer(-0x80000000, 0xffffffff)];
}

function readStruct([name, source]: [string, YamlSource]): AbiStruct {
  if (!NAME.test(name)) source.fail("bad-name", "lower-case letters, digits and _");
  const keys = source.record(["bytes", "compat", "fields"]);
  const bytes = required(source, keys, "bytes").integer(1, MAX_STRUCT_BYTES);
  const fields = required(source, keys, "fields")
    .entries()
    .map(([path, field]) => readField(path, field, bytes));
  return { name, bytes, compat: keys.get("compat")?.flag() ?? false, fields };
}

function readField(path: string, source: YamlSource, structBytes: number): AbiStructField {
  if (!PATH.test(path) || path.includes("[")) source.fail("bad-name", "a C member path");
  const keys = source.record(["offset", "type", "of", "align"]);
  const typeSource = required(source, keys, "type");
  const [, typeName, count] = /^([a-z0-9_]+)(?:\[([0-9]{1,4})\])?$/.exec(typeSource.text()) ?? [];
  const type =
    findAbiType(typeName ?? "") ?? typeSource.fail("unknown-type", `${TYPE_NAMES}, or one of them with [n]`);
  const elements = count === undefined ? 0 : Number(count);
  if (count !== undefined && elements < 1) typeSource.fail("unknown-type", "an array of at least 1 element");
  const offset = required(source, keys, "offset").integer(0, structBytes - 1);
  if (offset % type.bytes !== 0) source.fail("bad-layout", `an offset that is a multiple of ${type.bytes}`);
  if (offset + type.bytes * Math.max(1, elements) > structBytes)
    source.fail("bad-layout", `a field that ends within the struct's ${structBytes} bytes`);
  const of = keys.get("of");
  const align = keys.get("align")?.integer(1, 8);
  return {
    path,
    offset,
    ...(align === undefined ? {} : { align }),
    type,
    elements,
    of: of === undefined ? undefined : readType(of),
  };
}

function readType(source: YamlSource): AbiType {
  return findAbiType(source.text()) ?? source.fail("unknown-type", TYPE_NAMES);
}

/** Where structs are laid out. */
interface Layouts {
  /** Of the file itself; undefined when it gives none at all. */
  readonly own: readonly AbiStruct[] | undefined;
  readonly others: readonly AbiStruct[];
}

/** What the keys of one operation say about its values. */
interface Carriage {
  /** Is there a layout to look values up in, or nothing that would need one? */
  readonly described: boolean;
  /** The layout is another file's, which need not have a member for every value. */
  readonly borrowed: boolean;
  readonly struct: AbiStruct | undefined;
  readonly structName: string | undefined;
  readonly params: Map<string, AbiType>;
  readonly mapping: Map<string, string>;
  readonly fastabiOnly: Map<string, string>;
  readonly implied: Map<string, number>;
}

function readOperation(name: string, source: YamlSource, layouts: Layouts, fastabi: boolean): AbiOperation {
  const keys = source.record([
    "index",
    "doc",
    "input",
    "output",
    "implied",
    "copy_in",
    "copy_out",
    "copy_out_field",
    "always_out",
    "fastabi",
    "errors",
    "c_lang",
  ]);
  const carriage = readCarriage(keys, layouts);
  const inputs = readValues(keys.get("input"), carriage, fastabi ? 2 : 8);
  const outputs = readValues(keys.get("output"), carriage, fastabi ? 1 : 8);
  checkNames(keys.get("c_lang"), [...inputs, ...outputs]);
  for (const [implied] of carriage.implied) {
    const input = inputs.find((v) => v.name === implied);
    if (input === undefined || input.register !== 0)
      keys.get("implied")?.fail("missing-field", "names of inputs whose register is 0");
  }
  // The default rule: a struct that holds an input is copied in whole, one that holds a result is copied out whole.
  const bytes = carriage.struct?.bytes ?? 0;
  const holds = (values: readonly AbiValue[]) => values.some((v) => v.offset !== undefined && v.offset >= 0);
  return {
    name,
    subop: required(source, keys, "index").integer(0, MAX_SUBOP),
    doc: readDoc(keys.get("doc")),
    struct: carriage.structName,
    inputs,
    outputs,
    copyIn: keys.get("copy_in")?.integer(0, bytes) ?? (holds(inputs) ? bytes : 0),
    copyOut: keys.get("copy_out")?.integer(0, bytes) ?? (holds(outputs) ? bytes : 0),
    copyOutField: readOutField(keys.get("copy_out_field"), outputs),
    alwaysOut: keys.get("always_out")?.flag() ?? false,
    fastabi: keys.get("fastabi")?.flag() ?? fastabi,
    errors: keys.get("errors")?.list().map(readErrno) ?? [],
    line: source.line,
  };
}

function readOutField(source: YamlSource | undefined, outputs: readonly AbiValue[]): string | undefined {
  const name = source?.text();
  if (name !== undefined && !outputs.some((value) => value.name === name))
    source?.fail("missing-field", outputs.map((value) => value.name).join(", ") || "an output");
  return name;
}

function readErrno(source: YamlSource): string {
  const name = source.text();
  if (!Object.hasOwn(Errno, name)) source.fail("unknown-errno", Object.keys(Errno).join(", "));
  return name;
}

/** Every name under c_lang is a value's. */
function checkNames(source: YamlSource | undefined, values: readonly AbiValue[]): void {
  for (const [key, names] of source?.entries() ?? []) {
    if (key === "struct") continue;
    for (const [name, of] of names.entries())
      if (!values.some((value) => value.name === name))
        of.fail("missing-field", values.map((value) => value.name).join(", ") || "an input or output");
  }
}

function readCarriage(keys: Map<string, YamlSource>, { own: structs, others }: Layouts): Carriage {
  const lang = keys.get("c_lang")?.record(["struct", "params", "mapping", "fastabi_only"]);
  const structSource = lang?.get("struct");
  const structName = structSource === undefined ? undefined : readName(structSource);
  const struct = (structs ?? others).find((s) => s.name === structName);
  if (structs !== undefined && structName !== undefined && struct === undefined)
    structSource?.fail("missing-struct", structs.map((s) => s.name).join(", ") || "a struct under structs");
  return {
    described:
      structs !== undefined || struct !== undefined || (structName === undefined && lang !== undefined),
    borrowed: structs === undefined && struct !== undefined,
    struct,
    structName,
    params: new Map(
      lang
        ?.get("params")
        ?.entries()
        .map(([n, s]) => [n, readType(s)] as const),
    ),
    mapping: new Map(
      lang
        ?.get("mapping")
        ?.entries()
        .map(([n, s]) => [n, readPath(s)] as const),
    ),
    fastabiOnly: new Map(
      lang
        ?.get("fastabi_only")
        ?.entries()
        .map(([n, s]) => [n, readSourceOf(s)] as const),
    ),
    implied: new Map(
      keys
        .get("implied")
        ?.entries()
        .map(([n, s]) => [n, s.integer(0, 0xffffffff)] as const),
    ),
  };
}

function readPath(source: YamlSource): string {
  const path = source.text();
  if (!PATH.test(path)) source.fail("bad-name", "a C member path");
  return path;
}

function readSourceOf(source: YamlSource): string {
  const text = source.text();
  if (!/^(frame|[a-z_][a-z0-9_]*\[0\])$/.test(text))
    source.fail("bad-name", "frame, or a handle field with [0]");
  return text;
}

function readValues(source: YamlSource | undefined, carriage: Carriage, leastRegister: number): AbiValue[] {
  const values: AbiValue[] = [];
  for (const [name, register] of source?.entries() ?? []) {
    if (!PATH.test(name)) register.fail("bad-name", "a name or C member path");
    const number = register.integer(0, 7, "unknown-register");
    if (number !== 0 && number < leastRegister)
      register.fail(
        "unknown-register",
        leastRegister === 8 ? "0: FastABI does not carry this hypercall" : "0 or 2 to 7",
      );
    if (number !== 0 && values.some((v) => v.register === number))
      register.fail("register-used-twice", "a register that no other value on this side has");
    values.push({ name, register: number, ...placeOf(name, carriage, register) });
  }
  return values;
}

function placeOf(name: string, carriage: Carriage, source: YamlSource): Omit<AbiValue, "name" | "register"> {
  const implied = carriage.implied.get(name);
  const parameter = carriage.params.get(name);
  const from = carriage.fastabiOnly.get(name);
  if (from !== undefined) {
    if (parameter === undefined) source.fail("missing-field", "a type for it under c_lang.params");
    return { type: parameter, path: undefined, offset: FASTABI_ONLY, implied, source: from };
  }
  if (parameter !== undefined)
    return { type: parameter, path: undefined, offset: REGISTER_ARGUMENT, implied, source: undefined };
  if (!carriage.described)
    return { type: undefined, path: undefined, offset: undefined, implied, source: undefined };
  const path = carriage.mapping.get(name) ?? name;
  const found = carriage.struct === undefined ? undefined : locate(carriage.struct, path);
  if (found === undefined && carriage.borrowed)
    return { type: undefined, path: undefined, offset: undefined, implied, source: undefined };
  if (found === undefined) {
    const fields = carriage.struct?.fields.map((f) => f.path).join(", ");
    source.fail(
      "missing-field",
      `a name under c_lang.params${fields === undefined ? "" : `, or one of ${fields}`}`,
    );
  }
  return { ...found, path, implied, source: undefined };
}

/** Type and offset of `path` in a struct; `time[2]` finds an element of the array field `time`. */
function locate(struct: AbiStruct, path: string): { type: AbiType; offset: number } | undefined {
  const [, base, index] = /^(.*?)(?:\[(\d)\])?$/.exec(path) ?? [];
  const field = struct.fields.find((f) => f.path === base);
  if (field === undefined || (index === undefined) !== (field.elements === 0)) return undefined;
  const element = Number(index ?? 0);
  if (element >= Math.max(1, field.elements)) return undefined;
  return { type: field.type, offset: field.offset + element * field.type.bytes };
}
