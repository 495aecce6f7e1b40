import type { Label } from "./label.js";

/** Something that cannot be encoded, or a label used wrongly. */
export class AssemblerError extends Error {
  readonly code: "OPERAND" | "UNBOUND_LABEL" | "REBOUND_LABEL" | "OUT_OF_RANGE";
  constructor(code: AssemblerError["code"], message: string) {
    super(message);
    this.name = "AssemblerError";
    this.code = code;
  }
}

/** Where an image is loaded and where it is mapped. */
export interface Origin {
  /** Guest-physical byte address of the image's first byte. */
  readonly physical: number;
  /** Linear address of the same byte while the emitted 64-bit code runs. */
  readonly linear: bigint;
}

export type FixupKind =
  | "relative8"
  | "relative32"
  | "linear32"
  | "linear64"
  | "physical32"
  | "frame32" // number of the guest-physical page
  | "pageOffset32"; // place in it

interface Fixup {
  readonly kind: FixupKind;
  /** Offset of the bytes to fill. */
  readonly at: number;
  readonly label: Label;
  readonly addend: number;
}

const FIXUP_BYTES: Readonly<Record<FixupKind, number>> = {
  relative8: 1,
  relative32: 4,
  linear32: 4,
  linear64: 8,
  physical32: 4,
  frame32: 4,
  pageOffset32: 4,
};

/**
 * Bytes under construction, with references to labels that are filled in when everything is bound.
 * Life cycle: emit and {@link bind} in any order, then {@link link} once.
 */
export class CodeBuffer {
  readonly origin: Origin;
  private bytes = new Uint8Array(4096);
  private used = 0;
  private readonly fixups: Fixup[] = [];

  constructor(origin: Origin) {
    this.origin = origin;
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.used;
  }

  u8(...values: number[]): void {
    this.room(values.length);
    for (const value of values) this.bytes[this.used++] = value;
  }

  /** Little-endian, two's complement for negative values. */
  integer(value: number | bigint, bytes: 1 | 2 | 4 | 8): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    this.room(bytes);
    for (let i = 0; i < bytes; i++) {
      this.bytes[this.used++] = Number(rest & 0xffn);
      rest >>= 8n;
    }
  }

  data(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.used);
    this.used += bytes.length;
  }

  zeros(count: number): void {
    this.room(count);
    this.used += count;
  }

  /** Pads to a multiple of `alignment` bytes with `fill`. */
  align(alignment: number, fill = 0): void {
    const pad = -this.used & (alignment - 1);
    this.room(pad);
    this.bytes.fill(fill, this.used, this.used + pad);
    this.used += pad;
  }

  bind(label: Label): void {
    if (label.offset !== undefined)
      throw new AssemblerError("REBOUND_LABEL", `label ${label.name} is bound twice`);
    label.offset = this.used;
  }

  /** Leaves room for a reference to `label`; relative ones count from the end of the reference plus `addend`. */
  reference(kind: FixupKind, label: Label, addend = 0): void {
    this.fixups.push({ kind, at: this.used, label, addend });
    this.zeros(FIXUP_BYTES[kind]);
  }

  /** All bytes with every reference filled in. @throws AssemblerError for a label that was never bound */
  link(): Uint8Array {
    for (const fixup of this.fixups) this.fill(fixup);
    return this.bytes.slice(0, this.used);
  }

  private fill({ kind, at, label, addend }: Fixup): void {
    if (label.offset === undefined)
      throw new AssemblerError("UNBOUND_LABEL", `label ${label.name} is used but never bound`);
    const view = new DataView(this.bytes.buffer);
    const target = label.offset + addend;
    if (kind === "relative8") {
      const distance = target - (at + 1);
      if (distance < -128 || distance > 127)
        throw new AssemblerError(
          "OUT_OF_RANGE",
          `label ${label.name} is ${distance} bytes away: -128 to 127 are allowed`,
        );
      view.setInt8(at, distance);
    } else if (kind === "relative32") view.setInt32(at, target - (at + 4), true);
    else if (kind === "physical32") view.setUint32(at, this.origin.physical + target, true);
    else if (kind === "frame32") view.setUint32(at, (this.origin.physical + target) >>> 12, true);
    else if (kind === "pageOffset32") view.setUint32(at, (this.origin.physical + target) & 0xfff, true);
    else {
      const linear = BigInt.asUintN(64, this.origin.linear + BigInt(target));
      if (kind === "linear64") view.setBigUint64(at, linear, true);
      else if (BigInt.asUintN(64, BigInt.asIntN(32, linear)) !== linear)
        throw new AssemblerError(
          "OUT_OF_RANGE",
          `0x${linear.toString(16)} is no sign-extended 32-bit address`,
        );
      else view.setUint32(at, Number(linear & 0xffffffffn), true);
    }
  }

  private room(count: number): void {
    if (this.used + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.used + count));
    grown.set(this.bytes);
    this.bytes = grown;
  }
}
