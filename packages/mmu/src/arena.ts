const WASM_PAGE = 65536;
const START = 64; // 0 is no place
const MAX_WASM_PAGES = 32768; // 2 GiB: byte offsets stay small integers in every JavaScript engine

/** Raised when a simulated machine touches more memory than one arena can hold (2 GiB). */
export class ArenaExhaustedError extends Error {
  readonly code = "ARENA_EXHAUSTED";
  readonly requestedBytes: number;
  constructor(requestedBytes: number) {
    super(`the arena cannot grow to ${requestedBytes} bytes (limit ${MAX_WASM_PAGES * WASM_PAGE})`);
    this.name = "ArenaExhaustedError";
    this.requestedBytes = requestedBytes;
  }
}

/**
 * One growable buffer that holds everything a simulated machine mutates on its hot paths: frames, registers,
 * TLB and cache arrays, the ledger. It is a `WebAssembly.Memory`, so a compiled engine can share it without a copy.
 *
 * Life cycle: components reserve their tables once with {@link reserve} and derive their typed-array views inside
 * {@link adopt}, which runs the callback at once and again after every growth (growing detaches old views).
 * Growth happens only outside an engine's run loop: see `PhysicalMemory.headroom`.
 */
export class Arena {
  readonly memory: WebAssembly.Memory;
  u8!: Uint8Array;
  i32!: Int32Array;
  f64!: Float64Array;
  view!: DataView;
  private top = START;
  private readonly initialBytes: number;
  private readonly adopters: (() => void)[] = [];

  /**
   * @param initialBytes address space backed at first; untouched pages cost the host nothing. The default holds a machine
   * whose guest touches 16 MiB; with more than 64 MiB outside its heap V8 would collect garbage at once.
   */
  constructor(initialBytes: number = 32 * 1024 * 1024) {
    this.memory = new WebAssembly.Memory({
      initial: Math.max(1, Math.ceil(initialBytes / WASM_PAGE)),
      maximum: MAX_WASM_PAGES,
    });
    this.refresh();
    this.initialBytes = this.u8.length;
  }

  /** Whether it is larger than it began. */
  get hasGrown(): boolean {
    return this.u8.length > this.initialBytes;
  }

  /** Bytes not yet reserved before the buffer has to grow. */
  get free(): number {
    return this.u8.length - this.top;
  }

  /** Reserves zeroed bytes for good and returns their byte offset. May grow the buffer. */
  reserve(bytes: number, align = 64): number {
    const at = Math.ceil(this.top / align) * align;
    this.ensure(at + bytes - this.top);
    this.top = at + bytes;
    return at;
  }

  /** Grows until at least `bytes` are free; views are re-derived through the adopters. */
  ensure(bytes: number): void {
    if (this.free >= bytes) return;
    const wanted = this.top + bytes;
    const have = this.u8.length / WASM_PAGE;
    const need = Math.ceil(wanted / WASM_PAGE);
    if (need > MAX_WASM_PAGES) throw new ArenaExhaustedError(wanted);
    const target = Math.min(MAX_WASM_PAGES, Math.max(need, have + Math.min(have, 4096)));
    try {
      this.memory.grow(target - have);
    } catch {
      throw new ArenaExhaustedError(wanted);
    }
    this.refresh();
    for (const adopt of this.adopters) adopt();
  }

  /** Runs `derive` now and after every growth; keep every cached view in it. */
  adopt(derive: () => void): void {
    this.adopters.push(derive);
    derive();
  }

  /**
   * Empties it for another machine: all that was reserved is zero and free again, and nobody adopts any more. Whatever
   * was made on it must not be used afterwards.
   */
  recycle(): void {
    this.u8.fill(0, 0, this.top);
    this.top = START;
    this.adopters.length = 0;
  }

  int32(offset: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, offset, length);
  }

  float64(offset: number, length: number): Float64Array {
    return new Float64Array(this.memory.buffer, offset, length);
  }

  private refresh(): void {
    const buffer = this.memory.buffer;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }
}
