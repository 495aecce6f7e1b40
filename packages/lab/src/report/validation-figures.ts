import type { FigureResult, ValidationDocument } from "../validation/validate.js";
import { LONG_PARTS } from "../validation/validation-parts.js";

/** From here on an error is a miss that is set off. */
export const MISS_FROM = 0.25;
const CLOSE_TO = 0.05;

const grouped = (value: number): string => {
  const [whole, fraction] = String(value).split(".");
  const digits = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? digits : `${digits}.${fraction}`;
};

/** A figure in its unit's usual precision. */
export function figureText(value: number, unit: string): string {
  if (unit === "share") return `${(100 * value).toFixed(1)} %`;
  if (unit === "ratio") return value.toFixed(2);
  if (Number.isInteger(value) || Math.abs(value) >= 100) return grouped(Math.round(value));
  return value.toFixed(1);
}

/** What was published: one figure, or the least and the most. */
export function publishedText({ published: [least, most], unit }: FigureResult): string {
  return least === most
    ? figureText(least, unit)
    : `${figureText(least, unit).replace(" %", "")} to ${figureText(most, unit)}`;
}

/** How far off it is: a share, and for shares points. */
export function errorText({ error, predicted, published: [least, most], unit }: FigureResult): string {
  if (error === null) return "missed";
  if (error === 0) return "0";
  if (unit === "share") return `${signed(100 * (predicted - (error < 0 ? least : most)), 1)} points`;
  return `${signed(100 * error, Math.abs(error) < 0.1 ? 1 : 0)} %`;
}

function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value > 0 ? "+" : "-"}${text}`;
}

/** Whether it is to be set off. */
export const isMiss = ({ error }: FigureResult): boolean => error === null || Math.abs(error) >= MISS_FROM;

/** How many figures of a part are how far off. */
export interface Tally {
  readonly title: string;
  readonly figures: number;
  /** Taken as inputs, at least in part: they confirm nothing. */
  readonly calibrated: number;
  /** Of the others. */
  readonly close: number;
  readonly near: number;
  readonly missed: number;
  readonly worst: FigureResult | undefined;
}

/** A line for each part that is not long and has figures, and one for all of them. */
export function tally({ parts }: ValidationDocument): Tally[] {
  const counted = parts.filter(({ name, figures }) => !LONG_PARTS.includes(name) && figures.length > 0);
  const line = (title: string, figures: readonly FigureResult[]): Tally => {
    const free = figures.filter(({ calibrated }) => calibrated.length === 0);
    const within = (share: number) => free.filter(({ error }) => error !== null && Math.abs(error) < share);
    const close = within(CLOSE_TO).length;
    return {
      title,
      figures: figures.length,
      calibrated: figures.length - free.length,
      close,
      near: within(MISS_FROM).length - close,
      missed: free.filter(isMiss).length,
      worst: worstFirst(free)[0],
    };
  };
  return [
    ...counted.map(({ title, figures }) => line(title, figures)),
    line(
      "all",
      counted.flatMap(({ figures }) => figures),
    ),
  ];
}

/** Figures that are off, the worst first. */
export function worstFirst(figures: readonly FigureResult[]): FigureResult[] {
  const size = ({ error }: FigureResult): number => Math.abs(error ?? Number.POSITIVE_INFINITY);
  return figures.filter((figure) => size(figure) > 0).sort((a, b) => size(b) - size(a));
}
