import type { ProcessorProfile, Quantity } from "@hyperwalk/cpu";
import { type ProfileCheck, type ProfileDiff, profileSummary } from "../profile-file/profile-documents.js";
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
    profiles
      .map(profileSummary)
      .map(({ id, name, vendor, ghz, numbers, estimates }) => [
        id,
        name,
        vendor,
        String(ghz),
        String(numbers),
        String(estimates),
      ]),
    paint,
  );
}

/** Numbers by their dotted paths, with their provenance. */
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

/** Everything that is wrong with a profile, one line each. */
export function profileProblems({ file, id, problems }: ProfileCheck, paint: Paint): string {
  if (problems.length === 0) return `${id}: ${paint.strong("the profile holds together")}`;
  return problems
    .map(({ line = 0, key, problem, allowed }) => {
      const place = file === undefined ? id : line === 0 ? file : `${file}:${line}`;
      return `${place}: ${key === "" ? "" : `${key}: `}${paint.warn(problem)}; allowed: ${allowed}`;
    })
    .join("\n");
}

/** Numbers that two machines do not have in common, with both provenances. */
export function profileDiffTable({ a, b, numbers, defaults }: ProfileDiff, paint: Paint): string {
  const side = (quantity: Quantity | null): string[] =>
    quantity === null
      ? ["-", ""]
      : [`${quantity.value} ${quantity.unit}`, `${basis(quantity, paint)}: ${quantity.source}`];
  const title = `${paint.strong(a.name)} (${a.id}) and ${paint.strong(b.name)} (${b.id})`;
  if (numbers.length + defaults.length === 0) return `${title}: no number differs`;
  const table = grid(
    [
      { title: "number", align: "left" },
      { title: a.id },
      { title: "from", align: "left", wrapAt: 48 },
      { title: b.id },
      { title: "from", align: "left", wrapAt: 48 },
    ],
    numbers.map((each) => [each.key, ...side(each.a), ...side(each.b)]),
    paint,
  );
  const switches = defaults.map(
    (each) => `${each.key}: ${each.a ? "on" : "off"} on ${a.id}, ${each.b ? "on" : "off"} on ${b.id}`,
  );
  return [
    `${title}: ${numbers.length} numbers differ`,
    ...(numbers.length === 0 ? [] : [table]),
    ...(switches.length === 0 ? [] : [`Mitigations that differ\n${switches.join("\n")}`]),
  ].join("\n\n");
}

function basis({ basis: word, range }: Quantity, paint: Paint): string {
  const text = range === undefined ? word : `${word}, ${range[0]} to ${range[1]}`;
  return word === "estimate" ? paint.warn(text) : text;
}
