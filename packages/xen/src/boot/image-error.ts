/** What is wrong with a guest image. */
export type ImageErrorCode =
  | "not-elf"
  | "truncated"
  | "unsupported" // well-formed, but not what an x86 domain can run
  | "bad-program-header"
  | "bad-segment"
  | "overlap"
  | "bad-note"
  | "no-pvh-entry"
  | "no-multiboot-header"
  | "bad-entry"
  | "does-not-fit";

/** An image that cannot be loaded. The message names the field and says what is allowed. */
export class ImageError extends Error {
  readonly code: ImageErrorCode;
  /** Field of the file format, for example `e_phnum` or `p_filesz of segment 2`. */
  readonly field: string;
  /** What is there instead of what is allowed. */
  readonly found: string;
  readonly allowed: string;
  /** Byte offset of the field in the image; -1 when it is not about one place. */
  readonly offset: number;

  constructor(code: ImageErrorCode, field: string, found: string, allowed: string, offset = -1) {
    const where = offset < 0 ? "" : ` at byte 0x${offset.toString(16)}`;
    super(`${code}: ${field}${where} is ${found}; allowed: ${allowed}`);
    this.name = "ImageError";
    this.code = code;
    this.field = field;
    this.found = found;
    this.allowed = allowed;
    this.offset = offset;
  }
}

/** A number as messages show it. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
