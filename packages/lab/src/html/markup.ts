/** Text that is HTML already and goes into a page as it is. Only {@link html} and {@link trusted} make it. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What a template can hold: markup as it is, anything else as text; lists are joined; null, undefined and false are nothing. */
export type Content = Markup | string | number | null | undefined | false | readonly Content[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for an element's content or a quoted attribute. Control characters, which HTML does not have, become their pictures. */
export function escapeText(text: string): string {
  return (
    text
      .replace(/\r\n?/g, "\n")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what consoles print
      .replace(/[\u0000-\u0008\u000b-\u001f]/g, (each) => String.fromCharCode(0x2400 + each.charCodeAt(0)))
      // Lone surrogates have no UTF-8.
      .replace(/[\u007f-\u009f]|\p{Surrogate}/gu, "\ufffd")
      .replace(/[&<>"']/g, (each) => ENTITIES[each])
  );
}

/** A template of HTML: what is filled in is escaped unless it is {@link Markup}. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let text = parts[0];
  for (const [at, value] of values.entries()) text += contentText(value) + parts[at + 1];
  return new Markup(text);
}

/** Vouches for a text of this package's own or of a library's, never for one that came from a document. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

/** Plain data as JSON that no HTML parser reads anything else into, for a `<script type="application/json">`. */
export function jsonForScript(data: unknown): Markup {
  const text = JSON.stringify(data);
  return new Markup(
    text.replace(/[<>&\u2028\u2029]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}

function contentText(value: Content): string {
  if (value === null || value === undefined || value === false) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(contentText).join("");
  return escapeText(String(value));
}
