import { type Basis, PROFILES, type ProcessorProfile, profileQuantities } from "@hyperwalk/cpu";
import { z } from "zod";
import { section } from "../schema-problem.js";
import { PROFILE_PATH } from "./profile-path.js";

/** What a profile file says, with its defaults written out. */
export interface ProfileFile {
  /** Id of the profile, or path of the profile file, that has all other numbers. */
  readonly extends: string;
  readonly id: string;
  readonly name: string;
  /** By dotted path; a number alone is an override without a range. */
  readonly set: Readonly<Record<string, number | ProfileFileNumber>>;
  readonly defaults?: Partial<ProcessorProfile["defaults"]> | undefined;
}

/** A number with where it is from. */
export interface ProfileFileNumber {
  readonly value: number;
  readonly basis: Basis;
  readonly source: string;
  readonly range?: readonly [number, number] | undefined;
}

const BASES = ["measured", "vendor", "published", "derived", "estimate"] as const;

const text = (least: number, most: number) => z.string().min(least).max(most);
const finite = z.number().min(-1e15).max(1e15);

const quantity = section({
  value: finite,
  basis: z.enum(BASES).meta({
    description:
      "measured on that part, stated by its vendor, published by somebody else, derived by a formula, or an estimate",
  }),
  source: text(1, 4000).meta({
    description: "the manual, paper or dump; the formula; or what the estimate rests on",
  }),
  range: z
    .tuple([finite, finite])
    .optional()
    .meta({ description: "lowest and highest that the truth may be; estimates have to have it" }),
});

const flag = (description: string) => z.boolean().optional().meta({ description });

const defaults = section({
  ibpbEntry: flag("IBPB on every VM exit"),
  rsbOverwrite: flag("the return stack is overwritten on every VM exit"),
  specCtrlWrite: flag("SPEC_CTRL is written around runs of guests"),
  verw: flag("VERW before every VM entry"),
  bhbClear: flag("the branch history is cleared on every VM exit (Intel)"),
  l1dFlush: flag("L1D is flushed on every VM entry (Intel)"),
  execSp: flag("superpages of the second stage may be executed from"),
  bhiDisS: flag("SPEC_CTRL has BHI_DIS_S, and the part needs it"),
  note: text(1, 4000).meta({ description: "why the hypervisor chooses so on this part" }),
});

const IDS = PROFILES.map(({ id }) => id);

const profile = section({
  extends: z
    .union([
      z.enum(IDS),
      text(1, 1000).regex(PROFILE_PATH, `${IDS.join(", ")}, or the path of a profile file`),
    ])
    .meta({
      description:
        "what has all other numbers: a profile that comes with the package, or the path of a profile file from this one's folder",
    }),
  id: text(1, 100)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "letters, digits, dots, dashes and underscores")
    .meta({ description: "how results call the machine" }),
  name: text(1, 200).meta({ description: "the processor's name" }),
  set: z
    .record(text(1, 200), z.union([finite, quantity]))
    .default({})
    .meta({
      description:
        "numbers by their keys in `hyperwalk profiles show`, with where they are from; one alone is an override without a range",
    }),
  defaults: defaults
    .optional()
    .meta({ description: "mitigations that the hypervisor turns on on this part" }),
});

/** The schema of profile files. */
export const PROFILE_SCHEMA: z.ZodType<ProfileFile> = profile as z.ZodType<ProfileFile>;

/** The JSON Schema that editors complete profile files with: it names every number there is. */
export function profileJsonSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(profile, { io: "input", target: "draft-7" });
  const properties = rest.properties as Record<string, object>;
  const {
    additionalProperties: number,
    propertyNames: _names,
    ...set
  } = properties.set as Record<string, object>;
  const keys = [...new Set(PROFILES.flatMap((each) => profileQuantities(each).map(([key]) => key)))].sort();
  return {
    $schema,
    $id: "https://unpkg.com/hyperwalk/schema/profile.schema.json",
    title: "hyperwalk processor profile",
    ...rest,
    properties: {
      ...properties,
      set: {
        ...set,
        properties: Object.fromEntries(keys.map((key) => [key, { $ref: "#/definitions/number" }])),
        additionalProperties: false,
      },
    },
    definitions: { number },
  };
}
