import { figure, percent } from "../report/figures.js";

/** The space between thousands: narrow, and no line breaks at it. */
export const THOUSANDS = "\u202f";
const MINUS = "\u2212";

/** A number as pages show it; `-` when there is none. */
export function amount(value: number | null | undefined, decimals = 0): string {
  return typeset(figure(value, decimals));
}

/** The same with its sign, whichever it is. What rounds to zero has none. */
export function signed(value: number, decimals = 0): string {
  const text = amount(value, decimals);
  if (!/[1-9]/.test(text)) return text.replace(MINUS, "");
  return value > 0 ? `+${text}` : text;
}

/** A share as a percentage; `-` when there is none. */
export function share(value: number | null | undefined, decimals = 1): string {
  return typeset(percent(value, decimals)).replace(THOUSANDS, "\u00a0");
}

/** By how much something is less or more than something else, in words. */
export function lessOrMore(saving: number): string {
  return saving >= 0 ? `${share(saving)} less` : `${share(-saving)} more`;
}

function typeset(text: string): string {
  return text === "-" ? text : text.replaceAll(" ", THOUSANDS).replace(/^-/, MINUS);
}
