import type { Arena } from "./arena.js";
import {
  decryptWords,
  encryptedFrame,
  encryptionKeyOf,
  encryptWords,
  plainFrame,
} from "./memory-encryption.js";

/** Bytes in a frame. */
export const FRAME_BYTES = 4096;
const MAX_FRAME = 2 ** 40; // 52-bit physical addresses
const CHUNK_BITS = 12;
const CHUNK = 1 << CHUNK_BITS;
const NEAR_CHUNKS = 8192; // frames below 128 GiB are found without a Map

/** Fills a frame the first time anything touches it, so that large tables cost only what is used. */
export type FrameSource = (frame: number, bytes: Uint8Array) => void;

interface RamRange {
  readonly first: number;
  readonly end: number;
  readonly source: FrameSource | undefined;
}

/** An access to a physical address that no RAM answers. */
export class PhysicalAddressError extends Error {
  readonly code = "NO_RAM";
  readonly frame: number;
  constructor(frame: number) {
    super(`no RAM at frame 0x${frame.toString(16)}`);
    this.name = "PhysicalAddressError";
    this.frame = frame;
  }
}

/** Touched frames and their bytes, as plain data. */
export interface PhysicalMemorySnapshot {
  readonly frames: readonly number[];
  readonly bytes: Uint8Array;
  /** Frames whose bytes are those that a key's accesses see, each with its name as such. */
  readonly views: readonly (readonly [number, number])[];
}

/**
 * Sparse, little-endian physical memory of up to 52 address bits. A frame takes host memory when it is first touched.
 * Hot code asks for {@link frameOffset} and reads the arena itself; everything else uses the byte and word accessors,
 * which neither cost simulated cycles nor touch caches.
 */
export class PhysicalMemory {
  readonly arena: Arena;
  /**
   * One byte a 4 KiB arena slot (`offset >>> 12`), non-zero where decoded code was taken from that frame. Whoever
   * writes such a frame calls {@link onCodeWrite} first.
   */
  codeSlots: Uint8Array = new Uint8Array(0);
  /** Told the arena offset of a frame that holds decoded code just before it is written. */
  onCodeWrite: ((frameOffset: number) => void) | undefined;
  /**
   * Told the arena offset of a frame just after decoded code was first taken from it: whoever remembers that it may be
   * written forgets that.
   */
  onCodeTaken: ((frameOffset: number) => void) | undefined;
  /**
   * Told that the bytes of an arena slot have turned into those of another view of its frame; the number is the name that
   * they had. See {@link encryptsMemory}.
   */
  onViewChange: ((name: number) => void) | undefined;
  /**
   * Frames can be reached by the names that encryption keys give them (`encryptedFrame`). The memory holds the bytes of the
   * view that was used last, and an access through another one first turns them into what that one shows.
   */
  encryptsMemory = false;
  /** Called when fewer than {@link headroom} frames are free; an engine then leaves its loop and calls {@link grow}. */
  onLowHeadroom: (() => void) | undefined;
  /** Frames that must be free when an engine enters its run loop: more than a slice between two checks can touch. */
  readonly headroom = 2048;
  private readonly ranges: RamRange[] = [];
  private readonly chunks: (Int32Array | undefined)[] = new Array(NEAR_CHUNKS).fill(undefined);
  private readonly farChunks = new Map<number, Int32Array>();
  private readonly touched: number[] = [];
  /** Name by which a frame goes that is not in its own, unencrypted view. */
  private readonly views = new Map<number, number>();
  private lastRange: RamRange | undefined;

  constructor(arena: Arena) {
    this.arena = arena;
    this.grow();
  }

  /** Declares frames [first, first+count) as RAM, zero-filled or filled by `source` on first touch. */
  addRam(first: number, count: number, source?: FrameSource): void {
    const end = first + count;
    if (!Number.isInteger(first) || !Number.isInteger(count) || first < 0 || count < 1 || end > MAX_FRAME)
      throw new RangeError(`RAM range [${first}, ${end}) is outside the 52-bit physical address space`);
    if (this.ranges.some((r) => first < r.end && r.first < end))
      throw new RangeError(`RAM range [${first}, ${end}) overlaps another`);
    this.ranges.push({ first, end, source });
    this.ranges.sort((a, b) => a.first - b.first);
  }

