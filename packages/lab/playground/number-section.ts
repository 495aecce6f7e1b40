import { element } from "./dom.js";
import { NumberField, type NumberListener } from "./number-field.js";
import type { NumberInput } from "./numbers.js";
import { SET_KEY, type StateProblem } from "./state-url.js";

/** A part of the form that can be folded away, with a field for each of some numbers. Fields are made when it is opened. */
export class NumberSection {
  readonly node: HTMLDetailsElement = element("details", { class: "section" });
  private readonly title: string;
  private readonly listener: NumberListener;
  private readonly summary: HTMLElement = element("summary");
  private readonly place: HTMLElement = element("div");
  private machine = "";
  private inputs: readonly NumberInput[] = [];
  private fields: readonly NumberField[] | undefined;
  private set: Readonly<Record<string, number>> = {};

  constructor(title: string, listener: NumberListener) {
    this.title = title;
    this.listener = listener;
    this.node.append(this.summary, this.place);
    this.node.addEventListener("toggle", () => {
      if (this.node.open) this.build();
    });
  }

  /** Shows these numbers of a machine, some of them replaced. */
  show(machine: string, inputs: readonly NumberInput[], set: Readonly<Record<string, number>>): void {
    this.set = set;
    const isSame =
      machine === this.machine &&
      inputs.length === this.inputs.length &&
      inputs.every(({ key }, at) => key === this.inputs[at].key);
    if (!isSame) {
      this.machine = machine;
      this.inputs = inputs;
      this.fields = undefined;
      this.place.replaceChildren();
      if (this.node.open) this.build();
    }
    const changed = inputs.filter(({ key }) => Object.hasOwn(set, key)).length;
    this.summary.textContent = changed === 0 ? this.title : `${this.title} (${changed} changed)`;
    this.node.hidden = inputs.length === 0;
    this.fill();
  }

  /** Says what was wrong, beside the fields concerned. @returns those of the problems that are about its numbers */
  complain(problems: readonly StateProblem[]): readonly StateProblem[] {
    const own = problems.filter(({ key }) => this.inputs.some((input) => concerns(key, input)));
    if (own.length > 0) {
      this.build();
      // A message that is folded away is none.
      this.node.open = true;
    }
    for (const [at, field] of (this.fields ?? []).entries())
      field.complain(own.find(({ key }) => concerns(key, this.inputs[at])));
    return own;
  }

  private build(): void {
    if (this.fields !== undefined) return;
    this.fields = this.inputs.map((input) => new NumberField(this.machine, input, this.listener));
    this.place.replaceChildren(...this.fields.map(({ node }) => node));
    this.fill();
  }

  private fill(): void {
    for (const [at, field] of (this.fields ?? []).entries()) {
      const { key } = this.inputs[at];
      field.show(Object.hasOwn(this.set, key) ? this.set[key] : undefined);
    }
  }
}

/** A problem of `machine.set.memory.l2` is one of `memory.l2.bytes`, too. */
function concerns(key: string, input: NumberInput): boolean {
  const own = SET_KEY + input.key;
  return key === own || own.startsWith(`${key}.`);
}
