import type { PortDevice } from "./port-device.js";

/** The data register, and the register whose writes unmap a page for a moment, which no guest can see. */
const PORT = 0xe0;
const FLUSH = 4;
const PORTS = 8;

/** First frame of the test device's memory, and how many there are: 64 KiB at 0xff000000. */
export const TEST_MEMORY_GFN = 0xff000;
export const TEST_MEMORY_FRAMES = 16;

/**
 * QEMU's `pc-testdev`: a register that keeps what is written to it, and one that does nothing visible. Its interrupt
 * lines are not there, as there is no interrupt controller for them; its memory is the domain's, and plain RAM.
 */
export class TestDevice implements PortDevice {
  readonly first: number = PORT;
  readonly count: number = PORTS;
  private readonly data = new DataView(new ArrayBuffer(8));

  read(port: number, bytes: number): number {
    const at = port - PORT;
    if (at + bytes > FLUSH) return 2 ** (8 * bytes) - 1;
    return bytes === 1
      ? this.data.getUint8(at)
      : bytes === 2
        ? this.data.getUint16(at, true)
        : this.data.getUint32(at, true);
  }

  write(port: number, bytes: number, value: number): void {
    const at = port - PORT;
    if (at + bytes > FLUSH) return;
    if (bytes === 1) this.data.setUint8(at, value);
    else if (bytes === 2) this.data.setUint16(at, value, true);
    else this.data.setUint32(at, value, true);
  }

  /** The register. */
  snapshot(): readonly number[] {
    return [this.data.getUint32(0, true)];
  }

  restore([register]: readonly number[]): void {
    this.data.setUint32(0, register, true);
  }
}
