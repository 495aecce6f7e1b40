/** Devices behind the I/O ports of a processor outside guest mode. */
export interface PortSource {
  /** @param bytes 1, 2 or 4 @returns the value, unsigned or as a 32-bit integer */
  read(port: number, bytes: number): number;
  /** @param value unsigned */
  write(port: number, bytes: number, value: number): void;
}

/** Nothing is connected: reads see all ones, writes go nowhere. */
export const NO_PORTS: PortSource = {
  read: () => -1,
  write: () => {},
};
