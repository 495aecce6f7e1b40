import { DeliveryMode, IcrField, Shorthand } from "./apic-register.js";

/** What routing needs of an APIC. */
export interface CommandTarget {
  readonly id: number;
  readonly isX2apic: boolean;
  readonly processorPriority: number;
  isDestination(destination: number, logical: boolean, fromX2apic: boolean): boolean;
}

/**
 * The APICs that an interrupt command goes to (SDM vol. 3, 11.6): by shorthand, physical or logical destination;
 * lowest priority picks one, on a tie the one with the lower ID. INIT level de-assert goes nowhere.
 * @param lo ICR low word @param destination unsigned
 * @param deliver called for each with delivery mode, vector and trigger mode
 */
export function routeCommand<T extends CommandTarget>(
  members: readonly T[],
  source: T,
  lo: number,
  destination: number,
  deliver: (target: T, mode: number, vector: number, level: boolean) => void,
): void {
  const mode = (lo >>> IcrField.ModeShift) & 7;
  const level = (lo & IcrField.Level) !== 0;
  if (mode === DeliveryMode.Init && level && (lo & IcrField.Assert) === 0) return;
  const shorthand = (lo >>> IcrField.ShorthandShift) & 3;
  const logical = (lo & IcrField.Logical) !== 0;
  let best: T | undefined;
  for (const member of members) {
    const named =
      shorthand === Shorthand.None
        ? member.isDestination(destination, logical, source.isX2apic)
        : shorthand === Shorthand.Self
          ? member === source
          : shorthand === Shorthand.AllIncludingSelf || member !== source;
    if (!named) continue;
    if (mode === DeliveryMode.LowestPriority) {
      if (best === undefined || member.processorPriority < best.processorPriority) best = member;
    } else deliver(member, mode, lo & IcrField.Vector, level);
  }
  if (best !== undefined) deliver(best, mode, lo & IcrField.Vector, level);
}
