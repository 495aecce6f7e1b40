/** Description of a small ELF image for the loader's tests. */
export interface ElfShape {
  readonly bits: 32 | 64;
  readonly machine?: number;
  readonly segments: readonly {
    readonly address: number;
    readonly bytes: number;
    readonly memoryBytes?: number;
  }[];
  /** Bytes of the note segment; default: one PHYS32_ENTRY note of `entryBytes` bytes. */
  readonly note?: Uint8Array;
  readonly entry?: number;
  readonly entryBytes?: 4 | 8;
}

/** A Xen note. */
export function xenNote(type: number, value: Uint8Array, name = "Xen\0"): Uint8Array {
  const nameBytes = new TextEncoder().encode(name);
  const padded = (n: number) => Math.ceil(n / 4) * 4;
  const note = new Uint8Array(12 + padded(nameBytes.length) + padded(value.length));
  const view = new DataView(note.buffer);
  view.setUint32(0, nameBytes.length, true);
  view.setUint32(4, value.length, true);
  view.setUint32(8, type, true);
  note.set(nameBytes, 12);
  note.set(value, 12 + padded(nameBytes.length));
  return note;
}

export function littleEndian(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

/** A well-formed ELF file of that shape; segment n is filled with the byte n + 1. */
export function elfImage(shape: ElfShape): Uint8Array {
  const wide = shape.bits === 64;
  const headerBytes = wide ? 64 : 52;
  const entryBytes = wide ? 56 : 32;
  const first = shape.segments[0]?.address ?? 0;
  const note = shape.note ?? xenNote(18, littleEndian(shape.entry ?? first, shape.entryBytes ?? 4));
  const count = shape.segments.length + 1;
  let fileAt = headerBytes + count * entryBytes;
  const image = new Uint8Array(fileAt + note.length + shape.segments.reduce((sum, s) => sum + s.bytes, 0));
  const view = new DataView(image.buffer);
  const word = (at: number, value: number) => {
    view.setUint32(at, value, true);
    if (wide) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  };
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, shape.machine ?? 62, true);
  view.setUint32(20, 1, true);
  word(wide ? 32 : 28, headerBytes);
  view.setUint16(wide ? 54 : 42, entryBytes, true);
  view.setUint16(wide ? 56 : 44, count, true);
  const header = (index: number, type: number, address: number, bytes: number, memoryBytes: number) => {
    const at = headerBytes + index * entryBytes;
    view.setUint32(at, type, true);
    word(at + (wide ? 8 : 4), fileAt);
    word(at + (wide ? 16 : 8), address);
    word(at + (wide ? 24 : 12), address);
    word(at + (wide ? 32 : 16), bytes);
    word(at + (wide ? 40 : 20), memoryBytes);
    fileAt += bytes;
  };
  shape.segments.forEach((segment, i) => {
    image.fill(i + 1, fileAt, fileAt + segment.bytes);
    header(i, 1, segment.address, segment.bytes, segment.memoryBytes ?? segment.bytes);
  });
  image.set(note, fileAt);
  header(count - 1, 4, 0, note.length, note.length);
  return image;
}
