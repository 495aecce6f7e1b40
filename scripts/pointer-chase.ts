import { PROFILES } from "../packages/cpu/src/profiles/index.js";
import { oneOf, wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { type ChaseOptions, PointerChase } from "../test/pointer-chase/chase.js";
import { PUBLISHED } from "../test/pointer-chase/published.js";
import { scriptArguments } from "./command-line.js";

/*
 * npm run pointer-chase: cycles per dependent load, one line in each of N pages, beside published tables.
 */

const SIZES = [8, 32, 96, 128, 512, 1024, 2048, 3072, 6144, 16384, 65536, 131072, 262144];

const IDS = PROFILES.map((profile) => profile.id);
const { machine: id, most } = scriptArguments("pointer-chase", {
  machine: { value: "id", parse: oneOf("--machine", IDS), otherwise: undefined },
  most: { value: "pages", parse: wholeNumber("--most", 8, 262144), otherwise: 262144 },
}).values;
const profiles = PROFILES.filter((profile) => id === undefined || profile.id === id);

const CURVES: readonly (readonly [heading: string, Omit<ChaseOptions, "pages">])[] = [
  ["same line", { placement: "same line", leaf: "4k", nested: undefined }],
  ["random line", { placement: "random line", leaf: "4k", nested: undefined }],
  ["2 MiB", { placement: "random line", leaf: "2m", nested: undefined }],
  ["nested 4k/4k", { placement: "random line", leaf: "4k", nested: "4k" }],
  ["nested 4k/2m", { placement: "random line", leaf: "4k", nested: "2m" }],
  ["nested 2m/2m", { placement: "random line", leaf: "2m", nested: "2m" }],
];

for (const profile of profiles) {
  const published = PUBLISHED[profile.id];
  console.log(`\n${profile.name}; published: ${published.part} (${published.source})\n`);
  console.log(`| pages | published | ${CURVES.map(([heading]) => heading).join(" | ")} | error | charged |`);
  console.log(`| --- | --- | ${CURVES.map(() => "---").join(" | ")} | --- | --- |`);
  const machine = new PointerChase(profile, most);
  for (const pages of SIZES.filter((size) => size <= most)) {
    const results = CURVES.map(([, curve]) => machine.run({ pages, ...curve }));
    const measured = published.cycles[pages];
    const [same, random] = results.map(({ latency }) => latency);
    const error = (found: number): string =>
      measured === undefined
        ? ""
        : `${found >= measured ? "+" : ""}${Math.round((100 * (found - measured)) / measured)} %`;
    const cells = [
      pages,
      measured ?? "",
      ...results.map(({ latency }) => latency.toFixed(0)),
      measured === undefined ? "" : `${error(same)}; ${error(random)}`,
      results[1].charged.toFixed(0),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