  isRam(frame: number): boolean {
    return (
      this.rangeOf(frame) !== undefined ||
      (this.encryptsMemory && this.rangeOf(plainFrame(frame)) !== undefined)
    );
  }

  /**
   * Encrypts a frame where it is: what it showed is now what accesses with the key see, as after the secure processor's
   * LAUNCH_UPDATE_DATA (SEV API, 6.2).
   */
  encryptInPlace(frame: number, key: number): void {
    const at = this.frameOffset(frame);
    if (at >= 0) this.rename(at, frame, encryptedFrame(frame, key));
  }

  /** Whether a frame takes host memory already. */
  isTouched(frame: number): boolean {
    const near = frame >= 0 && frame < NEAR_CHUNKS * CHUNK;
    const chunk = near ? this.chunks[frame >>> CHUNK_BITS] : this.farChunks.get(Math.floor(frame / CHUNK));
    return chunk !== undefined && chunk[frame & (CHUNK - 1)] !== 0;
  }

  /** Number of frames that take host memory. */
  get touchedFrames(): number {
    return this.touched.length;
  }

  /**
   * Byte offset of a frame in the arena; the frame is materialised on first touch.
   * @returns -1 when no RAM answers at that frame
   */
  frameOffset(frame: number): number {
    // Integer arithmetic below 128 GiB; the same lookup in doubles above.
    const near = frame >= 0 && frame < NEAR_CHUNKS * CHUNK;
    const chunk = near ? this.chunks[frame >>> CHUNK_BITS] : this.farChunks.get(Math.floor(frame / CHUNK));
    if (chunk !== undefined) {
      const at = chunk[frame & (CHUNK - 1)];
      if (at !== 0) return at;
    }
    return this.materialise(frame);
  }

  /** Keeps `headroom` slots available; call only where no engine holds views of the arena. */
  grow(): void {
    if (this.arena.free < (this.headroom + 1) * FRAME_BYTES)
      this.arena.ensure(2 * this.headroom * FRAME_BYTES);
    const slots = this.arena.u8.length / FRAME_BYTES;
    if (this.codeSlots.length < slots) {
      const grown = new Uint8Array(slots);
      grown.set(this.codeSlots);
      this.codeSlots = grown;
    }
  }

  readU8(address: number): number {
    return this.arena.u8[this.locate(address)];
  }

  writeU8(address: number, value: number): void {
    this.arena.u8[this.locateForWrite(address)] = value;
  }

  /** Unsigned 32-bit read; the address may straddle frames. */
  readU32(address: number): number {
    if ((address & 4095) <= 4092) return this.arena.view.getUint32(this.locate(address), true);
    return new DataView(this.readBytes(address, 4).buffer).getUint32(0, true);
  }

  writeU32(address: number, value: number): void {
    if ((address & 4095) <= 4092) this.arena.view.setUint32(this.locateForWrite(address), value, true);
    else this.writeBytes(address, new Uint8Array(new Uint32Array([value]).buffer));
  }

  /** Cold paths only: allocates a bigint. */
  readU64(address: number): bigint {
    return BigInt(this.readU32(address)) | (BigInt(this.readU32(address + 4)) << 32n);
  }

  writeU64(address: number, value: bigint): void {
    this.writeU32(address, Number(value & 0xffffffffn));
    this.writeU32(address + 4, Number((value >> 32n) & 0xffffffffn));
  }

