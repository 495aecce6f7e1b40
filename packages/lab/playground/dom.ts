/** Attributes of a new element; `false` and undefined leave one out, `true` gives it without value. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A new element with attributes and content. Text stays text: nothing is parsed as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : String(value));
  made.append(...content);
  return made;
}

/** The element with an id of the page's own. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/** Runs a classic script that lies beside the page. @throws Error when it cannot be loaded */
export function loadScript(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = element("script", { src: name });
    script.onload = () => resolve();
    script.onerror = () => reject(new Error(`${name} cannot be loaded`));
    document.head.append(script);
  });
}
