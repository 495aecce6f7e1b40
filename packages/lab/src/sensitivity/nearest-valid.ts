import { checkProfile, type ProcessorProfile, ProfileError, withOverrides } from "@hyperwalk/cpu";

/** An end of a range as it can be used. */
export interface UsableEnd {
  readonly value: number;
  /** Why it is not the one asked for. */
  readonly moved?: string;
}

/**
 * The end of an estimate's range, or the value nearest to it between there and the estimate with which the profile holds
 * together: of geometry, a power of two times the estimate, as sets have to be.
 * @param machine with every other number as it is to be @param value the estimate's own
 */
export function usableEnd(machine: ProcessorProfile, key: string, value: number, end: number): UsableEnd {
  const before = problems(machine, {});
  const problem = problems(machine, { [key]: end }).find((each) => !before.includes(each));
  if (problem === undefined) return { value: end };
  const candidates = [...powersOfTwo(value, end)].sort((a, b) => Math.abs(a - end) - Math.abs(b - end));
  const usable = candidates.find((each) =>
    problems(machine, { [key]: each }).every((one) => before.includes(one)),
  );
  return { value: usable ?? value, moved: problem };
}

/** What is wrong with a machine that has some other numbers. */
function problems(machine: ProcessorProfile, set: Readonly<Record<string, number>>): readonly string[] {
  try {
    return checkProfile(withOverrides(machine, set)).map(({ message }) => message);
  } catch (error) {
    if (error instanceof ProfileError) return [error.message];
    throw error;
  }
}

function* powersOfTwo(value: number, end: number): Generator<number> {
  if (!Number.isInteger(value) || value < 1) return;
  if (end > value) for (let each = value * 2; each <= end; each *= 2) yield each;
  else for (let each = value / 2; each >= end && Number.isInteger(each); each /= 2) yield each;
}
