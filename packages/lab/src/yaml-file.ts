import { type Document, isMap, isNode, isPair, isSeq, LineCounter, parseDocument } from "yaml";

const MAX_CHARACTERS = 4 * 2 ** 20;

/** A file as it was written, for errors about what it says. */
export interface FileSource {
  readonly file: string;
  /** Line of the key at a path, or of the deepest part of it that the file has. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** What a YAML or JSON file says. */
export interface YamlFile {
  readonly value: unknown;
  readonly source: FileSource;
}

/** Makes the error for a file that is no YAML; line 0 when the trouble is the file as a whole. */
export type YamlRefusal = (line: number, problem: string, allowed: string) => Error;

/**
 * Reads one YAML document, JSON among them.
 * @param file its name, for messages
 * @throws what `refuse` makes of what is wrong
 */
export function readYaml(text: string, file: string, refuse: YamlRefusal): YamlFile {
  if (text.length > MAX_CHARACTERS) throw refuse(0, `${text.length} characters`, `at most ${MAX_CHARACTERS}`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: false, stringKeys: true });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 0;
    if (error.code === "NON_STRING_KEY") throw refuse(line, "a key that is no text", "keys that are text");
    const [problem] = error.message.split("\n");
    throw refuse(line, problem.replace(/( at line \d+, column \d+)?:?$/, ""), "one YAML document");
  }
  const source = { file, lineOf: (path: readonly PropertyKey[]) => lineOf(document, lines, path) };
  return { value: plainValue(document, refuse), source };
}

function plainValue(document: Document, refuse: YamlRefusal): unknown {
  try {
    return document.toJS({ maxAliasCount: 50 });
  } catch (error) {
    throw refuse(0, (error as Error).message, "few aliases of anchors that exist");
  }
}

function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? node.range?.[0] : undefined;
  for (const step of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === String(step));
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair.value;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    if (next === undefined) break;
    node = next;
  }
  return offset === undefined ? 0 : lines.linePos(offset).line;
}
