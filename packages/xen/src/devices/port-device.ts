/** Something that answers a range of I/O ports of a domain. Costs nothing: it runs on another processor. */
export interface PortDevice {
  /** First port, and how many there are. */
  readonly first: number;
  readonly count: number;
  /** @param bytes 1, 2 or 4 @returns an unsigned value of so many bytes */
  read(port: number, bytes: number): number;
  /** @param value unsigned, of so many bytes */
  write(port: number, bytes: number, value: number): void;
  /** What it remembers, as plain data; absent: nothing. */
  snapshot?(): readonly number[];
  restore?(state: readonly number[]): void;
}
