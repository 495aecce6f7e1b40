import { element } from "./dom.js";
import { describe, type Field, nextId, problemLine } from "./fields.js";
import type { NumberInput } from "./numbers.js";
import { readNumber, SET_KEY, type StateProblem } from "./state-url.js";

/** What a reader did with a number: replaced it, gave it back to the profile (undefined), or wrote what is none. */
export interface NumberListener {
  /** @param isFinal false while a slider is being moved */
  changed(values: ReadonlyMap<string, number | undefined>, isFinal: boolean): void;
}

/** A number of the profile: slider and field, or a list of sizes, with where the number is from beside it. */
export class NumberField implements Field {
  readonly key: string;
  readonly node: HTMLElement;
  private readonly input: NumberInput;
  private readonly listener: NumberListener;
  private readonly slider: HTMLInputElement | undefined;
  private readonly entry: HTMLInputElement | HTMLSelectElement;
  private readonly reset: HTMLButtonElement;
  private readonly line: ReturnType<typeof problemLine>;

  constructor(machine: string, input: NumberInput, listener: NumberListener) {
    this.key = SET_KEY + input.key;
    this.input = input;
    this.listener = listener;
    const { label, quantity, slider } = input;
    const id = nextId();
    const provenance = element("p", { class: "provenance", id: nextId() }, provenanceOf(input));
    this.reset = element("button", { type: "button", "aria-label": `Reset ${label}` }, "Reset");
    this.reset.addEventListener("click", () => {
      this.set(undefined, true);
      this.entry.focus();
    });
    const isList = Array.isArray(slider);
    if (isList) {
      this.entry = element("select", { id });
      this.entry.addEventListener("change", () => this.set(Number(this.entry.value), true));
    } else {
      const { low, high, step } = slider as Exclude<NumberInput["slider"], readonly number[]>;
      this.slider = element("input", {
        type: "range",
        min: low,
        max: high,
        step,
        "aria-label": `${label}, slider`,
      });
      const range = this.slider;
      range.addEventListener("input", () => this.set(Number(range.value), false));
      range.addEventListener("change", () => this.set(Number(range.value), true));
      this.entry = element("input", { type: "number", id, min: input.least, max: input.most, step: "any" });
      this.entry.addEventListener("change", () => this.take(machine));
    }
    describe(this.entry, provenance.id);
    this.line = problemLine([this.entry]);
    this.node = element(
      "div",
      { class: "field number" },
      element("label", { for: id }, `${label}${isList ? "" : `, ${quantity.unit}`}`),
      element(
        "div",
        { class: isList ? "slider choice" : "slider" },
        ...(this.slider === undefined ? [] : [this.slider]),
        this.entry,
        this.reset,
      ),
      provenance,
      this.line.node,
    );
  }

  /** @param replaced the number in place of the profile's, if there is one */
  show(replaced: number | undefined): void {
    const value = replaced ?? this.input.quantity.value;
    const { entry, slider } = this;
    if (entry instanceof HTMLSelectElement) this.list(entry, value);
    else entry.value = String(value);
    if (slider !== undefined) slider.value = String(value);
    this.reset.disabled = replaced === undefined;
    this.node.classList.toggle("changed", replaced !== undefined);
  }

  complain(problem: StateProblem | undefined): void {
    this.line.complain(problem);
  }

  private list(select: HTMLSelectElement, value: number): void {
    const sizes = this.input.slider as readonly number[];
    const all = sizes.includes(value) ? sizes : [...sizes, value].sort((a, b) => a - b);
    const { unit, value: own } = this.input.quantity;
    select.replaceChildren(
      ...all.map((each) =>
        element(
          "option",
          { value: each },
          `${sizeText(each, unit)}${each === own ? " (the machine's)" : ""}`,
        ),
      ),
    );
    select.value = String(value);
  }

  private take(machine: string): void {
    const text = this.entry.value;
    if (text.trim() === "") {
      this.set(undefined, true);
      return;
    }
    const value = readNumber(machine, this.input.key, text);
    if (typeof value === "number") this.set(value, true);
    else this.complain({ key: this.key, problem: `"${text}"`, allowed: value });
  }

  private set(value: number | undefined, isFinal: boolean): void {
    const { key, tied, quantity } = this.input;
    const replaced = value === quantity.value ? undefined : value;
    const values = new Map([[key, replaced]]);
    if (tied !== undefined) values.set(tied, replaced);
    this.complain(undefined);
    this.listener.changed(values, isFinal);
  }
}

function provenanceOf({ quantity: { value, unit, basis, range, source } }: NumberInput): string {
  if (Number.isNaN(value)) return source;
  const own = sizeText(value, unit);
  const within = range === undefined ? "" : `, believed within ${range[0]} to ${range[1]}`;
  return `${own}: ${basis}${within}. ${source}`;
}

function sizeText(value: number, unit: string): string {
  if (unit !== "bytes") return `${value} ${unit}`;
  return value >= 2 ** 20 ? `${value / 2 ** 20} MiB` : `${value / 2 ** 10} KiB`;
}
