import { hex, ImageError } from "./image-error.js";

/** Little-endian fields of an image; reading past its end is an {@link ImageError}. */
export class ImageReader {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at: number, field: string): number {
    this.check(at, 1, field);
    return this.view.getUint8(at);
  }

  u16(at: number, field: string): number {
    this.check(at, 2, field);
    return this.view.getUint16(at, true);
  }

  u32(at: number, field: string): number {
    this.check(at, 4, field);
    return this.view.getUint32(at, true);
  }

  /** A 64-bit value; above 2^53 it is rounded, which every bound that callers check is far below. */
  u64(at: number, field: string): number {
    return this.u32(at, field) + this.u32(at + 4, field) * 2 ** 32;
  }

  /** A 4-byte or 8-byte value, as the ELF class has it. */
  word(at: number, wide: boolean, field: string): number {
    return wide ? this.u64(at, field) : this.u32(at, field);
  }

  /** Part of the image, not copied. */
  slice(at: number, length: number, field: string): Uint8Array {
    this.check(at, length, field);
    return this.bytes.subarray(at, at + length);
  }

  private check(at: number, length: number, field: string): void {
    const { length: size } = this.bytes;
    if (!(at >= 0 && length >= 0 && at + length <= size))
      throw new ImageError(
        "truncated",
        field,
        `${length} bytes from ${hex(at)}`,
        `within the image's ${size} bytes`,
        Math.min(at, size),
      );
  }
}
