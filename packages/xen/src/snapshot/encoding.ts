import { checksum } from "./checksum.js";
import type { PlainData } from "./plain-data.js";
import { SnapshotError } from "./snapshot-error.js";
import type { KvmSystemSnapshot, XenSystemSnapshot } from "./system-snapshot.js";

/** What a snapshot file begins with: ^S, "HYPERWALK", CR, LF, ^Z and NUL, which text modes would spoil. */
const MAGIC: readonly number[] = [
  0x13, 0x48, 0x59, 0x50, 0x45, 0x52, 0x57, 0x41, 0x4c, 0x4b, 0x0d, 0x0a, 0x1a, 0,
];
/** Version of the encoding and of what is encoded: a change of either is a new number. */
export const SNAPSHOT_VERSION = 3;
const VERSION_AT = MAGIC.length;
const LENGTH_AT = VERSION_AT + 2;
const CHECKSUM_AT = LENGTH_AT + 4;
const HEADER_BYTES = CHECKSUM_AT + 4;
const MAX_DEPTH = 32;

/** First byte of each value. */
const Tag = {
  Nothing: 0,
  False: 1,
  True: 2,
  /** i32 */
  Integer: 3,
  /** f64 */
  Number: 4,
  /** u32 bytes of UTF-8, then those */
  Text: 5,
  /** u32 items, then those */
  List: 6,
  /** u32 members, then a text without its tag and a value for each */
  Record: 7,
  /** u32 elements, then runs: u32 zeros, u32 others, then those */
  Bytes: 8,
  Integers: 9,
  Doubles: 10,
} as const;

/** Zero elements from which on a run of them is worth its 8 bytes. */
const MIN_ZEROS = 16;

type Elements = Uint8Array | Int32Array | Float64Array;

/**
 * Plain data as bytes, the same bytes for the same data. All numbers are little-endian.
 *
 * A header of 24 bytes: 14 of `MAGIC`, u16 version, u32 length and u32 CRC-32 of what follows; then one value. A
 * value is a `Tag` and what its comment says.
 */
