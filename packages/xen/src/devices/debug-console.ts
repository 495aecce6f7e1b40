import type { Console } from "../console.js";
import type { PortDevice } from "./port-device.js";

/** What reading a debug console's port gives, so that a guest can tell that it is there. */
const PRESENT = 0xe9;

/** A port whose bytes are printed as they come: the debug console of a device model (`isa-debugcon`). */
export class DebugConsole implements PortDevice {
  readonly first: number;
  readonly count = 1;
  private readonly console: Console;

  constructor(console: Console, port: number) {
    this.console = console;
    this.first = port;
  }

  read(): number {
    return PRESENT;
  }

  write(_port: number, _bytes: number, value: number): void {
    this.console.writeDebug(value);
  }
}

/** Port of Xen's own debug console (`hvm_print_line`). */
const XEN_DEBUG_PORT = 0xe9;

/** Xen's own debug console: drops what is not printable, and cannot be read. */
export class XenDebugPort implements PortDevice {
  readonly first: number = XEN_DEBUG_PORT;
  readonly count = 1;
  private readonly console: Console;

  constructor(console: Console) {
    this.console = console;
  }

  read(): number {
    return 0xff;
  }

  write(_port: number, bytes: number, value: number): void {
    if (bytes === 1) this.console.writePort(value);
  }
}
