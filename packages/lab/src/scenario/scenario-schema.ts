import { MONITORS } from "@hyperwalk/xen";
import { z } from "zod";
import {
  DEFAULT_ITERATIONS,
  DEFAULT_MAX_INSTRUCTIONS,
  DEFAULT_MEMORY_MIB,
  DEFAULT_MMIO_HANDLERS,
} from "../defaults.js";
import { GUEST_OPERATIONS } from "../guest.js";
import { ABIS, COMPARED_ABIS, GUEST_PAGES, HOSTS, P2M_PAGES } from "../result.js";
import { section } from "../schema-problem.js";
import { SCENARIO_FIGURES, type Scenario } from "./scenario.js";

/** Points that one sweep may have. */
export const MAX_POINTS = 1_000_000;
/** Calls before an operation loop's measured ones. */
export const DEFAULT_WARM_UP = 64;
const GUEST_KINDS = ["name", "elf", "module", "operation-loop"] as const;
const PERCENT = /^[0-9]+(\.[0-9]+)?\s*%$/;

const text = (most: number) => z.string().max(most);
const name = text(100).regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);
const path = z.string().min(1).max(4096);
const whole = (least: number, most: number) => z.int().min(least).max(most);
const finite = z.number().min(-1e15).max(1e15);

/** Reports a problem that only several keys together have. */
function refuse(context: z.RefinementCtx, at: (string | number)[], problem: string, allowed: string): void {
  context.addIssue({ code: "custom", path: at, message: problem, params: { allowed } });
}

/** MiB from a number, or from text with a unit. */
const memory = z
  .union([
    whole(8, 2 ** 20).meta({ description: "MiB" }),
    z.string().regex(/^[0-9]{1,7}[MG]$/, "a size such as 64M or 2G"),
  ])
  .transform((value, context) => {
    if (typeof value === "number") return value;
    const mib = Number(value.slice(0, -1)) * (value.endsWith("G") ? 1024 : 1);
    if (mib < 8 || mib > 2 ** 20) refuse(context, [], value, "8M to 1024G");
    return mib;
  })
  .default(DEFAULT_MEMORY_MIB);

const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);

/** A list in which nothing is given twice. */
const distinct = (values: readonly string[], context: z.RefinementCtx): void => {
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  if (twice !== undefined) refuse(context, [], `"${twice}" is given twice`, "each once");
};

const machine = z
  .union([
    path,
    section({
      profile: path.default("epyc-9124").meta({
        description: "id of a profile (see `hyperwalk profiles`), or path of a profile file",
      }),
      set: z.record(z.string().min(1).max(200), finite).default({}).meta({
        description: "numbers to replace, by the key in `hyperwalk profiles show` or a list of estimates",
      }),
    }),
  ])
  .prefault({})
  .transform((value) => (typeof value === "string" ? { profile: value, set: {} } : value));

const hostKind = oneOrMore(z.enum(HOSTS))
  .transform((value) => (typeof value === "string" ? [value] : value))
  .superRefine(distinct);

const host = z
  .union([
    z.enum(HOSTS),
    z.array(z.enum(HOSTS)).min(1),
    section({
      kind: hostKind.default(["xen"]).meta({ description: "hypervisors to run the guest under" }),
      "spec-ctrl": text(200)
        .default("")
        .meta({ description: "as on Xen's command line: no-xen, ibpb-entry=hvm, …" }),
      ept: text(200).default("").meta({ description: "as on Xen's command line: exec-sp, pml=0, …" }),
      ibpb: z.enum(["default", "on", "off"]).default("default").meta({ description: "IBPB on each exit" }),
      monitor: z
        .enum(MONITORS)
        .default("all")
        .meta({ description: "which hypercalls KVM's monitor serves: all, or those that QEMU does" }),
    }),
  ])
  .prefault({})
  .transform((value) =>
    typeof value === "object" && !Array.isArray(value)
      ? value
      : {
          kind: typeof value === "string" ? [value] : value,
          "spec-ctrl": "",
          ept: "",
          ibpb: "default" as const,
          monitor: "all" as const,
        },
  );

const domain = section({
  memory,
  "p2m-page": z.enum(P2M_PAGES).default("4k").meta({ description: "largest leaves of the p2m" }),
  "mmio-handlers": whole(0, 16).default(DEFAULT_MMIO_HANDLERS),
  confidential: z.enum(["none", "sev", "sev-es", "sev-snp"]).default("none"),
}).prefault({});

const guest = z
  .union([
    path,
    section({
      name: path.optional().meta({ description: "a built-in guest: hypercall-bench or runstate-loop" }),
      elf: path.optional().meta({ description: "path of a PVH ELF image" }),
      module: path
        .optional()
        .meta({ description: "path of a JavaScript module that exports a guest of the SDK" }),
      "operation-loop": path.optional().meta({ description: "an operation to call in a loop: vcpu.is_up" }),
      operation: z.enum(GUEST_OPERATIONS).default("get_runstate_info"),
      iterations: whole(1, 2 ** 24).default(DEFAULT_ITERATIONS),
      "warm-up": whole(0, 2 ** 20).optional(),
      page: z.enum(GUEST_PAGES).default("4k"),
      cmdline: text(2048).default(""),
    }).superRefine((value, context) => {
      const kinds = GUEST_KINDS.filter((kind) => value[kind] !== undefined);
      if (kinds.length !== 1)
        refuse(
          context,
          [],
          kinds.length === 0 ? "no guest is given" : `${kinds.join(" and ")} are given`,
          `one of ${GUEST_KINDS.join(", ")}`,
        );
      if (value["warm-up"] !== undefined && value["operation-loop"] === undefined)
        refuse(context, ["warm-up"], "this guest warms up by itself", "with operation-loop");
    }),
  ])
  .prefault("runstate-loop")
  .transform((value) => {
    const given =
      typeof value === "string"
        ? {
            name: value,
            operation: GUEST_OPERATIONS[0],
            iterations: DEFAULT_ITERATIONS,
            page: GUEST_PAGES[0],
            cmdline: "",
          }
        : value;
    return given["operation-loop"] === undefined ? given : { "warm-up": DEFAULT_WARM_UP, ...given };
  });

