import type { Quantity } from "../profile.js";

type Unit = Quantity["unit"];

const WHOLE: readonly Unit[] = ["bytes", "entries", "ways", "bits", "instructions", "count"];

/** A number somebody measured on that part (or on the same core, then the source says which). */
export function measured(value: number, unit: Unit, source: string): Quantity {
  return { value, unit, basis: "measured", source };
}

/** A number from the vendor's manuals, or from the registers of a real part. */
export function vendor(value: number, unit: Unit, source: string): Quantity {
  return { value, unit, basis: "vendor", source };
}

/** A number from a paper, an article or another secondary source. */
export function published(value: number, unit: Unit, source: string): Quantity {
  return { value, unit, basis: "published", source };
}

/** A number computed from others; the source gives the formula. */
export function derived(
  value: number,
  unit: Unit,
  source: string,
  range?: readonly [number, number],
): Quantity {
  return range === undefined
    ? { value, unit, basis: "derived", source }
    : { value, unit, basis: "derived", source, range };
}

/** A judgement: the source says what it rests on, the range is what the truth is believed to lie in. */
export function estimate(
  value: number,
  unit: Unit,
  range: readonly [number, number],
  source: string,
): Quantity {
  return { value, unit, basis: "estimate", source, range };
}

/** True when no quantity of that unit may have that value. */
export function outOfDomain(value: number, unit: Unit): boolean {
  if (!Number.isFinite(value) || value < 0) return true;
  if (unit === "ratio") return value > 1;
  if (unit === "GHz") return value === 0;
  if (unit === "bits") return !Number.isInteger(value) || value < 32 || value > 52;
  return WHOLE.includes(unit) && (!Number.isInteger(value) || value < 1);
}

/** The domain of {@link outOfDomain} in words. */
export function allowedIn(unit: Unit): string {
  if (unit === "ratio") return "0 to 1";
  if (unit === "GHz") return "a positive number";
  if (unit === "bits") return "a whole number from 32 to 52";
  return WHOLE.includes(unit) ? "a whole number of at least 1" : "a number of at least 0";
}
