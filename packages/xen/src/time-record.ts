/** Bytes of a `vcpu_time_info`. */
export const TIME_RECORD_BYTES = 32;
const VERSION = 0;
const TSC_TIMESTAMP = 8;
const SYSTEM_TIME = 16;
const MULTIPLIER = 24;
const SHIFT = 28;
const SECOND = 1e9;
/** Between two calibrations of system time and time stamp (EPOCH). */
export const CALIBRATION_NS: number = SECOND;

/** How a time stamp becomes nanoseconds: ((cycles << shift) · multiplier) >> 32, with a right shift for a negative one. */
export interface TimeScale {
  /** Unsigned, 32 bits. */
  readonly multiplier: number;
  readonly shift: number;
}

/** `set_time_scale`: the shift that brings a second's cycles between 10^9 and 2 · 10^9. @param ghz cycles a nanosecond */
export function timeScale(ghz: number): TimeScale {
  let cycles = Math.round(ghz * SECOND);
  let shift = 0;
  for (; cycles > 2 * SECOND; shift--) cycles = Math.floor(cycles / 2);
  for (; cycles <= SECOND; shift++) cycles *= 2;
  return { multiplier: Number((BigInt(SECOND) << 32n) / BigInt(cycles)), shift };
}

/**
 * What Xen tells a vCPU of the time in its `vcpu_time_info`: time stamp and system time at one instant, and the factor
 * between them (`collect_time_info`). The instant is the latest of those, one a second, at which Xen calibrates; a guest
 * comes to the same time from each of them, to within a nanosecond.
 */
export class TimeRecord {
  /** The record as guests see it. */
  readonly bytes: Uint8Array = new Uint8Array(TIME_RECORD_BYTES);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly ghz: number;

  /** @param ghz cycles a nanosecond */
  constructor(ghz: number) {
    this.ghz = ghz;
    const { multiplier, shift } = timeScale(ghz);
    this.view.setUint32(MULTIPLIER, multiplier, true);
    this.view.setInt8(SHIFT, shift);
  }

  /** Takes the record of now. @param ns system time @param offset cycles that the guest's time stamp is ahead */
  collect(ns: number, offset: number): void {
    const calibrated = Math.floor(ns / CALIBRATION_NS) * CALIBRATION_NS;
    this.put(SYSTEM_TIME, calibrated);
    this.put(TSC_TIMESTAMP, Math.ceil(calibrated * this.ghz) + offset);
  }

  /** Is it the one that a guest has already, the version aside? @param there the guest's */
  equals(there: Uint8Array): boolean {
    return this.bytes.every((byte, i) => i < VERSION + 4 || byte === there[i]);
  }

  /** Gives it the version of the update after another one: odd, and even when that is over. @param before unsigned */
  follow(before: number): void {
    this.version = (((before + 1) | 1) + 1) >>> 0;
  }

  get version(): number {
    return this.view.getUint32(VERSION, true);
  }

  set version(value: number) {
    this.view.setUint32(VERSION, value, true);
  }

  private put(at: number, value: number): void {
    this.view.setInt32(at, value | 0, true);
    this.view.setInt32(at + 4, Math.floor(value / 2 ** 32) | 0, true);
  }
}
