import type { Console } from "../console.js";
import type { PortDevice } from "./port-device.js";

/** First serial line of a PC. */
const COM1 = 0x3f8;
// Registers (National Semiconductor PC16550D), by offset from the first port.
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const FIFO_CONTROL = 2;
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;
const SCRATCH = 7;
const REGISTERS = 8;
/** LINE_CONTROL: registers 0 and 1 are the divisor. */
const DIVISOR_LATCH = 0x80;
/** MODEM_CONTROL: what is sent comes back. */
const LOOPBACK = 0x10;
/** LINE_STATUS: the transmitter and its holding register are empty; a byte waits. */
const TRANSMITTER_EMPTY = 0x60;
const DATA_READY = 0x01;
/** Interrupt identification: none pending, FIFOs on or off. */
const NO_INTERRUPT = 0x01;
const FIFOS_ON = 0xc0;
/** Modem status: carrier, data set ready, clear to send. */
const CONNECTED = 0xb0;

/** A 16550 whose far end takes every byte at once and never sends one; it raises no interrupts. */
export class Serial16550 implements PortDevice {
  readonly first: number;
  readonly count: number = REGISTERS;
  private readonly console: Console;
  /** What was last written to each register. */
  private readonly written = new Uint8Array(REGISTERS);
  private readonly divisor = new Uint8Array([12, 0]); // 9600 baud
  private looped = -1;

  constructor(console: Console, first: number = COM1) {
    this.console = console;
    this.first = first;
  }

  read(port: number): number {
    const register = port - this.first;
    if (register <= INTERRUPT_ENABLE && this.showsDivisor) return this.divisor[register];
    switch (register) {
      case DATA: {
        const byte = this.looped;
        this.looped = -1;
        return Math.max(byte, 0);
      }
      case FIFO_CONTROL:
        return NO_INTERRUPT | ((this.written[FIFO_CONTROL] & 1) !== 0 ? FIFOS_ON : 0);
      case LINE_STATUS:
        return TRANSMITTER_EMPTY | (this.looped >= 0 ? DATA_READY : 0);
      case MODEM_STATUS:
        return this.loops ? loopedLines(this.written[MODEM_CONTROL]) : CONNECTED;
      default:
        return this.written[register];
    }
  }

  write(port: number, _bytes: number, value: number): void {
    const register = port - this.first;
    const byte = value & 0xff;
    if (register <= INTERRUPT_ENABLE && this.showsDivisor) this.divisor[register] = byte;
    else if (register === DATA) {
      if (this.loops) this.looped = byte;
      else this.console.writeSerial(byte);
    } else if (register !== LINE_STATUS && register !== MODEM_STATUS)
      this.written[register] = register === SCRATCH ? byte : byte & WRITABLE[register];
  }

  /** The registers, the divisor's two bytes, and the byte in the loop or -1. */
  snapshot(): readonly number[] {
    return [...this.written, ...this.divisor, this.looped];
  }

  restore(state: readonly number[]): void {
    this.written.set(state.slice(0, REGISTERS));
    this.divisor.set(state.slice(REGISTERS, REGISTERS + 2));
    this.looped = state[REGISTERS + 2];
  }

  private get showsDivisor(): boolean {
    return (this.written[LINE_CONTROL] & DIVISOR_LATCH) !== 0;
  }

  private get loops(): boolean {
    return (this.written[MODEM_CONTROL] & LOOPBACK) !== 0;
  }
}

/** Bits of each register that keep what is written. */
const WRITABLE: readonly number[] = [0xff, 0x0f, 0xc9, 0xff, 0x1f, 0, 0, 0xff];

/** In loopback RTS, DTR, OUT1 and OUT2 come back as CTS, DSR, RI and DCD. */
function loopedLines(control: number): number {
  return (
    ((control & 2) !== 0 ? 0x10 : 0) |
    ((control & 1) !== 0 ? 0x20 : 0) |
    ((control & 4) !== 0 ? 0x40 : 0) |
    ((control & 8) !== 0 ? 0x80 : 0)
  );
}
