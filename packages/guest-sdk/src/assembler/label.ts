/** A place in an image, to be referred to before or after it is known. Bound once by `Assembler.bind`. */
export class Label {
  readonly name: string;
  /** Byte offset from the image's start; `undefined` until bound. */
  offset: number | undefined;

  constructor(name: string) {
    this.name = name;
  }
}

/** The address of a label as an immediate: where it is mapped, or where it lies in guest-physical memory. */
export interface LabelAddress {
  readonly kind: "address";
  readonly space: "linear" | "physical";
  readonly label: Label;
  readonly addend: number;
}

/** Linear address of `label` plus `addend` bytes. */
export function linearAddress(label: Label, addend = 0): LabelAddress {
  return { kind: "address", space: "linear", label, addend };
}

/** Guest-physical address of `label` plus `addend` bytes. */
export function physicalAddress(label: Label, addend = 0): LabelAddress {
  return { kind: "address", space: "physical", label, addend };
}