const interfaces = z
  .union([z.literal("all"), z.enum(ABIS), z.array(z.enum(ABIS)).min(1)])
  .default([...COMPARED_ABIS])
  .transform((value) => (typeof value === "string" && value !== "all" ? [value] : value))
  .superRefine((value, context) => {
    if (value !== "all") distinct(value, context);
  });

const measure = section({
  window: z.enum(["auto", "whole-run"]).default("auto"),
  "fast-forward": z
    .string()
    .regex(
      /^(no|marker|0x[0-9a-fA-F]{1,16}|[1-9][0-9]{0,14})$/,
      "no, marker, an address with 0x, or a number of instructions in quotes",
    )
    .default("no"),
  "max-instructions": whole(1, 2 ** 40).default(DEFAULT_MAX_INSTRUCTIONS),
}).prefault({});

const expectation = section({
  figure: z.enum(SCENARIO_FIGURES),
  interface: z.enum(ABIS),
  host: z.enum(HOSTS).optional(),
  against: z.enum(ABIS).optional(),
  is: finite.optional(),
  within: z.union([finite.min(0), z.string().regex(PERCENT, "a share such as 5%")]).optional(),
  "at-least": finite.optional(),
  "at-most": finite.optional(),
  source: text(1000).optional(),
}).superRefine((value, context) => {
  const bounded = value["at-least"] !== undefined || value["at-most"] !== undefined;
  if ((value.is === undefined) === !bounded)
    refuse(context, [], "what is expected is not clear", "`is` with `within`, or `at-least` and `at-most`");
  if ((value.is === undefined) !== (value.within === undefined))
    refuse(context, ["within"], "`is` and `within` go together", "both or neither");
  if ((value.figure === "saving") !== (value.against !== undefined))
    refuse(context, ["against"], `it goes with savings alone, and they need it`, "with `figure: saving`");
  if (value.figure !== "saving") return;
  for (const key of ["is", "at-least", "at-most"] as const)
    if ((value[key] ?? 0) > 1) refuse(context, [key], `a saving is a share`, "a number up to 1: 0.3 is 30 %");
});

const value = z.union([text(4096), finite, z.boolean(), z.array(z.string().max(100)).min(1)]);

const range = z
  .union([
    section({ from: finite, to: finite, step: finite }),
    section({
      from: finite,
      to: finite,
      count: whole(2, MAX_POINTS),
      scale: z.enum(["linear", "log"]).default("linear"),
    }),
  ])
  .transform((given, context) => ("step" in given ? stepped(given, context) : spread(given, context)));

function stepped(
  { from, to, step }: { from: number; to: number; step: number },
  context: z.RefinementCtx,
): number[] {
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (!(count >= 1 && count <= MAX_POINTS)) {
    refuse(
      context,
      ["step"],
      `${from} to ${to} by ${step} is no range`,
      `a step that gives 1 to ${MAX_POINTS} values`,
    );
    return z.NEVER;
  }
  return Array.from({ length: count }, (_, i) => rounded(from + i * step));
}

function spread(
  { from, to, count, scale }: { from: number; to: number; count: number; scale: "linear" | "log" },
  context: z.RefinementCtx,
): number[] {
  if (scale === "log" && !(from > 0 && to > 0)) {
    refuse(context, ["scale"], `${from} to ${to} has no logarithms`, "positive ends");
    return z.NEVER;
  }
  const at = (share: number) => (scale === "log" ? from * (to / from) ** share : from + (to - from) * share);
  return Array.from({ length: count }, (_, i) => rounded(i === count - 1 ? to : at(i / (count - 1))));
}

/** The same decimal number on any machine: 0.1 + 0.2 is 0.3. */
function rounded(value: number): number {
  return Number(value.toPrecision(12));
}

const sweep = section({
  combine: z.enum(["cross", "zip"]).default("cross"),
  unsupported: z.enum(["refuse", "skip"]).default("refuse"),
  axes: z.record(z.string().min(1).max(200), z.union([z.array(value).min(1).max(MAX_POINTS), range])),
});

const scenario = section({
  $schema: text(4096).optional(),
  name: name.default("scenario").meta({ description: "letters, digits, dots, dashes; names result files" }),
  description: text(10_000).default(""),
  machine,
  host,
  domain,
  guest,
  interfaces,
  measure,
  seed: whole(0, 2 ** 31 - 1).default(1),
  expect: z.array(expectation).max(1000).default([]),
  sweep: sweep.optional(),
}).transform(({ $schema: _schema, ...rest }) => rest) satisfies z.ZodType<Scenario>;

/** The schema of scenario files; what it gives has every default written out. */
export const SCENARIO_SCHEMA: z.ZodType<Scenario> = scenario;

/** The JSON Schema that editors complete scenario files with. */
export function scenarioJsonSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(scenario, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
  });
  return {
    $schema,
    $id: "https://unpkg.com/hyperwalk/schema/scenario.schema.json",
    title: "hyperwalk scenario",
    ...rest,
  };
}
