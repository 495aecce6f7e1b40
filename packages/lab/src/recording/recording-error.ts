/** A record of hypercalls, or a trace, that cannot be read. */
export class RecordingError extends Error {
  readonly code = "RECORDING";
  /** Where: `line 3`, or `byte 0x40`. */
  readonly place: string;
  /** What is wrong there. */
  readonly found: string;
  readonly allowed: string;

  constructor(place: string, found: string, allowed: string) {
    super(`${place}: ${found}; allowed: ${allowed}`);
    this.name = "RecordingError";
    this.place = place;
    this.found = found;
    this.allowed = allowed;
  }
}
