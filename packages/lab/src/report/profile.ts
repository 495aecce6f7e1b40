import { type ProcessorProfile, profileQuantities, type Quantity } from "@hyperwalk/cpu";
import { grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** One line for each profile. */
export function profileList(profiles: readonly ProcessorProfile[], paint: Paint): string {
  return grid(
    [
      { title: "id", align: "left" },
      { title: "processor", align: "left" },
      { title: "vendor", align: "left" },
      { title: "GHz" },
      { title: "numbers" },
      { title: "of them estimates" },
    ],
    profiles.map((profile) => {
      const all = profileQuantities(profile);
      const estimates = all.filter(([, { basis }]) => basis === "estimate").length;
      return [
        profile.id,
        profile.name,
        profile.vendor,
        String(profile.frequency.value),
        String(all.length),
        String(estimates),
      ];
    }),
    paint,
  );
}

/** Every number of a profile with its provenance. */
export function profileTable(profile: ProcessorProfile, paint: Paint): string {
  return quantityTable(profileQuantities(profile), paint);
}

/** The same for any list of numbers by their dotted paths. */
export function quantityTable(quantities: readonly (readonly [string, Quantity])[], paint: Paint): string {
  return grid(
    [
      { title: "number", align: "left" },
      { title: "value" },
      { title: "unit", align: "left" },
      { title: "basis", align: "left" },
      { title: "range", align: "left" },
      { title: "source", align: "left", wrapAt: 72 },
    ],
    quantities.map(([key, { value, unit, basis, range, source }]) => [
      key,
      String(value),
      unit,
      basis === "estimate" ? paint.warn(basis) : basis,
      range ? `${range[0]} to ${range[1]}` : "",
      source,
    ]),
    paint,
  );
}
