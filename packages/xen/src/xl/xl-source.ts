import { XlConfigError, type XlConfigErrorCode } from "./xl-config-error.js";

/** Larger texts are refused before they are read. */
const MAX_XL_TEXT: number = 128 * 1024;

/** What a key can be set to. */
export type XlValue = number | string | readonly (number | string)[];

/** One `key = value`. */
export interface XlSetting {
  readonly key: string;
  readonly value: XlValue;
  readonly line: number;
}

const TOKEN =
  /[ \t\r]+|(?<comment>#[^\n]*)|(?<end>[\n;])|(?<number>(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![\w]))|(?<name>[A-Za-z_]\w*)|"(?<double>[^"\n]*)"|'(?<single>[^'\n]*)'|(?<sign>\+=|[=[\],])/y;

interface Token {
  readonly kind: "end" | "number" | "name" | "string" | "sign" | "eof";
  readonly text: string;
  readonly line: number;
}

/**
 * Settings of a text in xl.cfg's grammar: `key = value` on lines of their own or between semicolons, `#` to the end of a
 * line, values that are numbers, strings in either quotes, or lists of them over as many lines as they need; `+=` appends
 * to a string or list.
 */
export function readXlSettings(text: string, file: string): XlSetting[] {
  const fail = (code: XlConfigErrorCode, line: number, key: string, allowed: string): never => {
    throw new XlConfigError(code, file, line, key, allowed);
  };
  if (text.length > MAX_XL_TEXT) fail("syntax", 1, "", `at most ${MAX_XL_TEXT} characters`);
  const tokens = tokensOf(text, (line) =>
    fail("syntax", line, "", "key = value, with numbers, quoted strings and lists"),
  );
  const settings = new Map<string, XlSetting>();
  let at = 0;
  const skipEnds = () => {
    while (tokens[at].kind === "end") at++;
  };
  const list = (key: string): (number | string)[] => {
    const items: (number | string)[] = [];
    for (;;) {
      skipEnds();
      const token = tokens[at++];
      if (token.text === "]" && token.kind === "sign") return items;
      items.push(
        scalar(token) ?? fail("syntax", token.line, key, "numbers and quoted strings in a list, then ]"),
      );
      skipEnds();
      const next = tokens[at];
      if (next.kind === "sign" && next.text === ",") at++;
      else if (next.kind !== "sign" || next.text !== "]")
        fail("syntax", next.line, key, ", or ] after an item");
    }
  };
  for (skipEnds(); tokens[at].kind !== "eof"; skipEnds()) {
    const name = tokens[at++];
    if (name.kind !== "name") fail("syntax", name.line, "", "a key at the start of a line");
    const key = name.text;
    const sign = tokens[at++];
    if (sign.kind !== "sign" || (sign.text !== "=" && sign.text !== "+="))
      fail("syntax", sign.line, key, "= or += after a key");
    const first = tokens[at++];
    const value =
      first.kind === "sign" && first.text === "["
        ? list(key)
        : (scalar(first) ?? fail("syntax", first.line, key, "a number, a quoted string or a list"));
    const end = tokens[at];
    if (end.kind !== "end" && end.kind !== "eof")
      fail("syntax", end.line, key, "the end of the line after a value");
    const before = settings.get(key);
    const { line } = name;
    if (before === undefined) settings.set(key, { key, value, line });
    else if (sign.text === "=")
      fail("duplicate-key", line, key, `one setting; the first is in line ${before.line}`);
    else
      settings.set(key, {
        key,
        value: joined(before.value, value) ?? fail("wrong-type", line, key, "+= of strings or of lists"),
        line: before.line,
      });
  }
  return [...settings.values()];
}

function joined(before: XlValue, value: XlValue): XlValue | undefined {
  if (typeof before === "string" && typeof value === "string") return before + value;
  return typeof before === "object" && typeof value === "object" ? [...before, ...value] : undefined;
}

function scalar({ kind, text }: Token): number | string | undefined {
  return kind === "number" ? Number(text) : kind === "string" ? text : undefined;
}

function tokensOf(text: string, unknown: (line: number) => never): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    if (match === null) return unknown(line);
    const { end, number, name, double, single, sign } = match.groups ?? {};
    if (end !== undefined) {
      tokens.push({ kind: "end", text: end, line });
      if (end === "\n") line++;
    } else if (number !== undefined) tokens.push({ kind: "number", text: number, line });
    else if (name !== undefined) tokens.push({ kind: "name", text: name, line });
    else if (sign !== undefined) tokens.push({ kind: "sign", text: sign, line });
    else if (double !== undefined || single !== undefined)
      tokens.push({ kind: "string", text: double ?? single ?? "", line });
  }
  tokens.push({ kind: "eof", text: "", line });
  return tokens;
}
