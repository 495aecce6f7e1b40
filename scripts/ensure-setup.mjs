// Runs the set-up when pnpm-lock.yaml has changed since the last one, and does nothing otherwise.
// Everything goes to stderr: `npm run -s hyperwalk -- … --json` must leave stdout to the program.
//   --stamp  only record that the installation matches the lockfile (root postinstall)
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampFile = `${root}node_modules/.hyperwalk-setup`;

function lockHash() {
  const lock = readFileSync(`${root}pnpm-lock.yaml`);
  return `${createHash("sha256").update(lock).update(process.platform).update(process.arch).digest("hex")}\n`;
}

function writeStamp() {
  mkdirSync(`${root}node_modules`, { recursive: true });
  writeFileSync(stampFile, lockHash());
}

function isCurrent() {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === lockHash();
}

if (process.argv.includes("--stamp")) {
  if (existsSync(`${root}pnpm-lock.yaml`)) writeStamp();
} else if (!isCurrent()) {
  // `npm -s` would reach pnpm as a log level and hide a failing installation.
  const { npm_config_loglevel: _loglevel, ...env } = process.env;
  console.error("hyperwalk: setting up (once per change of pnpm-lock.yaml)");
  const { setup } = JSON.parse(readFileSync(`${root}package.json`, "utf8")).scripts;
  const { status } = spawnSync(setup, { cwd: root, env, shell: true, stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
  writeStamp();
}
