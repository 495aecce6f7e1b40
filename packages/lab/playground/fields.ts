import { type Attributes, element } from "./dom.js";
import type { StateProblem } from "./state-url.js";

/** One control of the form: it belongs to a key of the URL. */
export interface Field {
  readonly key: string;
  readonly node: HTMLElement;
  /** Says what was wrong with this control's value; nothing clears it. */
  complain(problem: StateProblem | undefined): void;
}

let fields = 0;

/** An id of the form's own. */
export function nextId(): string {
  fields++;
  return `field-${fields}`;
}

/** The line below a control for what was wrong with its value; the control is described by it. */
export function problemLine(controls: readonly HTMLElement[]): {
  readonly node: HTMLElement;
  complain(problem: StateProblem | undefined): void;
} {
  const id = nextId();
  const node = element("p", { class: "problem", id });
  for (const control of controls) describe(control, id);
  return {
    node,
    complain(problem) {
      node.textContent =
        problem === undefined ? "" : `Not taken: ${problem.problem}. Allowed: ${problem.allowed}.`;
      for (const control of controls)
        if (problem === undefined) control.removeAttribute("aria-invalid");
        else control.setAttribute("aria-invalid", "true");
    },
  };
}

/** Adds a text that describes a control. */
export function describe(control: HTMLElement, id: string): void {
  const before = control.getAttribute("aria-describedby");
  control.setAttribute("aria-describedby", before === null ? id : `${before} ${id}`);
}

/** A labelled list to choose one value from. */
export class SelectField<T extends string> implements Field {
  readonly key: string;
  readonly node: HTMLElement;
  private readonly select: HTMLSelectElement;
  private readonly hint: HTMLElement;
  private readonly line: ReturnType<typeof problemLine>;

  /** @param options values with their texts */
  constructor(
    key: string,
    label: string,
    options: readonly (readonly [T, string])[],
    changed: (value: T) => void,
  ) {
    this.key = key;
    const id = nextId();
    const choices = options.map(([value, text]) => element("option", { value }, text));
    this.select = element("select", { id }, ...choices);
    this.select.addEventListener("change", () => changed(this.select.value as T));
    this.hint = element("p", { class: "hint", id: nextId() });
    describe(this.select, this.hint.id);
    this.line = problemLine([this.select]);
    this.node = element(
      "div",
      { class: "field row" },
      element("label", { for: id }, label),
      this.select,
      this.hint,
      this.line.node,
    );
  }

  /** @param hint why the value does what it does, or nothing */
  show(value: T, hint = "", enabled = true): void {
    this.select.value = value;
    this.select.disabled = !enabled;
    this.hint.textContent = hint;
  }

  /** Values that cannot be chosen now. */
  disable(values: readonly T[]): void {
    for (const option of this.select.options) option.disabled = values.includes(option.value as T);
  }

  /** What the option for "not said" is called. */
  rename(value: T, text: string): void {
    for (const option of this.select.options) if (option.value === value) option.textContent = text;
  }

  complain(problem: StateProblem | undefined): void {
    this.line.complain(problem);
  }
}

/** A group of check boxes: any of several values. */
export class ChecksField<T extends string> implements Field {
  readonly key: string;
  readonly node: HTMLElement;
  private readonly boxes: ReadonlyMap<T, HTMLInputElement>;
  private readonly notes: ReadonlyMap<T, HTMLElement>;
  private readonly line: ReturnType<typeof problemLine>;

  constructor(
    key: string,
    title: string,
    options: readonly (readonly [T, string])[],
    changed: (values: readonly T[]) => void,
  ) {
    this.key = key;
    const boxes = new Map<T, HTMLInputElement>();
    const notes = new Map<T, HTMLElement>();
    const rows = options.map(([value, text]) => {
      const id = nextId();
      const box = element("input", { type: "checkbox", id });
      box.addEventListener("change", () =>
        changed([...boxes].filter(([, each]) => each.checked).map(([each]) => each)),
      );
      const note = element("small", { id: nextId() }, text);
      describe(box, note.id);
      boxes.set(value, box);
      notes.set(value, note);
      return element("div", { class: "check" }, box, element("label", { for: id }, value), note);
    });
    this.boxes = boxes;
    this.notes = notes;
    this.line = problemLine([...boxes.values()]);
    this.node = element("fieldset", {}, element("legend", {}, title), ...rows, this.line.node);
    this.texts = new Map(options);
  }

  private readonly texts: ReadonlyMap<T, string>;

  /** @param possible the others are shown with the reason */
  show(values: readonly T[], possible: readonly T[], reason: string): void {
    for (const [value, box] of this.boxes) {
      const isPossible = possible.includes(value);
      box.checked = values.includes(value);
      box.disabled = !isPossible;
      const note = this.notes.get(value);
      if (note) note.textContent = isPossible ? (this.texts.get(value) ?? "") : reason;
    }
  }

  complain(problem: StateProblem | undefined): void {
    this.line.complain(problem);
  }
}

/** A group of radio buttons in a line. */
export class RadioField<T extends string> implements Field {
  readonly key: string;
  readonly node: HTMLElement;
  private readonly buttons: ReadonlyMap<T, HTMLInputElement>;
  private readonly line: ReturnType<typeof problemLine>;

  constructor(
    key: string,
    title: string,
    options: readonly (readonly [T, string])[],
    changed: (value: T) => void,
    attributes: Attributes = {},
  ) {
    this.key = key;
    const name = nextId();
    const buttons = new Map<T, HTMLInputElement>();
    const parts = options.map(([value, text]) => {
      const id = nextId();
      const button = element("input", { type: "radio", id, name });
      button.addEventListener("change", () => changed(value));
      buttons.set(value, button);
      return element("span", {}, button, " ", element("label", { for: id }, text));
    });
    this.buttons = buttons;
    this.line = problemLine([...buttons.values()]);
    this.node = element(
      "fieldset",
      { class: "inline field", ...attributes },
      element("legend", {}, title),
      ...parts,
      this.line.node,
    );
  }

  show(value: T): void {
    for (const [each, button] of this.buttons) button.checked = each === value;
  }

  complain(problem: StateProblem | undefined): void {
    this.line.complain(problem);
  }
}
