import type { ConsoleSource } from "./console.js";

/** Debug text that is kept in case a console repeats it. */
const LIMIT = 4096;
const CARRIAGE_RETURN = 0x0d;

/**
 * Everything that a guest prints, in order, once. Programs often print each message to a debug port and to a console:
 * debug text that a console repeats right after is shown once. Consoles themselves are never silenced.
 */
export class ConsoleStream {
  private readonly emit: (bytes: Uint8Array) => void;
  /** Debug text since the latest console output; not shown yet once there was console output. */
  private debug: number[] = [];
  private hasConsole = false;

  /** @param emit is given text as it comes; the bytes are only valid during the call */
  constructor(emit: (bytes: Uint8Array) => void) {
    this.emit = emit;
  }

  take(source: ConsoleSource, bytes: Uint8Array): void {
    if (source !== "debug-port") this.takeConsole(bytes);
    else {
      if (this.debug.length + bytes.length > LIMIT) this.flush();
      for (const byte of bytes) this.debug.push(byte);
      if (!this.hasConsole) this.emit(bytes);
    }
  }

  /** Shows debug text that is still waiting for a console to repeat it. */
  flush(): void {
    if (this.hasConsole && this.debug.length > 0) this.emit(Uint8Array.from(this.debug));
    this.debug = [];
  }

  private takeConsole(bytes: Uint8Array): void {
    const text = withoutReturns(bytes);
    const debug = withoutReturns(this.debug);
    if (!this.hasConsole) {
      this.hasConsole = true;
      this.debug = [];
      if (!endsWith(debug, text)) this.emit(bytes);
      return;
    }
    if (startsWith(debug, text)) this.debug = debug.slice(text.length);
    else this.flush();
    this.emit(bytes);
  }
}

function withoutReturns(bytes: ArrayLike<number>): number[] {
  return Array.from(bytes).filter((byte) => byte !== CARRIAGE_RETURN);
}

function startsWith(text: readonly number[], start: readonly number[]): boolean {
  return start.length <= text.length && start.every((byte, i) => text[i] === byte);
}

function endsWith(text: readonly number[], end: readonly number[]): boolean {
  return end.length <= text.length && startsWith(text.slice(text.length - end.length), end);
}
