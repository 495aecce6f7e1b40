import { Class, classOf, compareSignificands, denormalOperands, normalise } from "./extended.js";
import { type FloatContext, FloatFlag, Part, Slot } from "./float-context.js";

/** Relation of A to B. */
export const Relation = { Less: -1, Equal: 0, Greater: 1, Unordered: 2 } as const;

/**
 * Compares A and B.
 * @param quiet quiet NaNs are no invalid operands: FUCOM and its kin
 * @returns a {@link Relation} number
 */
export function compare(f: FloatContext, quiet: boolean): number {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    if (!quiet || kindA > Class.Quiet || kindB > Class.Quiet) f.flags |= FloatFlag.Invalid;
    return Relation.Unordered;
  }
  denormalOperands(f, kindA, kindB);
  if (kindA === Class.Zero && kindB === Class.Zero) return Relation.Equal;
  const signA = words[Slot.A + Part.Sign];
  if (kindA !== Class.Zero && kindB !== Class.Zero && signA === words[Slot.B + Part.Sign]) {
    if (kindA === Class.Denormal) normalise(words, Slot.A);
    if (kindB === Class.Denormal) normalise(words, Slot.B);
    let order = words[Slot.A + Part.Exponent] - words[Slot.B + Part.Exponent];
    if (order === 0) order = compareSignificands(words, Slot.A, Slot.B);
    if (order === 0) return Relation.Equal;
    return order < 0 === (signA === 0) ? Relation.Less : Relation.Greater;
  }
  const negative = kindA === Class.Zero ? words[Slot.B + Part.Sign] === 0 : signA === 1;
  return negative ? Relation.Less : Relation.Greater;
}
