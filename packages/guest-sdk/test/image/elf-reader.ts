/** Just enough of an ELF64 reader to check images against the specification, independent of the writer. */
export interface ReadElf {
  readonly entry: number;
  readonly loads: readonly {
    physical: number;
    linear: bigint;
    bytes: Uint8Array;
    memoryBytes: number;
    offset: number;
    align: number;
  }[];
  readonly notes: readonly { owner: string; type: number; value: number }[];
}

export function readElf(file: Uint8Array): ReadElf {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  if (view.getUint32(0, false) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error("no ELF64, little-endian");
  if (view.getUint16(16, true) !== 2 || view.getUint16(18, true) !== 62)
    throw new Error("no x86-64 executable");
  const loads = [];
  const notes = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = u64(32) + i * view.getUint16(54, true);
    const [offset, fileBytes] = [u64(at + 8), u64(at + 32)];
    if (offset + fileBytes > file.length) throw new Error(`program header ${i} points behind the file`);
    if (view.getUint32(at, true) === 1) {
      const bytes = file.slice(offset, offset + fileBytes);
      loads.push({
        physical: u64(at + 24),
        linear: view.getBigUint64(at + 16, true),
        bytes,
        memoryBytes: u64(at + 40),
        offset,
        align: u64(at + 48),
      });
    }
    if (view.getUint32(at, true) === 4) {
      for (let n = offset; n < offset + fileBytes; ) {
        const [nameBytes, valueBytes] = [view.getUint32(n, true), view.getUint32(n + 4, true)];
        const owner = new TextDecoder().decode(file.slice(n + 12, n + 12 + nameBytes - 1));
        const value = n + 12 + Math.ceil(nameBytes / 4) * 4;
        notes.push({ owner, type: view.getUint32(n + 8, true), value: view.getUint32(value, true) });
        n = value + Math.ceil(valueBytes / 4) * 4;
      }
    }
  }
  return { entry: u64(24), loads, notes };
}
