import type { PortDevice } from "./port-device.js";

/** Where test programs expect it. */
const PORT = 0xf4;
const PORTS = 4;

/** A port that ends the machine with the value that is written to it (`isa-debug-exit`). */
export class DebugExit implements PortDevice {
  readonly first: number = PORT;
  readonly count: number = PORTS;
  private readonly end: (value: number) => void;

  /** @param end is told the value, unsigned */
  constructor(end: (value: number) => void) {
    this.end = end;
  }

  read(): number {
    return 0;
  }

  write(_port: number, _bytes: number, value: number): void {
    this.end(value);
  }
}
