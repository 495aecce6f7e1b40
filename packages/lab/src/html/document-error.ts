/** A document that cannot be read: says which file, where in it, what is there and what is allowed. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
  readonly code = "DOCUMENT";
  /** The file, with the line or the key where there is one: `a.json, runs[0].abi`. */
  readonly place: string;
  readonly found: string;
  readonly allowed: string;

  constructor(place: string, found: string, allowed: string) {
    super(`${place}: ${found}; allowed: ${allowed}`);
    this.place = place;
    this.found = found;
    this.allowed = allowed;
  }
}
