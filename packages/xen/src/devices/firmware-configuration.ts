import type { PortDevice } from "./port-device.js";

/*
 * QEMU's firmware configuration device (its documentation, "QEMU Firmware Configuration (fw_cfg) Device"): a 16-bit
 * selector, and a data port that gives the item's bytes one after the other.
 */
const SELECTOR = 0x510;
const DATA = 0x511;
const PORTS = 2;

// Items by selector; their values are little-endian numbers.
const SIGNATURE = 0;
const REVISION = 1;
const RAM_SIZE = 3;
const CPUS = 5;
const MAX_CPUS = 15;
/** What revision says: the traditional interface alone, without DMA. */
const TRADITIONAL = 1;

/** Tells a program how much memory and how many processors there are; other items are empty and read as zeros. */
export class FirmwareConfiguration implements PortDevice {
  readonly first: number = SELECTOR;
  readonly count: number = PORTS;
  private readonly items: readonly (Uint8Array | undefined)[];
  private item: Uint8Array | undefined;
  private at = 0;

  /** @param memoryBytes RAM of the machine @param vcpus processors that run when it starts */
  constructor(memoryBytes: number, vcpus: number) {
    const items: (Uint8Array | undefined)[] = [];
    items[SIGNATURE] = new TextEncoder().encode("QEMU");
    items[REVISION] = littleEndian(TRADITIONAL, 4);
    items[RAM_SIZE] = littleEndian(memoryBytes, 8);
    items[CPUS] = littleEndian(vcpus, 2);
    items[MAX_CPUS] = littleEndian(vcpus, 2);
    this.items = items;
    this.item = items[SIGNATURE];
  }

  /** One byte of the item at a time; the selector reads as zero. */
  read(port: number): number {
    if (port !== DATA) return 0;
    return this.item?.[this.at++] ?? 0;
  }

  write(port: number, bytes: number, value: number): void {
    if (port !== SELECTOR || bytes !== 2) return;
    this.item = this.items[value];
    this.at = 0;
  }

  /** The selector (-1: an item that there is none of) and the byte that comes next. */
  snapshot(): readonly number[] {
    return [this.item === undefined ? -1 : this.items.indexOf(this.item), this.at];
  }

  restore([selector, at]: readonly number[]): void {
    this.item = this.items[selector];
    this.at = at;
  }
}

function littleEndian(value: number, bytes: number): Uint8Array {
  const result = new Uint8Array(bytes);
  let rest = value;
  for (let i = 0; i < bytes; i++) {
    result[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return result;
}