export function encodeSnapshot(data: XenSystemSnapshot | KvmSystemSnapshot | PlainData): Uint8Array {
  const writer = new Writer();
  writer.value(data as PlainData); // an interface has no index signature
  const body = writer.finish();
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  bytes.set(MAGIC);
  bytes.set(body, HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(VERSION_AT, SNAPSHOT_VERSION, true);
  view.setUint32(LENGTH_AT, body.length, true);
  view.setUint32(CHECKSUM_AT, checksum(body), true);
  return bytes;
}

/** @throws SnapshotError for anything that {@link encodeSnapshot} did not make, with the problem and its place */
export function decodeSnapshot(bytes: Uint8Array): PlainData {
  const present = Math.min(bytes.length, MAGIC.length);
  for (let i = 0; i < present; i++)
    if (bytes[i] !== MAGIC[i]) throw new SnapshotError("FOREIGN", "these bytes are not a hyperwalk snapshot");
  if (bytes.length === 0) throw new SnapshotError("FOREIGN", "a hyperwalk snapshot is not empty");
  if (bytes.length < HEADER_BYTES)
    throw new SnapshotError("TRUNCATED", `the snapshot ends in its header, after ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(VERSION_AT, true);
  if (version !== SNAPSHOT_VERSION)
    throw new SnapshotError("VERSION", `version ${version}: this one reads version ${SNAPSHOT_VERSION}`);
  const length = view.getUint32(LENGTH_AT, true);
  const body = bytes.subarray(HEADER_BYTES);
  if (body.length < length)
    throw new SnapshotError("TRUNCATED", `the snapshot has ${body.length} of ${length} bytes`);
  if (body.length > length)
    throw new SnapshotError("CORRUPT", `${body.length - length} bytes follow the snapshot's end`);
  if (checksum(body) !== view.getUint32(CHECKSUM_AT, true))
    throw new SnapshotError("CORRUPT", "the snapshot's checksum is wrong: bytes of it were changed");
  return new Reader(body).whole();
}

class Writer {
  private bytes = new Uint8Array(1 << 16);
  private view = new DataView(this.bytes.buffer);
  private at = 0;

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.at);
  }

  value(data: PlainData): void {
    if (data === undefined) this.u8(Tag.Nothing);
    else if (typeof data === "boolean") this.u8(data ? Tag.True : Tag.False);
    else if (typeof data === "number") this.number(data);
    else if (typeof data === "string") {
      this.u8(Tag.Text);
      this.text(data);
    } else if (data instanceof Uint8Array) this.elements(Tag.Bytes, data, 1);
    else if (data instanceof Int32Array) this.elements(Tag.Integers, data, 4);
    else if (data instanceof Float64Array) this.elements(Tag.Doubles, data, 8);
    else if (isList(data)) {
      this.u8(Tag.List);
      this.u32(data.length);
      for (const item of data) this.value(item);
    } else {
      const members = Object.entries(data);
      this.u8(Tag.Record);
      this.u32(members.length);
      for (const [key, member] of members) {
        this.text(key);
        this.value(member);
      }
    }
  }

  private number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.u8(Tag.Integer);
      this.u32(value);
      return;
    }
    this.u8(Tag.Number);
    this.room(8);
    this.view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  private text(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u32(bytes.length);
    this.room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  private elements(tag: number, elements: Elements, size: number): void {
    this.u8(tag);
    const { length } = elements;
    this.u32(length);
    for (let from = 0; from < length; ) {
      let first = from;
      while (first < length && isZero(elements[first])) first++;
      let end = first;
      for (let zeros = 0; end < length && zeros < MIN_ZEROS; end++)
        zeros = isZero(elements[end]) ? zeros + 1 : 0;
      while (end > first && end < length && isZero(elements[end - 1])) end--;
      this.u32(first - from);
      this.u32(end - first);
      this.room((end - first) * size);
      if (elements instanceof Uint8Array) {
        this.bytes.set(elements.subarray(first, end), this.at);
        this.at += end - first;
      } else for (let i = first; i < end; i++) this.element(elements[i], size);
      from = end;
    }
  }

  private element(value: number, size: number): void {
    if (size === 4) this.view.setInt32(this.at, value, true);
    else this.view.setFloat64(this.at, value, true);
    this.at += size;
  }

  private u8(value: number): void {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  private u32(value: number): void {
    this.room(4);
    this.view.setUint32(this.at, value >>> 0, true);
    this.at += 4;
  }

  private room(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.at + count));
    grown.set(this.finish());
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;
  /** Bytes that typed arrays may still take: zeros are cheap to claim. */
  private allowance = 2 ** 31;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): PlainData {
    const data = this.value(0);
    if (this.at !== this.bytes.length) this.refuse("a value ends before the snapshot does");
    return data;
  }

  private value(depth: number): PlainData {
    if (depth > MAX_DEPTH) this.refuse(`values nested deeper than ${MAX_DEPTH}`);
    const tag = this.take(1)[0];
    switch (tag) {
      case Tag.Nothing:
        return undefined;
      case Tag.False:
        return false;
      case Tag.True:
        return true;
      case Tag.Integer:
        return this.u32() | 0;
      case Tag.Number:
        this.need(8);
        this.at += 8;
        return this.view.getFloat64(this.at - 8, true);
      case Tag.Text:
        return this.text();
      case Tag.List:
        return this.list(depth);
      case Tag.Record:
        return this.record(depth);
      case Tag.Bytes:
        return this.elements(new Uint8Array(this.claim(1)), 1);
      case Tag.Integers:
        return this.elements(new Int32Array(this.claim(4)), 4);
      case Tag.Doubles:
        return this.elements(new Float64Array(this.claim(8)), 8);
      default:
        return this.refuse(`no value begins with ${tag}`);
    }
  }

  private list(depth: number): readonly PlainData[] {
    const count = this.u32();
    this.need(count); // every item takes a byte at least
    const items: PlainData[] = [];
    for (let i = 0; i < count; i++) items.push(this.value(depth + 1));
    return items;
  }

  private record(depth: number): PlainData {
    const count = this.u32();
    this.need(count);
    const members: [string, PlainData][] = [];
    for (let i = 0; i < count; i++) members.push([this.text(), this.value(depth + 1)]);
    const record = Object.fromEntries(members);
    if (Object.keys(record).length !== count) this.refuse("a record names a member twice");
    return record;
  }

  private text(): string {
    const bytes = this.take(this.u32());
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.refuse("a text is not UTF-8");
    }
  }

  private claim(size: number): number {
    const count = this.u32();
    this.allowance -= count * size;
    if (this.allowance < 0) this.refuse(`${count} elements of ${size} bytes: more than a snapshot holds`);
    return count;
  }

  private elements<T extends Elements>(elements: T, size: number): T {
    const { view } = this;
    for (let i = 0; i < elements.length; ) {
      const zeros = this.u32();
      const others = this.u32();
      const end = i + zeros + others;
      if (end > elements.length || end === i) this.refuse("runs of elements that do not add up");
      this.need(others * size);
      i += zeros;
      if (elements instanceof Uint8Array) elements.set(this.take(others), i);
      else
        for (let left = others; left > 0; left--, this.at += size)
          elements[end - left] = size === 4 ? view.getInt32(this.at, true) : view.getFloat64(this.at, true);
      i = end;
    }
    return elements;
  }

  private u32(): number {
    this.need(4);
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  private take(count: number): Uint8Array {
    this.need(count);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  private need(count: number): void {
    if (this.at + count > this.bytes.length) this.refuse("a value goes on past the snapshot's end");
  }

  private refuse(what: string): never {
    throw new SnapshotError("CORRUPT", `at byte ${HEADER_BYTES + this.at}: ${what}`);
  }
}

/** All bits zero: -0 is not. */
function isZero(value: number): boolean {
  return value === 0 && 1 / value > 0;
}

function isList(data: PlainData): data is readonly PlainData[] {
  return Array.isArray(data);
}