  readBytes(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const count = Math.min(FRAME_BYTES - ((address + done) % FRAME_BYTES), length - done);
      const at = this.locate(address + done);
      out.set(this.arena.u8.subarray(at, at + count), done);
      done += count;
    }
    return out;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const count = Math.min(FRAME_BYTES - ((address + done) % FRAME_BYTES), bytes.length - done);
      const at = this.locateForWrite(address + done);
      this.arena.u8.set(bytes.subarray(done, done + count), at);
      done += count;
    }
  }

  snapshot(): PhysicalMemorySnapshot {
    const bytes = new Uint8Array(this.touched.length * FRAME_BYTES);
    const views: (readonly [number, number])[] = [];
    this.touched.forEach((frame, i) => {
      const name = this.views.get(frame);
      if (name !== undefined) views.push([frame, name]);
      const at = this.frameOffset(name ?? frame);
      bytes.set(this.arena.u8.subarray(at, at + FRAME_BYTES), i * FRAME_BYTES);
    });
    return { frames: [...this.touched], bytes, views };
  }

  /** Puts back every byte: frames touched since the snapshot return to what their first touch would have shown. */
  restore(snapshot: PhysicalMemorySnapshot): void {
    for (const [frame, name] of [...this.views]) this.rename(this.frameOffset(name), name, frame);
    const kept = new Set(snapshot.frames);
    for (const frame of this.touched) {
      if (kept.has(frame)) continue;
      const at = this.frameOffset(frame);
      this.announceWrite(at);
      this.fill(frame, at);
    }
    snapshot.frames.forEach((frame, i) => {
      const at = this.frameOffset(frame);
      this.announceWrite(at);
      this.arena.u8.set(snapshot.bytes.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES), at);
    });
    for (const [frame, name] of snapshot.views) this.rename(this.frameOffset(frame), frame, name);
  }

  private locate(address: number): number {
    const frame = Math.floor(address / FRAME_BYTES);
    const at = this.frameOffset(frame);
    if (at < 0) throw new PhysicalAddressError(frame);
    return at + (address - frame * FRAME_BYTES);
  }

  private locateForWrite(address: number): number {
    const at = this.locate(address);
    this.announceWrite(at);
    return at;
  }

  private announceWrite(at: number): void {
    const slot = at >>> 12;
    if (this.codeSlots[slot] !== 0) this.onCodeWrite?.(slot << 12);
  }

  private rangeOf(frame: number): RamRange | undefined {
    const last = this.lastRange;
    if (last !== undefined && frame >= last.first && frame < last.end) return last;
    const range = this.ranges.find((r) => frame >= r.first && frame < r.end);
    if (range !== undefined) this.lastRange = range;
    return range;
  }

  private materialise(frame: number): number {
    if (this.encryptsMemory) {
      const plain = plainFrame(frame);
      const name = this.views.get(plain) ?? plain;
      if (name !== frame) return this.rangeOf(plain) === undefined ? -1 : this.changeView(plain, name, frame);
    }
    if (this.rangeOf(frame) === undefined) return -1;
    if (this.arena.free < 2 * FRAME_BYTES) this.grow();
    const at = this.arena.reserve(FRAME_BYTES, FRAME_BYTES);
    this.chunkFor(frame)[frame & (CHUNK - 1)] = at;
    this.touched.push(frame);
    this.fill(frame, at);
    if (this.arena.free < this.headroom * FRAME_BYTES) this.onLowHeadroom?.();
    return at;
  }

  private fill(frame: number, at: number): void {
    const bytes = this.arena.u8.subarray(at, at + FRAME_BYTES);
    bytes.fill(0);
    this.rangeOf(frame)?.source?.(frame, bytes);
  }

  /** An access through another view than the latest one. @returns the frame's arena offset */
  private changeView(plain: number, from: number, to: number): number {
    const at = this.frameOffset(from);
    const { i32 } = this.arena;
    if (from !== plain) encryptWords(i32, at >>> 2, plain, encryptionKeyOf(from));
    if (to !== plain) decryptWords(i32, at >>> 2, plain, encryptionKeyOf(to));
    this.rename(at, from, to);
    return at;
  }

  /** A frame goes by another name from now on. */
  private rename(at: number, from: number, to: number): void {
    const plain = plainFrame(from);
    this.announceWrite(at);
    this.chunkFor(from)[from & (CHUNK - 1)] = 0;
    this.chunkFor(to)[to & (CHUNK - 1)] = at;
    if (to === plain) this.views.delete(plain);
    else this.views.set(plain, to);
    this.onViewChange?.(from);
  }

  private chunkFor(frame: number): Int32Array {
    const index = Math.floor(frame / CHUNK);
    if (index < NEAR_CHUNKS) {
      let chunk = this.chunks[index];
      if (chunk === undefined) {
        chunk = new Int32Array(CHUNK);
        this.chunks[index] = chunk;
      }
      return chunk;
    }
    let chunk = this.farChunks.get(index);
    if (chunk === undefined) {
      chunk = new Int32Array(CHUNK);
      this.farChunks.set(index, chunk);
    }
    return chunk;
  }
}
