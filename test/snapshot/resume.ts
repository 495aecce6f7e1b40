// resume.ts <directory>: restores <n>.snapshot in a fresh system of suite guest n, runs it to its end, writes <n>.json.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeSnapshot } from "@hyperwalk/xen";
import { finish, SUITE } from "./guests.js";

const directory = process.argv[2];
for (const file of readdirSync(directory)) {
  if (!file.endsWith(".snapshot")) continue;
  const system = SUITE[Number.parseInt(file, 10)].make();
  system.restore(decodeSnapshot(readFileSync(join(directory, file))));
  writeFileSync(join(directory, file.replace("snapshot", "json")), finish(system));
}
