import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";
import { AbiError, type AbiErrorCode } from "./abi-error.js";

/** Larger texts are refused before they are parsed; the biggest real file has 8 KiB. */
export const MAX_ABI_TEXT: number = 128 * 1024;
const MAX_DEPTH = 16;

/** A YAML value with its place in the file; every accessor either returns what it promises or throws an AbiError. */
export class YamlSource {
  readonly key: string;
  readonly line: number;
  private readonly value: Plain;
  private readonly file: string;

  constructor(value: Plain, file: string, key: string) {
    this.value = value;
    this.line = value.line;
    this.file = file;
    this.key = key;
  }

  fail(code: AbiErrorCode, allowed: string): never {
    throw new AbiError(code, this.file, this.line, this.key, allowed);
  }

  /** Entries of a mapping, in file order. */
  entries(): [string, YamlSource][] {
    const { content } = this.value;
    if (!(content instanceof Map)) this.fail("wrong-type", "a mapping");
    return [...content].map(([name, value]) => [name, this.child(name, value)]);
  }

  /** A mapping whose keys are all in `allowed`. */
  record(allowed: readonly string[]): Map<string, YamlSource> {
    const entries = this.entries();
    for (const [name, value] of entries) {
      if (!allowed.includes(name)) value.fail("unknown-key", allowed.join(", "));
    }
    return new Map(entries);
  }

  list(): YamlSource[] {
    const { content } = this.value;
    if (!Array.isArray(content)) this.fail("wrong-type", "a list");
    return content.map((value, i) => this.child(String(i), value));
  }

  text(): string {
    const { content } = this.value;
    if (typeof content !== "string") this.fail("wrong-type", "text");
    return content;
  }

  flag(): boolean {
    const { content } = this.value;
    if (typeof content !== "boolean") this.fail("wrong-type", "true or false");
    return content;
  }

  /** An integer in [least, most]. */
  integer(least: number, most: number, code: AbiErrorCode = "bad-number"): number {
    const { content } = this.value;
    if (typeof content !== "number" || !Number.isInteger(content) || content < least || content > most)
      this.fail(code, `an integer from ${least} to ${most}`);
    return content;
  }

  isText(): boolean {
    return typeof this.value.content === "string";
  }

  private child(name: string, value: Plain): YamlSource {
    return new YamlSource(value, this.file, this.key === "" ? name : `${this.key}.${name}`);
  }
}

interface Plain {
  readonly line: number;
  readonly content: Map<string, Plain> | Plain[] | string | number | boolean | null;
}

/** Parses one YAML document into located values. Aliases and deep nesting are refused, so hostile input stays small. */
export function parseYaml(text: string, file: string): YamlSource {
  if (typeof text !== "string") throw new AbiError("wrong-type", file, 0, "", "text");
  if (text.length > MAX_ABI_TEXT) throw new AbiError("too-large", file, 0, "", `${MAX_ABI_TEXT} characters`);
  const lines = new LineCounter();
  const line = (at: number) => lines.linePos(at).line;
  let root: Node | null;
  try {
    refuseDeepNesting(text, file);
    const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, logLevel: "silent" });
    if (!Array.isArray(documents) || documents.length !== 1)
      throw new AbiError("syntax", file, 1, "", "exactly one YAML document");
    const [document] = documents;
    const error = document.errors[0] ?? document.warnings[0];
    if (error !== undefined)
      throw new AbiError("syntax", file, line(error.pos[0]), "", `YAML (${error.code})`);
    root = document.contents;
  } catch (error) {
    if (error instanceof AbiError) throw error;
    // The parser recurses; whatever it trips over is still only a bad file.
    throw new AbiError("syntax", file, 0, "", "well-formed YAML");
  }
  if (root === null) throw new AbiError("wrong-type", file, 1, "", "a mapping");
  return new YamlSource(plain(root, file, line, 0), file, "");
}

function refuseDeepNesting(text: string, file: string): void {
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") depth--;
    // Brackets in quoted text count too: real files never come near the limit.
    if (depth > 4 * MAX_DEPTH) throw new AbiError("syntax", file, 0, "", `nesting up to ${MAX_DEPTH}`);
  }
}

function plain(node: unknown, file: string, line: (at: number) => number, depth: number): Plain {
  const at = line((node as Node | null)?.range?.[0] ?? 0);
  const refuse = (allowed: string): never => {
    throw new AbiError("syntax", file, at, "", allowed);
  };
  if (depth > MAX_DEPTH) refuse(`nesting up to ${MAX_DEPTH}`);
  if (isAlias(node)) refuse("values written out: no aliases");
  if (isMap(node)) {
    const content = new Map<string, Plain>();
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? pair.key.value : undefined;
      const keyLine = line((pair.key as Node | null)?.range?.[0] ?? 0);
      if (typeof key !== "string") throw new AbiError("syntax", file, keyLine, "", "keys that are names");
      if (content.has(key)) throw new AbiError("syntax", file, keyLine, "", "each key once");
      const { content: value } = plain(pair.value, file, line, depth + 1);
      // The key's line: a mapping below it begins on the next one, and an absent value nowhere.
      content.set(key, { line: keyLine, content: value });
    }
    return { line: at, content };
  }
  if (isSeq(node)) return { line: at, content: node.items.map((item) => plain(item, file, line, depth + 1)) };
  if (node === null) return { line: at, content: null };
  if (!isScalar(node)) return refuse("mappings, lists, text, numbers and booleans");
  const { value } = node;
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return { line: at, content: value };
  return refuse("mappings, lists, text, numbers and booleans");
}
