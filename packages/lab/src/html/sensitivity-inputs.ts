import { z } from "zod";
import { ABIS, type AbiName, type CompareDocument, HOSTS, type HostName } from "../result.js";
import { guestSchema, machineSchema, toolSchema } from "./compare-schema.js";

/** Figures of one run; savings are against the first. */
export interface RunFigures {
  readonly cyclesPerCall: number | null;
  readonly saving: number | null;
}

/** Figures with one estimate at an end of its range. */
export interface RangeEnd {
  readonly value: number;
  readonly figures: readonly RunFigures[];
}

/** What a report reads of a sensitivity analysis. */
export interface SensitivityInputs {
  readonly tool: CompareDocument["tool"];
  readonly machine: CompareDocument["machine"];
  readonly guest: CompareDocument["guest"];
  readonly iterations: number;
  readonly runs: readonly { readonly host?: HostName; readonly abi: AbiName }[];
  readonly baseline: readonly RunFigures[];
  readonly inputs: readonly {
    readonly key: string;
    readonly unit: string;
    readonly value: number;
    readonly range: readonly [number, number];
    readonly source: string;
    readonly low: RangeEnd;
    readonly high: RangeEnd;
    readonly swing: readonly RunFigures[];
  }[];
  readonly notVaried: readonly { readonly key: string; readonly value: number; readonly why: string }[];
  readonly joint: readonly {
    readonly of: "saving" | "cyclesPerCall";
    readonly low: number | null;
    readonly high: number | null;
  }[];
  readonly jointNote: string;
}

const text = z.string();
const number = z.number();
const figures = z.array(z.looseObject({ cyclesPerCall: number.nullable(), saving: number.nullable() }));
const end = z.looseObject({ value: number, figures });

/** What `sensitivity --json` prints. */
export const sensitivitySchema: z.ZodType<SensitivityInputs> = z.looseObject({
  tool: toolSchema,
  machine: machineSchema,
  guest: guestSchema,
  iterations: number,
  runs: z.array(z.looseObject({ host: z.enum(HOSTS).exactOptional(), abi: z.enum(ABIS) })).min(1),
  baseline: figures,
  inputs: z.array(
    z.looseObject({
      key: text,
      unit: text,
      value: number,
      range: z.tuple([number, number]),
      source: text,
      low: end,
      high: end,
      swing: figures,
    }),
  ),
  notVaried: z.array(z.looseObject({ key: text, value: number, why: text })),
  joint: z.array(
    z.looseObject({
      of: z.enum(["saving", "cyclesPerCall"]),
      low: number.nullable(),
      high: number.nullable(),
    }),
  ),
  jointNote: text,
});
