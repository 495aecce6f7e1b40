/** Guest frame of the PV console ring of a PVH domain. */
export const CONSOLE_GFN = 0xfefff;
/** Characters that a console keeps; what follows is dropped, and {@link CappedText.cut} says so. */
export const CONSOLE_TEXT_LIMIT: number = 1024 * 1024;

// struct xencons_interface (public/io/console.h)
const OUT = 1024;
const OUT_BYTES = 2048;
const OUT_CONS = 3080;
const OUT_PROD = 3084;

/** A text as plain data. */
export interface CappedTextSnapshot {
  readonly bytes: Uint8Array;
  readonly cut: boolean;
}

/** Bytes of UTF-8 that somebody prints, kept up to a limit. */
export class CappedText {
  readonly limit: number;
  /** True once bytes were dropped. */
  cut = false;
  private bytes = new Uint8Array(256);
  private used = 0;

  constructor(limit: number = CONSOLE_TEXT_LIMIT) {
    this.limit = limit;
  }

  /** Bytes kept so far. */
  get size(): number {
    return this.used;
  }

  append(bytes: Uint8Array): void {
    const room = this.limit - this.used;
    const count = Math.min(bytes.length, room);
    if (count < bytes.length) this.cut = true;
    this.reserve(count);
    this.bytes.set(count < bytes.length ? bytes.subarray(0, count) : bytes, this.used);
    this.used += count;
  }

  appendByte(byte: number): void {
    if (this.used === this.limit) {
      this.cut = true;
      return;
    }
    this.reserve(1);
    this.bytes[this.used++] = byte;
  }

  snapshot(): CappedTextSnapshot {
    return { bytes: this.bytes.slice(0, this.used), cut: this.cut };
  }

  restore({ bytes, cut }: CappedTextSnapshot): void {
    this.used = 0;
    this.append(bytes);
    this.cut = cut;
  }

  /** The text; ends in a note when bytes were dropped. */
  toString(): string {
    const text = new TextDecoder().decode(this.bytes.subarray(0, this.used));
    return this.cut ? `${text}\n[cut: only the first ${this.limit} bytes are kept]\n` : text;
  }

  private reserve(count: number): void {
    if (this.used + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.min(this.limit, Math.max(2 * this.bytes.length, this.used + count)));
    grown.set(this.bytes.subarray(0, this.used));
    this.bytes = grown;
  }
}

/** A domain's consoles as plain data. */
export interface ConsoleSnapshot {
  readonly output: CappedTextSnapshot;
  readonly serial: CappedTextSnapshot;
  readonly debugPort: CappedTextSnapshot;
  readonly rejected: number;
}

/** Where text came from: the PV ring, CONSOLEIO_write, a serial line, a debug port. */
export type ConsoleSource = "ring" | "console-io" | "serial" | "debug-port";

/** What the console needs of guest memory: access by guest-physical address, which may throw outside RAM. */
export interface ConsoleMemory {
  readU32(address: number): number;
  writeU32(address: number, value: number): void;
  readBytes(address: number, length: number): Uint8Array;
}

/**
 * The domain's consoles, as the backend in dom0 and Xen itself see them. dom0 runs on another processor, so draining
 * costs this one nothing.
 *
 * The ring is drained when the guest notifies the console port (see `EventChannels.connectBackend`). Its indices are
 * the guest's to write: one that claims more than the ring holds is ignored, as the real console daemon does, and
 * counted in {@link rejected}.
 */
export class Console {
  /** What the guest printed through the PV ring or, as the hardware domain, by console_io. */
  readonly output: CappedText;
  /** What the guest printed through a serial line. */
  readonly serial: CappedText;
  /** What the guest printed through a debug port: Xen's 0xe9, or a device model's. */
  readonly debugPort: CappedText;
  /** Notifications whose ring indices made no sense, or whose ring was not in RAM. */
  rejected = 0;
  /** Told everything that is printed, in order, while set; the bytes are only valid during the call. */
  onText: ((source: ConsoleSource, bytes: Uint8Array) => void) | undefined;
  private readonly memory: ConsoleMemory;
  private readonly ring: number;

  /** @param ringGfn guest frame of the ring, HVM_PARAM_CONSOLE_PFN */
  constructor(memory: ConsoleMemory, ringGfn: number = CONSOLE_GFN, limit: number = CONSOLE_TEXT_LIMIT) {
    this.memory = memory;
    this.ring = ringGfn * 4096;
    this.output = new CappedText(limit);
    this.serial = new CappedText(limit);
    this.debugPort = new CappedText(limit);
  }

  /** {@link output}, else what came through the serial line, else the debug port. Guests often print to several. */
  get text(): string {
    const { output, serial, debugPort } = this;
    return (output.size > 0 ? output : serial.size > 0 ? serial : debugPort).toString();
  }

  /** Takes what the guest put into the ring. Never throws, whatever the guest wrote there. */
  drain(): void {
    try {
      this.consume();
    } catch {
      this.rejected++; // the guest took the ring's frame away
    }
  }

  /** A byte written to port 0xe9. Xen drops what is neither printable nor newline or tab. */
  writePort(byte: number): void {
    const value = byte & 0xff;
    if ((value >= 0x20 && value < 0x7f) || value === 0x0a || value === 0x09) this.writeDebug(value);
  }

  /** A byte written to a debug port. */
  writeDebug(byte: number): void {
    this.debugPort.appendByte(byte & 0xff);
    this.onText?.("debug-port", Uint8Array.of(byte));
  }

  /** A byte that left through a serial line. */
  writeSerial(byte: number): void {
    this.serial.appendByte(byte & 0xff);
    this.onText?.("serial", Uint8Array.of(byte));
  }

  /** Text written by CONSOLEIO_write. */
  writeConsoleIo(bytes: Uint8Array): void {
    this.write("console-io", bytes);
  }

  snapshot(): ConsoleSnapshot {
    return {
      output: this.output.snapshot(),
      serial: this.serial.snapshot(),
      debugPort: this.debugPort.snapshot(),
      rejected: this.rejected,
    };
  }

  /** Puts it back; {@link onText} hears nothing of it. */
  restore(snapshot: ConsoleSnapshot): void {
    this.output.restore(snapshot.output);
    this.serial.restore(snapshot.serial);
    this.debugPort.restore(snapshot.debugPort);
    this.rejected = snapshot.rejected;
  }

  private consume(): void {
    const { memory, ring } = this;
    const cons = memory.readU32(ring + OUT_CONS) >>> 0;
    const prod = memory.readU32(ring + OUT_PROD) >>> 0;
    const count = (prod - cons) >>> 0;
    if (count === 0) return;
    if (count > OUT_BYTES) {
      this.rejected++;
      return;
    }
    const at = cons % OUT_BYTES;
    const first = Math.min(count, OUT_BYTES - at);
    this.write("ring", memory.readBytes(ring + OUT + at, first));
    if (first < count) this.write("ring", memory.readBytes(ring + OUT, count - first));
    memory.writeU32(ring + OUT_CONS, prod);
  }

  private write(source: ConsoleSource, bytes: Uint8Array): void {
    this.output.append(bytes);
    this.onText?.(source, bytes);
  }
}
